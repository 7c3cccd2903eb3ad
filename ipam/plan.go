package ipam

import (
	"cmp"
	"slices"
)

// Plan says what to do about a node, the most urgent first. It looks at nothing but its arguments, and once its
// plan is carried out it has no other. What it holds to:
//
//   - Each pool gets what NeedsOf says that it misses in one step: pools that pods wait for first, and within a pool
//     the places that cost the fewest calls and fill interfaces in order, so that others stay empty (see grow.go).
//   - A node has never more network interfaces than its type, its network cards and its pools allow, counted in every
//     state but deleted (protocol B1).
//   - Nothing is taken from a node, only wished for; what is unassigned or detached, the node has fenced (protocol A4).
//     At most one wish at a time, and only for what nobody needed for a window (see giveback.go).
//   - Nothing is assigned where anything is fenced (protocol r7).
func Plan(n Node, l Limits) []Action {
	n.ENIs = slices.Clone(n.ENIs)
	slices.SortStableFunc(n.ENIs, func(a, b NodeENI) int {
		return cmp.Or(a.slot().Compare(b.slot()), cmp.Compare(a.ENI, b.ENI))
	})
	p := planner{n: n, l: l}
	for i, need := range NeedsOf(n, l) {
		p.pools = append(p.pools, &pool{NodePool: n.Pools[i], Need: need})
	}
	p.resume()
	for _, i := range n.order() {
		q, before := p.pools[i], len(p.actions)
		q.short = p.missing(q)
		p.grow(q)
		q.grows = len(p.actions) > before
	}
	p.giveBack()
	p.tidy()
	p.wish()
	return p.actions
}

// planner holds a plan in the making. What is planned stands in n at once, as if it were done, so that nothing counts on
// the same place twice.
type planner struct {
	n       Node
	l       Limits
	pools   []*pool // in the configuration's order
	actions []Action
}

// pool is one pool in the making of a plan.
type pool struct {
	NodePool
	Need
	short int  // addresses that it missed before the plan
	grows bool // the plan has something for it
}

func (p *planner) do(a Action) { p.actions = append(p.actions, a) }

// poolOf is whose e is; nil where that pool is not the node's any more.
func (p *planner) poolOf(e NodeENI) *pool {
	for _, q := range p.pools {
		if q.Name == e.Pool {
			return q
		}
	}
	return nil
}

// tidy sees to what nobody waits for: security groups, and that interfaces end with their instance.
func (p *planner) tidy() {
	for _, e := range p.n.ENIs {
		if e.Primary { // its groups are its owner's, and it ends with its instance as its owner wanted
			continue
		}
		switch e.State {
		case ENIUsed, ENIOurs, ENILost:
			if len(e.Regroup) > 0 {
				p.do(Action{Kind: ActRegroup, ENI: e.ENI, Groups: e.Regroup})
			}
		}
		if e.attached() && e.Unbound {
			p.do(Action{Kind: ActBind, ENI: e.ENI, Attachment: e.Attachment})
		}
	}
}

// planned stands for the attachment that a plan's Attach will make.
const planned AttachmentID = "planned"

// inUse says whether e is on its node and in use, drained whether all of it was wished for, too.
func (e NodeENI) inUse() bool    { return e.State == ENIUsed && e.Attachment != planned }
func (e NodeENI) attached() bool { return e.inUse() || e.State == ENIDraining }

// Spent says whether nothing on e is of use to the node any more: all that EC2 lists is fenced, and the node says that
// it holds nothing else there.
func (e NodeENI) Spent() bool {
	if !e.Named || len(e.Fenced) != e.Listed {
		return false
	}
	for _, f := range []Family{IPv4, IPv6} {
		if s := e.stock(f); s.free+s.leased+s.cooling > 0 || len(s.fenced()) != len(s.prefixes) {
			return false
		}
	}
	return true
}

// fences says whether anything on e is fenced.
func (e NodeENI) fences() bool {
	return len(e.Fenced) > 0 || len(e.stock(IPv4).fenced())+len(e.stock(IPv6).fenced()) > 0
}
