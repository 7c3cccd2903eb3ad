package reconcile

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// The keys of a pool's Nodes that are not EC2 tags: Kubernetes' well-known labels.
const (
	LabelType = "node.kubernetes.io/instance-type"
	LabelZone = "topology.kubernetes.io/zone"
)

// selects says whether a pool is for an instance.
func (p Pool) selects(row Instance) bool { return p.unlike(row) == "" }

// unlike is the key by which a pool is not for an instance; "" = it is.
func (p Pool) unlike(row Instance) string {
	for _, key := range slices.Sorted(maps.Keys(p.Nodes)) {
		value, ok := row.Tags[key]
		switch key {
		case LabelType:
			value, ok = row.Type, true
		case LabelZone:
			value, ok = row.Zone, true
		}
		if !ok || !matches(p.Nodes[key], value) {
			return key
		}
	}
	return ""
}

// matches is a shell pattern's match; unlike a path's, its * takes a slash, too.
func matches(pattern, value string) bool {
	flat := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(value))
	return ok && err == nil
}

// has6 says whether a pool's interfaces have IPv6.
func (p Pool) has6() bool { return slices.Contains(p.Target.Families, ipam.IPv6) }

// families are what a pool's interfaces have addresses of.
func (p Pool) families() []ipam.Family {
	if len(p.Target.Families) == 0 {
		return []ipam.Family{ipam.IPv4}
	}
	return p.Target.Families
}

// singles and blocks say what kinds of IPv4 addresses the pool's mode allows on a type. One of IPv6 alone needs an
// interface's own address, and that is a single one.
func (p Pool) blocks(l ipam.Limits) bool {
	return l.Prefixes && !p.sixAlone() && (p.Target.Mode == ipam.ModeAuto || p.Target.Mode == ipam.ModePrefix)
}
func (p Pool) singles() bool  { return p.Target.Mode != ipam.ModePrefix || p.sixAlone() }
func (p Pool) sixAlone() bool { return ipam.Lead(p.Target.Families) == ipam.IPv6 }

// poolsOf are a node's pools: of each name the first that selects it, in the configuration's order.
func (c *Core) poolsOf(n *node) []Pool {
	if n.poolsOf == c.policy {
		return n.pools
	}
	n.poolsOf, n.pools = c.policy, nil
	for _, p := range c.cfg.Pools {
		named := slices.ContainsFunc(n.pools, func(q Pool) bool { return q.Name == p.Name })
		if !named && p.selects(n.row) && len(n.pools) < ipam.MaxPools {
			n.pools = append(n.pools, p)
		}
	}
	return n.pools
}

// pool is a node's pool of a name; false if it has none.
func (c *Core) pool(n *node, name string) (Pool, bool) {
	for _, p := range c.poolsOf(n) {
		if p.Name == name {
			return p, true
		}
	}
	return Pool{}, false
}

// poolName is whose an interface is: by its tag, and without one the node's first pool's. The primary one is the first
// pool's that uses primary interfaces.
func (c *Core) poolName(n *node, t *tracked) string {
	pools := c.poolsOf(n)
	if t.primary() {
		for _, p := range pools {
			if p.Target.UsePrimary {
				return p.Name
			}
		}
	} else if t.pool != "" {
		return t.pool
	}
	if len(pools) == 0 {
		return c.cfg.Pools[0].Name
	}
	return pools[0].Name
}

// serves says whether pods may have addresses of an interface. Those of a pool that the node has no more, or in a subnet
// that the pool has no more, are for nobody new.
func (c *Core) serves(n *node, t *tracked) bool {
	p, ok := c.pool(n, c.poolName(n, t))
	return ok && !t.left && !c.excluded(n, p, t) && (!t.primary() || p.Target.UsePrimary)
}

// excluded says whether an interface's subnet was taken out of its pool, or out of all by its tag. A primary interface is
// where the instance is: only the tag matters.
func (c *Core) excluded(n *node, p Pool, t *tracked) bool {
	s, ok := c.subnets[t.Subnet]
	if !ok {
		return false
	}
	if t.primary() {
		return s.Tags[TagRole] == "0"
	}
	return !p.Subnets.take(s, n.row, c.cfg.Cluster)
}

// groupsOf are the security groups that a pool's interfaces on a node have, sorted: by id, by tag, and with neither
// configured those of the primary interface. None = they are not known, or there are none.
func (c *Core) groupsOf(n *node, p Pool) []string {
	groups := slices.Clone(p.Groups)
	if len(p.GroupTags) > 0 {
		listed, known := c.groups[n.row.VPC]
		if !known {
			return nil
		}
		for _, g := range listed {
			if bears(g.Tags, p.GroupTags) {
				groups = append(groups, g.ID)
			}
		}
	}
	if len(p.Groups)+len(p.GroupTags) == 0 {
		if primary := n.primary(); primary != nil {
			groups = slices.Clone(primary.Groups)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// regroup are the security groups that an interface of ours should have; nil = those that it has.
func (c *Core) regroup(n *node, t *tracked) []string {
	p, ok := c.pool(n, c.poolName(n, t))
	if !ok || t.primary() || !t.ours(n) || len(t.Groups) == 0 {
		return nil
	}
	want := c.groupsOf(n, p)
	if len(want) == 0 || slices.Equal(want, slices.Sorted(slices.Values(t.Groups))) {
		return nil
	}
	return want
}

// bears says whether tags has all of want.
func bears(tags, want map[string]string) bool {
	for key, value := range want {
		if got, ok := tags[key]; !ok || got != value {
			return false
		}
	}
	return true
}
