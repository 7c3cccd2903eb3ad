package ipam

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// world is EC2 and a node's agent as far as a plan meets them: every address by what became of it. It refuses what
// either would, and fails the test where a plan would harm a pod.
type world struct {
	t       testing.TB
	l       Limits
	maxPods int
	pools   []*worldPool
	enis    []*worldENI
	lives   int      // of interfaces
	broke   bool     // there was no budget when the plan was made
	spent   bool     // part of the budget is gone, or the node grew: nothing more in this window
	log     []string // plans so far
}

// worldPool is a pool and its pods' demand.
type worldPool struct {
	NodePool
	gave   bool  // something of it was wished back
	floors []int // of a window, if not that of now counts
}

// pod has addresses of the families it wants on one interface.
type pod struct{ want4, want6 bool }

// worldENI is a network interface; lots[0] are its single addresses.
type worldENI struct {
	NodeENI
	singles lot
	lots    []*lot // prefixes of both families
	groups  bool   // has other security groups than it should
}

// lot is a number of addresses that come and go together, or one by one if they are singles.
type lot struct {
	prefix                        netip.Prefix
	free, leased, cooling, fenced int
	bridged                       bool // its free addresses are its bridge's
}

func (o *lot) family() Family {
	if o.prefix.IsValid() && o.prefix.Addr().Is6() {
		return IPv6
	}
	return IPv4
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for i, line := range w.log {
		w.t.Logf("%d: %s", i, line)
	}
	w.t.Fatalf(format+"\n%s", append(args, show(w.node()))...)
}

// node is the world as a plan sees it.
func (w *world) node() Node {
	n := Node{MaxPods: w.maxPods, Grow: true, MinAge: 10 * time.Minute}
	if !w.spent {
		n.Budget = MostAtOnce
	}
	for _, e := range w.enis {
		x := e.NodeENI
		x.Listed = e.singles.free + e.singles.leased + e.singles.cooling + e.singles.fenced
		x.Fenced = addrs(1000*e.Card+60*e.Device, e.singles.fenced)
		x.Free, x.Single, x.Leased, x.Cooling = e.singles.free, e.singles.free, e.singles.leased, e.singles.cooling
		x.Delegated, x.IPv6.Prefixes, x.IPv6.Free, x.IPv6.Leased, x.IPv6.Cooling = nil, nil, 0, 0, 0
		x.Kept, x.IPv6.Kept = 0, 0
		for _, o := range e.lots {
			s, bridged := PrefixSummary{Prefix: o.prefix, Fenced: o.fenced > 0}, 0
			switch {
			case o.bridged:
				bridged = o.free
			case o.free == PrefixSize(o.prefix):
				s.Free = o.free
			}
			if o.family() == IPv6 {
				x.IPv6.Prefixes = append(x.IPv6.Prefixes, s)
				x.IPv6.Free, x.IPv6.Leased, x.IPv6.Cooling = x.IPv6.Free+o.free, x.IPv6.Leased+o.leased, x.IPv6.Cooling+o.cooling
				x.IPv6.Kept += bridged
				continue
			}
			x.Delegated = append(x.Delegated, s)
			x.Free, x.Leased, x.Cooling = x.Free+o.free, x.Leased+o.leased, x.Cooling+o.cooling
			x.Kept += bridged
		}
		nameLast(x.Delegated)
		nameLast(x.IPv6.Prefixes)
		if e.groups {
			x.Regroup = []string{"sg"}
		}
		n.ENIs = append(n.ENIs, x)
	}
	for _, q := range w.pools {
		x := q.NodePool
		if x.Floor = floor(n, x); len(q.floors) > 0 {
			x.Floor = slices.Min(q.floors)
		}
		if !w.spent {
			x.Budget = x.Target.AtOnce
		}
		n.Pools = append(n.Pools, x)
	}
	return n
}

// floor is what is free beyond what waits.
func floor(n Node, q NodePool) int {
	floor := -q.Waiting
	if q.lead() == IPv6 {
		floor = -q.Waiting6
	}
	for _, e := range n.ENIs {
		if e.serves(q) && e.State == ENIUsed {
			floor += e.stock(q.lead()).free - e.stock(q.lead()).kept
		}
	}
	return floor
}

// lease gives waiting pods what is free, as the agent's rank has it: in order of slots.
func (w *world) lease() {
	for _, q := range w.pools {
		for w.running() < w.most() && q.Waiting > 0 && w.run(q, pod{want4: true, want6: q.dual()}) {
			q.Waiting--
		}
		for w.running() < w.most() && q.Waiting6 > 0 && w.run(q, pod{want6: true}) {
			q.Waiting6--
		}
		for w.running() < w.most() && q.WaitingPrefix > 0 && w.bridge(q) {
			q.WaitingPrefix--
		}
	}
}

// bridge leases an address of each family out of a prefix of the primary interface that becomes a bridge's subnet.
func (w *world) bridge(q *worldPool) bool {
	var got []*lot
	for _, e := range w.enis {
		for _, f := range []Family{IPv4, IPv6} {
			i := slices.IndexFunc(e.lots, func(o *lot) bool {
				return o.family() == f && o.fenced == 0 && !o.bridged && o.free == PrefixSize(o.prefix)
			})
			if e.Primary && e.State == ENIUsed && e.serves(q.NodePool) && q.has(f) && i >= 0 {
				got = append(got, e.lots[i])
			}
		}
	}
	if len(got) == 0 || len(got) < len(q.Target.Families) {
		return false
	}
	q.gave = false
	for _, o := range got {
		o.bridged, o.free, o.leased = true, o.free-1, 1
	}
	return true
}

func (w *world) most() int {
	if w.maxPods == 0 {
		return 1 << 20
	}
	return w.maxPods
}

func (w *world) running() int {
	count := 0
	for _, e := range w.node().ENIs {
		count += max(e.Leased, e.IPv6.Leased)
	}
	return count
}

// run leases one address of each family on one interface.
func (w *world) run(q *worldPool, p pod) bool {
	for _, e := range w.enis {
		if e.State != ENIUsed || !e.serves(q.NodePool) {
			continue
		}
		four, six := e.pick(IPv4), e.pick(IPv6)
		if p.want4 && four == nil || p.want6 && six == nil && w.l.Prefixes {
			continue
		}
		if p.want4 {
			four.free, four.leased = four.free-1, four.leased+1
		}
		if p.want6 && six != nil {
			six.free, six.leased = six.free-1, six.leased+1
		}
		q.gave = false // the load is another now
		return true
	}
	return false
}

// pick is the lot to lease from: the prefix with most leases first.
func (e *worldENI) pick(f Family) *lot {
	var best *lot
	for _, o := range append(e.lots, &e.singles) {
		if o.family() == f && o.free > 0 && o.fenced == 0 && !o.bridged && (best == nil || o.leased > best.leased) {
			best = o
		}
	}
	if best == nil && f == IPv4 && e.singles.free > 0 {
		return &e.singles
	}
	return best
}

// window passes: what cooled is free, nothing was needed that is free now, the budget is there again.
func (w *world) window() {
	w.spent = false
	for _, e := range w.enis {
		e.Age += 10 * time.Minute
		for _, o := range append(e.lots, &e.singles) {
			o.free, o.cooling = o.free+o.cooling, 0
		}
	}
}
