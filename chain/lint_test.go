package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
	"github.com/enichain/enichain/stages/fastpath"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/stages/snat"
)

// declared tells the contracts of our stages as their binaries would, and package known's for all others.
type declared struct{}

func (declared) Of(_ context.Context, pluginType string, config json.RawMessage) Known {
	ours := map[string]stages.Stage{"eni-ipam": eniipam.Stage{}, "routed-veth": routedveth.New(), "snat": snat.Stage{}, "portmap-compat": portmapcompat.Stage{},
		"fastpath": fastpath.New()}
	var all []stages.Named
	for name, s := range ours {
		all = append(all, stages.Named{Type: name, Stage: s})
	}
	ours[contract.Fused] = stages.Fuse(all...)
	if s, ok := ours[pluginType]; ok {
		return Known{Contract: told(s.Contract()), Versions: stages.Versions(), From: FromInstalled, Binary: "/opt/cni/bin/" + pluginType}
	}
	c, versions, ok := known.Of(pluginType, config)
	if !ok {
		return Known{From: FromNowhere}
	}
	return Known{Contract: c, Versions: versions, From: FromBuiltIn, Binary: "/opt/cni/bin/" + pluginType}
}

// told is a contract after its way through VERSION.
func told(c contract.Contract) contract.Contract {
	raw, err := json.Marshal(c)
	var back contract.Contract
	if err != nil || json.Unmarshal(raw, &back) != nil {
		panic("a contract is JSON")
	}
	return back
}

const (
	eniIPAM    = `{"type":"eni-ipam"}`
	routedVeth = `{"type":"routed-veth"}`
	snatStage  = `{"type":"snat"}`
	compat     = `{"type":"portmap-compat","capabilities":{"portMappings":true}}`
	fast       = `{"type":"fastpath"}`
	portmap    = `{"type":"portmap","capabilities":{"portMappings":true}}`
	hostLocal  = `{"type":"host-local","ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/24"}]]}}`
	inHere     = `"ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}`
	inside     = `{"type":"snat","inside":["10.244.0.0/16"]}`
)

// of makes a list of stages, which offers 1.0.0 and 1.1.0.
func of(stages ...string) string { return at(`"1.0.0","cniVersions":["1.0.0","1.1.0"]`, stages...) }

func at(version string, stages ...string) string {
	return `{"cniVersion":` + version + `,"name":"n","plugins":[` + "\n" + strings.Join(stages, ",\n") + "\n]}"
}

// codes are "stage code severity key" of each problem.
func codes(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		word := fmt.Sprintf("%d %s %s", p.Stage, p.Code, p.Severity)
		if p.Key != "" {
			word += " " + p.Key
		}
		out = append(out, word)
	}
	return out
}

type lintCase struct {
	name    string
	list    string
	runtime string
	want    []string
}

func (c lintCase) run(t *testing.T) {
	t.Helper()
	l, problems := Parse("list.conflist", []byte(c.list))
	if l == nil {
		t.Fatalf("not read: %v", problems)
	}
	problems = append(problems, Lint(t.Context(), l, declared{}, Options{Runtime: c.runtime})...)
	if diff := cmp.Diff(c.want, codes(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, spoken(problems))
	}
	for _, p := range problems {
		if p.Text == "" || p.Severity == Error && p.Why == "" {
			t.Errorf("says too little: %+v", p)
		}
	}
}

func spoken(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %v\n   why %s\n", p.Code, p, p.Why)
		for _, f := range p.Fixes {
			fmt.Fprintf(&b, "   fix %s\n", f)
		}
	}
	return b.String()
}

