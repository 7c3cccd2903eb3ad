package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// giveBack ends what the node has given up. An interface that is spent but could serve again is emptied, not detached.
func (p *planner) giveBack() {
	for _, e := range p.n.ENIs {
		switch {
		case e.State == ENIRetired:
			p.do(Action{Kind: ActDelete, ENI: e.ENI})
		case !e.attached():
		case e.Spent() && e.removable() && e.Attachment != "" && e.Age >= p.terms(e).minAge && !p.missed(e):
			p.do(Action{Kind: ActDetach, ENI: e.ENI, Attachment: e.Attachment, Card: e.Card, Device: e.Device})
		default:
			p.unassign(e)
		}
	}
}

// removable says whether e can be taken off its instance: an address of it may be somebody else's.
func (e NodeENI) removable() bool { return !e.Primary && e.Taken == 0 }

// unassign gives back what is fenced on e: a call each for single addresses and the prefixes of either family.
func (p *planner) unassign(e NodeENI) {
	if len(e.Fenced) > 0 {
		p.do(Action{Kind: ActUnassign, ENI: e.ENI, Addresses: e.Fenced})
	}
	for _, f := range []Family{IPv4, IPv6} {
		var give []netip.Prefix
		for _, s := range e.stock(f).fenced() {
			give = append(give, s.Prefix)
		}
		if len(give) > 0 {
			p.do(Action{Kind: ActUnassign, ENI: e.ENI, Give: give})
		}
	}
}

// missed says whether a spent interface is needed again: its pool misses addresses, and may have them here.
func (p *planner) missed(e NodeENI) bool {
	q := p.poolOf(e)
	return q != nil && !e.Excluded && q.short > 0 && !p.over(e.Card)
}

// over says whether a network card has more interfaces than the type allows: the instance was of another type before.
func (p *planner) over(card int) bool {
	return p.l.Total() > 0 && p.on(card, true) > p.l.OnCard(card)
}

// wish asks the node to give something up, one thing at a time: one interface above a limit, or of no use, or what a
// pool did not need for a window.
func (p *planner) wish() {
	if p.busy() {
		return
	}
	if p.overLimit() || p.useless() {
		return
	}
	for _, q := range p.pools {
		if q.content() && (p.surplus(q) || p.surplus6(q)) {
			return
		}
	}
}

// content says whether a pool misses nothing. Nothing can be assigned where something is on its way out, so a pool gives
// only then.
func (q *pool) content() bool { return q.short == 0 && !q.grows }

// busy says whether an earlier wish is still on its way through the node and EC2.
func (p *planner) busy() bool {
	return slices.ContainsFunc(p.n.ENIs, func(e NodeENI) bool {
		return e.State == ENIDraining || e.State != ENIForeign && e.fences()
	})
}

// terms are what a release from an interface must keep to (protocol B4).
type terms struct {
	budget int           // addresses that may be wished back now
	atOnce int           // the whole budget, which a prefix or an interface costs
	minAge time.Duration // of an interface
}

func (p *planner) terms(e NodeENI) terms {
	if q := p.poolOf(e); q != nil {
		return terms{q.Budget, q.Target.AtOnce, q.MinAge}
	}
	return terms{p.n.Budget, MostAtOnce, p.n.MinAge}
}

// full says whether nothing has been spent of the budget.
func (t terms) full() bool { return t.budget > 0 && t.budget >= t.atOnce }

// drainable says whether all of e could be wished for: no pod has or lately had an address of it.
func (p *planner) drainable(e NodeENI) bool {
	return e.inUse() && e.removable() && e.Named && !e.Spent() && e.stock(IPv4).idle() && e.stock(IPv6).idle() &&
		e.Age >= p.terms(e).minAge && p.terms(e).full()
}

func (p *planner) drain(e NodeENI) bool {
	p.do(Action{Kind: ActWish, ENI: e.ENI, Whole: true, Count: e.Listed})
	return true
}

// overLimit drains the interface of the highest slot that can go from a card that has too many, needed or not.
func (p *planner) overLimit() bool {
	for _, e := range slices.Backward(p.n.ENIs) {
		if p.over(e.Card) && p.drainable(e) {
			return p.drain(e)
		}
	}
	return false
}

