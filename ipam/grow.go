package ipam

import (
	"math"
	"slices"
)

// resume goes on with what was begun: an interface that others took away while pods live on it is attached again, and a
// Create without an answer is made again with its token. Neither depends on what is needed now.
func (p *planner) resume() {
	for i := range p.n.ENIs {
		if e := &p.n.ENIs[i]; e.State == ENILost {
			p.attach(e, []int{e.Card})
		}
	}
	for _, e := range p.n.ENIs {
		if e.State == ENICreating && e.ENI == "" && p.n.Grow {
			p.do(Action{Kind: ActCreate, Pool: e.Pool, Card: e.Card, Device: e.Device, Count: e.Listed,
				Prefixes: len(e.Delegated), Prefixes6: len(e.IPv6.Prefixes)})
		}
	}
}

// grow asks for what a pool misses: interfaces that were made for it, free places on attached ones, new ones.
func (p *planner) grow(q *pool) {
	if !p.n.Grow {
		return
	}
	p.attachOurs(q)
	p.bridge(q)
	p.assign(q)
	p.accompany(q)
	p.create(q)
}

// have is what a pool has of a family, with what is planned so far; not what was made for it and is not attached.
func (p *planner) have(q *pool, f Family) int {
	have := 0
	for _, e := range p.n.ENIs {
		if e.serves(q.NodePool) && e.State != ENIOurs {
			have += e.stock(f).size()
			if e.Primary && f == q.lead() && q.Need.bridge > 0 {
				have -= e.stock(f).untouched()
			}
		}
	}
	return have
}

// missing is what is still to be asked for, in addresses of the leading family.
func (p *planner) missing(q *pool) int { return max(q.Want-p.have(q, q.lead()), 0) }

// missing6 is how many IPv6 addresses a dual-stack pool misses on the node.
func (p *planner) missing6(q *pool) int {
	if !q.dual() || !p.l.Prefixes {
		return 0
	}
	return max(q.want6-p.have(q, IPv6), 0)
}

// left is how many addresses the pool's maximum leaves.
func (p *planner) left(q *pool) int {
	if q.Target.Maximum == 0 {
		return math.MaxInt
	}
	return max(q.Target.Maximum-p.have(q, q.lead()), 0)
}

// attachOurs attaches what was made for a pool as far as that misses it.
func (p *planner) attachOurs(q *pool) {
	for i := range p.n.ENIs {
		e := &p.n.ENIs[i]
		if e.State == ENIOurs && e.serves(q.NodePool) && p.missing(q)+p.missing6(q) > 0 {
			p.attach(e, q.Target.cards())
		}
	}
}

// attach attaches e where it was made for, or on the first of the cards that has room.
func (p *planner) attach(e *NodeENI, cards []int) {
	to := e.slot()
	if e.Device == 0 || p.taken(to, false) || p.on(to.Card, false) >= p.l.OnCard(to.Card) {
		var ok bool
		if to, ok = p.place(cards, false); !ok {
			return
		}
	}
	p.do(Action{Kind: ActAttach, ENI: e.ENI, Card: to.Card, Device: to.Device})
	e.State, e.Card, e.Device, e.Attachment = ENIUsed, to.Card, to.Device, planned
}

// bridge gives pods that wait for a prefix of the primary interface one that no pod has touched, and with it what else
// the pool misses. There is none for a pool of single addresses.
func (p *planner) bridge(q *pool) {
	i := slices.IndexFunc(p.n.ENIs, func(e NodeENI) bool { return e.Primary && e.serves(q.NodePool) })
	if q.Need.bridge == 0 || i < 0 {
		return
	}
	e := &p.n.ENIs[i]
	for _, f := range []Family{IPv4, IPv6} {
		places := p.places(e, f)
		if !q.has(f) || e.stock(f).untouched() > 0 || places == 0 {
			continue
		}
		unit, count := worth(f), 1
		if f == IPv4 {
			if unit = q.Target.unit(p.l, e.NoPrefixes, p.left(q)); unit != PrefixSlots {
				continue
			}
		}
		if f == q.lead() {
			count = min(1+ceil(p.missing(q), unit), places, max(p.left(q)/unit, 1))
		}
		p.assignTo(e, f, count, unit)
	}
}

// assign asks for what is missing on attached interfaces that have room: on one of them if one has enough, so that one
// call does; else on all in turn, the primary one first.
func (p *planner) assign(q *pool) {
	for i := range p.n.ENIs {
		if e := &p.n.ENIs[i]; e.serves(q.NodePool) && p.room(q, e) >= p.missing(q) {
			p.ask(q, e)
		}
	}
	for i := range p.n.ENIs {
		if e := &p.n.ENIs[i]; e.serves(q.NodePool) {
			p.ask(q, e)
		}
	}
}

// room is how many addresses of the leading family q could ask for on e.
func (p *planner) room(q *pool, e *NodeENI) int {
	return p.places(e, q.lead()) * p.unit(q, e.NoPrefixes)
}

// unit is how many addresses of the leading family one place gives.
func (p *planner) unit(q *pool, noPrefixes bool) int {
	if q.lead() == IPv6 {
		return worth(IPv6)
	}
	return q.Target.unit(p.l, noPrefixes, p.left(q))
}

