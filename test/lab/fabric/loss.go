package fabric

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Loss lets a part of all packets to and from an instance vanish in the router, at random: percent is 0 (none) to 100,
// in steps of a hundredth. They are not among the Drops: nobody is to blame for them.
func (f *Fabric) Loss(ctx context.Context, node string, percent float64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if percent < 0 || percent > 100 {
		return fmt.Errorf("fabric: cannot lose %g%% of the packets of %s: 0 to 100", percent, node)
	}
	f.loss[node] = int(percent*100 + 0.5)
	if f.loss[node] == 0 {
		delete(f.loss, node)
	}
	return f.lose(ctx)
}

// lose writes the rules for the links that there are now.
func (f *Fabric) lose(ctx context.Context) error {
	script := "table inet loss {}\ndelete table inet loss\n"
	if len(f.loss) == 0 {
		return f.nft(ctx, script)
	}
	var in, out strings.Builder
	for _, node := range slices.Sorted(maps.Keys(f.loss)) {
		var links []string
		for _, p := range f.ports {
			if p.node.Name == node {
				links = append(links, fmt.Sprintf("%q", p.name()))
			}
		}
		if len(links) == 0 {
			continue
		}
		slices.Sort(links)
		of := strings.Join(links, ", ")
		some := "" // of all: the kernel knows no number below which all are
		if f.loss[node] < 10000 {
			some = fmt.Sprintf("numgen random mod 10000 < %d ", f.loss[node])
		}
		fmt.Fprintf(&in, "iifname { %s } %scounter drop\n", of, some)
		fmt.Fprintf(&out, "oifname { %s } %scounter drop\n", of, some)
	}
	script += "table inet loss {\nchain in { type filter hook prerouting priority -310;\n" + in.String() +
		"}\nchain out { type filter hook postrouting priority 310;\n" + out.String() + "}\n}\n"
	return f.nft(ctx, script)
}