// useless asks for what no pod can use: on interfaces whose pool is not the node's any more, or whose subnet is none of
// its pool's, and in families that its pool has no more.
func (p *planner) useless() bool {
	for _, e := range p.byLeases() {
		q := p.poolOf(e)
		gone := q == nil || e.Excluded
		if !e.inUse() || !e.Named || e.Primary && !e.PodsOK && !(q != nil && e.Excluded) {
			continue // a primary that is no pool's is its owner's affair
		}
		if gone && p.drainable(e) {
			return p.drain(e)
		}
		if !gone && !q.content() {
			continue
		}
		for _, f := range []Family{IPv4, IPv6} {
			if (gone || !q.has(f)) && (p.wishSingles(e, f, MostAtOnce) || p.wishPrefix(e, f)) {
				return true
			}
		}
	}
	return false
}

// surplus asks for what a pool has above its target, and did not need at any instant of the window: an interface, or
// else a part of one. Single addresses go before prefixes where the pool wants those.
func (p *planner) surplus(q *pool) bool {
	keep, high := q.Target.Free(p.l), q.Target.High(p.l)
	if q.Scarce {
		keep, high = 0, 0
	}
	lead, spare := q.lead(), min(q.Floor-keep, p.have(q, q.lead())-q.Want) // what could go at most
	// A prefix left in ModeSecondary is not fetched again: it needs no distance from the target.
	left := q.Target.secondary() && lead == IPv4
	if q.Floor <= high && !left {
		return false
	}
	for _, e := range slices.Backward(p.n.ENIs) {
		fits := e.stock(lead).size() <= spare && (!q.dual() || p.have(q, IPv6)-e.stock(IPv6).size() >= q.want6)
		if q.Floor > high && e.serves(q.NodePool) && fits && p.drainable(e) {
			return p.drain(e)
		}
	}
	singles := func(e NodeENI) bool { return p.wishSingles(e, lead, min(spare, q.Floor-high)) }
	prefix := func(e NodeENI) bool {
		return spare >= worth(lead) && (!e.Primary || q.Need.bridge == 0) && p.wishPrefix(e, lead)
	}
	parts := []func(NodeENI) bool{singles, prefix}
	if q.Target.secondary() {
		slices.Reverse(parts)
	}
	for _, wished := range parts {
		for _, e := range p.byLeases() {
			if e.serves(q.NodePool) && e.inUse() && wished(e) {
				return true
			}
		}
	}
	return false
}

// surplus6 asks for an IPv6 prefix that an interface of a dual-stack pool has beyond its IPv4 addresses.
func (p *planner) surplus6(q *pool) bool {
	if !q.dual() || p.have(q, IPv6)-worth(IPv6) < q.want6 || q.Need.bridge > 0 {
		return false
	}
	for _, e := range p.byLeases() {
		less := e.stock(IPv6)
		less.kept += worth(IPv6) // as if it had one prefix less
		if e.serves(q.NodePool) && e.inUse() && p.beside(max(e.stock(IPv4).size(), 1), less) == 0 && p.wishPrefix(e, IPv6) {
			return true
		}
	}
	return false
}

// byLeases are the interfaces in the order in which they give: fewest leases first, then the highest slot, so that some
// interface gets empty.
func (p *planner) byLeases() []NodeENI {
	order := slices.Clone(p.n.ENIs)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b NodeENI) int {
		return cmp.Compare(a.Leased+a.IPv6.Leased, b.Leased+b.IPv6.Leased)
	})
	return order
}

// wishSingles asks for at most so many free single addresses of e.
func (p *planner) wishSingles(e NodeENI, f Family, most int) bool {
	s := e.stock(f)
	count := min(s.single, s.listed, most, p.terms(e).budget, MostAtOnce)
	if count <= 0 {
		return false
	}
	p.do(Action{Kind: ActWish, ENI: e.ENI, Count: count})
	return true
}

// wishPrefix asks for the last prefix of e that is wholly free.
func (p *planner) wishPrefix(e NodeENI, f Family) bool {
	if !p.terms(e).full() {
		return false
	}
	for _, s := range slices.Backward(e.stock(f).prefixes) {
		if s.allFree() {
			p.do(Action{Kind: ActWish, ENI: e.ENI, Give: []netip.Prefix{s.Prefix}})
			return true
		}
	}
	return false
}