// The compositions that must be refused (reference, R1 to R14).
func TestRefused(t *testing.T) {
	for _, c := range []lintCase{
		{name: "R1 portmap-compat first", list: of(compat, eniIPAM), want: []string{"1 C101 error", "2 C108 error type"}},
		{name: "R1 portmap-compat alone", list: of(compat), want: []string{"1 C101 error"}},
		{name: "R1 snat first", list: of(snatStage, compat), want: []string{"1 C101 error", "2 C101 error"}},
		{name: "R2 routed-veth without addresses", list: of(routedVeth), want: []string{"1 C101 error"}},
		{name: "R3 host-local behind eni-ipam", list: of(eniIPAM, hostLocal, routedVeth), want: []string{"2 C102 error"}},
		{name: "R3 eni-ipam behind host-local", list: of(hostLocal, eniIPAM, routedVeth), want: []string{"2 C108 error type"}},
		{name: "R3 eni-ipam twice", list: of(eniIPAM, eniIPAM, routedVeth), want: []string{"2 C108 error type"}},
		{name: "R4 ptp without ipam behind eni-ipam", list: of(eniIPAM, `{"type":"ptp"}`, portmap), want: []string{"2 C103 error type"}},
		{name: "R5 ptp with ipam behind eni-ipam", list: of(eniIPAM, `{"type":"ptp",`+inHere+`}`), want: []string{"2 C103 error type"}},
		{name: "R6 bridge behind eni-ipam", list: of(eniIPAM, `{"type":"bridge","isGateway":true,`+inHere+`}`), want: []string{"2 C103 error type"}},
		{name: "R6 macvlan behind eni-ipam", list: of(eniIPAM, `{"type":"macvlan",`+inHere+`}`), want: []string{"2 C103 error type"}},
		{name: "R6 vlan behind eni-ipam", list: of(eniIPAM, `{"type":"vlan","master":"eth0","vlanId":5,`+inHere+`}`), want: []string{"2 C103 error type"}},
		{name: "R6 host-device behind eni-ipam", list: of(eniIPAM, `{"type":"host-device","device":"eth1"}`), want: []string{"2 C103 error type", "2 C202 warning"}},
		{name: "R7 two sources for routed-veth", list: of(eniIPAM, `{"type":"routed-veth",`+inHere+`}`), want: []string{"2 C102 error ipam"}},
		{name: "R8 two interface stages", list: of(eniIPAM, routedVeth, `{"type":"ptp",`+inHere+`}`), want: []string{"3 C102 error"}},
		{name: "R8 routed-veth twice", list: of(eniIPAM, routedVeth, routedVeth), want: []string{"3 C102 error"}},
		{name: "R9 eni-ipam behind routed-veth", list: of(routedVeth, eniIPAM), want: []string{"1 C101 error", "2 C108 error type"}},
		{name: "R10 eni-ipam gives ptp no gateway", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","gateway":"none"}}`, snatStage), want: []string{"1 C109 error ipam.gateway"}},
		{name: "R10 eni-ipam gives ptp any network interface's", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","scope":"any"}}`, snatStage), want: []string{"1 C109 error ipam.scope"}},
		{name: "R11 the VPC's router as gateway", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","gateway":"10.0.0.1"}}`, snatStage), want: []string{"1 C107 error ipam.gateway"}},
		{name: "R12 0.2.0", list: at(`"0.2.0"`, eniIPAM, routedVeth), want: []string{"0 C105 error cniVersion", "1 C105 error type", "2 C105 error type"}},
		{name: "R13 firewall in 0.3.1", list: at(`"0.3.1"`, `{"type":"bridge","isGateway":true,`+inHere+`}`, `{"type":"firewall"}`),
			want: []string{"2 C105 error type", "2 C203 warning"}},
		{name: "R13 CHECK wanted in 0.3.1", list: strings.Replace(at(`"0.3.1"`, eniIPAM, routedVeth), `"name"`, `"disableCheck":false,"name"`, 1),
			want: []string{"0 C105 warning cniVersion", "0 C105 error disableCheck"}},
		{name: "R13 GC wanted in 1.0.0", list: strings.Replace(at(`"1.0.0"`, eniIPAM, routedVeth), `"name"`, `"disableGC":false,"name"`, 1),
			want: []string{"0 C105 warning disableGC"}},
		{name: "R14 markMasqBit and externalSetMarkChain", list: of(eniIPAM, routedVeth,
			`{"type":"portmap","markMasqBit":13,"externalSetMarkChain":"KUBE-MARK-MASQ","capabilities":{"portMappings":true}}`), want: []string{"3 C110 error externalSetMarkChain"}},
		{name: "R14 iptables' conditions for nftables", list: of(eniIPAM, routedVeth,
			`{"type":"portmap-compat","backend":"nftables","conditionsV4":["!","-s","10.0.0.0/8"],"capabilities":{"portMappings":true}}`), want: []string{"3 C110 error conditionsV4"}},
		{name: "R14 nft's conditions for iptables", list: of(eniIPAM, routedVeth,
			`{"type":"portmap","backend":"iptables","conditionsV6":["ip6","saddr","!=","fd00::/8"],"capabilities":{"portMappings":true}}`), want: []string{"3 C110 error conditionsV6"}},
	} {
		t.Run(c.name, c.run)
	}
}

// The compositions that must work (reference, W1 to W16). What they warn of is true.
func TestWorks(t *testing.T) {
	for _, c := range []lintCase{
		{name: "W1", list: of(eniIPAM, routedVeth, snatStage, compat)},
		{name: "W2", list: of(eniIPAM, routedVeth)},
		{name: "W3", list: of(eniIPAM, routedVeth, portmap)},
		{name: "W4", list: of(eniIPAM, routedVeth, `{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}}`)},
		{name: "W5", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","capabilities":{"bandwidth":true}}`)},
		{name: "W5 static", list: of(eniIPAM, routedVeth, `{"type":"bandwidth","ingressRate":1000000,"ingressBurst":1000000}`)},
		{name: "W6", list: of(eniIPAM, routedVeth, `{"type":"firewall","backend":"iptables"}`)},
		{name: "W7", list: of(eniIPAM, routedVeth, `{"type":"tuning","mac":"02:00:00:00:00:01","mtu":1400,"sysctl":{"net.core.somaxconn":"500"}}`)},
		{name: "W8", list: of(eniIPAM, routedVeth, `{"type":"sbr"}`), want: []string{"3 C119 warning", "3 C202 warning"}},
		{name: "W9", list: of(hostLocal, routedVeth, compat)},
		{name: "W10", list: of(`{"type":"routed-veth",`+inHere+`}`, inside)},
		{name: "W11", list: of(`{"type":"routed-veth","ipam":{"type":"eni-ipam"}}`, compat)},
		{name: "W12", list: of(`{"type":"ptp","ipam":{"type":"eni-ipam","gateway":"reserve","scope":"primary"}}`, snatStage, compat)},
		{name: "W13", list: of(`{"type":"bridge","isGateway":true,"hairpinMode":true,"ipam":{"type":"eni-ipam","scope":"prefix"}}`, `{"type":"firewall","ingressPolicy":"same-bridge"}`, compat)},
		{name: "W14", list: of(`{"type":"ptp","ipMasq":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}}`,
			`{"type":"tuning","sysctl":{"net.core.somaxconn":"500"}}`, `{"type":"firewall"}`, compat)},
		{name: "W15", list: of(`{"type":"ptp",`+inHere+`}`, `{"type":"bandwidth","egressRate":1000000,"egressBurst":1000000}`, compat)},
		{name: "W16", list: of(eniIPAM, `{"type":"ipvlan","master":"eth0"}`, `{"type":"portmap-compat","masqAll":true,"capabilities":{"portMappings":true}}`)},
	} {
		t.Run(c.name, c.run)
		for _, v := range []string{"0.4.0", "1.0.0"} {
			old := c
			old.list = strings.Replace(c.list, `"1.0.0","cniVersions":["1.0.0","1.1.0"]`, `"`+v+`"`, 1)
			t.Run(c.name+" "+v, old.run)
		}
	}
}

func TestShippedListsAreClean(t *testing.T) {
	paths, err := filepath.Glob("../conflists/*.conflist")
	if err != nil || len(paths) < 6 {
		t.Fatalf("only %d lists: %v", len(paths), err)
	}
	for _, runtime := range append(Runtimes(), AnyRuntime) {
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c := lintCase{list: string(text), runtime: runtime}
			if filepath.Base(path) == "upstream-portmap.conflist" && runtime == CRIO {
				c.want = []string{"4 C203 warning"}
			}
			t.Run(runtime+" "+filepath.Base(path), c.run)
		}
	}
}

func TestSeveritiesAreTwo(t *testing.T) {
	if !slices.Equal([]Severity{Error, Warning}, []Severity{"error", "warning"}) {
		t.Error("scripts read these words")
	}
}
