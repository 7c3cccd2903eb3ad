package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// view puts together what EC2 lists, what is under way and what the node says, for a plan.
func (c *Core) view(now Now, n *node, l ipam.Limits) ipam.Node {
	v := ipam.Node{MaxPods: max(n.snap.MaxPods, 0), Grow: n.heardLately(now) && n.running()}
	pools := c.poolsOf(n)
	for _, p := range pools {
		v.Pools = append(v.Pools, c.viewPool(now, n, p, l))
	}
	if v.Grow && !n.snap.Unschedulable {
		all := c.cfg.Pools[0] // for interfaces of no pool
		all.Target.AtOnce = ipam.MostAtOnce
		v.Budget, v.MinAge = c.budget(now, n, all), all.MinAge
	}
	for _, t := range n.sorted() {
		if t.Instance == n.id && t.slot.Device != 0 && t.slot != (ipam.Slot{Card: t.Card, Device: t.Device}) {
			v.Slots = append(v.Slots, t.slot) // a Create for this slot would be taken for this one
		}
		v.ENIs = append(v.ENIs, c.viewENI(now, n, t, l))
	}
	for _, s := range n.slots() {
		v.ENIs = append(v.ENIs, n.creations[s].view(s))
	}
	return v
}

// slots are the places with a Create that is not settled.
func (n *node) slots() []ipam.Slot {
	var slots []ipam.Slot
	for s := range n.creations {
		slots = append(slots, s)
	}
	slices.SortFunc(slots, ipam.Slot.Compare)
	return slots
}

// view is what a Create that is not settled will have made.
func (cr *creation) view(s ipam.Slot) ipam.NodeENI {
	return ipam.NodeENI{
		State: ipam.ENICreating, Device: s.Device, Card: s.Card, Pool: cr.call.Pool, PodsOK: true, Listed: cr.call.Count,
		Delegated: make([]ipam.PrefixSummary, cr.call.Prefixes), IPv6: ipam.Stock6{Prefixes: make([]ipam.PrefixSummary, cr.later6)},
	}
}

// viewPool is what one pool's plan rests on.
func (c *Core) viewPool(now Now, n *node, p Pool, l ipam.Limits) ipam.NodePool {
	asks := n.asks(p.Name)
	q := ipam.NodePool{
		Name: p.Name, Target: p.Target, Waiting: max(asks.Waiting, 0), Waiting6: max(asks.Waiting6, 0),
		WaitingPrefix: max(asks.WaitingPrefix, 0), Floor: asks.Floor, MinAge: p.MinAge,
	}
	bound := n.bound[p.Name]
	if ipam.Lead(p.Target.Families) == ipam.IPv6 {
		q.Waiting6 = max(q.Waiting6, bound)
	} else {
		q.Waiting = max(q.Waiting, bound-q.Waiting6-q.WaitingPrefix)
	}
	where := c.choose(now, n, p, l)
	q.NoPrefixes = !where.blocks
	q.NoIPv6 = !c.subnets[where.subnet].CIDR6.IsValid() || c.gates[gateSix+string(where.subnet)].shut(now, n)
	groups := c.groupsOf(n, p)
	q.Blocked = where.subnet == "" || n.incAt != never && now.At-n.incAt < Visibility ||
		c.gates[groupsGate(groups)].shut(now, n) || len(groups) == 0
	for _, t := range n.enis {
		q.Blocked = q.Blocked || t.ghost
	}
	q.Warm = !n.snap.Unschedulable
	if ipam.Lead(p.Target.Families) == ipam.IPv4 { // IPv6 is never scarce
		q.Warm = q.Warm && !c.scarce(now, c.candidates(n, p))
		q.Scarce = c.pressed(n, p.Name)
	}
	if n.heardLately(now) && n.running() && !n.snap.Unschedulable {
		q.Budget = c.budget(now, n, p)
	}
	return q
}

