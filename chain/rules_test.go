package chain

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/contract"
)

// Every code at work, and beside it what looks alike and is right.
func TestRules(t *testing.T) {
	bridge := `{"type":"bridge","isDefaultGateway":true,` + inHere + `}`
	ptp := `{"type":"ptp",` + inHere + `}`
	for _, c := range []lintCase{
		{name: "a key twice", list: of(eniIPAM, `{"type":"routed-veth","mtu":1400,"mtu":1500}`), want: []string{"0 C004 warning mtu"}},
		{name: "behind the stage that adds it", list: of(eniIPAM, compat, routedVeth), want: []string{"2 C101 error"}},
		{name: "ptp without ipam", list: of(`{"type":"ptp"}`, portmap), want: []string{"1 C101 error ipam"}},
		{name: "the delegate gives no gateway", list: of(`{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24"}],"routes":[{"dst":"0.0.0.0/0"}]}}`), want: []string{"1 C101 error ipam", "1 C118 warning ipam.addresses"}},
		{name: "it does", list: of(`{"type":"ptp","capabilities":{"ips":true},"ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}}`), want: []string{"1 C101 error ipam"}},
		{name: "ingressPolicy without a bridge", list: of(eniIPAM, routedVeth, `{"type":"firewall","ingressPolicy":"same-bridge"}`), want: []string{"3 C101 error"}},
		{name: "with one", list: of(bridge, `{"type":"firewall","ingressPolicy":"same-bridge"}`)},
		{name: "bandwidth without a host end", list: of(`{"type":"macvlan",`+inHere+`}`, `{"type":"bandwidth","capabilities":{"bandwidth":true}}`), want: []string{"2 C101 error"}},
		{name: "tuning first", list: of(`{"type":"tuning","mtu":1400}`), want: []string{"1 C101 error"}},
		{name: "two that masquerade", list: of(`{"type":"ptp","ipMasq":true,`+inHere+`}`, inside), want: []string{"2 C102 warning"}},
		{name: "and the other way", list: of(`{"type":"routed-veth",`+inHere+`}`, inside, snatStage), want: []string{"3 C102 warning", "3 C111 error inside"}},
		{name: "two for host ports", list: of(eniIPAM, routedVeth, compat, portmap), want: []string{"4 C102 warning"}},
		{name: "nothing lost", list: of(`{"type":"debug"}`, ptp)},

		{name: "portMappings off", list: of(eniIPAM, routedVeth, `{"type":"portmap-compat"}`), want: []string{"3 C104 error capabilities"}},
		{name: "portMappings false", list: of(eniIPAM, routedVeth, `{"type":"portmap","capabilities":{"portMappings":false}}`), want: []string{"3 C104 error capabilities"}},
		{name: "ports in the list itself", list: of(eniIPAM, routedVeth, `{"type":"portmap","runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":1,"protocol":"tcp"}]}}`)},
		{name: "a slip in a capability", list: of(eniIPAM, routedVeth, `{"type":"portmap","capabilities":{"portMapping":true,"portMappings":true}}`), want: []string{"3 C104 warning capabilities.portMapping"}},
		{name: "a capability of somebody else", list: of(eniIPAM, `{"type":"routed-veth","capabilities":{"bandwidth":true}}`), want: []string{"2 C104 warning capabilities.bandwidth"}},
		{name: "a delegate's capability", list: of(`{"type":"ptp","capabilities":{"ipRanges":true},"ipam":{"type":"host-local"}}`)},
		{name: "bandwidth off", list: of(eniIPAM, routedVeth, `{"type":"bandwidth"}`), want: []string{"3 C104 warning capabilities"}},
		{name: "annotations off", list: of(`{"type":"eni-ipam","select":[{"annotation":"x","allow":["a"]}]}`, routedVeth), want: []string{"1 C104 error select"}},
		{name: "annotations on", list: of(`{"type":"eni-ipam","select":[{"annotation":"x","allow":["a"]}],"capabilities":{"io.kubernetes.cri.pod-annotations":true}}`, routedVeth)},

		{name: "no version", list: strings.Replace(of(eniIPAM, routedVeth), `"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],`, "", 1),
			want: []string{"0 C105 error cniVersion", "1 C105 error type", "2 C105 error type"}},
		{name: "no version at all", list: at(`"one"`, eniIPAM, routedVeth), want: []string{"0 C105 error cniVersion"}},
		{name: "a version of tomorrow", list: at(`"1.2.0"`, eniIPAM, routedVeth), want: []string{"0 C105 error cniVersion"}},
		{name: "tomorrow's beside today's", list: at(`"1.0.0","cniVersions":["1.0.0","1.2.0"]`, eniIPAM, routedVeth)},
		{name: "1.1.0 alone", list: at(`"1.1.0"`, eniIPAM, routedVeth)},
		{name: "1.1.0 alone for containerd 1.7", runtime: Containerd17, list: at(`"1.1.0"`, eniIPAM, routedVeth), want: []string{"0 C105 error cniVersion"}},
		{name: "both for containerd 1.7", runtime: Containerd17, list: of(eniIPAM, routedVeth)},
		{name: "an old loopback list", list: at(`"0.2.0"`, `{"type":"loopback"}`), want: []string{"0 C113 warning plugins"}},

		{name: "a slip in a key", list: of(eniIPAM, `{"type":"routed-veth","mtuu":1400}`), want: []string{"2 C106 error mtuu"}},
		{name: "letter case is told apart", list: of(eniIPAM, `{"type":"routed-veth","MTU":1400}`), want: []string{"2 C106 error MTU"}},
		{name: "but not upstream", list: of(`{"type":"ptp","MTU":1400,` + inHere + `}`)},
		{name: "upstream reads on", list: of(`{"type":"ptp","ipmasquerade":true,` + inHere + `}`), want: []string{"1 C106 warning ipmasquerade"}},
		{name: "a delegate's key", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","gatway":"reserve"}}`), want: []string{"1 C106 error ipam.gatway"}},
		{name: "a key in ipam of a first stage", list: of(`{"type":"eni-ipam","ipam":{"type":"eni-ipam","pol":"a"}}`, routedVeth), want: []string{"1 C106 error ipam.pol"}},
		{name: "the runtime's keys", list: of(`{"type":"eni-ipam","args":{"cni":{}},"cni.dev/x":1,"io.kubernetes.y":2,"prevResult":null}`, routedVeth)},
		{name: "a slip in the list", list: strings.Replace(of(eniIPAM, routedVeth), `"name"`, `"disablecheck":true,"name"`, 1), want: []string{"0 C106 warning disablecheck"}},
		{name: "a stage's key in the list", list: strings.Replace(of(eniIPAM, routedVeth), `"name"`, `"capabilities":{},"name"`, 1), want: []string{"0 C106 warning capabilities"}},
		{name: "an author's note", list: strings.Replace(of(eniIPAM, routedVeth), `"name"`, `"_comment":"ours","name"`, 1)},
		{name: "a product's key that is not known", list: of(eniIPAM, routedVeth, `{"type":"cilium-cni","chaining-mode":"generic-veth","some-new-key":1}`)},

		{name: "too big", list: of(eniIPAM, `{"type":"routed-veth","mtu":70000}`), want: []string{"2 C107 error mtu"}},
		{name: "a literal beside a range", list: of(eniIPAM, `{"type":"routed-veth","mtu":0}`)},
		{name: "a string for a number", list: of(eniIPAM, `{"type":"routed-veth","mtu":"1500"}`), want: []string{"2 C107 error mtu"}},
		{name: "no such word", list: of(eniIPAM, `{"type":"routed-veth","hostVeth":"name"}`), want: []string{"2 C107 error hostVeth"}},
		{name: "no such family", list: of(`{"type":"eni-ipam","families":["ipv5"]}`, routedVeth), want: []string{"1 C107 error families"}},
		{name: "no duration", list: of(`{"type":"eni-ipam","wait":20}`, routedVeth), want: []string{"1 C107 error wait"}},
		{name: "too long", list: of(`{"type":"eni-ipam","wait":"2h"}`, routedVeth), want: []string{"1 C107 error wait"}},
		{name: "prefixes", list: of(eniIPAM, routedVeth, `{"type":"snat","exclude":["10.0.0.0/8"]}`)},
		{name: "no prefix", list: of(eniIPAM, routedVeth, `{"type":"snat","exclude":["10.0.0.1"]}`), want: []string{"3 C107 error exclude"}},
		{name: "ranges of the wrong shape", list: of(`{"type":"ptp","ipam":{"type":"host-local","ranges":[{"subnet":"10.0.0.0/24"}]}}`), want: []string{"1 C107 error ipam.ranges"}},

		{name: "a sysctl that is a number", list: of(eniIPAM, routedVeth, `{"type":"tuning","sysctl":{"net.core.somaxconn":512}}`), want: []string{"3 C107 error sysctl"}},
		{name: "a sysctl of the whole node", list: of(eniIPAM, routedVeth, `{"type":"tuning","sysctl":{"kernel.msgmax":"1"}}`), want: []string{"3 C107 error sysctl"}},
		{name: "sysctls as paths", list: of(eniIPAM, routedVeth, `{"type":"tuning","sysctl":{"net/ipv4/conf/IFNAME/arp_filter":"1"}}`)},
		{name: "a route to an address", list: of(`{"type":"ptp","ipam":{"type":"host-local","subnet":"10.1.0.0/24","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.0.0.1","gw":"x"}]}}`),
			want: []string{"1 C107 error ipam.routes", "1 C107 error ipam.routes"}},
		{name: "a subnet with host bits", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.1/24"}]]}}`), want: []string{"1 C107 error ipam.ranges"}},
		{name: "a subnet without room", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","subnet":"10.1.0.0/31"}}`), want: []string{"1 C107 error ipam.subnet"}},
		{name: "a range beside its subnet", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.2.0.1"}]]}}`), want: []string{"1 C107 error ipam.ranges"}},
		{name: "a range in its subnet", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.99","gateway":"10.1.0.254"}]]}}`)},
		{name: "a range from end to start", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.8"}]]}}`), want: []string{"1 C107 error ipam.ranges"}},
		{name: "ranges that overlap", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}],[{"subnet":"10.1.0.128/25"}]]}}`), want: []string{"1 C107 error ipam.ranges"}},
		{name: "ranges side by side", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24","rangeEnd":"10.1.0.127"},{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.128"}],[{"subnet":"fd00::/64"}]]}}`)},
		{name: "a long name for a bridge", list: of(`{"type":"bridge","bridge":"averylongbridge0","isDefaultGateway":true,` + inHere + `}`), want: []string{"1 C107 error bridge"}},
		{name: "hairpin and promiscuous", list: of(`{"type":"bridge","isDefaultGateway":true,"hairpinMode":true,"promiscMode":true,` + inHere + `}`), want: []string{"1 C110 error promiscMode"}},
		{name: "no device", list: of(`{"type":"host-device",` + inHere + `}`), want: []string{"1 C111 error"}},
		{name: "a device that the runtime says", list: of(`{"type":"host-device","capabilities":{"deviceID":true},` + inHere + `}`)},

		{name: "eni-ipam under macvlan", list: of(`{"type":"macvlan","ipam":{"type":"eni-ipam"}}`), want: []string{"1 C109 error ipam.type"}},
		{name: "a gateway behind routed-veth", list: of(`{"type":"routed-veth","ipam":{"type":"eni-ipam","gateway":"reserve"}}`), want: []string{"1 C109 error ipam.gateway"}},
		{name: "a gateway for a stage of its own", list: of(`{"type":"eni-ipam","gateway":"reserve"}`, routedVeth), want: []string{"1 C109 error gateway"}},

		{name: "a part of the subnet under bridge", list: of(`{"type":"bridge","isGateway":true,"ipam":{"type":"eni-ipam","scope":"primary"}}`), want: []string{"1 C109 error ipam.scope"}},
		{name: "a prefix under ptp", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","scope":"prefix"}}`), want: []string{"1 C109 error ipam.scope"}},
		{name: "a prefix for a stage of its own", list: of(`{"type":"eni-ipam","scope":"prefix"}`, routedVeth), want: []string{"1 C109 error scope"}},
		{name: "any network interface for a stage of its own", list: of(`{"type":"eni-ipam","scope":"any","gateway":"none"}`, routedVeth)},

		{name: "a rate without a burst", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","egressRate":1000}`), want: []string{"3 C110 error egressRate"}},
		{name: "iptables' conditions and no backend", list: of(eniIPAM, routedVeth, `{"type":"portmap-compat","conditionsV4":["!","-s","10.0.0.0/8"],"capabilities":{"portMappings":true}}`)},
		{name: "conditions of two languages", list: of(eniIPAM, routedVeth,
			`{"type":"portmap","conditionsV4":["!","-s","10.0.0.0/8"],"conditionsV6":["ip6"],"capabilities":{"portMappings":true}}`), want: []string{"3 C110 error conditionsV6"}},

		{name: "snat does not know what is inside", list: of(hostLocal, routedVeth, snatStage), want: []string{"3 C111 error inside"}},
		{name: "routes tell it", list: of(`{"type":"routed-veth","ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}]],"routes":[{"dst":"10.0.0.0/8"}]}}`, snatStage)},
		{name: "host-local without ipam", list: of(`{"type":"host-local"}`, routedVeth), want: []string{"1 C111 error type"}},
		{name: "host-local without ranges", list: of(`{"type":"ptp","ipam":{"type":"host-local"}}`), want: []string{"1 C111 error ipam"}},

		{name: "loopback beside others", list: of(ptp, `{"type":"loopback"}`), want: []string{"2 C112 warning type"}},
		{name: "an address and no interface", list: of(eniIPAM), want: []string{"0 C113 error plugins"}},
		{name: "a wire without an address", list: of(`{"type":"bridge"}`), want: []string{"0 C113 warning plugins"}},
		{name: "for containerd", runtime: Containerd2, list: of(`{"type":"bridge"}`), want: []string{"0 C113 error plugins"}},
		{name: "a stranger", list: of(eniIPAM, `{"type":"my-wire"}`, compat), want: []string{"2 C114 warning type"}},
		{name: "a strange delegate", list: of(`{"type":"ptp","ipam":{"type":"my-ipam"}}`, portmap), want: []string{"1 C114 warning ipam.type"}},
		{name: "a bad name", list: strings.Replace(of(eniIPAM, routedVeth), `"n"`, `"my net"`, 1), want: []string{"0 C116 error name"}},
		{name: "no name", list: strings.Replace(of(eniIPAM, routedVeth), `"n"`, `""`, 1), want: []string{"0 C116 error name"}},
		{name: "a path for a type", list: of(eniIPAM, `{"type":"bin/x"}`), want: []string{"2 C114 warning type", "2 C116 error type"}},

		{name: "no way back through the bridge", list: of(`{"type":"bridge","isDefaultGateway":true,`+inHere+`}`, compat), want: []string{"1 C117 warning hairpinMode"}},
		{name: "no way back without snat", list: of(eniIPAM, routedVeth, `{"type":"portmap","snat":false,"capabilities":{"portMappings":true}}`), want: []string{"3 C117 warning snat"}},
		{name: "IPv6 taken away", list: of(`{"type":"eni-ipam","families":["ipv6"]}`, routedVeth, `{"type":"tuning","sysctl":{"net.ipv6.conf.all.disable_ipv6":"1"}}`), want: []string{"3 C110 warning sysctl"}},
		{name: "IPv6 that is not there taken away", list: of(eniIPAM, routedVeth, `{"type":"tuning","sysctl":{"net.ipv6.conf.all.disable_ipv6":"1"}}`)},
		{name: "a fast path", list: of(eniIPAM, routedVeth, snatStage, compat, fast)},
		{name: "a fast path before the wire", list: of(eniIPAM, fast, routedVeth), want: []string{"2 C101 error"}},
		{name: "a fast path on ptp, for what pods receive", list: of(ptp, fast, `{"type":"bandwidth","ingressRate":1,"ingressBurst":1}`)},
		{name: "a fast path behind a bridge", list: of(`{"type":"bridge","isDefaultGateway":true,`+inHere+`}`, fast), want: []string{"2 C121 error"}},
		{name: "a fast path, and what pods send is limited", list: of(eniIPAM, routedVeth, fast, `{"type":"bandwidth","egressRate":1,"egressBurst":1}`), want: []string{"4 C121 error"}},
		{name: "limited before it", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","egressRate":1,"egressBurst":1}`, fast), want: []string{"4 C121 error"}},
		{name: "limited where the runtime says so", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","capabilities":{"bandwidth":true}}`, fast), want: []string{"4 C121 warning"}},
		{name: "watched", list: of(eniIPAM, routedVeth, fast, `{"type":"cilium-cni","chaining-mode":"generic-veth"}`), want: []string{"4 C121 warning"}},
		{name: "limited twice", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","capabilities":{"bandwidth":true}}`, `{"type":"bandwidth","egressRate":1,"egressBurst":1}`), want: []string{"4 C102 error"}},
		{name: "a way back", list: of(`{"type":"bridge","isDefaultGateway":true,"hairpinMode":true,`+inHere+`}`, compat)},
		{name: "one address for all", list: of(`{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}}`), want: []string{"1 C118 warning ipam.addresses"}},
		{name: "told by the runtime", list: of(`{"type":"macvlan","capabilities":{"ips":true},"ipam":{"type":"static"}}`)},
		{name: "one MAC for all", list: of(`{"type":"macvlan","mac":"02:00:00:00:00:01",` + inHere + `}`), want: []string{"1 C118 warning mac"}},
		{name: "one MAC for all on a bridge", list: of(`{"type":"bridge","isDefaultGateway":true,`+inHere+`}`, `{"type":"tuning","mac":"02:00:00:00:00:01"}`), want: []string{"2 C118 warning mac"}},
		{name: "one MAC on wires apart", list: of(ptp, `{"type":"tuning","mac":"02:00:00:00:00:01"}`)},
		{name: "no default route", list: of(`{"type":"ptp","ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]],"routes":[{"dst":"0.0.0.0/0"}]}}`), want: []string{"1 C119 warning ipam"}},
		{name: "the bridge makes one", list: of(`{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}`)},
		{name: "the bridge makes none", list: of(`{"type":"bridge","isGateway":true,"ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}`), want: []string{"1 C119 warning ipam"}},
		{name: "too small for IPv6", list: of(`{"type":"eni-ipam","families":["ipv4","ipv6"]}`, `{"type":"routed-veth","mtu":1000}`), want: []string{"2 C110 error mtu"}},
		{name: "too small for a delegate's", list: of(`{"type":"routed-veth","mtu":1000,"ipam":{"type":"host-local","ranges":[[{"subnet":"fd00::/64"}]]}}`), want: []string{"1 C110 error mtu"}},
		{name: "not for IPv4", list: of(eniIPAM, `{"type":"routed-veth","mtu":1000}`)},
		{name: "a bridge without an address", list: of(`{"type":"bridge",` + inHere + `}`), want: []string{"1 C201 warning isGateway"}},
		{name: "static's gateway behind routed-veth", list: of(`{"type":"static","ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"}]}}`, routedVeth),
			want: []string{"1 C118 warning ipam.addresses", "1 C201 warning ipam"}},

		{name: "CHECK and sbr", list: of(ptp, `{"type":"sbr"}`), want: []string{"1 C201 warning", "2 C119 warning", "2 C202 warning"}},
		{name: "CHECK and sbr on CRI-O", runtime: CRIO, list: of(ptp, `{"type":"sbr"}`), want: []string{"1 C201 error", "2 C119 warning", "2 C202 warning"}},
		{name: "CHECK is off", runtime: CRIO, list: strings.Replace(of(ptp, `{"type":"sbr"}`), `"name"`, `"disableCheck":true,"name"`, 1), want: []string{"2 C119 warning", "2 C202 warning"}},
		{name: "CHECK bears a MAC", runtime: CRIO, list: of(ptp, `{"type":"tuning","mac":"02:00:00:00:00:01"}`)},
		{name: "ports on CRI-O", runtime: CRIO, list: of(eniIPAM, routedVeth, portmap), want: []string{"3 C203 warning"}},
		{name: "ports of ours on CRI-O", runtime: CRIO, list: of(eniIPAM, routedVeth, compat)},
	} {
		t.Run(c.name, c.run)
	}
}

// bare says the same of every plugin.
type bare Known

func (b bare) Of(context.Context, string, json.RawMessage) Known { return Known(b) }

func TestMissingPlugin(t *testing.T) {
	l, _ := Parse("x.conflist", []byte(of(`{"type":"tuning"}`)))
	for runtime, want := range map[string][]string{AnyRuntime: {"1 C115 warning type"}, CRIO: {"1 C115 error type"}} {
		got := Lint(t.Context(), l, bare{Missing: true, From: FromNowhere}, Options{Runtime: runtime})
		if diff := cmp.Diff(want, codes(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", runtime, diff)
		}
	}
}

func TestDropIns(t *testing.T) {
	list := of(eniIPAM, routedVeth)
	for _, c := range []struct {
		name    string
		files   map[string]string
		file    string
		runtime string
		want    []string
		types   string
	}{
		{name: "appended by name", file: "a.conflist", files: map[string]string{"a.conflist": list, "n/20.conf": portmap, "n/10.conf": snatStage}, types: "eni-ipam routed-veth snat portmap"},
		{name: "a fault in one", file: "a.conflist", files: map[string]string{"a.conflist": list, "n/20.conf": "{\n\"type\":\"snat\",\n\"inside\":5}"}, types: "eni-ipam routed-veth snat", want: []string{"3 C107 error inside"}},
		{name: "broken", file: "a.conflist", files: map[string]string{"a.conflist": list, "n/20.conf": "{"}, want: []string{"0 C002 error"}},
		{name: "nothing but drop-ins", file: "a.conflist", files: map[string]string{"a.conflist": `{"name":"n","cniVersion":"1.0.0"}`, "n/1.conf": eniIPAM, "n/2.conf": routedVeth}, types: "eni-ipam routed-veth"},
		{name: "not wanted", file: "a.conflist", files: map[string]string{"a.conflist": strings.Replace(list, `"name"`, `"loadOnlyInlinedPlugins":true,"name"`, 1), "n/20.conf": portmap}, types: "eni-ipam routed-veth"},
		{name: "another suffix", file: "a.conflist", files: map[string]string{"a.conflist": list, "n/20.conflist": list}, types: "eni-ipam routed-veth", want: []string{"0 C305 warning"}},
		{name: "beside a single configuration", file: "a.conf", files: map[string]string{"a.conf": `{"cniVersion":"1.0.0","name":"n","type":"ptp",` + inHere + `}`, "n/20.conf": portmap}, types: "ptp", want: []string{"0 C305 warning"}},
		{name: "containerd 1.7", file: "a.conflist", runtime: Containerd17, files: map[string]string{"a.conflist": list, "n/20.conf": portmap}, types: "eni-ipam routed-veth portmap", want: []string{"3 C305 error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := files(t, c.files)
			l, problems := Load(filepath.Join(dir, c.file))
			types := ""
			if l != nil {
				problems = append(problems, Lint(t.Context(), l, declared{}, Options{Runtime: c.runtime})...)
				for _, s := range l.Stages {
					types += " " + s.Type
				}
			}
			if diff := cmp.Diff(c.want, codes(problems)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, spoken(problems))
			}
			if got := strings.TrimSpace(types); got != c.types {
				t.Errorf("stages %q, want %q", got, c.types)
			}
			for _, p := range problems {
				if p.Code == "C107" && (filepath.Base(p.File) != "20.conf" || p.Line != 3) {
					t.Errorf("stands in 20.conf:3: %v", p)
				}
			}
		})
	}
}

func TestLoadDir(t *testing.T) {
	good, other := of(eniIPAM, routedVeth), strings.Replace(of(hostLocal, routedVeth), `"n"`, `"m"`, 1)
	for _, c := range []struct {
		name    string
		files   map[string]string
		runtime string
		lists   string
		want    []string
	}{
		{name: "one", files: map[string]string{"05-a.conflist": good, "README.md": "# hello", "aws.conflist.bak": good}, lists: "n"},
		{name: "shadowed", files: map[string]string{"05-a.conflist": good, "10-b.conflist": other}, lists: "n m", want: []string{"10-b.conflist C301 warning"}},
		{name: "not CRI-O's default", runtime: CRIO, files: map[string]string{"05-a.conflist": good, "10-b.conflist": other}, lists: "n m", want: []string{"10-b.conflist C301 warning"}},
		{name: "one name twice", files: map[string]string{"05-a.conflist": good, "10-b.conflist": good}, lists: "n n", want: []string{"10-b.conflist C301 warning", "10-b.conflist C302 error"}},
		{name: "broken first", files: map[string]string{"05-a.conflist": "{", "10-b.conflist": other}, lists: "m", want: []string{"05-a.conflist C002 error", "05-a.conflist C303 error"}},
		{name: "broken first on CRI-O", runtime: CRIO, files: map[string]string{"05-a.conflist": "{", "10-b.conflist": other}, lists: "m", want: []string{"05-a.conflist C002 error", "05-a.conflist C303 warning"}},
		{name: "broken behind", files: map[string]string{"05-a.conflist": good, "10-b.conf": "{}"}, lists: "n", want: []string{"10-b.conf C003 error", "10-b.conf C303 warning"}},
		{name: "a list called .conf", files: map[string]string{"05-a.conf": good}, want: []string{"05-a.conf C003 error"}},
		{name: "a name that nobody reads", files: map[string]string{"05-a.conflst": good, "b": other, "10.conflist": other}, lists: "m", want: []string{"05-a.conflst C304 warning", "b C304 warning"}},
		{name: "nothing", files: map[string]string{"x.txt": "hello"}, want: []string{". C001 error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := files(t, c.files)
			lists, problems := LoadDir(dir, Options{Runtime: c.runtime})
			var names, got []string
			for _, l := range lists {
				names = append(names, l.Name)
			}
			for _, p := range problems {
				at, err := filepath.Rel(dir, p.File)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, at+" "+p.Code+" "+string(p.Severity))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, spoken(problems))
			}
			if strings.Join(names, " ") != c.lists {
				t.Errorf("lists %q, want %q", names, c.lists)
			}
		})
	}
	if _, problems := LoadDir("/nowhere/at/all", Options{}); len(problems) != 1 || problems[0].Code != codeRead {
		t.Errorf("no folder: %v", problems)
	}
}

// plugins writes executables that answer with a text, and counts how often each is run.
func plugins(t *testing.T, answers map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, says := range answers {
		script := "#!/bin/sh\necho $CNI_COMMAND >> " + dir + "/" + name + ".log\n" + says + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInstalled(t *testing.T) {
	dir := plugins(t, map[string]string{
		"ours":    `echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0"],"io.enichain/contract":{"v":1,"requires":["ips"],"adds":["routed"],"keys":{"a":"boolean"}}}'`,
		"future":  `echo '{"supportedVersions":["1.0.0"],"io.enichain/contract":{"v":2,"requires":["ips"]}}'`,
		"foreign": `echo '{"supportedVersions":["0.4.0"]}'`,
		"portmap": `echo '{"supportedVersions":["0.4.0"]}'`,
		"rude":    `echo hello`,
		"broken":  `exit 1`,
		"slow":    `sleep 60`,
	})
	builtIn := func(pluginType string, _ json.RawMessage) (contract.Contract, []string, bool) {
		return contract.Contract{V: 1, Adds: []contract.Fact{contract.HostPorts}}, []string{"1.0.0"}, pluginType == "portmap" || pluginType == "absent"
	}
	c := Installed([]string{"/nowhere", dir}, builtIn)
	for _, want := range []struct {
		plugin, from, versions string
		adds                   contract.Fact
		missing                bool
	}{
		{plugin: "ours", from: FromInstalled, versions: "1.0.0", adds: contract.Routed},
		{plugin: "future", from: FromNowhere, versions: "1.0.0"},
		{plugin: "foreign", from: FromNowhere, versions: "0.4.0"},
		{plugin: "portmap", from: FromBuiltIn, versions: "0.4.0", adds: contract.HostPorts},
		{plugin: "absent", from: FromBuiltIn, versions: "1.0.0", adds: contract.HostPorts, missing: true},
		{plugin: "rude", from: FromNowhere},
		{plugin: "broken", from: FromNowhere},
		{plugin: "slow", from: FromNowhere},
		{plugin: "nobody", from: FromNowhere, missing: true},
		{plugin: "../" + filepath.Base(dir) + "/ours", from: FromNowhere, missing: true},
	} {
		for range 2 {
			k := c.Of(t.Context(), want.plugin, nil)
			adds := contract.Fact("")
			if len(k.Adds) > 0 {
				adds = k.Adds[0]
			}
			if k.From != want.from || strings.Join(k.Versions, " ") != want.versions || adds != want.adds || k.Missing != want.missing {
				t.Errorf("%s: got %+v", want.plugin, k)
			}
		}
	}
	for _, name := range []string{"ours", "slow", "broken"} {
		if log, err := os.ReadFile(filepath.Join(dir, name+".log")); err != nil || string(log) != "VERSION\n" {
			t.Errorf("%s was asked %q (%v), want once", name, log, err)
		}
	}
}
