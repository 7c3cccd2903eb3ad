package ipam

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// text is a plan in one line.
func text(plan []Action) string {
	var parts []string
	for _, a := range plan {
		s := string(a.Kind)
		if a.ENI != "" {
			s += " " + string(a.ENI)
		}
		switch a.Kind {
		case ActCreate, ActAttach:
			s += fmt.Sprintf(" #%d", a.Device)
		}
		switch {
		case a.Whole:
			s += " whole"
		case len(a.Addresses) > 0:
			s += fmt.Sprintf(" -%d", len(a.Addresses))
		case a.Count > 0:
			s += fmt.Sprintf(" +%d", a.Count)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func addrs(from, count int) []netip.Addr {
	var all []netip.Addr
	for i := range count {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte((from + i) >> 8), byte(from + i)}))
	}
	return all
}

func primary(listed, free, leased int) NodeENI {
	return NodeENI{ENI: "eni-0", Attachment: "at-0", Primary: true, State: ENIUsed, PodsOK: true, Listed: listed, Free: free,
		Leased: leased, Named: true, Age: time.Hour}
}

func second(device, listed, free, leased int) NodeENI {
	e := primary(listed, free, leased)
	e.ENI, e.Attachment, e.Primary, e.Device = ENIID(fmt.Sprintf("eni-%d", device)), AttachmentID(fmt.Sprintf("at-%d", device)), false, device
	return e
}

// delegated gives an interface a /28, in which all its free addresses are.
func delegated(e NodeENI) NodeENI {
	e.Prefixes, e.Within, e.WithinFree = 1, 16, e.Free
	return e
}

func with(e NodeENI, change func(*NodeENI)) NodeENI { change(&e); return e }

