package reconcile

import (
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
	s, ok := c.compose(n, limits)
	if !ok {
		return
	}
	if want != nil && (n.published == nil || n.seen()) {
		s.Release = []ipam.Release{{ENI: want.ENI, Count: want.Count, Whole: want.Whole}}
		if want.Whole {
			s.Release[0].Count = 0
		}
	}
	switch {
	case n.published == nil, differs(*n.published, s), len(s.Release) > 0, n.needsBasis(s.Basis), n.retryMoved(now, s.Why):
		n.rev++
		s.Epoch, s.Rev = n.epoch, n.rev
		if len(s.Release) > 0 {
			n.wish = &wish{Release: s.Release[0], sent: ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}, count: want.Count}
			if want.Whole {
				n.wish.count = c.cfg.Pool.Target.AtOnce
			}
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
		n.due = min(n.due, n.sentAt+backoff(n.resends+1, 2*time.Second, time.Minute))
	}
}

// needsBasis says whether the node waits for a list that began after its newest word: it holds addresses down, or has
// fenced some that it must see gone.
func (n *node) needsBasis(b ipam.Basis) bool {
	if b.Inc == n.published.Basis.Inc && b.Seq <= n.published.Basis.Seq {
		return false
	}
	return slices.ContainsFunc(n.snap.ENIs, func(s ipam.ENISummary) bool { return s.Held > 0 || len(s.Fenced) > 0 })
}

// retryMoved says whether the time of the next try that the node tells its pods has passed, and there is a later one.
func (n *node) retryMoved(now Now, why *ipam.Why) bool {
	told := n.published.Why
	return why != nil && why.RetryIn > 0 && told != nil && now.At >= n.sentAt+time.Duration(told.RetryIn)*time.Second
}

// differs compares what two supplies say of the node's state: not their numbers, basis and wishes.
func differs(a, b ipam.Supply) bool {
	for _, s := range []*ipam.Supply{&a, &b} {
		s.Epoch, s.Rev, s.Basis, s.First, s.Release = 0, 0, ipam.Basis{}, false, nil
		if s.Why != nil {
			why := *s.Why
			why.RetryIn = 0
			s.Why = &why
		}
	}
	return !reflect.DeepEqual(a, b)
}

// compose is the complete supply of a node; false while something that belongs in it is not known.
func (c *Core) compose(n *node, limits ipam.Limits) (ipam.Supply, bool) {
	vpc, ok := c.vpcs[n.row.VPC]
	if !ok {
		c.network = c.network || n.row.VPC != ""
		return ipam.Supply{}, false
	}
	s := ipam.Supply{
		Instance: n.id, Basis: n.basis, First: c.isFirst(n), VPC: vpc, Policy: c.policy(n, limits), Why: n.why,
	}
	for _, t := range n.sorted() {
		if !c.supplied(n, t) {
			continue
		}
		subnet, ok := c.subnets[t.Subnet]
		if !ok {
			c.network = true
			return ipam.Supply{}, false
		}
		s.ENIs = append(s.ENIs, c.suppliedENI(t, subnet))
	}
	slices.SortFunc(s.ENIs, func(a, b ipam.SuppliedENI) int { return a.Device - b.Device })
	return s, len(s.ENIs) > 0
}

// supplied says whether an interface belongs in its node's supply: the primary one, and attached ones of ours.
func (c *Core) supplied(n *node, t *tracked) bool {
	if t.ghost || t.Instance != n.id || t.Card != 0 || t.Detaching {
		return false
	}
	return t.Device == 0 || t.Tags[TagCluster] == c.cfg.Cluster && t.Tags[TagNode] == string(n.id) && !noManage(t.ENI)
}

func (c *Core) suppliedENI(t *tracked, subnet Subnet) ipam.SuppliedENI {
	addresses := append([]netip.Addr{}, t.Addresses...)
	slices.SortFunc(addresses, netip.Addr.Compare)
	return ipam.SuppliedENI{
		ENI: t.ID, Attachment: t.Attachment, Pool: c.cfg.Pool.Name, MAC: t.MAC, Device: t.Device, Card: t.Card,
		SubnetID: t.Subnet, Subnet: subnet.CIDR, Subnet6: subnet.CIDR6, Primary: t.Primary, Primary6: t.Primary6,
		Gateway: subnet.CIDR.Masked().Addr().Next(), Addresses: addresses, Prefixes: t.Prefixes,
		PodsOK: t.Device != 0 || c.cfg.Pool.Target.UsePrimary && !noManage(t.ENI),
	}
}

func (c *Core) policy(n *node, l ipam.Limits) ipam.NodePolicy {
	p, t := c.cfg.Pool, c.cfg.Pool.Target
	usable := l.Addresses(t.MaxENIsOf(l))
	if !t.UsePrimary {
		usable = l.Addresses(t.MaxENIsOf(l) - 1)
	}
	for _, most := range []int{t.Maximum, n.snap.MaxPods} {
		if most > 0 && most < usable {
			usable = most
		}
	}
	return ipam.NodePolicy{
		Rev: p.Rev, Cooldown: p.Cooldown, Low: t.Free(l), High: t.High(l), Window: p.Window, MinAge: p.MinAge, MaxPods: usable,
	}
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
			if t.ghost || len(t.Addresses) > 0 || t.Tags[TagNode] == string(n.id) {
				return false
			}
		}
	}
	n.first = n.snap.Inc
	return true
}
