package ipam

import (
	"strings"
	"testing"
)

// TestBurst has 110 pods at once wait on a node that has nothing, and counts the EC2 calls that pods wait for, against
// the fewest that can do: all of the primary interface's places in one Assign, and for each further interface one
// Create with its addresses and one Attach.
func TestBurst(t *testing.T) {
	const pods = 110
	for _, test := range []struct {
		name, kind, pool string
		perPlace         int // addresses of one place
		families         int
	}{
		{"single addresses", "m5.4xlarge", "default secondary", 1, 1},
		{"prefixes", "m5.4xlarge", "default prefix", PrefixSlots, 1},
		{"auto", "m5.4xlarge", "default auto", PrefixSlots, 1},
		{"auto in a fragmented subnet", "m5.4xlarge", "default auto, fragmented", 1, 1},
		{"dual stack by prefixes", "m5.4xlarge", "default auto, dual", PrefixSlots, 2},
		{"dual stack by single addresses", "m5.4xlarge", "default secondary, dual", 1, 2},
		{"prefixes, with small interfaces", "t3.medium", "default prefix", PrefixSlots, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			eni := "eni 0"
			if strings.Contains(test.pool, "fragmented") {
				eni += ", fragmented"
			}
			n, l := read(t, test.kind+", max pods 110\npool "+test.pool+"\n"+eni)
			w := worldOf(t, n, l)
			w.pools[0].Waiting = pods

			onPrimary := l.PerENI() * test.perPlace
			further := ceil(pods-onPrimary, l.PerENI()*test.perPlace)
			floor := test.families + 2*further // IPv6 comes with the Create, and costs the primary one call

			calls := 0
			for {
				w.lease()
				plan := w.plan()
				if len(plan) == 0 || plan[0].Kind == ActBind { // nobody waits for that
					break
				}
				w.act(plan[0])
				calls++
			}
			if w.running() != pods {
				t.Errorf("%d pods run", w.running())
			}
			if calls != floor {
				t.Errorf("%d calls, the floor is %d", calls, floor)
			}
		})
	}
}

// TestBurstPlans has the plans of the burst as text.
func TestBurstPlans(t *testing.T) {
	try(t, []scenario{
		{"single addresses", `m5.4xlarge, max pods 110
			pool default secondary, waiting 110
			eni 0`, `
			assign eni-0 +29
			create at 1 +29
			create at 2 +29
			create at 3 +23`},
		{"prefixes", `m5.4xlarge, max pods 110
			pool default prefix, waiting 110
			eni 0`, `assign eni-0 +7/28`},
		{"dual stack", `m5.4xlarge, max pods 110
			pool default auto, dual, waiting 110
			eni 0`, `
			assign eni-0 +7/28
			assign eni-0 +1/80`},
	})
}

// TestChurn has pods come and go at a steady rate on a warm node, as often as their cooldown bears: that costs no call.
func TestChurn(t *testing.T) {
	for _, mode := range []string{"secondary", "prefix"} {
		t.Run(mode, func(t *testing.T) {
			n, l := read(t, "m5.4xlarge, max pods 110\npool default "+mode+", warm 4\neni 0")
			w := worldOf(t, n, l)
			w.pools[0].Waiting = 50
			calls, cooling := 0, []*lot{}
			for step := range 1800 { // of 2 s: an hour
				w.lease()
				if w.pools[0].Waiting == 0 {
					cooling = append(cooling, w.end())
				}
				if len(cooling) > 15 { // 30 s
					cooling[0].cooling, cooling[0].free, cooling = cooling[0].cooling-1, cooling[0].free+1, cooling[1:]
				}
				for plan := w.plan(); len(plan) > 0; plan = w.plan() {
					w.act(plan[0])
					w.lease()
					if calls++; step > 60 {
						t.Fatalf("step %d: %s", step, write(plan))
					}
				}
				w.spent = false
			}
			if mode == "prefix" && calls > 2 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

// worldOf is a node of one pool and a primary interface without addresses.
func worldOf(t *testing.T, n Node, l Limits) *world {
	return &world{t: t, l: l, maxPods: n.MaxPods, pools: []*worldPool{{NodePool: n.Pools[0]}}, enis: []*worldENI{{NodeENI: n.ENIs[0]}}}
}

// end ends a pod of the first pool, and has another wait.
func (w *world) end() *lot {
	w.pools[0].Waiting++
	for _, e := range w.enis {
		for _, o := range append(e.lots, &e.singles) {
			if o.leased > 0 {
				o.leased, o.cooling = o.leased-1, o.cooling+1
				return o
			}
		}
	}
	w.fail("no pod to end")
	return nil
}

// TestWave has a load come and go every ten minutes: once the node is warm that costs no call, since what each wave
// needs was not free at every instant of any window.
func TestWave(t *testing.T) {
	for _, mode := range []string{"secondary", "prefix"} {
		t.Run(mode, func(t *testing.T) {
			n, l := read(t, "m5.large, max pods 29\npool default "+mode+", warm 2\neni 0")
			w := worldOf(t, n, l)
			q := w.pools[0]
			for minute := range 60 {
				switch minute % 10 {
				case 0:
					q.Waiting = 25
				case 5:
					for range 25 {
						o := w.end()
						o.cooling, o.free = 0, o.free+o.cooling // half a minute later
						q.Waiting = 0
					}
				}
				for plan := w.plan(); len(plan) > 0; plan = w.plan() {
					if minute > 0 {
						t.Fatalf("minute %d: %s", minute, write(plan))
					}
					w.act(plan[0])
					w.lease()
				}
				w.lease()
				w.spent = false
				q.floors = append(q.floors, floor(w.node(), q.NodePool))
				q.floors = q.floors[max(len(q.floors)-10, 0):]
			}
		})
	}
}
