package agent

import (
	"github.com/enichain/enichain/ipam"
)

// supplyCame judges a message by protocol a1 before the pool file is touched: what is old, of another life of the
// pool file or for another instance goes no further. The store judges again, with what the file says then.
func (c *Core) supplyCame(s ipam.Supply) {
	if s.Instance != c.options.Instance {
		c.note("error", "refused a supply for instance %q: this is %q", s.Instance, c.options.Instance)
		return
	}
	if s.Basis.Inc != c.pool.Snapshot.Inc {
		return // meant for an earlier pool file; the reconciler sends anew once it has read a snapshot of this one
	}
	seen := ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	if !c.pool.Snapshot.Seen.Less(seen) {
		return
	}
	if c.supply == nil || (ipam.Seen{Epoch: c.supply.Epoch, Rev: c.supply.Rev}).Less(seen) {
		c.supply = &s
	}
}

func (c *Core) decideSupply() {
	if c.supply == nil || c.accepting != nil || !c.links.known || c.stored.holds(c.now) {
		return
	}
	c.accepting = c.supply
	c.do(Effect{Accept: c.supply})
}

func (c *Core) supplyAt() ipam.Instant {
	if c.supply == nil || c.accepting != nil || !c.links.known {
		return 0
	}
	return max(c.stored.until, 1)
}

// supplyTaken goes on with the wishes of an accepted supply; those of an older one are void.
func (c *Core) supplyTaken(done Done) {
	taken := c.accepting
	c.accepting = nil
	if c.supply == taken {
		c.supply = nil
	}
	for _, why := range done.Refused {
		c.note("warn", "refused a part of the supply: %s", why)
	}
	if taken == nil || !done.Accepted {
		return
	}
	c.fences.wishes = taken.Release
	c.links.told = nil // the pool file joins links with what it has just accepted
}

// decideProof tells the pool file that the stream holds a snapshot which is new enough for what is held. (An accepted
// supply is such a proof too; the store sees to that itself.)
func (c *Core) decideProof() {
	if c.pool.Unproven != 0 && c.publish.acked > c.publish.proved && !c.stored.holds(c.now) {
		c.publish.proved = c.publish.acked
		c.do(Effect{Prove: c.publish.acked})
	}
}
