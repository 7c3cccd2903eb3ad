package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// faults collects what is wrong with a configuration, each with its path.
type faults []error

func (f *faults) bad(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) atLeast0(path string, value int) {
	if value < 0 {
		f.bad("%s: is %d; set 0 or more", path, value)
	}
}

func (f *faults) positive(path string, value time.Duration) {
	if value < 0 {
		f.bad("%s: is %s; set a positive duration", path, value)
	}
}

// Validate reports all faults at once, each with the field's path: pools[0].warm.free.
func (c Config) Validate() error {
	var f faults
	if c.Cluster == "" {
		f.bad("cluster: is empty; set the value that every network interface is to be tagged with")
	}
	f.positive("resync", c.Resync)
	f.positive("orphans.minAge", c.Orphans.MinAge)
	f.positive("orphans.every", c.Orphans.Every)
	f.atLeast0("orphans.perRound", c.Orphans.PerRound)
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		switch {
		case slices.Contains([]string{TagCluster, TagNode, TagSlot, TagPool, TagNoManage, TagLeave}, key):
			f.bad("tags: %s is one that this program sets or reads itself; take another key", key)
		case strings.HasPrefix(strings.ToLower(key), "aws:"), key == "", len(key) > 128, len(c.Tags[key]) > 256:
			f.bad("tags: %q: %q; EC2 takes keys of 1..128 characters that do not begin with aws:, and values of up to 256",
				key, c.Tags[key])
		}
	}
	if len(c.Tags) > mostTags {
		f.bad("tags: has %d entries; set up to %d (EC2 takes 50, with ours)", len(c.Tags), mostTags)
	}
	if len(c.Pools) == 0 {
		f.bad("pools: is empty; set one at least")
	}
	f.pools(c.Pools)
	return errors.Join(f...)
}

const (
	mostTags  = 40
	mostName  = 63 // characters of a pool's name
	mostCards = 64
)

// pools looks at each pool and at what they are to one another.
func (f *faults) pools(pools []Pool) {
	everywhere := map[string]int{}
	names := map[string]bool{}
	for i, p := range pools {
		at := fmt.Sprintf("pools[%d]", i)
		p.Name = p.withDefaults().Name
		names[p.Name] = true
		if j, ok := everywhere[p.Name]; ok {
			f.bad("%s.name: is %q as is that of pools[%d], which is for all nodes; this one can never be used", at, p.Name, j)
		} else if len(p.Nodes) == 0 {
			everywhere[p.Name] = i
		}
		f.pool(at, p)
	}
	if len(names) > ipam.MaxPools {
		f.bad("pools: has %d names; a node can have %d pools", len(names), ipam.MaxPools)
	}
}

func (f *faults) pool(at string, p Pool) {
	if len(p.Name) > mostName || strings.ContainsFunc(p.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
		f.bad("%s.name: is %q; set up to %d letters, digits and signs without spaces", at, p.Name, mostName)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Nodes)) {
		if _, err := path.Match(p.Nodes[key], ""); err != nil || key == "" {
			f.bad("%s.nodes: %q: %q; set a tag's key, %s or %s, and a shell pattern for its value",
				at, key, p.Nodes[key], LabelType, LabelZone)
		}
	}
	for _, id := range p.Subnets.IDs {
		if !strings.HasPrefix(string(id), "subnet-") {
			f.bad("%s.subnets.ids: %q is no subnet's id; set subnet-…", at, id)
		}
	}
	for _, id := range p.Groups {
		if !strings.HasPrefix(id, "sg-") {
			f.bad("%s.securityGroups.ids: %q is no security group's id; set sg-…", at, id)
		}
	}
	if _, ok := p.Subnets.Tags[""]; ok {
		f.bad("%s.subnets.tags: has an empty key; set a tag's key", at)
	}
	if _, ok := p.GroupTags[""]; ok {
		f.bad("%s.securityGroups.tags: has an empty key; set a tag's key", at)
	}
	f.positive(at+".release.window", p.Window)
	f.positive(at+".release.minAge", p.MinAge)
	f.mtu(at, p)
	f.target(at, p.Target)
	f.families(at, p.Target)
}

// mtu refuses what would take a family off the link.
func (f *faults) mtu(at string, p Pool) {
	least := ipam.LeastMTU
	if p.has6() {
		least = ipam.LeastMTU6
	}
	if p.MTU != 0 && (p.MTU < least || p.MTU > ipam.MostMTU) {
		f.bad("%s.enis.mtu: is %d; set %d..%d bytes, or 0 to leave what the machine gives", at, p.MTU, least, ipam.MostMTU)
	}
}

// target looks at the numbers.
func (f *faults) target(at string, t ipam.Target) {
	for _, n := range []struct {
		path  string
		value int
	}{
		{".warm.free", t.Warm}, {".warm.enis", t.WarmENIs}, {".warm.prefixes", t.WarmPrefixes}, {".warm.minimum", t.Minimum},
		{".warm.maximum", t.Maximum}, {".enis.max", t.MaxENIs}, {".release.atOnce", t.AtOnce},
	} {
		f.atLeast0(at+n.path, n.value)
	}
	if t.AtOnce > ipam.MostAtOnce {
		f.bad("%s.release.atOnce: is %d; set 1..%d", at, t.AtOnce, ipam.MostAtOnce)
	}
	var set []string
	for _, n := range []struct {
		name  string
		value int
	}{{"free", t.Warm}, {"enis", t.WarmENIs}, {"prefixes", t.WarmPrefixes}} {
		if n.value > 0 {
			set = append(set, fmt.Sprintf("%s is %d", n.name, n.value))
		}
	}
	if len(set) > 1 {
		f.bad("%s.warm: %s; set one of them", at, strings.Join(set, " and "))
	}
	if t.Maximum > 0 && t.Minimum > t.Maximum {
		f.bad("%s.warm.minimum: is %d, above %s.warm.maximum %d", at, t.Minimum, at, t.Maximum)
	}
	for i, card := range t.Cards {
		if card < 0 || card >= mostCards || slices.Contains(t.Cards[:i], card) {
			f.bad("%s.cards: has %d at place %d; set different network cards' indexes, 0..%d", at, card, i, mostCards-1)
		}
	}
}

// families looks at what kinds of addresses are asked for.
func (f *faults) families(at string, t ipam.Target) {
	for i, family := range t.Families {
		if family != ipam.IPv4 && family != ipam.IPv6 || slices.Contains(t.Families[:i], family) {
			f.bad("%s.families: has %d at place %d; set ipv4, ipv6 or both, once each", at, family, i)
		}
	}
	switch t.Mode {
	case "", ipam.ModeAuto, ipam.ModePrefix, ipam.ModeSecondary:
	default:
		f.bad("%s.mode: is %q; set %s, %s or %s", at, t.Mode, ipam.ModeAuto, ipam.ModePrefix, ipam.ModeSecondary)
	}
	single := t.Mode == "" || t.Mode == ipam.ModeSecondary
	if t.WarmPrefixes > 0 && single && ipam.Lead(t.Families) == ipam.IPv4 {
		f.bad("%s.warm.prefixes: is %d, but mode is %s; set mode %s or %s, or warm.free",
			at, t.WarmPrefixes, ipam.ModeSecondary, ipam.ModeAuto, ipam.ModePrefix)
	}
	if ipam.Lead(t.Families) == ipam.IPv6 && !t.UsePrimary {
		f.bad("%s.families: is ipv6 alone, which lives on the primary network interface, but usePrimary is false; "+
			"set usePrimary true or add ipv4", at)
	}
}
