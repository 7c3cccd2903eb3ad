package reconcile

import (
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// patience is how long a call may wait for its turn before it is planned anew.
const patience = 30 * time.Second

// consider plans for one node and starts the first call of the plan that may be made now.
func (c *Core) consider(now Now, n *node) {
	if !n.listed {
		if n.want == never {
			n.wantList(now, 0)
		}
		return
	}
	if n.snap == nil || n.gone {
		c.bury(now, n)
		return
	}
	c.isFirst(n) // judged by what EC2 shows before our first call, however late the first supply is
	var wish *ipam.Action
	limits, known := c.limits[n.row.Type]
	ending := n.row.State == "shutting-down" // it gives everything back by ending
	if known && !ending && n.missing == never {
		v := c.view(now, n, limits)
		plan := ipam.Plan(v, limits)
		for i, a := range plan {
			if a.Kind == ipam.ActWish {
				wish = &plan[i]
			}
		}
		started := c.act(now, n, v, plan, limits)
		c.explain(now, n, v, limits)
		if n.inflight == nil && !started && len(plan) > 0 {
			n.idle++
			n.lookBy(now.At + backoff(n.idle, time.Second, 10*time.Second))
		}
	}
	c.explainInstance(now, n, known)
	c.supply(now, n, limits, wish)
	c.doubt(now, n)
}

// act starts the first action of a plan that may be started: one call per node at a time (protocol r1).
func (c *Core) act(now Now, n *node, v ipam.Node, plan []ipam.Action, l ipam.Limits) bool {
	if n.inflight != nil {
		return false
	}
	if now.At < n.retryAt {
		n.lookBy(n.retryAt)
		return false
	}
	for _, a := range plan {
		if call, ok := c.call(now, n, v, a, l); ok {
			c.start(now, n, call)
			return true
		}
	}
	if call, ok := c.own6(now, n, v); ok {
		c.start(now, n, call)
		return true
	}
	return false
}

func (c *Core) start(now Now, n *node, call Call) {
	c.ids++
	call.ID, call.Instance = c.ids, n.id
	if c.cfg.DryRun {
		delete(n.creations, call.place())
		n.retryAt = now.At + c.cfg.Resync
		c.effects = append(c.effects, Effect{Would: &call})
		return
	}
	if m := c.marks[call.Subnet]; m != nil && call.Count > 0 {
		m.probe = n.id
	}
	c.probing(n, call)
	if call.Action == Create {
		cr := n.creations[call.place()]
		cr.call, cr.deadline, cr.absent = call, never, never
	}
	n.inflight, n.started = &call, now.At
	c.calls[call.ID] = n
	c.effects = append(c.effects, Effect{Call: &call})
}

// place is where on its instance a call's interface goes.
func (call Call) place() ipam.Slot { return ipam.Slot{Card: call.Card, Device: call.Device} }

// bar keeps a node from repeating what was refused to it alone.
type bar struct {
	until time.Duration
	fails int
}

// subject is what a refusal of a call bars: the action on its interface, or for its pool.
func (call Call) subject() string {
	if call.ENI != "" {
		return string(call.Action) + " " + string(call.ENI)
	}
	return string(call.Action) + " " + call.Pool
}

// barred says whether a call has to wait for what became of one like it.
func (n *node) barred(now Now, call Call) bool {
	for _, key := range []string{call.subject(), string(call.Action)} {
		if b, ok := n.bars[key]; ok && now.At < b.until {
			n.lookBy(b.until)
			return true
		}
	}
	return false
}

// call makes an EC2 call of an action, or says that it cannot be made now.
func (c *Core) call(now Now, n *node, v ipam.Node, a ipam.Action, l ipam.Limits) (Call, bool) {
	if d, wait := n.unknown[a.ENI]; wait && a.ENI != "" {
		n.wantList(now, max(d.after-now.At, 0))
		return Call{}, false
	}
	call := Call{ENI: a.ENI, Attachment: a.Attachment, Device: a.Device, Card: a.Card, Pool: a.Pool, NotAfter: now.At + patience}
	if t := n.enis[a.ENI]; t != nil {
		call.Subnet, call.Pool = t.Subnet, c.poolName(n, t)
		if t.missing != never {
			return Call{}, false
		}
	}
	call.Urgency = urgency(v, call.Pool)
	ok := true
	switch a.Kind {
	case ipam.ActAttach:
		call.Action = Attach
	case ipam.ActAssign:
		call, ok = c.assign(now, n, call, a)
	case ipam.ActCreate:
		call, ok = c.create(now, n, call, a, l)
	case ipam.ActUnassign, ipam.ActDetach:
		call, ok = c.giveBack(now, n, call, a)
	case ipam.ActDelete:
		call.Action, call.Urgency = Delete, ForTidy
	case ipam.ActBind:
		call.Action, call.Urgency = Bind, ForTidy
	case ipam.ActRegroup:
		call.Action, call.Urgency, call.Groups = Bind, ForTidy, a.Groups
	default:
		return Call{}, false
	}
	return call, ok && !n.barred(now, call) && c.pass(now, n, call) && n.rests(now, call)
}

// urgency of what a pool needs.
func urgency(v ipam.Node, pool string) Urgency {
	for _, q := range v.Pools {
		if q.Name == pool && q.Pods() > 0 {
			return ForWaiting
		}
	}
	return ForWarm
}

// assign fills an Assign. Nothing of IPv6 is delegated to an interface without an IPv6 address of its own: the node has no
// way out for it.
func (c *Core) assign(now Now, n *node, call Call, a ipam.Action) (Call, bool) {
	t := n.enis[a.ENI]
	if t == nil {
		return call, false
	}
	if until := c.ledSince + LeaseTTL + Deadline; now.At < until && n.bare(t) {
		n.lookBy(until)
		return call, false
	}
	switch {
	case a.Prefixes6 > 0 && !t.Primary6.IsValid():
		call.Action, call.Addrs6 = Assign6, 1
	case a.Prefixes6 > 0:
		call.Action, call.Prefixes6 = Assign6, a.Prefixes6
	case a.Prefixes > 0:
		call.Action, call.Prefixes = Assign, a.Prefixes
	default:
		most, ok := c.open(now, n, call.Subnet)
		call.Action, call.Count = Assign, min(a.Count, most)
		return call, ok && call.Count > 0
	}
	return call, true
}

// bare says whether an attached interface has nothing but what is fenced, so that the leader before us may be about to
// detach it: a call that he began in time ends within D. Not one that we attached ourselves.
func (n *node) bare(t *tracked) bool {
	s := n.summary(t.ID)
	if t.primary() || s == nil || s.Attachment != t.Attachment {
		return false
	}
	ours := func(o overlay) bool { return o.action == Attach && o.attachment == t.Attachment }
	return within(t.usable(), s.Fenced) && within(t.Prefixes, s.FencedPrefixes()) && !slices.ContainsFunc(n.overlay, ours)
}

// own6 gives an interface that has IPv6 prefixes, from a launch template maybe, the address of its own that it lacks.
func (c *Core) own6(now Now, n *node, v ipam.Node) (Call, bool) {
	for _, e := range v.ENIs {
		t := n.enis[e.ENI]
		if t == nil || e.State != ipam.ENIUsed || !e.PodsOK || !v.Grow || t.Primary6.IsValid() || len(t.prefixes(ipam.IPv6)) == 0 {
			continue
		}
		call, ok := c.call(now, n, v, ipam.Action{Kind: ipam.ActAssign, ENI: e.ENI, Prefixes6: 1}, ipam.Limits{})
		if ok {
			return call, true
		}
	}
	return Call{}, false
}

// giveBack fills a call of a release. It goes only within a round (see rests): the node's snapshot was read, then the list
// begun, both within L (protocol A4: whoever holds an older fence is dead before the address can come back).
func (c *Core) giveBack(now Now, n *node, call Call, a ipam.Action) (Call, bool) {
	call.Action, call.Addresses, call.Give = Unassign, a.Addresses, a.Give
	switch {
	case a.Kind == ipam.ActDetach:
		call.Action, call.Addresses, call.Give = Detach, nil, nil
	case len(a.Give) > 0 && a.Give[0].Addr().Is6():
		call.Action = Unassign6
	}
	if call.Urgency == ForWarm {
		call.Urgency = ForTidy
	}
	if !n.fencedAll(call) {
		return Call{}, false
	}
	call.NotAfter = n.readBegun + LeaseTTL
	return call, true
}

// fencedAll says whether the node's newest word calls fenced all that a call takes away, and EC2 has the interface on the
// node (protocol r2). It looks again at what the plan should have seen to: no other rule stands between a mistake there
// and a pod's address.
func (n *node) fencedAll(call Call) bool {
	t, s := n.enis[call.ENI], n.summary(call.ENI)
	if t == nil || s == nil || t.Instance != n.id || s.Attachment != t.Attachment {
		return false
	}
	if call.Action == Detach && (t.primary() || t.shared()) {
		return false
	}
	singles, prefixes := call.Addresses, call.Give
	if call.Action == Detach {
		singles, prefixes = t.usable(), t.Prefixes
		if s.Free+s.Pending+s.Leased+s.Cooling+s.IPv6.Free+s.IPv6.Pending+s.IPv6.Leased+s.IPv6.Cooling > 0 {
			return false
		}
	}
	return within(singles, s.Fenced) && within(prefixes, s.FencedPrefixes())
}

// within says whether all of some are among others.
func within[T comparable](some, others []T) bool {
	has := make(map[T]bool, len(others))
	for _, x := range others {
		has[x] = true
	}
	for _, x := range some {
		if !has[x] {
			return false
		}
	}
	return true
}

// rests says whether the node's last round is young enough for a call, and asks for another if it is not. Only what pods
// wait for may rest on old words: while EC2's lists fail, a human may have taken over an interface that we are about to
// take from, to change or to delete.
func (n *node) rests(now Now, call Call) bool {
	switch call.Action {
	case Create, Attach, Assign, Assign6:
		return true
	}
	if n.fresh(now) {
		return true
	}
	if n.want == never {
		n.wantList(now, backoff(n.wantFails, relist, time.Minute))
		n.wantFails++
	}
	return false
}

// fresh says whether a round of the node is young enough for what must not rest on old words. A node that has a voice was
// heard in it.
func (n *node) fresh(now Now) bool {
	heard := n.snap == nil || n.gone || n.basis.Inc == n.snap.Inc
	return n.readBegun != never && now.At < n.readBegun+LeaseTTL/2 && heard
}

// bury deletes what a node without a voice has left behind: only what was given up, and is still ours.
func (c *Core) bury(now Now, n *node) {
	if n.inflight != nil || now.At < n.retryAt {
		return
	}
	for _, t := range n.sorted() {
		if !t.retired || !t.ours(n) || t.Instance != "" || t.missing != never {
			continue
		}
		call := Call{Action: Delete, ENI: t.ID, Urgency: ForTidy, NotAfter: now.At + patience}
		if !n.barred(now, call) && c.pass(now, n, call) && n.rests(now, call) {
			c.start(now, n, call)
			return
		}
	}
}
