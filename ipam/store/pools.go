package store

import (
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// DefaultCooldown is used for a pool that no supply has told of: vpc-cni's default, 30 s.
const DefaultCooldown = 30 * time.Second

// Pool is what was last supplied of a pool; ok is false where this node has none of that name. A pool without families
// is none: it is named to say why.
func (m *Meta) Pool(name string) (p ipam.SuppliedPool, ok bool) {
	i := slices.IndexFunc(m.Pools, func(p ipam.SuppliedPool) bool { return p.Name == name })
	if i < 0 {
		return ipam.SuppliedPool{Name: name}, false
	}
	return m.Pools[i], len(m.Pools[i].Families) > 0
}

// cooldown is how long an address of a pool is left alone after a lease; 0 = not at all, which a policy may want.
func (m *Meta) cooldown(pool string) time.Duration {
	if p, ok := m.Pool(pool); ok || p.Cooldown > 0 {
		return p.Cooldown
	}
	return DefaultCooldown
}

// minAge is how old an interface of a pool has to be before all of it is given up.
func (m *Meta) minAge(pool string) time.Duration {
	p, _ := m.Pool(pool)
	return p.MinAge
}

// why is what keeps a pool from growing, as last told.
func (m *Meta) why(pool string) *ipam.Why {
	p, _ := m.Pool(pool)
	return p.Why
}

// pools are the summaries of those that this node has interfaces of, or that pods of it wait for: those supplied first,
// in their order, then others by name; at most ipam.MaxPools.
func (t *Tx) pools(now Now) []ipam.PoolSummary {
	here := map[string]*ipam.PoolSummary{}
	at := func(name string) *ipam.PoolSummary {
		if here[name] == nil {
			here[name] = &ipam.PoolSummary{Name: name}
		}
		return here[name]
	}
	for _, e := range t.load() {
		if e.Listed {
			at(e.Pool)
		}
	}
	for _, k := range t.queue() {
		if k.Deadline <= now.Boot {
			continue
		}
		switch p := at(k.Pool); {
		case k.Prefix:
			p.WaitingPrefix++
		case slices.Contains(k.Families, IPv4):
			p.Waiting++
		default:
			p.Waiting6++
		}
	}
	var names []string
	for _, p := range t.meta.Pools {
		if here[p.Name] != nil {
			names = append(names, p.Name)
		}
	}
	known := len(names)
	for name := range here {
		if !slices.Contains(names[:known], name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[known:])
	var all []ipam.PoolSummary
	for _, name := range names[:min(len(names), ipam.MaxPools)] {
		all = append(all, *here[name])
	}
	return all
}

// serves notes that a pool has had an address to lease.
func (t *Tx) serves(pool string) {
	t.meta.Leasable = true
	if !slices.Contains(t.meta.Served, pool) && len(t.meta.Served) < ipam.MaxPools {
		t.meta.Served = append(t.meta.Served, pool)
		t.dirty = true
	}
}

// Serves says whether any of the pools ever had an address to lease: what STATUS asks. Where the node has the first of
// them, that one counts alone.
func (m *Meta) Serves(pools []string) bool {
	if m.Leasable && len(m.Served) == 0 {
		return true
	}
	if _, ok := m.Pool(pools[0]); ok {
		pools = pools[:1]
	}
	return slices.ContainsFunc(pools, func(p string) bool { return slices.Contains(m.Served, p) })
}
