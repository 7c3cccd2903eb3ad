package ipam

import "slices"

// Need is the arithmetic behind a plan: how many addresses of its leading family a pool should have on a node, and how
// many it has.
type Need struct {
	Want    int  // addresses it should have
	Supply  int  // addresses it has that pods can use, now or when calls in flight are done
	Demand  int  // waiting pods that could run
	Ceiling bool // Want was cut by the policy's maximum or by the pods that may run

	want6  int // IPv6 addresses beside the leading IPv4: what pods have and wait for
	bridge int // waiting pods that could run and want a delegated prefix of the primary interface
}

// Deficit is how many addresses are missing.
func (n Need) Deficit() int { return max(n.Want-n.Supply, 0) }

// NeedsOf adds up a node's pools, in the order of n.Pools. A pod counts once however many pools there are: what
// n.MaxPods leaves beside the pods that have addresses goes to pods that wait first, then to warm addresses, each in
// the configuration's order.
func NeedsOf(n Node, l Limits) []Need {
	left := n.podsLeft()
	take := func(count int) int {
		count = min(max(count, 0), left)
		left -= count
		return count
	}
	needs := make([]Need, len(n.Pools))
	for i, q := range n.Pools {
		need := &needs[i]
		if q.lead() == IPv6 {
			need.Demand = take(q.Waiting6)
		} else {
			need.Demand = take(q.Waiting)
			need.want6 = need.Demand + take(q.Waiting6)
		}
		if q.lead() == IPv6 || !q.Target.secondary() {
			need.bridge = take(q.WaitingPrefix)
		}
	}
	for _, i := range n.order() {
		q, need := n.Pools[i], &needs[i]
		leased, cooling := n.count(q, l, need)
		need.want(q, l, leased, cooling, take)
	}
	return needs
}

// Room is how many more addresses of its leading family pool i of n.Pools could get, as far as limits go: on its
// attached interfaces and on new ones, however full its subnets are and whatever its maximum is. It is 0 for a pool that
// must have prefixes on a type that has none.
func Room(n Node, i int, l Limits) int {
	q := &pool{NodePool: n.Pools[i]}
	q.Target.Maximum = 0
	p := planner{n: n, l: l}
	p.n.ENIs = slices.Clone(n.ENIs)
	places := 0
	for _, e := range n.ENIs {
		if e.serves(q.NodePool) {
			places += e.vacant(l, q.lead())
		}
	}
	for {
		slot, ok := p.newSlot(q)
		if !ok {
			return places * p.unit(q, false)
		}
		p.n.ENIs = append(p.n.ENIs, NodeENI{State: ENICreating, Pool: q.Name, Card: slot.Card, Device: slot.Device})
		places += l.places(q.lead())
	}
}

// count fills in what there is of a pool. What was made for it and finds its place taken, as by others, is nothing to
// count on.
func (n Node) count(q NodePool, l Limits, need *Need) (leased, cooling int) {
	_, fits := (&planner{n: n, l: l}).place(q.Target.cards(), false)
	for _, e := range n.ENIs {
		if !e.serves(q) || e.State == ENIOurs && !fits {
			continue
		}
		s := e.stock(q.lead())
		need.Supply += s.size()
		leased, cooling = leased+s.leased, cooling+s.cooling
		if q.dual() {
			six := e.stock(IPv6)
			need.want6 += six.leased + six.cooling
		}
		if need.bridge > 0 && e.Primary {
			need.Supply -= s.untouched() // for the bridge
		}
	}
	return leased, cooling
}

// want is the target. Cooling addresses come on top, since no pod can have one.
func (n *Need) want(q NodePool, l Limits, leased, cooling int, take func(int) int) {
	t, need := q.Target, leased+n.Demand
	want := need
	if q.Warm && !q.Scarce {
		want = max(need+t.Free(l), t.Minimum)
	}
	if t.Maximum > 0 && want > t.Maximum {
		want, n.Ceiling = max(t.Maximum, leased), true
	}
	if may := need + take(want-need); want > may {
		want, n.Ceiling = may, true
	}
	n.Want = want + cooling
	if most := t.most(n.Supply); t.Maximum > 0 && n.Want > most {
		n.Want, n.Ceiling = most, true
	}
}

// podsLeft is how many more pods could have addresses.
func (n Node) podsLeft() int {
	if n.MaxPods <= 0 {
		return mostSaid
	}
	left := min(n.MaxPods, mostSaid)
	for _, e := range n.ENIs {
		left -= max(e.stock(IPv4).leased, e.stock(IPv6).leased) // a pod with both counts once
	}
	return max(left, 0)
}

// order is in which order pools get what they miss: those that pods wait for first.
func (n Node) order() []int {
	var waiting, rest []int
	for i, q := range n.Pools {
		if q.Pods() > 0 {
			waiting = append(waiting, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(waiting, rest...)
}

// lead is the family in which q counts; dual says whether it has IPv6 beside that.
func (q NodePool) lead() Family { return Lead(q.Target.Families) }
func (q NodePool) dual() bool   { return q.lead() == IPv4 && q.has(IPv6) }

// has says whether q's pods may have addresses of a family.
func (q NodePool) has(f Family) bool {
	if len(q.Target.Families) == 0 {
		return f == IPv4
	}
	return slices.Contains(q.Target.Families, f)
}

// serves says whether the addresses of e serve q's pods, now or soon.
func (e NodeENI) serves(q NodePool) bool {
	switch e.State {
	case ENIUsed, ENICreating, ENIOurs, ENILost:
		return e.Pool == q.Name && e.PodsOK && !e.Excluded
	}
	return false
}
