package reconcile

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// supply sends a node its complete list when it differs from what was sent, when the node waits for a newer basis, and
// again until the node has it. A wish goes out with exactly one supply: repeated, it would release twice.
func (c *Core) supply(now Now, n *node, limits ipam.Limits, want *ipam.Action) {
	if c.cfg.DryRun || n.basis.Inc != n.snap.Inc {
		return
	}
	s, ok := c.compose(now, n, limits)
	if !ok {
		n.lookBy(now.At + time.Second)
		return
	}
	if want != nil && (n.published == nil || n.seen()) {
		s.Release = []ipam.Release{wished(*want)}
	}
	switch {
	case n.published == nil, differs(*n.published, s), len(s.Release) > 0, n.needsBasis(s.Basis), n.retryMoved(now, s):
		n.rev++
		s.Epoch, s.Rev = n.epoch, n.rev
		if len(s.Release) > 0 {
			n.wish = &wish{Release: s.Release[0], sent: ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}, count: costOf(s.Release[0])}
		}
		n.published, n.sentAt, n.resends = &s, now.At, 0
		c.effects = append(c.effects, Effect{Supply: &s})
	case !n.seen() && now.At >= n.sentAt+backoff(n.resends+1, 2*time.Second, time.Minute):
		n.resends++
		n.sentAt = now.At
		again := *n.published
		c.effects = append(c.effects, Effect{Supply: &again})
	}
	if !n.seen() {
		n.lookBy(n.sentAt + backoff(n.resends+1, 2*time.Second, time.Minute))
	}
}

// wished is a wish as the node reads it: one interface, one prefix, or some addresses.
func wished(a ipam.Action) ipam.Release {
	switch {
	case a.Whole:
		return ipam.Release{ENI: a.ENI, Whole: true}
	case len(a.Give) > 0:
		return ipam.Release{ENI: a.ENI, Prefix: a.Give[0]}
	}
	return ipam.Release{ENI: a.ENI, Count: a.Count}
}

// costOf is what a wish takes of the node's budget: an interface or a prefix takes all (protocol B4).
func costOf(r ipam.Release) int {
	if r.Whole || r.Prefix.IsValid() {
		return ipam.MostAtOnce
	}
	return r.Count
}

// needsBasis says whether the node waits for a list that began after its newest word: it holds addresses down, or has
// fenced some that it must see gone.
func (n *node) needsBasis(b ipam.Basis) bool {
	if b.Inc == n.published.Basis.Inc && b.Seq <= n.published.Basis.Seq {
		return false
	}
	return slices.ContainsFunc(n.snap.ENIs, func(s ipam.ENISummary) bool {
		return s.Held+s.IPv6.Held+len(s.Fenced)+len(s.FencedPrefixes()) > 0
	})
}

// retryMoved says whether the time of the next try that the node tells its pods has passed, and there is a later one.
func (n *node) retryMoved(now Now, s ipam.Supply) bool {
	for i, p := range s.Pools {
		if i >= len(n.published.Pools) {
			return false
		}
		told := n.published.Pools[i].Why
		if p.Why != nil && p.Why.RetryIn > 0 && told != nil && now.At >= n.sentAt+time.Duration(told.RetryIn)*time.Second {
			return true
		}
	}
	return false
}

// differs compares what two supplies say of the node's state: not their numbers, basis, wishes, and times of next tries.
func differs(a, b ipam.Supply) bool {
	still := func(why *ipam.Why) *ipam.Why {
		if why == nil {
			return nil
		}
		w := *why
		w.RetryIn = 0
		return &w
	}
	for _, s := range []*ipam.Supply{&a, &b} {
		s.Epoch, s.Rev, s.Basis, s.First, s.Release = 0, 0, ipam.Basis{}, false, nil
		s.Pools = slices.Clone(s.Pools)
		for i := range s.Pools {
			s.Pools[i].Why = still(s.Pools[i].Why)
		}
	}
	return !reflect.DeepEqual(a, b)
}

