package packets

import "github.com/enichain/enichain/test/bench/figure"

// part is our node with something taken away, or put together: what its packets save tells what that costs.
type part struct {
	name, title string
	interfaces  int
	script      string
	translates  bool
}

func parts() []part {
	return []part{
		{name: "parts-rules", title: "routing rules alone, no table of nftables", script: "nft flush ruleset\n" + conntracked},
		{name: "parts-steer", title: "without snat's table", script: "nft delete table inet enichain-snat\n" + conntracked},
		{name: "parts-snat", title: "without routed-veth's table", script: "nft delete table inet enichain-routed-veth", translates: true},
		{name: "parts-merged", title: "both stages' rules in one chain (written by the bench)", script: merged, translates: true},
		{name: "parts-two", title: "enichain with 2 network interfaces", interfaces: 2, translates: true},
	}
}

// merged is what one chain for both would be: the least that these decisions cost in nftables.
const merged = `nft -f - <<'END'
flush chain inet enichain-snat unsteer
delete chain inet enichain-snat unsteer
flush chain inet enichain-routed-veth pods-1
table inet enichain-routed-veth {
	set inside { type ipv4_addr; flags interval; elements = { 10.110.0.0/16 }
	}
	chain pods-1 {
		ct direction reply ct status dnat goto opened
		ct direction original ip daddr != @inside return
		meta mark set meta mark & 0xffffff80 | 0x1
	}
}
END`

// tellParts tells where the time goes.
func (b *bench) tellParts(s *figure.Section) {
	t := figure.Table{Name: "packets-parts", Title: "Where it goes: ratios to the node with conntrack and without our rules", Columns: []string{"node"}}
	for _, d := range directions() {
		t.Columns = append(t.Columns, d.what)
	}
	all := append([]part{{name: numbered("ours", b.small), title: "enichain"}}, parts()...)
	for _, p := range all {
		row := figure.Row{Name: p.title}
		for _, d := range directions() {
			f := b.ratio(p.name, numbered("tracked", b.small), d.name, p.title+", to the node without our rules: "+d.what)
			s.Add(f)
			row.Cells = append(row.Cells, f.ID)
		}
		t.Rows = append(t.Rows, row)
	}
	s.Tables = append(s.Tables, t)
}
