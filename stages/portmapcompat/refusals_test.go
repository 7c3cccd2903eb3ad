package portmapcompat

import (
	"errors"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
)

type refusalCase struct {
	name, config, ports string
	want                []string
}

// refusals are what ADD refuses with all faults at once, in either backend.
func refusals() []refusalCase {
	return []refusalCase{
		{"another backend", `,"backend":"ebpf"`, web, []string{`backend: want "nftables" or "iptables", got "ebpf"`}},
		{"mark bit", `,"markMasqBit":32`, web, []string{"markMasqBit: want 0 to 31, got 32"}},
		{"set-mark chain", `,"backend":"nftables","externalSetMarkChain":"KUBE-MARK-MASQ"`, web,
			[]string{"externalSetMarkChain: is for the backend iptables"}},
		{"set-mark chain's name", `,"externalSetMarkChain":"-j X"`, web, []string{`externalSetMarkChain: want the name of a chain`, `"-j X"`}},
		{"both", `,"externalSetMarkChain":"X","markMasqBit":13`, web, []string{"cannot be given together with markMasqBit"}},
		{"iptables' conditions", `,"backend":"nftables","conditionsV4":["-s","10.0.0.0/8"]`, web,
			[]string{`conditionsV4[0]: "-s" is iptables' language`}},
		{"nft's conditions", `,"backend":"iptables","conditionsV6":["ip6","saddr","fd00::/8"]`, web,
			[]string{`conditionsV6[0]: "ip6" is nft's language`}},
		{"both languages", `,"conditionsV4":["!","-s","10.0.0.0/8"],"conditionsV6":["ip6","saddr","fd00::/8"]`, web,
			[]string{`conditionsV6[0]: "ip6" is nft's language`}},
		{"a target", `,"conditionsV4":["-s","10.0.0.0/8","-j","ACCEPT"]`, web, []string{`conditionsV4[2]: "-j" is no match`}},
		{"a table", `,"conditionsV4":["--table=filter"]`, web, []string{`conditionsV4[0]: "--table=filter" is no match`}},
		{"two lines", `,"conditionsV4":["-s","10.0.0.0/8\n-F"]`, web, []string{"conditionsV4[1]", "control characters"}},
		{"an empty word", `,"conditionsV4":["-s",""]`, web, []string{"conditionsV4[1]: is empty"}},
		{"a statement", `,"conditionsV6":["accept;","flush","ruleset"]`, web, []string{"conditionsV6[0]", "not a statement"}},
		{"conflict", `,"hostPortConflict":"firstWins"`, web, []string{`hostPortConflict: want "lastWins" or "reject"`}},
		{"unknown key", `,"masqall":true`, web, []string{`masqall: unknown key, did you mean "masqAll"?`}},
		{"host port 0", "", `{"hostPort":0,"containerPort":80,"protocol":"tcp"}`, []string{"portMappings[0].hostPort: want 1 to 65535, got 0"}},
		{"host port 70000", "", `{"hostPort":70000,"containerPort":80,"protocol":"tcp"}`, []string{"hostPort: want 1 to 65535, got 70000"}},
		{"container port", "", `{"hostPort":80,"containerPort":99999,"protocol":"tcp"}`, []string{"containerPort: want 1 to 65535, got 99999"}},
		{"protocol", "", `{"hostPort":80,"containerPort":80,"protocol":"icmp"}`, []string{`protocol: want tcp, udp or sctp, got "icmp"`}},
		{"no protocol", "", `{"hostPort":80,"containerPort":80}`, []string{`protocol: want tcp, udp or sctp, got ""`}},
		{"hostIP", "", `{"hostPort":80,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0"}`, []string{`hostIP: want an IPv4 or IPv6 address or nothing, got "10.0.0"`}},
		{"a zone", "", `{"hostPort":80,"containerPort":80,"protocol":"tcp","hostIP":"fe80::1%eth0"}`, []string{"hostIP"}},
		{"text for a number", "", `{"hostPort":"80","containerPort":80,"protocol":"tcp"}`, []string{"runtimeConfig.portMappings", "hostPort"}},
		{"one port twice", "", web + `,{"hostPort":8080,"containerPort":81,"protocol":"TCP"}`, []string{"portMappings[1]: host port 8080/tcp leads to 80 already"}},
		{"all at once", `,"backend":"x","snat":1`, web + `,{"hostPort":0,"containerPort":0,"protocol":"x"}`,
			[]string{"backend:", "snat: want true or false", "portMappings[1].hostPort", "portMappings[1].containerPort", "portMappings[1].protocol"}},
	}
}

func TestRefusals(t *testing.T) {
	be(t, "nft")
	w := newWorld(t)
	for _, tt := range refusals() {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.tryAdd(request("a", tt.config, tt.ports))
			var e *stages.Error
			if !errors.As(err, &e) || e.Token != stages.Config || e.Code != 7 {
				t.Fatalf("Add = %v, want CONFIG", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(e.Text, want) {
					t.Errorf("Add = %v, want %q in it", err, want)
				}
			}
			if text := w.table() + w.nat("iptables") + w.nat("ip6tables"); text != "" {
				t.Errorf("a refused ADD left\n%s", text)
			}
		})
	}
}

func TestMorePlacesToRefuse(t *testing.T) {
	w := newWorld(t)
	t.Run("no prevResult", func(t *testing.T) {
		r := request("a", "", web)
		r.Prev = nil
		_, err := w.tryAdd(r)
		var e *stages.Error
		if !errors.As(err, &e) || e.Token != stages.NoPrevResult {
			t.Errorf("Add = %v, want NO_PREVRESULT", err)
		}
	})
	link := func(name, sandbox string) *types100.Interface {
		return &types100.Interface{Name: name, Sandbox: sandbox}
	}
	const unmade = "host port 8080/tcp for enichain/a/eth0: prevResult has no interface eth0 of the container"
	for _, tt := range []struct {
		name       string
		interfaces []*types100.Interface
		of         *int
		want       string
	}{
		{"behind host-local", nil, nil, unmade},
		{"behind another interface", []*types100.Interface{link("lo", "/somewhere")}, nil, unmade},
		{"behind eni-ipam", []*types100.Interface{link("eth0", "")}, types100.Int(0), "prevResult has no address of interface eth0"},
		{"behind Calico", []*types100.Interface{link("pod-a", "")}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request("a", "", web)
			r.Prev.Interfaces = tt.interfaces
			for _, ip := range r.Prev.IPs {
				ip.Interface = tt.of
			}
			_, err := w.tryAdd(r)
			if tt.want == "" {
				if err != nil {
					t.Errorf("Add = %v", err)
				}
				w.must(Stage{}.Del, r)
				return
			}
			var e *stages.Error
			if !errors.As(err, &e) || e.Code != 7 || !strings.Contains(e.Text, tt.want) {
				t.Errorf("Add = %v, want code 7 with %q", err, tt.want)
			}
			if text := w.table() + w.node.Run("cat", "/proc/sys/net/ipv4/conf/pod-a/route_localnet"); text != "0\n" {
				t.Errorf("a refused ADD left\n%s", text)
			}
		})
	}
	t.Run("DEL minds none of it", func(t *testing.T) {
		r := bare("a")
		r.Config = []byte(`{"backend":"iptables","runtimeConfig":{"portMappings":[{"hostPort":-1}]}}`)
		w.must(Stage{}.Del, r)
	})
}
