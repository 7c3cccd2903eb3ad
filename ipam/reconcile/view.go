package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// view puts together what EC2 lists, what is under way and what the node says, for a plan.
func (c *Core) view(now Now, n *node) ipam.Node {
	heard := now.At-n.heard < silence
	running := n.row.State == "running" || n.row.State == "pending"
	v := ipam.Node{
		MaxPods: max(n.snap.MaxPods, 0), Waiting: max(n.snap.Waiting, 0) + n.pods, Floor: n.snap.Floor,
		Grow: heard && running, Warm: !n.snap.Unschedulable && !c.scarce(now, n), MinAge: c.cfg.Pool.MinAge,
	}
	v.Scarce = c.pressed(now, n)
	for _, s := range n.snap.ENIs {
		for _, p := range s.Prefixes {
			v.Floor -= p.Kept // free, but not for the pods that wait for what a plan brings
		}
	}
	if v.Grow && !n.snap.Unschedulable {
		v.Budget = c.budget(now, n)
	}
	for _, t := range n.sorted() {
		if t.Instance == n.id && t.Card != 0 {
			v.Reserved = append(v.Reserved, t.Device)
			continue
		}
		if t.Instance == n.id && slot(t.ENI) != t.Device {
			v.Reserved = append(v.Reserved, slot(t.ENI)) // a Create for this slot would be taken for this one
		}
		v.ENIs = append(v.ENIs, c.viewENI(now, n, t))
	}
	for _, s := range n.slots() {
		v.ENIs = append(v.ENIs, ipam.NodeENI{State: ipam.ENICreating, Device: s, Listed: n.creations[s].call.Count, PodsOK: true})
	}
	id, _, _ := c.choose(now, n)
	for _, t := range n.enis {
		v.Blocked = v.Blocked || t.ghost
	}
	v.Blocked = v.Blocked || id == "" || n.incAt != never && now.At-n.incAt < Visibility
	return v
}

// slots are the device indexes with a Create that is not settled.
func (n *node) slots() []int {
	var slots []int
	for s := range n.creations {
		slots = append(slots, s)
	}
	slices.Sort(slots)
	return slots
}

func (c *Core) viewENI(now Now, n *node, t *tracked) ipam.NodeENI {
	e := ipam.NodeENI{
		ENI: t.ID, Attachment: t.Attachment, Device: t.Device, Primary: t.Instance != "" && t.Device == 0 && t.Card == 0,
		PodsOK: true, Listed: len(t.Addresses), Prefixes: len(t.Prefixes), Kept: t.Instance != "" && !t.Bound,
	}
	if t.Instance == "" {
		e.Device = slot(t.ENI)
	}
	if e.Primary {
		e.PodsOK = c.cfg.Pool.Target.UsePrimary
	}
	if call := n.inflight; call != nil && call.Action == Assign && call.ENI == t.ID {
		e.Listed += call.Count
	}
	if s := n.summary(t.ID); s != nil {
		e.Leased, e.Cooling, e.Free = s.Leased, s.Cooling, s.Free+s.Pending
		for _, p := range s.Prefixes {
			if p.Prefix.Addr().Is4() {
				e.Within += ipam.PrefixSize(p.Prefix) - p.Kept
			}
			e.WithinFree += p.Free
		}
		e.Age = s.Age + now.At - n.heard
		e.Named = s.Attachment == t.Attachment
		if e.Named {
			e.Fenced = both(t.Addresses, s.Fenced)
		}
	}
	e.State = c.state(now, n, t, e)
	_, ok := c.open(now, n, t.Subnet)
	e.Blocked = !ok || t.heldUp || t.missing != never
	return e
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

// state is where an interface stands in protocol A3.
func (c *Core) state(now Now, n *node, t *tracked, e ipam.NodeENI) ipam.ENIState {
	ours := t.Tags[TagCluster] == c.cfg.Cluster && t.Tags[TagNode] == string(n.id) && !noManage(t.ENI)
	switch {
	case t.ghost:
		return ipam.ENIOther
	case t.Instance != "":
		switch {
		case t.Detaching:
			return ipam.ENIOther
		case e.Primary && noManage(t.ENI), !e.Primary && !ours:
			return ipam.ENIForeign
		case n.draining(t.ID), e.Named && e.Listed > 0 && len(e.Fenced) == e.Listed && e.Free+e.Leased+e.Cooling == 0 && !e.Primary && e.Prefixes == 0:
			return ipam.ENIDraining
		}
		return ipam.ENIUsed
	case !ours || t.missing != never:
		return ipam.ENIOther
	}
	return c.unattached(now, n, t, e)
}

// unattached tells apart why an interface of ours is not attached: we gave it up, others took it away, or it never was.
func (c *Core) unattached(now Now, n *node, t *tracked, e ipam.NodeENI) ipam.ENIState {
	switch {
	case e.Leased+e.Cooling > 0:
		t.retired = false
		t.reattached = slices.DeleteFunc(t.reattached, func(at time.Duration) bool { return now.At-at > time.Hour })
		if len(t.reattached) >= reattaches {
			return ipam.ENIOther
		}
		return ipam.ENILost
	case t.retired:
		return ipam.ENIRetired
	case !t.named:
		return ipam.ENIOurs
	case n.begun-t.available >= Visibility && n.heard > t.available && !c.cfg.Orphans.Keep:
		t.retired = true // named without a lease by a snapshot newer than the loss: given up, by whoever led then
		return ipam.ENIRetired
	}
	return ipam.ENIOther
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

// budget is how many addresses may be wished back now (protocol B4 and the rule against flapping): none for a window
// after any growth, and no more than atOnce in any window.
func (c *Core) budget(now Now, n *node) int {
	window := c.cfg.Pool.Window
	n.releases = slices.DeleteFunc(n.releases, func(r release) bool { return now.At-r.at >= window })
	if now.At-n.grewAt < window || n.wish != nil {
		return 0
	}
	left := c.cfg.Pool.Target.AtOnce
	for _, r := range n.releases {
		left -= r.count
	}
	return max(left, 0)
}
