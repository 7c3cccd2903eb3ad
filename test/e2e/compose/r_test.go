package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/need"
)

// refused is a composition that must be refused, R1 to R14 of docs/compositions.md.
type refused struct {
	name    string
	stages  []Variant // the wrong one is the last
	version string    // "" is 1.1.0
	lint    string    // code of chain.Lint
	code    int       // of the last stage's refusal at run time; 0: it is somebody else's, or cannot know
}

func mustBeRefused(t *testing.T) []refused {
	one := func(name, kind, members string) Variant { return Variant{Name: name, Type: kind, Single: members} }
	of := func(variants ...any) (all []Variant) {
		for _, v := range variants {
			if name, ok := v.(string); ok {
				all = append(all, named(t, name)...)
			} else {
				all = append(all, v.(Variant))
			}
		}
		return all
	}
	const ports = `"capabilities": { "portMappings": true }`
	return []refused{
		{"R1 portmap-compat first", of("portmap-compat nftables"), "", "C101", 7},
		{"R1 portmap-compat iptables first", of("portmap-compat iptables"), "", "C101", 7},
		{"R1 snat first", of("snat"), "", "C101", 7},
		{"R2 routed-veth first without ipam", of("routed-veth"), "", "C101", 7},
		{"R3 two IPAM stages, ours second", of("host-local", "eni-ipam"), "", "C108", 7},
		{"R3 two IPAM stages, ours first", of("eni-ipam", "host-local"), "", "C102", 0},
		{"R4 ptp without ipam", of("eni-ipam", one("ptp", "ptp", "")), "", "C103", 0},
		{"R5 ptp with its own ipam", of("eni-ipam", "ptp+host-local"), "", "C103", 0},
		{"R6 bridge with its own ipam", of("eni-ipam", "bridge+host-local"), "", "C103", 0},
		{"R6 macvlan with its own ipam", of("eni-ipam", "macvlan+host-local"), "", "C103", 0},
		{"R6 macvlan asks eni-ipam", of("macvlan+eni-ipam"), "", "", 7},
		{"R7 routed-veth with addresses and ipam", of("eni-ipam", "routed-veth+host-local"), "", "C102", 7},
		{"R8 two interfaces, ours second", of("ptp+host-local", "routed-veth"), "", "C102", 7},
		{"R8 two interfaces, ours twice", of("eni-ipam", "routed-veth", "routed-veth"), "", "C102", 7},
		{"R8 two interfaces, ours first", of("routed-veth+host-local", "ptp+host-local"), "", "", 0},
		{"R9 eni-ipam behind routed-veth", of("routed-veth+host-local", "eni-ipam"), "", "C108", 7},
		{"R10 ptp with eni-ipam's bare address", of(one("ptp", "ptp", `"ipam": { "type": "eni-ipam", "gateway": "none" }`)), "", "", 7},
		{"R10 ptp with eni-ipam of any interface", of(one("ptp", "ptp", `"ipam": { "type": "eni-ipam", "scope": "any" }`)), "", "", 7},
		{"R11 ptp with the VPC's router as gateway", of(one("ptp", "ptp", `"ipam": { "type": "eni-ipam", "gateway": "10.110.10.1" }`)), "", "", 7},
		{"R12 old version", of("eni-ipam"), "0.2.0", "C105", 1},
		{"R13 firewall in 0.3.1", of("eni-ipam", "routed-veth", "firewall"), "0.3.1", "C105", 0},
		{"R14 two ways to masquerade", of("eni-ipam", "routed-veth", one("portmap-compat", "portmap-compat",
			`"backend": "iptables", "markMasqBit": 3, "externalSetMarkChain": "X", `+ports)), "", "", 7},
		{"R14 conditions of the other backend", of("eni-ipam", "routed-veth", one("portmap-compat", "portmap-compat",
			`"backend": "nftables", "conditionsV4": ["-s", "10.0.0.0/8"], `+ports)), "", "", 7},
		{"snat behind addresses whose networks nobody says", of("routed-veth+host-local", "snat"), "", "", 7},
		{"a word that no stage knows", of("eni-ipam", one("routed-veth", "routed-veth", `"mut": 1500`)), "", "", 7},
	}
}

func TestMustBeRefused(t *testing.T) {
	need.NetAdmin(t)
	path := bins(t)
	contracts := chain.Installed(path, known.Of)
	for _, r := range mustBeRefused(t) {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			version := r.version
			if version == "" {
				version = "1.1.0"
			}
			text := List("refused", version, false, stages(r.stages)...)
			v := Lint(t.Context(), text, contracts)
			at := slices.IndexFunc(v.Problems, func(p chain.Problem) bool {
				return p.Severity == chain.Error && (r.lint == "" || p.Code == r.lint)
			})
			if at < 0 {
				t.Errorf("lint does not refuse it by %s: %v", r.lint, v.Problems)
			} else if p := v.Problems[at]; len(p.Fixes) == 0 && !strings.Contains(p.Text, "want ") || p.Line == 0 {
				t.Errorf("lint has no repair or no line: %+v", p)
			}
			h := newHand(t, path, text)
			got := h.refuses()
			if r.code != 0 && (got == nil || got.Code != r.code) {
				t.Errorf("stage %d refuses with %v, want code %d", len(r.stages), got, r.code)
			}
			if got != nil {
				t.Logf("code %d: %s", got.Code, got.Msg)
			}
		})
	}
}

// stages are variants with different names, so that a list may have one twice.
func stages(variants []Variant) []Variant {
	out := slices.Clone(variants)
	for i := range out {
		out[i].Name = fmt.Sprintf("%d %s", i, out[i].Name)
	}
	return out
}
