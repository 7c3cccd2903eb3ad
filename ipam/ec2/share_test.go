package ec2

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enichain/enichain/ipam/reconcile"
)

// callers makes n nodes that make one call after the other, each at its turn, for a time; it counts their calls.
func callers(t *testing.T, p *pacer, n int, urgency func(i int) reconcile.Urgency, long time.Duration) []int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	calls := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for p.wait(ctx, reconcile.Attach, urgency(i)) == nil {
				calls[i]++
				time.Sleep(300 * time.Millisecond) // EC2's answer
				p.taken(reconcile.Attach)
			}
		})
	}
	all.Wait()
	return calls
}

// TestFairness: nodes of one class get equally many turns, and a class that is less urgent gets what is left.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := callers(t, testPacer(50, 5), 40, func(int) reconcile.Urgency { return reconcile.ForWaiting }, 10*time.Minute)
		for i, n := range calls {
			if n < 75 || n > 77 { // 50 + 5/s · 600 s over 40 nodes
				t.Errorf("node %d had %d turns of %v", i, n, calls)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		urgency := func(i int) reconcile.Urgency {
			if i == 0 {
				return reconcile.ForWaiting
			}
			return reconcile.ForTidy
		}
		calls := callers(t, testPacer(50, 5), 2, urgency, time.Minute)
		if calls[0] < 200 || calls[1] > 130 { // as many as answers of 300 ms allow; the rest of the bucket
			t.Errorf("who waits had %d turns, who tidies up %d", calls[0], calls[1])
		}
	})
}

// TestThreeClasses: with a bucket that runs dry under calls of all classes at once, the more urgent class always goes
// first, and warm fill never takes what waiting pods will need next.
func TestThreeClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(10, 1)
		for range 7 { // warm fill has its part
			if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWarm); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range 3 { // the reserve is there for those who wait, at once
			if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("pods that wait had to wait %s", time.Since(began))
		}
		turn := func(u reconcile.Urgency) time.Duration {
			if err := p.wait(t.Context(), reconcile.Attach, u); err != nil {
				t.Fatal(err)
			}
			return time.Since(began).Round(time.Second)
		}
		// Empty at 0 s: warm fill has to see 3 + 1 tokens, tidying up 5 + 1.
		if warm, tidy := turn(reconcile.ForWarm), turn(reconcile.ForTidy); warm != 4*time.Second || tidy != 7*time.Second {
			t.Errorf("warm fill went at %s, tidying up at %s; want 4s and 7s", warm, tidy)
		}
	})
}

// TestTwoClusters: two of us in one account share EC2's bucket between them although neither knows of the other, and
// calls that are refused stay few.
func TestTwoClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst = 5.0, 50.0
		var mu sync.Mutex
		tokens, at := burst, time.Now()
		ec2 := func() bool { // EC2's own bucket
			mu.Lock()
			defer mu.Unlock()
			tokens = min(tokens+time.Since(at).Seconds()*rate, burst)
			at = time.Now()
			if tokens < 1 {
				return false
			}
			tokens--
			return true
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Minute)
		defer stop()
		var all sync.WaitGroup
		var took, refused [2]int
		for cluster := range 2 {
			p := testPacer(0.8*burst, 0.8*rate) // the share that we allow ourselves
			for node := range 20 {
				all.Go(func() {
					random := rand.New(rand.NewPCG(uint64(cluster), uint64(node)))
					for p.wait(ctx, reconcile.Attach, reconcile.ForWaiting) == nil {
						time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond)
						if ec2() {
							p.taken(reconcile.Attach)
							mu.Lock()
							took[cluster]++
							mu.Unlock()
							continue
						}
						p.throttled(reconcile.Attach, "RequestLimitExceeded")
						mu.Lock()
						refused[cluster]++
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		said := fmt.Sprintf("took %v, refused %v", took, refused)
		most := int(burst + rate*1800)
		if sum := took[0] + took[1]; sum < most*6/10 || sum > most+1 {
			t.Errorf("EC2 gives %d calls: %s", most, said)
		}
		for i := range 2 {
			if took[i] < took[1-i]/2 {
				t.Errorf("one starves: %s", said)
			}
			if refused[i] > took[i]/5 {
				t.Errorf("more than a sixth is refused: %s", said)
			}
		}
		t.Log(said)
	})
}

// TestHalfOpen: while EC2 refuses everything one call is tried every ten seconds, and the first that it takes opens the
// way again, a twentieth of the rate each.
func TestHalfOpen(t *testing.T) {
	at := time.Unix(0, 0)
	p := NewPace(map[reconcile.Action]Rate{reconcile.Attach: {50, 5}}, at)
	for range 20 {
		at = at.Add(2 * time.Second)
		p.Throttled(reconcile.Attach, "RequestLimitExceeded", at)
	}
	if l := p.Level(reconcile.Attach, at); l.Rate != slowest || l.Tokens > 0 || l.Code != "RequestLimitExceeded" {
		t.Fatalf("after 20 refusals: %+v", l)
	}
	wait := p.Take(reconcile.Attach, reconcile.ForWaiting, at)
	if wait < 9*time.Second || wait > 11*time.Second {
		t.Errorf("the next try is in %s, want 10 s", wait)
	}
	at = at.Add(wait)
	if again := p.Take(reconcile.Attach, reconcile.ForWaiting, at); again != 0 {
		t.Fatalf("no turn after %s: %s more", wait, again)
	}
	p.Taken(reconcile.Attach, at)
	if l := p.Level(reconcile.Attach, at); l.Rate < 0.3 || l.Code == "" {
		t.Errorf("after a call that was taken: %+v", l)
	}
	for range 19 {
		p.Taken(reconcile.Attach, at)
	}
	if l := p.Level(reconcile.Attach, at); l.Rate != 5 || l.Code != "" {
		t.Errorf("after 20 calls that were taken: %+v", l)
	}
}

// TestRetune: who waits for a turn at an old rate has it at the new one; what EC2 slowed down stays slowed down.
func TestRetune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(1, 0.001)
		if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		began := time.Now()
		all.Go(func() {
			if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		p.retune(map[reconcile.Action]Rate{reconcile.Attach: {10, 2}})
		all.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the turn came after %s, want half a second", took)
		}
		p.throttled(reconcile.Attach, "RequestLimitExceeded")
		p.retune(map[reconcile.Action]Rate{reconcile.Attach: {20, 4}})
		if l := p.levels()[0]; l.Rate != 2 || l.Full != 4 {
			t.Errorf("half of the rate before is %g of %g after", l.Rate, l.Full)
		}
	})
}
