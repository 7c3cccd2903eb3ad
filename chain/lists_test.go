package chain

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// expected are the problems of each list in testdata/lists, "stage code severity key"; a good list that is not here has
// none. The lists are of our own making or rebuilt from what their projects document; those of good that stand here are
// used as they are, and what is said of them is true.
var expected = map[string][]string{
	"good/source-routing":     {"3 C119 warning", "3 C202 warning"},
	"good/containerd-bridge":  {"1 C117 warning hairpinMode"},
	"good/loopback":           {"0 C113 warning plugins"},
	"good/static-wire":        {"1 C118 warning ipam.addresses"},
	"good/linkerd-on-flannel": {"3 C114 warning type"},
	"good/kube-router":        {"2 C104 warning capabilities.snat"},
	"good/layer-2":            {"0 C113 warning plugins"},

	"bad/address-before-ptp":           {"2 C103 error type"},
	"bad/address-before-ptp-with-ipam": {"2 C103 error type"},
	"bad/address-before-bridge":        {"2 C103 error type"},
	"bad/address-last":                 {"2 C108 error type"},
	"bad/address-only":                 {"0 C113 error plugins"},
	"bad/comma":                        {"0 C002 error"},
	"bad/double-masquerade":            {"2 C102 warning"},
	"bad/firewall-too-old":             {"2 C105 error type", "2 C203 warning"},
	"bad/gateway-of-nobody":            {"1 C109 error ipam.gateway"},
	"bad/gateway-of-the-vpc":           {"1 C107 error ipam.gateway"},
	"bad/half-a-limit":                 {"3 C110 error ingressRate"},
	"bad/inside-forgotten":             {"3 C111 error inside"},
	"bad/limit-without-a-wire":         {"2 C101 error"},
	"bad/list-called-conf":             {"1 C003 error type"},
	"bad/mtu-too-big":                  {"1 C107 error mtu"},
	"bad/no-address":                   {"1 C101 error"},
	"bad/no-version":                   {"0 C105 error cniVersion", "2 C105 error type"},
	"bad/number-in-quotes":             {"2 C107 error mtu"},
	"bad/policy-without-a-bridge":      {"2 C101 error"},
	"bad/ports-before-the-wire":        {"2 C101 error"},
	"bad/ports-first":                  {"1 C101 error"},
	"bad/ports-off":                    {"3 C104 error capabilities"},
	"bad/ports-on-macvlan":             {"2 C101 error"},
	"bad/ptp-without-ipam":             {"1 C101 error ipam"},
	"bad/ranges-forgotten":             {"1 C111 error ipam"},
	"bad/same-wire-twice":              {"3 C102 error"},
	"bad/slip-in-a-key":                {"2 C106 error hostveth"},
	"bad/snat-before-the-wire":         {"2 C101 error"},
	"bad/source-routing-on-ptp":        {"1 C201 warning", "2 C119 warning", "2 C202 warning"},
	"bad/static-without-gateway":       {"1 C101 error ipam", "1 C118 warning ipam.addresses", "1 C119 warning ipam"},
	"bad/two-addresses":                {"2 C102 error ipam"},
	"bad/two-ipams":                    {"2 C102 error"},
	"bad/two-marks":                    {"2 C110 error externalSetMarkChain"},
	"bad/two-portmaps":                 {"4 C102 warning"},
	"bad/two-wires":                    {"3 C102 error"},
	"bad/version-of-tomorrow":          {"0 C105 error cniVersion"},
	"bad/vpc-address-on-macvlan":       {"1 C109 error ipam.type"},
	"bad/words-of-the-other-backend":   {"2 C110 error conditionsV4"},
}

func TestLists(t *testing.T) {
	paths, err := filepath.Glob("testdata/lists/*/*")
	if err != nil || len(paths) < 60 {
		t.Fatalf("only %d lists: %v", len(paths), err)
	}
	seen := map[string]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "testdata/lists/"), filepath.Ext(path))
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			l, problems := Load(path)
			if l != nil {
				problems = append(problems, Lint(t.Context(), l, declared{}, Options{})...)
			}
			if diff := cmp.Diff(expected[name], codes(problems)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, spoken(problems))
			}
			if len(problems) > 0 {
				golden(t, strings.ReplaceAll(name, "/", "-")+".txt", spoken(problems))
			}
		})
	}
	for name := range expected {
		if !seen[name] {
			t.Errorf("%s is expected and not there", name)
		}
	}
}

// painted says what stages put into the kernel in this test's own words: theirs may change without a change here.
type painted struct{ declared }

func (p painted) Of(ctx context.Context, pluginType string, config json.RawMessage) Known {
	k := p.declared.Of(ctx, pluginType, config)
	k.Kernel = map[string][]string{"eni-ipam": {"nothing"}, "routed-veth": {"veth", "rules"}, "snat": {"nft inet enichain-snat"}, "ptp": {"veth"}}[pluginType]
	return k
}

func TestExplain(t *testing.T) {
	for name, path := range map[string]string{
		"flagship": "../conflists/05-enichain.conflist", "ptp": "../conflists/ptp.conflist", "nerdctl": "testdata/lists/good/nerdctl.conflist",
		"linkerd": "testdata/lists/good/linkerd-on-flannel.conflist", "sbr": "testdata/lists/bad/source-routing-on-ptp.conflist",
		"broken": "testdata/lists/bad/ports-first.conflist",
	} {
		t.Run(name, func(t *testing.T) {
			l, problems := Load(path)
			if l == nil {
				t.Fatal(problems)
			}
			golden(t, "explain-"+name+".txt", Explain(t.Context(), l, painted{}).Text())
		})
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, a, b string }{
		{"no-snat", of(eniIPAM, routedVeth, snatStage, compat), of(eniIPAM, routedVeth, compat)},
		{"portmap", of(eniIPAM, routedVeth, snatStage, compat), of(eniIPAM, routedVeth, snatStage, portmap)},
		{"mtu-and-name", of(eniIPAM, `{"type":"routed-veth","mtu":9001}`), strings.Replace(of(eniIPAM,
			`{"type":"routed-veth","mtu":1500,"hostVeth":"pod"}`), `"n"`, `"m"`, 1)},
		{"deeper", of(`{"type":"ptp","ipam":{"type":"eni-ipam","wait":"5s"}}`),
			of(`{"type":"ptp","ipam":{"type":"eni-ipam","wait":"9s"}}`)},
		{"same", of(eniIPAM, routedVeth), of(` {"type" : "eni-ipam"}`, routedVeth)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _ := Parse("a.conflist", []byte(c.a))
			b, _ := Parse("b.conflist", []byte(c.b))
			golden(t, "diff-"+c.name+".txt", Diff(t.Context(), a, b, painted{}).Text())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), go test ./chain -update writes it anew:\n%s", path, diff)
	}
}
