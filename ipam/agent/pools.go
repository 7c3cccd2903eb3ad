package agent

import (
	"slices"

	"github.com/enichain/enichain/ipam"
)

// floors are the floors of the pools on this node, by name; at most ipam.MaxPools.
type floors map[string]*floor

func (f floors) value(now Now, pool string) int {
	if f[pool] == nil {
		return 0
	}
	return f[pool].value(now)
}

// sampleFloors takes the newest state of each pool into its floor, and forgets pools that are not here any more.
func (c *Core) sampleFloors() {
	s := c.pool.Snapshot
	if c.floors == nil {
		c.floors = floors{}
	}
	for name := range c.floors {
		if !slices.ContainsFunc(s.Pools, func(p ipam.PoolSummary) bool { return p.Name == name }) {
			delete(c.floors, name)
		}
	}
	for _, sum := range s.Pools {
		p := c.supplied(sum.Name)
		if c.floors[p.Name] == nil {
			c.floors[p.Name] = &floor{}
		}
		c.floors[p.Name].sample(c.now, p.Window, c.free(s, p)-waiting(p, sum))
	}
}

// supplied is the policy of a pool on this node; one that nobody told of has no marks and no window.
func (c *Core) supplied(name string) ipam.SuppliedPool {
	for _, p := range c.pool.Pools {
		if p.Name == name {
			return p
		}
	}
	return ipam.SuppliedPool{Name: name}
}

// free counts the addresses of a pool's leading family that any of its pods may have now: those kept for bridges are
// not, nor are those of interfaces that no pod may use.
func (c *Core) free(s ipam.Snapshot, p ipam.SuppliedPool) (n int) {
	for _, e := range s.ENIs {
		closed := slices.ContainsFunc(c.pool.ENIs, func(x ENI) bool { return x.Attachment == e.Attachment && !x.PodsOK })
		switch {
		case e.Pool != p.Name || closed:
		case ipam.Lead(p.Families) == ipam.IPv6:
			n += e.IPv6.Free - e.IPv6.Kept
		default:
			n += e.Free - e.Kept
		}
	}
	return n
}

// waiting are the pods that wait for an address of the pool's leading family.
func waiting(p ipam.SuppliedPool, sum ipam.PoolSummary) int {
	if ipam.Lead(p.Families) == ipam.IPv6 {
		return sum.Waiting + sum.Waiting6
	}
	return sum.Waiting
}

// poolsDiffer is true when a pool came or went, pods began or ceased to wait for it, its free addresses crossed one of
// its marks, or its floor the upper one: only then can something be given back.
func (c *Core) poolsDiffer(last, now ipam.Snapshot) bool {
	return !slices.EqualFunc(last.Pools, now.Pools, func(a, b ipam.PoolSummary) bool {
		p := c.supplied(b.Name)
		return a.Name == b.Name && a.Waiting == b.Waiting && a.Waiting6 == b.Waiting6 && a.WaitingPrefix == b.WaitingPrefix &&
			band(p, c.free(last, p)) == band(p, c.free(now, p)) && (a.Floor > p.High) == (b.Floor > p.High)
	})
}

// band says on which side of low and high a number of free addresses stands.
func band(p ipam.SuppliedPool, free int) int {
	switch {
	case free < p.Low:
		return -1
	case free > p.High:
		return 1
	}
	return 0
}

// floorAt is when the first floor may rise by time alone.
func (c *Core) floorAt() (next ipam.Instant) {
	if !c.publish.up {
		return 0
	}
	for _, f := range c.floors {
		if at := f.at(c.now); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}
