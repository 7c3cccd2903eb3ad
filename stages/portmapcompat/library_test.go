package portmapcompat

import (
	"slices"
	"strings"
	"testing"

	goiptables "github.com/coreos/go-iptables/iptables"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
)

// TestLooksLikeTheLibrary holds what the stage sees in table nat against what go-iptables sees there: every chain and
// rule, and what is not there. The stage itself does without it for what it costs each run; here nothing is lost by it.
func TestLooksLikeTheLibrary(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(request("a", byIptables, web+`,`+dns))
		w.add(request("b", byIptables+`,"conditionsV4":["!","-s","10.9.0.0/16"]`, `{"hostPort":9090,"containerPort":80,"protocol":"tcp"}`))
		for family, protocol := range map[nft.Family]goiptables.Protocol{nft.IPv4: goiptables.ProtocolIPv4, nft.IPv6: goiptables.ProtocolIPv6} {
			w.node.Do(func(*link.Conn) {
				p, err := ours(family)
				if err != nil {
					t.Fatal(err)
				}
				library, err := goiptables.New(goiptables.IPFamily(protocol), goiptables.Path(p.path))
				if err != nil {
					t.Fatal(err)
				}
				chains, err := library.ListChains("nat")
				if err != nil {
					t.Fatal(err)
				}
				rules := 0
				for _, chain := range append(chains, "CNI-DN-nobody") {
					rules += sameChain(t, p, library, chain)
				}
				if rules < 10 {
					t.Errorf("%s: only %d rules were compared, in %q", p.path, rules, chains)
				}
			})
		}
	})
}

// sameChain compares one chain, which need not be there, and returns its number of rules.
func sameChain(t *testing.T, p program, library *goiptables.IPTables, chain string) int {
	t.Helper()
	there, err := p.hasChain(chain)
	if want, err2 := library.ChainExists("nat", chain); err != nil || err2 != nil || there != want {
		t.Errorf("%s is there: %t, %v; go-iptables says %t, %v", chain, there, err, want, err2)
	}
	got, there2, err := p.list(chain)
	if err != nil || there2 != there {
		t.Errorf("list of %s: there %t, %v; want there %t", chain, there2, err, there)
	}
	if !there {
		return 0
	}
	lines, err := library.List("nat", chain)
	if err != nil {
		t.Fatal(err)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "-A ") }) // the chain itself
	var seen []string
	for _, l := range got {
		seen = append(seen, l.line)
	}
	if diff := cmp.Diff(lines, seen, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-go-iptables +ours):\n%s", chain, diff)
	}
	for _, l := range got {
		rule := words(strings.TrimPrefix(l.line, "-A "+chain+" "))
		has, err := p.has(chain, rule)
		if want, err2 := library.Exists("nat", chain, rule...); err != nil || err2 != nil || has != want {
			t.Errorf("%s has %q: %t, %v; go-iptables says %t, %v", chain, rule, has, err, want, err2)
		}
	}
	return len(got)
}
