package ipam

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// typeNames are the types that random worlds are of.
func typeNames() []string {
	return []string{"t2.medium", "t3.small", "t3.medium", "m5.large", "m5.4xlarge", "p4d.24xlarge", "p5en.48xlarge"}
}

// randomWorld is any node, sensible or not.
func randomWorld(t testing.TB, r *rand.Rand) *world {
	w := &world{t: t, l: types(typeNames()[r.IntN(len(typeNames()))])}
	if r.IntN(2) == 0 {
		w.maxPods = 1 + r.IntN(60)
	}
	for i := range r.IntN(4) {
		w.pools = append(w.pools, randomPool(r, i))
	}
	slots := r.Perm(min(w.l.ENIs, 6) + 2)
	for i := range r.IntN(min(w.l.ENIs, 6) + 1) {
		s := Slot{Device: slots[i] + 1}
		if len(w.l.Cards) > 0 {
			s.Card = r.IntN(3)
		}
		if !slices.ContainsFunc(w.enis, func(e *worldENI) bool { return e.slot() == s }) {
			w.enis = append(w.enis, w.randomENI(r, s))
		}
	}
	w.enis = append(w.enis, w.randomENI(r, Slot{}))
	w.sort()
	return w
}

func randomPool(r *rand.Rand, i int) *worldPool {
	families := [][]Family{nil, {IPv4}, {IPv4, IPv6}, {IPv6}}
	q := NodePool{Name: fmt.Sprintf("pool-%d", i), Warm: r.IntN(8) > 0, Scarce: r.IntN(8) == 0, Blocked: r.IntN(8) == 0,
		NoPrefixes: r.IntN(4) == 0, NoIPv6: r.IntN(4) == 0, MinAge: 10 * time.Minute, Waiting: r.IntN(2) * r.IntN(30), Target: Target{
			UsePrimary: true, AtOnce: 1 + r.IntN(16), Mode: []Mode{ModeAuto, ModePrefix, ModeSecondary, ""}[r.IntN(4)],
			Families: families[r.IntN(4)],
		}}
	x := &q.Target
	switch r.IntN(4) {
	case 0:
		x.Warm = r.IntN(20)
	case 1:
		x.WarmENIs = r.IntN(3)
	case 2:
		x.WarmPrefixes = r.IntN(3)
	}
	if r.IntN(4) == 0 {
		x.Minimum = r.IntN(30)
	}
	if r.IntN(4) == 0 {
		x.Maximum = x.Minimum + r.IntN(40)
	}
	if r.IntN(3) == 0 {
		x.MaxENIs = 1 + r.IntN(5)
	}
	if r.IntN(3) == 0 {
		x.Cards = r.Perm(3)[:1+r.IntN(2)]
	}
	if q.has(IPv6) {
		q.Waiting6 = r.IntN(2) * r.IntN(30)
	}
	if q.lead() == IPv6 {
		q.Waiting = 0
	}
	if r.IntN(4) == 0 {
		q.WaitingPrefix = r.IntN(3)
	}
	return &worldPool{NodePool: q}
}

// randomENI is an interface in any state, with what that state allows.
func (w *world) randomENI(r *rand.Rand, s Slot) *worldENI {
	states := []ENIState{ENIUsed, ENIUsed, ENIUsed, ENIUsed, ENIDraining, ENIOurs, ENIRetired, ENIForeign, ENIOther, ENILost,
		ENICreating}
	e := &worldENI{groups: r.IntN(4) == 0, NodeENI: NodeENI{ENI: ENIID("eni-" + s.String()), Card: s.Card, Device: s.Device,
		State: states[r.IntN(len(states))], Primary: s == Slot{}, Pool: fmt.Sprintf("pool-%d", r.IntN(4)), Named: r.IntN(8) > 0,
		Age: time.Duration(r.IntN(20)) * time.Minute, Excluded: r.IntN(6) == 0, NoPrefixes: r.IntN(4) == 0, Unbound: r.IntN(2) == 0}}
	if e.Primary && e.State != ENIForeign {
		e.State = ENIUsed
	}
	e.Blocked, e.IPv6.Blocked, e.Taken = r.IntN(8) == 0, r.IntN(8) == 0, r.IntN(2)*r.IntN(3)
	e.PodsOK = w.pool(e.Pool) != nil && !e.Excluded && (!e.Primary || r.IntN(4) > 0)
	switch e.State {
	case ENIUsed, ENIDraining, ENIForeign:
		e.Attachment = AttachmentID("at-" + s.String())
	case ENICreating:
		e.ENI, e.Unbound, e.groups = "", false, false
	}
	slots := r.IntN(max(w.l.PerENI()-e.Taken, 0) + 1)
	if w.l.Prefixes {
		prefixes := r.IntN(min(slots, 3) + 1)
		if e.State == ENICreating && prefixes > 0 { // a call has one or the other
			slots, e.NoPrefixes = prefixes, false
		}
		for range prefixes {
			e.delegate(IPv4)
		}
		slots -= prefixes
		for range r.IntN(min(w.l.places(IPv6), 2) + 1) {
			e.delegate(IPv6)
		}
	}
	e.singles.free = min(slots, 10)
	for _, o := range append(e.lots, &e.singles) {
		w.fate(r, e, o)
	}
	return e
}

