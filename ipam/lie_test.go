package ipam

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestPlanBearsLies plans for nodes whose numbers make no sense: no plan asks for more than a type has, or for less than
// nothing.
func TestPlanBearsLies(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := randomWorld(t, r)
		n := w.node()
		spoil := func(to ...*int) {
			for _, v := range to {
				if r.IntN(3) == 0 {
					*v = []int{-1, 0, 1, 1 << 20, math.MaxInt, math.MinInt, -r.IntN(100), r.IntN(1000)}[r.IntN(8)]
				}
			}
		}
		spoil(&n.MaxPods)
		for i := range n.Pools {
			q := &n.Pools[i]
			spoil(&q.Waiting, &q.Waiting6, &q.WaitingPrefix, &q.Floor)
		}
		for i := range n.ENIs {
			e := &n.ENIs[i]
			spoil(&e.Free, &e.Single, &e.Kept, &e.Leased, &e.Cooling, &e.IPv6.Free, &e.IPv6.Kept, &e.IPv6.Leased, &e.IPv6.Cooling)
			if r.IntN(4) == 0 {
				e.Age = time.Duration(math.MinInt64)
			}
		}
		created := 0
		for _, a := range Plan(n, w.l) {
			most := w.l.PerENI() + w.l.places(IPv6)
			if a.Kind == ActCreate && a.ENI == "" {
				created++
			}
			if a.Count < 0 || a.Prefixes < 0 || a.Prefixes6 < 0 || a.Count+a.Prefixes+a.Prefixes6 > most {
				t.Fatalf("seed %d: %+v\n%s", seed, a, show(n))
			}
		}
		if have := len(n.ENIs); created > max(w.l.Total(), have) {
			t.Fatalf("seed %d: %d creates beside %d", seed, created, have)
		}
	}
}