// compose is the complete supply of a node; false while something that belongs in it is not known.
func (c *Core) compose(now Now, n *node, limits ipam.Limits) (ipam.Supply, bool) {
	vpc, ok := c.vpcs[n.row.VPC]
	if !ok {
		c.network = c.network || n.row.VPC != ""
		return ipam.Supply{}, false
	}
	s := ipam.Supply{Instance: n.id, Basis: n.basis, First: c.isFirst(n), VPC: vpc, MaxPods: c.maxPods(n, limits)}
	for _, p := range c.poolsOf(n) {
		s.Pools = append(s.Pools, ipam.SuppliedPool{
			Name: p.Name, Families: p.families(), Cooldown: p.Cooldown, Low: p.Target.Free(limits), High: p.Target.High(limits),
			Window: p.Window, MinAge: p.MinAge, Why: n.whys[p.Name],
		})
	}
	s.Pools = append(s.Pools, c.unknownPools(now, n)...)
	s.Policy.Rev = c.policy
	for _, t := range n.sorted() {
		if !n.supplied(t) {
			continue
		}
		subnet, ok := c.subnets[t.Subnet]
		if !ok {
			c.network = true
			return ipam.Supply{}, false
		}
		s.ENIs = append(s.ENIs, c.suppliedENI(n, t, subnet))
	}
	slices.SortFunc(s.ENIs, func(a, b ipam.SuppliedENI) int {
		return cmp.Or(cmp.Compare(a.Card, b.Card), cmp.Compare(a.Device, b.Device))
	})
	return s, len(s.ENIs) > 0
}

// supplied says whether an interface belongs in its node's supply: the primary one, and attached ones of ours.
func (n *node) supplied(t *tracked) bool {
	return !t.ghost && t.Instance == n.id && !t.Detaching && (t.primary() || t.ours(n))
}

func (c *Core) suppliedENI(n *node, t *tracked, subnet Subnet) ipam.SuppliedENI {
	addresses := append([]netip.Addr{}, t.usable()...)
	slices.SortFunc(addresses, netip.Addr.Compare)
	return ipam.SuppliedENI{
		ENI: t.ID, Attachment: t.Attachment, Pool: c.poolName(n, t), MAC: t.MAC, Device: t.Device, Card: t.Card,
		SubnetID: t.Subnet, Subnet: subnet.CIDR, Subnet6: subnet.CIDR6, Primary: t.Primary, Primary6: t.Primary6,
		Gateway: subnet.CIDR.Masked().Addr().Next(), Addresses: addresses, Prefixes: t.Prefixes, PodsOK: c.serves(n, t),
		MTU: c.mtu(n, t),
	}
}

// mtu is what an interface's link is to have: its pool's. That of a primary one that serves no pool is the machine's affair.
func (c *Core) mtu(n *node, t *tracked) int {
	p, ok := c.pool(n, c.poolName(n, t))
	if !ok || t.primary() && !p.Target.UsePrimary {
		return 0
	}
	return p.MTU
}

// maxPods is how many pods can have addresses of a node: what its pools may have on the type, up to what kubelet takes;
// 0 = not known.
func (c *Core) maxPods(n *node, l ipam.Limits) int {
	total := 0
	for _, p := range c.poolsOf(n) {
		total += c.mostOf(n, p, l)
	}
	if most := n.snap.MaxPods; most > 0 && total > 0 {
		total = min(total, most)
	}
	return total
}

// mostOf is how many addresses one pool may have on a node, were it alone there.
func (c *Core) mostOf(n *node, p Pool, l ipam.Limits) int {
	unit, count := 1, p.Target.MaxENIsOf(l)
	switch {
	case ipam.Lead(p.Target.Families) == ipam.IPv6:
		unit, count = ipam.PrefixSize(netip.PrefixFrom(netip.IPv6Unspecified(), 80)), min(count, 1)
	case p.blocks(l):
		unit = ipam.PrefixSlots
	}
	if !p.Target.UsePrimary {
		count--
	}
	usable := l.Addresses(count) * unit
	for _, most := range []int{p.Target.Maximum, n.snap.MaxPods} {
		if most > 0 {
			usable = min(usable, most)
		}
	}
	return usable
}

// isFirst says whether no pool of this instance can have been supplied before: we saw it appear, or EC2 had given it
// nothing when we first looked. Once another inc was seen, none is the first.
func (c *Core) isFirst(n *node) bool {
	if len(n.past) > 0 || n.snap.Seen != (ipam.Seen{}) {
		return false // it has been supplied: what it holds since then, it holds for a reason
	}
	if n.first == n.snap.Inc {
		return true
	}
	if n.primary() == nil {
		return false // EC2 has not shown it yet
	}
	if !n.born {
		for _, t := range n.sorted() {
			if t.ghost || len(t.Addresses)+len(t.Prefixes) > 0 || t.node == n.id {
				return false
			}
		}
	}
	n.first = n.snap.Inc
	return true
}