func TestPlan(t *testing.T) {
	medium := Limits{ENIs: 3, IPv4: 6}
	usual := Target{Warm: 4, UsePrimary: true, AtOnce: 16}
	node := func(enis ...NodeENI) Node { return Node{Grow: true, Warm: true, MinAge: 10 * time.Minute, ENIs: enis} }
	for _, test := range []struct {
		name   string
		node   Node
		target Target
		want   string
	}{
		{"fresh node", node(primary(0, 0, 0)), usual, "assign eni-0 +4"},
		{"at target", node(primary(5, 4, 1)), usual, ""},
		{"a delegated prefix serves", node(delegated(primary(0, 15, 1))), usual, ""},
		{"its addresses are not wished back", func() Node {
			n := node(delegated(primary(0, 16, 0)))
			n.Floor, n.Budget = 16, 16
			return n
		}(), usual, ""},
		{"nor is its interface", func() Node {
			n := node(primary(5, 4, 1), delegated(second(1, 0, 16, 0)))
			n.Floor, n.Budget = 20, 16
			return n
		}(), usual, "wish eni-0 +4"},
		{"five wait, nothing free", with5(node(primary(5, 0, 5))), usual, "create #1 +5, create #2 +4"},
		{"not heard of", func() Node { n := node(primary(0, 0, 0)); n.Grow = false; return n }(), usual, ""},
		{"cordoned", func() Node { n := node(primary(0, 0, 0)); n.Warm = false; return n }(), usual, ""},
		{"cordoned, one waits", func() Node { n := node(primary(0, 0, 0)); n.Warm, n.Waiting = false, 1; return n }(), usual, "assign eni-0 +1"},
		{"the interface that has room for all", node(primary(4, 0, 4), second(1, 1, 0, 1)), usual, "assign eni-1 +4"},
		{"none has room for all", node(primary(4, 0, 4), second(1, 4, 0, 4)), usual, "assign eni-0 +1, assign eni-1 +1, create #2 +2"},
		{"cooling is not free", node(with(primary(5, 0, 1), func(e *NodeENI) { e.Cooling = 4 })), usual, "create #1 +4"},
		{"max pods", func() Node { n := node(primary(5, 0, 5)); n.MaxPods = 6; return n }(), usual, "create #1 +1"},
		{"max pods bounds those who wait", func() Node { n := node(primary(5, 0, 5)); n.MaxPods, n.Waiting = 6, 50; return n }(), usual, "create #1 +1"},
		{"maximum", node(primary(5, 0, 5)), Target{Warm: 4, Maximum: 5, UsePrimary: true}, ""},
		{"minimum", node(primary(0, 0, 0)), Target{Minimum: 7, UsePrimary: true}, "assign eni-0 +5, create #1 +2"},
		{"warm ENIs", node(primary(5, 5, 0)), Target{WarmENIs: 2, UsePrimary: true}, "create #1 +5"},
		{"max ENIs", node(primary(5, 0, 5)), Target{Warm: 9, MaxENIs: 2, UsePrimary: true}, "create #1 +5"},
		{"foreign ones count", node(primary(5, 0, 5), NodeENI{ENI: "eni-f", Attachment: "at-f", Device: 1, State: ENIForeign}), usual, "create #2 +4"},
		{"no room left", node(primary(5, 0, 5), second(1, 5, 0, 5), second(2, 5, 0, 5)), usual, ""},
		{"ours is needed", node(primary(5, 0, 5), NodeENI{ENI: "eni-1", Device: 1, State: ENIOurs, PodsOK: true, Listed: 4}), usual, "attach eni-1 #1"},
		{"its index is taken", node(primary(5, 0, 5), NodeENI{ENI: "eni-f", Attachment: "at-f", Device: 1, State: ENIForeign}, NodeENI{ENI: "eni-1", Device: 1, State: ENIOurs, PodsOK: true, Listed: 4}), usual, "attach eni-1 #2"},
		{"ours is not needed", node(primary(5, 5, 0), NodeENI{ENI: "eni-1", Device: 1, State: ENIOurs, PodsOK: true, Listed: 4}), usual, ""},
		{"a Create in flight is supply", node(primary(5, 0, 5), NodeENI{Device: 1, State: ENICreating, PodsOK: true, Listed: 4}), usual, "create #1 +4"},
		{"taken away with pods", node(primary(5, 5, 0), NodeENI{ENI: "eni-1", Device: 1, State: ENILost, PodsOK: true, Listed: 3, Leased: 1}), usual, "attach eni-1 #1"},
		{"nothing on one with fenced ones", node(with(primary(5, 0, 3), func(e *NodeENI) { e.Fenced = addrs(1, 2) })), usual, "create #1 +4, unassign eni-0 -2"},
		{"a full subnet", func() Node {
			n := node(with(primary(3, 0, 3), func(e *NodeENI) { e.Blocked = true }))
			n.Blocked = true
			return n
		}(), usual, ""},
		{"the primary is not for pods", node(with(primary(0, 0, 0), func(e *NodeENI) { e.PodsOK = false })), Target{Warm: 4}, "create #1 +4"},
		{"deletion on termination", node(primary(5, 4, 1), with(second(1, 0, 0, 0), func(e *NodeENI) { e.Kept, e.Age = true, 0 })), usual, "bind eni-1"},

		{"surplus by count", release(node(primary(5, 4, 1), with(second(1, 5, 5, 0), func(e *NodeENI) { e.Age = 0 }), second(2, 4, 3, 1)), 12), usual, "wish eni-1 +3"},
		{"surplus by interface", release(node(primary(5, 5, 0), second(1, 5, 5, 0), second(2, 4, 4, 0)), 14), usual, "wish eni-2 whole"},
		{"never the primary", release(node(with(primary(5, 5, 0), func(e *NodeENI) { e.Device = 0 }), second(1, 4, 0, 4)), 5), Target{UsePrimary: true, AtOnce: 16}, ""},
		{"young", release(node(primary(5, 5, 0), with(second(1, 5, 5, 0), func(e *NodeENI) { e.Age = time.Minute })), 10), usual, "wish eni-1 +1"},
		{"within the hysteresis", release(node(primary(5, 5, 0), second(1, 4, 4, 0)), 9), usual, ""},
		{"one at a time", release(node(primary(5, 5, 0), second(1, 5, 5, 0), with(second(2, 4, 0, 0), func(e *NodeENI) { e.State, e.Age = ENIDraining, 0 })), 14), usual, ""},
		{"part of the budget is gone", func() Node {
			n := release(node(primary(5, 5, 0), second(1, 5, 5, 0), second(2, 4, 4, 0)), 14)
			n.Budget = 2
			return n
		}(), usual, "wish eni-2 +2"},
		{"others wait in a scarce subnet", func() Node { n := release(node(primary(5, 4, 1)), 4); n.Scarce = true; return n }(), usual, "wish eni-0 +4"},
		{"a prefix takes a place", node(with(primary(1, 0, 1), func(e *NodeENI) { e.Prefixes = 3 })), usual, "assign eni-0 +1, create #1 +3"},
		{"given up whole", node(primary(5, 5, 0), with(second(1, 4, 0, 0), func(e *NodeENI) { e.State, e.Fenced = ENIDraining, addrs(1, 4) })), usual, "detach eni-1"},
		{"given up whole, and now missed", node(primary(5, 0, 5), with(second(1, 4, 0, 0), func(e *NodeENI) { e.State, e.Fenced = ENIDraining, addrs(1, 4) })), usual, "create #2 +4, unassign eni-1 -4"},
		{"given up in part", node(primary(5, 5, 0), with(second(1, 4, 2, 0), func(e *NodeENI) { e.Fenced = addrs(1, 2) })), usual, "unassign eni-1 -2"},
		{"empty", node(primary(5, 5, 0), second(1, 0, 0, 0)), usual, "detach eni-1"},
		{"empty, says EC2; the node does not", node(primary(5, 5, 0), second(1, 0, 2, 0)), usual, ""},
		{"retired", node(primary(5, 5, 0), NodeENI{ENI: "eni-1", State: ENIRetired}), usual, "delete eni-1"},
		{"above the limit", release(node(primary(5, 5, 0), second(1, 5, 1, 4), second(2, 5, 5, 0), second(3, 5, 1, 4)), 0), usual, "wish eni-2 whole"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := text(Plan(test.node, test.target, medium))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func with5(n Node) Node { n.Waiting = 5; return n }

func release(n Node, floor int) Node { n.Floor, n.Budget = floor, 16; return n }

// apply does to a node what an action does once EC2 and the node have done their part.
func apply(n Node, a Action, t Target) Node {
	n.ENIs = slices.Clone(n.ENIs)
	at := func() *NodeENI {
		for i := range n.ENIs {
			if n.ENIs[i].ENI == a.ENI && a.ENI != "" {
				return &n.ENIs[i]
			}
		}
		return nil
	}
	drop := func() { n.ENIs = slices.DeleteFunc(n.ENIs, func(e NodeENI) bool { return e.ENI == a.ENI }) }
	switch e := at(); a.Kind {
	case ActAttach:
		e.State, e.Device, e.Attachment, e.Kept = ENIUsed, a.Device, AttachmentID("at-"+string(a.ENI)), true
	case ActAssign:
		e.Listed += a.Count
		e.Free += a.Count
	case ActCreate:
		n.ENIs = slices.DeleteFunc(n.ENIs, func(e NodeENI) bool { return e.State == ENICreating && e.Device == a.Device })
		n.ENIs = append(n.ENIs, NodeENI{ENI: ENIID(fmt.Sprintf("eni-new%d", a.Device)), Device: a.Device, State: ENIOurs, PodsOK: true, Listed: a.Count, Named: true, Free: a.Count})
	case ActUnassign:
		e.Listed -= len(a.Addresses)
		e.Fenced = nil
		if e.State == ENIDraining {
			e.State = ENIUsed
		}
	case ActDetach:
		e.State, e.Attachment = ENIRetired, ""
	case ActDelete:
		drop()
	case ActBind:
		e.Kept = false
	case ActWish:
		count := a.Count
		n.Floor -= count
		if n.Budget -= count; a.Whole {
			n.Budget, e.State = n.Budget-t.AtOnce+count, ENIDraining
		}
		e.Fenced = addrs(100*e.Device, count)
		e.Free -= count
	}
	return n
}

// randomNode is any node, sensible or not.
func randomNode(r *rand.Rand, l Limits) Node {
	n := Node{
		MaxPods: r.IntN(3) * r.IntN(60), Waiting: r.IntN(3) * r.IntN(20), Grow: r.IntN(8) > 0, Warm: r.IntN(8) > 0,
		Blocked: r.IntN(6) == 0, Scarce: r.IntN(6) == 0, Budget: r.IntN(3) * 8, MinAge: 10 * time.Minute,
	}
	states := []ENIState{ENIUsed, ENIUsed, ENIUsed, ENIOurs, ENIRetired, ENIForeign, ENIOther, ENILost, ENIDraining}
	free := 0
	for d := range r.IntN(l.ENIs+1) + 1 {
		e := NodeENI{ENI: ENIID(fmt.Sprintf("eni-%d", d)), Device: d, State: states[r.IntN(len(states))], PodsOK: r.IntN(8) > 0,
			Named: r.IntN(8) > 0, Age: time.Duration(r.IntN(20)) * time.Minute, Blocked: r.IntN(8) == 0, Kept: r.IntN(2) == 0}
		if d == 0 {
			e.State, e.Primary = ENIUsed, true
		}
		switch e.State {
		case ENIUsed, ENIForeign, ENIDraining:
			e.Attachment = AttachmentID(fmt.Sprintf("at-%d", d))
		}
		e.Listed = r.IntN(l.PerENI() + 1)
		left := e.Listed
		take := func() int { x := r.IntN(left + 1); left -= x; return x }
		e.Leased, e.Cooling, e.Free = take(), take(), take()
		if r.IntN(2) == 0 {
			e.Fenced = addrs(100*d, left)
		}
		switch e.State {
		case ENIDraining:
			e.Leased, e.Cooling, e.Free, e.Fenced = 0, 0, 0, addrs(100*d, e.Listed)
		case ENIRetired: // else it would not be given up
			e.Leased, e.Cooling = 0, 0
		}
		free += e.Free
		n.ENIs = append(n.ENIs, e)
	}
	n.Floor = r.IntN(free + 1)
	return n
}

func TestPlanSettles(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := Limits{ENIs: 1 + r.IntN(6), IPv4: 2 + r.IntN(14)}
		target := Target{Warm: r.IntN(9), Minimum: r.IntN(2) * r.IntN(20), MaxENIs: r.IntN(2) * r.IntN(6), UsePrimary: r.IntN(4) > 0, AtOnce: 16}
		if r.IntN(5) == 0 {
			target.Maximum = target.Minimum + r.IntN(20)
		}
		n := randomNode(r, l)
		before := n
		var history []string
		for round := 0; ; round++ {
			plan := Plan(n, target, l)
			if len(plan) == 0 {
				break
			}
			history = append(history, text(plan))
			if round == 12 {
				t.Fatalf("seed %d never settles:\n%+v\n%+v\n%s", seed, before, target, strings.Join(history, "\n"))
			}
			checkPlan(t, seed, n, target, l, plan)
			over := len(n.ENIs) > l.ENIs // then one goes, whatever it holds
			for _, a := range plan {
				n = apply(n, a, target)
			}
			if again := Plan(n, target, l); !over && slices.ContainsFunc(again, func(a Action) bool { return a.Kind == ActAssign || a.Kind == ActCreate }) &&
				slices.ContainsFunc(plan, func(a Action) bool { return a.Kind == ActWish }) {
				t.Fatalf("seed %d gives back and asks again: %s, then %s", seed, text(plan), text(again))
			}
		}
	}
}

// checkPlan holds a plan to the limits (protocol B1, B2, r7) and to what must never be touched (S3).
func checkPlan(t *testing.T, seed uint64, n Node, target Target, l Limits, plan []Action) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Fatalf("seed %d: %s\nnode %+v\nplan %s", seed, fmt.Sprintf(format, args...), n, text(plan))
	}
	if again := Plan(n, target, l); text(again) != text(plan) {
		fail("the same node has two plans: %s", text(again))
	}
	after, created, devices := n, 0, map[int]bool{}
	for _, a := range plan {
		if a.Kind == ActAttach || a.Kind == ActCreate {
			if devices[a.Device] || a.Device < 1 {
				fail("device %d", a.Device)
			}
			devices[a.Device] = true
		}
		if a.Kind == ActCreate {
			created++
		}
		for _, e := range n.ENIs {
			if e.ENI != a.ENI || a.ENI == "" {
				continue
			}
			switch {
			case e.State == ENIForeign || e.State == ENIOther:
				fail("%s is not ours to touch", e.ENI)
			case a.Kind == ActDetach && (e.Primary || e.Leased+e.Cooling+e.Free > 0 || len(e.Fenced) < e.Listed):
				fail("%s is in use", e.ENI)
			case a.Kind == ActWish && a.Whole && (e.Primary || e.Leased+e.Cooling > 0):
				fail("%s cannot be drained", e.ENI)
			case a.Kind == ActAssign && (len(e.Fenced) > 0 || e.Listed+a.Count > l.PerENI()):
				fail("%s has no room", e.ENI)
			}
		}
		after = apply(after, a, target)
	}
	if created > 0 && len(after.ENIs) > target.MaxENIsOf(l) {
		fail("%d interfaces", len(after.ENIs))
	}
}