func (c *Core) viewENI(now Now, n *node, t *tracked, l ipam.Limits) ipam.NodeENI {
	e := ipam.NodeENI{
		ENI: t.ID, Attachment: t.Attachment, Device: t.Device, Card: t.Card, Primary: t.primary(), Pool: c.poolName(n, t),
		PodsOK: c.serves(n, t), Listed: len(t.usable()), Taken: len(t.leave) + len(v4(t.others)), Unbound: t.Instance != "" && !t.Bound, Regroup: c.regroup(n, t),
	}
	if t.Instance == "" {
		e.Device, e.Card = t.slot.Device, t.slot.Card
	}
	p, ok := c.pool(n, e.Pool)
	e.Excluded = ok && c.excluded(n, p, t)
	s := n.summary(t.ID)
	if s != nil {
		e.Free, e.Single, e.Kept, e.Leased, e.Cooling = s.Free, s.Single, s.Kept, s.Leased, s.Cooling
		e.IPv6.Free, e.IPv6.Kept, e.IPv6.Leased, e.IPv6.Cooling = s.IPv6.Free, s.IPv6.Kept, s.IPv6.Leased, s.IPv6.Cooling
		e.Age = s.Age + now.At - n.heard
		e.Named = s.Attachment == t.Attachment
		if e.Named {
			e.Fenced = both(t.usable(), s.Fenced)
		}
	}
	e.Delegated, e.IPv6.Prefixes = t.stock(s, ipam.IPv4), t.stock(s, ipam.IPv6)
	n.coming(t.ID, &e)
	e.State = c.state(now, n, t, e)
	_, open := c.open(now, n, t.Subnet)
	barred := t.heldUp || t.missing != never
	e.NoPrefixes = !c.hasBlock(now, n, t.Subnet)
	e.Blocked = barred || !(open && p.singles()) && (e.NoPrefixes || !p.blocks(l))
	e.IPv6.Blocked = barred || !c.subnets[t.Subnet].CIDR6.IsValid() || c.gates[gateSix+string(t.Subnet)].shut(now, n)
	return e
}

// coming adds what calls under way, and those whose outcome nobody knows, may have got for an interface (protocol r6).
func (n *node) coming(id ipam.ENIID, e *ipam.NodeENI) {
	add := func(call Call) {
		if call.ENI != id {
			return
		}
		switch call.Action {
		case Assign:
			e.Listed += call.Count
			e.Delegated = append(e.Delegated, make([]ipam.PrefixSummary, call.Prefixes)...)
		case Assign6:
			e.IPv6.Prefixes = append(e.IPv6.Prefixes, make([]ipam.PrefixSummary, call.Prefixes6)...)
		}
	}
	if n.inflight != nil {
		add(*n.inflight)
	}
	if d, ok := n.unknown[id]; ok {
		add(d.call)
	}
}

// stock is the prefixes of an interface as EC2 lists them, each with what the node says of it, if it names it.
func (t *tracked) stock(s *ipam.ENISummary, f ipam.Family) []ipam.PrefixSummary {
	var all []ipam.PrefixSummary
	for _, prefix := range t.prefixes(f) {
		p := ipam.PrefixSummary{Prefix: prefix}
		if s != nil && s.Attachment == t.Attachment {
			if i := slices.IndexFunc(s.Prefixes, func(p ipam.PrefixSummary) bool { return p.Prefix == prefix }); i >= 0 {
				p = s.Prefixes[i]
			}
		}
		all = append(all, p)
	}
	return all
}

// both are the addresses in both lists, in the order of the first.
func both(listed, fenced []netip.Addr) []netip.Addr {
	var found []netip.Addr
	for _, a := range listed {
		if slices.Contains(fenced, a) {
			found = append(found, a)
		}
	}
	return found
}

// draining says whether the node has been asked for all of an interface and has not answered yet.
func (n *node) draining(id ipam.ENIID) bool {
	return n.wish != nil && n.wish.ENI == id && n.wish.Whole
}

// seen says whether the node has accepted the newest supply.
func (n *node) seen() bool {
	p := n.published
	return p != nil && n.snap != nil && !n.snap.Seen.Less(ipam.Seen{Epoch: p.Epoch, Rev: p.Rev})
}

// budget is how many addresses of a pool may be wished back now (protocol B4 and the rule against flapping): none for a
// window after the pool grew, or after we took the lead, and no more than atOnce of the node in any window.
func (c *Core) budget(now Now, n *node, p Pool) int {
	grew, ok := n.grewAt[p.Name]
	if !ok || grew < n.ledAt {
		grew = n.ledAt
	}
	if now.At-grew < p.Window || n.wish != nil {
		return 0
	}
	longest := time.Duration(0)
	for _, q := range c.cfg.Pools {
		longest = max(longest, q.Window)
	}
	n.releases = slices.DeleteFunc(n.releases, func(r release) bool { return now.At-r.at >= longest })
	left := p.Target.AtOnce
	for _, r := range n.releases {
		if now.At-r.at < p.Window {
			left -= r.count
		}
	}
	return max(left, 0)
}
