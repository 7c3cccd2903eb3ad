package routedveth_test

import (
	"strings"
	"testing"

	"github.com/enichain/enichain/stages/routedveth"
)

// formerTable is the steering as it was until 2026-11, with a map of its own for the groups of pods; it names a second
// network interface that is not being prepared.
const formerTable = `nft -f - <<'END'
table inet enichain-routed-veth {
	chain eni-1 { meta mark set meta mark & 0xffffff80 | 0x1; }
	chain eni-2 { meta mark set meta mark & 0xffffff80 | 0x2; }
	map eni-by-link { type devgroup : verdict; elements = { 6873 : jump eni-1, 6874 : jump eni-2 }; }
	map eni-by-pod { type devgroup : verdict; elements = { 7001 : jump eni-1, 7129 : jump eni-1, 7002 : jump eni-2, 7130 : jump eni-2 }; }
	map eni-by-address { type ipv4_addr : verdict; elements = { 10.0.1.20 : jump eni-1, 10.0.2.30 : jump eni-2 }; }
	map eni-by-address-6 { type ipv6_addr : verdict; }
	chain steer {
		type filter hook prerouting priority -90;
		iifgroup vmap @eni-by-link
		iifgroup != 7000-8023 return
		ct direction reply ct status dnat ct original ip daddr vmap @eni-by-address
		ct direction reply ct status dnat ct original ip6 daddr vmap @eni-by-address-6
		ct direction reply ct status dnat return
		iifgroup vmap @eni-by-pod
	}
}
END`

// TestFormerTable: the first network interface that is prepared takes all others along.
func TestFormerTable(t *testing.T) {
	n := newNode(t)
	n.prepare(eni1)
	n.Script("nft delete table inet enichain-routed-veth\n" + formerTable)
	n.prepare(eni1)
	n.in(func() error { return routedveth.Verify(t.Context(), eni1) })
	table := n.Ruleset("inet", "enichain-routed-veth")
	if strings.Contains(table, "eni-by-pod") {
		t.Errorf("the former map is there yet:\n%s", table)
	}
	for _, want := range []string{"6874 : jump eni-2", "7002 : jump pods-2", "7898 : jump pods-2", "7000 : jump pods-0", "10.0.2.30 : jump eni-2",
		"chain pods-2", "7129 : jump pods-1"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing from:\n%s", want, table)
		}
	}
}

// TestForgetInFormerTable: the network interface may be gone before anything else was prepared.
func TestForgetInFormerTable(t *testing.T) {
	n := newNode(t)
	n.prepare(eni1)
	n.Script("nft delete table inet enichain-routed-veth\n" + formerTable)
	n.in(func() error { return routedveth.Forget(t.Context(), 1) })
	table := n.Ruleset("inet", "enichain-routed-veth")
	if strings.Contains(table, "eni-1") || !strings.Contains(table, "7002 : jump eni-2") {
		t.Errorf("left:\n%s", table)
	}
}