// ask asks for what q misses on e, as far as that has room: prefixes, and single addresses where those do not fit.
func (p *planner) ask(q *pool, e *NodeENI) {
	for p.missing(q) > 0 {
		unit := p.unit(q, e.NoPrefixes)
		count := p.parcel(q, unit, p.places(e, q.lead()))
		if count == 0 {
			return
		}
		p.assignTo(e, q.lead(), count, unit)
	}
}

// parcel is how many places of unit addresses each q takes of so many: what it misses, rounded up, but not above its
// maximum where that can be kept.
func (p *planner) parcel(q *pool, unit, places int) int {
	if unit == 0 {
		return 0
	}
	count := min(ceil(p.missing(q), unit), places)
	if q.lead() == IPv4 {
		count = min(count, p.left(q)/unit)
	}
	return count
}

// places is how many places for addresses or prefixes of a family may be asked for on e: none while it has anything
// fenced, since an Unassign under way could meet the same address again (protocol r7).
func (p *planner) places(e *NodeENI, f Family) int {
	if e.fences() || f == IPv4 && e.Blocked || f == IPv6 && e.IPv6.Blocked {
		return 0
	}
	return e.vacant(p.l, f)
}

// assignTo plans one Assign.
func (p *planner) assignTo(e *NodeENI, f Family, count, unit int) {
	a := Action{Kind: ActAssign, ENI: e.ENI}
	coming := slices.Repeat([]PrefixSummary{{}}, count)
	switch {
	case f == IPv6:
		a.Prefixes6, e.IPv6.Prefixes = count, slices.Concat(e.IPv6.Prefixes, coming)
	case unit == PrefixSlots:
		a.Prefixes, e.Delegated = count, slices.Concat(e.Delegated, coming)
	default:
		a.Count, e.Listed = count, e.Listed+count
	}
	p.do(a)
}

// accompany sees that the interfaces of a dual-stack pool have an IPv6 address for each IPv4 one, and that pods that
// want IPv6 alone have theirs.
func (p *planner) accompany(q *pool) {
	if !q.dual() {
		return
	}
	for i := range p.n.ENIs {
		e := &p.n.ENIs[i]
		if !e.serves(q.NodePool) {
			continue
		}
		if count := min(p.beside(e.stock(IPv4).size(), e.stock(IPv6)), p.places(e, IPv6)); count > 0 {
			p.assignTo(e, IPv6, count, worth(IPv6))
		}
	}
	for i := range p.n.ENIs {
		e := &p.n.ENIs[i]
		if count := min(ceil(p.missing6(q), worth(IPv6)), p.places(e, IPv6)); count > 0 && e.serves(q.NodePool) {
			p.assignTo(e, IPv6, count, worth(IPv6))
		}
	}
}

// beside is how many IPv6 prefixes are missing beside so many IPv4 addresses on an interface, of which the node's pods
// can use no more than it may have.
func (p *planner) beside(size int, s stock) int {
	if p.n.MaxPods > 0 {
		size = min(size, p.n.MaxPods)
	}
	return ceil(size-s.size(), worth(IPv6))
}

// create makes new interfaces with their addresses in the call, as many as are needed and allowed.
func (p *planner) create(q *pool) {
	for !q.Blocked {
		slot, ok := p.newSlot(q)
		if !ok {
			return
		}
		e := NodeENI{State: ENICreating, Pool: q.Name, PodsOK: true, Card: slot.Card, Device: slot.Device}
		unit := p.unit(q, q.NoPrefixes)
		count, prefixes6 := p.parcel(q, unit, p.l.places(q.lead())), 0
		switch six := p.may6(q); {
		case q.lead() == IPv6 && !six:
			return
		case q.lead() == IPv6:
			prefixes6 = count
		case q.dual() && !q.NoIPv6:
			prefixes6 = p.beside(count*unit, stock{family: IPv6})
			if six {
				prefixes6 = max(prefixes6, ceil(p.missing6(q), worth(IPv6)))
			}
			prefixes6 = min(prefixes6, p.l.places(IPv6))
		}
		if count+prefixes6 == 0 {
			return
		}
		a := Action{Kind: ActCreate, Pool: q.Name, Card: slot.Card, Device: slot.Device, Prefixes6: prefixes6}
		e.IPv6.Prefixes = make([]PrefixSummary, prefixes6)
		switch unit {
		case 1:
			a.Count, e.Listed = count, count
		case PrefixSlots:
			a.Prefixes, e.Delegated = count, make([]PrefixSummary, count)
		}
		p.do(a)
		p.n.ENIs = append(p.n.ENIs, e)
		if count < p.l.places(q.lead()) {
			return // what is still missing, as under a maximum, has a place there
		}
	}
}

// may6 says whether an interface can be made for the sake of IPv6: none that was made before waits for its first prefix,
// as it does where EC2 refuses those.
func (p *planner) may6(q *pool) bool {
	return !q.NoIPv6 && !slices.ContainsFunc(p.n.ENIs, func(e NodeENI) bool {
		return e.serves(q.NodePool) && !e.Primary && len(e.IPv6.Prefixes) == 0
	})
}

// ceil is count in units, rounded up; 0 of nothing.
func ceil(count, unit int) int { return (max(count, 0) + unit - 1) / unit }