// fate makes something of addresses.
func (w *world) fate(r *rand.Rand, e *worldENI, o *lot) {
	take := func(most int) int {
		count := r.IntN(min(o.free, most) + 1)
		o.free -= count
		return count
	}
	switch e.State {
	case ENICreating, ENIOurs, ENIRetired, ENIForeign, ENIOther:
		return
	case ENIDraining:
		o.fenced, o.free = o.free, 0
		return
	}
	switch {
	case e.Primary && o.prefix.IsValid() && r.IntN(6) == 0:
		o.bridged, o.leased = true, 1+take(10)
		o.free--
	case r.IntN(2) == 0:
		o.leased, o.cooling = take(12), take(4)
		if w.maxPods > 0 && w.running() > w.maxPods {
			o.free, o.leased = o.free+o.leased, 0
		}
	case r.IntN(4) == 0 && e.State == ENIUsed && e.Named && o.prefix.IsValid():
		o.fenced, o.free = o.free, 0
	case r.IntN(4) == 0 && e.State == ENIUsed && e.Named && o == &e.singles:
		o.fenced = take(16)
	}
}

// TestPlanSettles carries out plans on random nodes: none does harm (the world sees to that), each comes to its end, and
// under a load that stays there is nothing to do after it (protocol L4, L5).
func TestPlanSettles(t *testing.T) {
	for seed := range uint64(4000) {
		settle(t, rand.New(rand.NewPCG(seed, 1)), fmt.Sprintf("seed %d", seed))
	}
}

// FuzzPlan is TestPlanSettles with chance from outside.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("a node"))
	f.Fuzz(func(t *testing.T, data []byte) {
		settle(t, rand.New(&given{data, rand.NewPCG(1, 2)}), "")
	})
}

// given is chance as long as there is any given, then pseudo-random.
type given struct {
	data []byte
	rest rand.Source
}

func (g *given) Uint64() uint64 {
	if len(g.data) == 0 {
		return g.rest.Uint64()
	}
	v := uint64(g.data[0]) * 0x0101010101010101
	g.data = g.data[1:]
	return v
}

func settle(t testing.TB, r *rand.Rand, name string) {
	t.Helper()
	w := randomWorld(t, r)
	w.log = append(w.log, name, show(w.node()))
	over := w.over() // then interfaces go whatever they are needed for
	quiet := 0
	for windows := 0; quiet < 2; windows++ {
		if windows == 300 {
			w.fail("no end of it")
		}
		quiet++
		for steps := 0; ; steps++ {
			w.lease()
			plan := w.plan()
			if len(plan) == 0 {
				break
			}
			quiet = 0
			if steps == 60 {
				w.fail("the plan is never empty")
			}
			w.log = append(w.log, write(plan))
			w.grown(plan, over)
			whole := r.IntN(2) == 0 // all of it, or its first step as the reconciler does
			more := over || slices.ContainsFunc(w.enis, func(e *worldENI) bool { return e.State == ENICreating }) ||
				slices.ContainsFunc(w.pools, func(q *worldPool) bool { return q.Target.Maximum > 0 && q.Target.Mode == ModeAuto })
			for i, a := range plan {
				if i == 0 || whole {
					w.act(a)
				}
			}
			if whole && !more { // interfaces that are made may have room for the rest
				w.enough(plan)
			}
		}
		w.window()
	}
	w.served()
}

// enough fails if a plan that was carried out, and gave nothing up, did not get all that was missing (protocol L5).
func (w *world) enough(plan []Action) {
	kinds := func(plan []Action, kinds ...ActionKind) bool {
		return slices.ContainsFunc(plan, func(a Action) bool { return slices.Contains(kinds, a.Kind) })
	}
	again := w.plan()
	if !kinds(plan, ActUnassign, ActDetach, ActDelete) && kinds(again, ActAssign, ActCreate) {
		w.fail("planned again: %s", write(again))
	}
}

// plan is the plan of a world; the same world has the same plan, and planning changes nothing.
func (w *world) plan() []Action {
	n := w.node()
	w.broke = w.spent
	plan := Plan(n, w.l)
	if !reflect.DeepEqual(n, w.node()) {
		w.fail("the plan changes the node")
	}
	slices.Reverse(n.ENIs)
	if again := Plan(n, w.l); write(again) != write(plan) {
		w.fail("the same node has two plans:\n%s%s", write(plan), write(again))
	}
	wishes := 0
	for _, a := range plan {
		if a.Kind == ActWish {
			wishes++
		}
	}
	if wishes > 1 {
		w.fail("%d wishes", wishes)
	}
	return plan
}

// over says whether there are more interfaces than the type allows.
func (w *world) over() bool {
	on := map[int]int{}
	for _, e := range w.enis {
		on[e.Card]++
	}
	for card, count := range on {
		if count > w.l.OnCard(card) {
			return true
		}
	}
	return false
}

// grown fails if a pool asks for what it has given back: the load is the same.
func (w *world) grown(plan []Action, over bool) {
	for _, a := range plan {
		name := a.Pool
		for _, e := range w.enis {
			if e.ENI == a.ENI && a.ENI != "" {
				name = e.Pool
			}
		}
		q := w.pool(name)
		if (a.Kind == ActAssign || a.Kind == ActCreate) && q != nil && q.gave && !over && q.WaitingPrefix+q.Waiting6 == 0 {
			w.fail("%s gave back and asks again: %s", name, write(plan))
		}
	}
}

// served fails if a pool misses what it could have.
func (w *world) served() {
	n := w.node()
	for i, need := range NeedsOf(n, w.l) {
		q := n.Pools[i]
		barred := slices.ContainsFunc(n.ENIs, func(e NodeENI) bool { return e.NoPrefixes || e.Blocked || e.IPv6.Blocked })
		if need.Deficit() == 0 || q.Blocked || q.NoPrefixes || q.NoIPv6 || barred {
			continue
		}
		left := 16
		if q.Target.Maximum > 0 {
			left = q.Target.Maximum - need.Supply
		}
		if Room(n, i, w.l) > 0 && left >= 16 {
			w.fail("%s misses %d addresses and has room for %d", q.Name, need.Deficit(), Room(n, i, w.l))
		}
	}
}
