package ec2

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam/reconcile"
)

func testPacer(burst, perSecond float64) *pacer {
	return newPacer(map[reconcile.Action]Rate{reconcile.Attach: {burst, perSecond}})
}

// TestPaceRate: a bucket gives what it holds at once, then its rate, and warm fill leaves 30 % to pods that wait.
func TestPaceRate(t *testing.T) {
	for _, test := range []struct {
		urgency reconcile.Urgency
		atOnce  int
	}{{reconcile.ForWaiting, 10}, {reconcile.ForWarm, 7}, {reconcile.ForTidy, 5}} {
		synctest.Test(t, func(t *testing.T) {
			p, started := testPacer(10, 2), time.Now()
			var at []int
			for range test.atOnce + 4 {
				if err := p.wait(t.Context(), reconcile.Attach, test.urgency); err != nil {
					t.Fatal(err)
				}
				at = append(at, int(time.Since(started).Round(100*time.Millisecond)/(100*time.Millisecond)))
			}
			want := make([]int, test.atOnce, test.atOnce+4)
			want = append(want, 5, 10, 15, 20)
			if diff := cmp.Diff(want, at); diff != "" {
				t.Errorf("urgency %d (-want +got):\n%s", test.urgency, diff)
			}
		})
	}
}

// TestPaceOrder: who is more urgent goes first, whoever came first; among equals the first does.
func TestPaceOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(1, 1)
		if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		for _, w := range []struct {
			name    string
			urgency reconcile.Urgency
		}{{"tidy", reconcile.ForTidy}, {"warm 1", reconcile.ForWarm}, {"waiting 1", reconcile.ForWaiting}, {"warm 2", reconcile.ForWarm}, {"waiting 2", reconcile.ForWaiting}} {
			all.Go(func() {
				if err := p.wait(t.Context(), reconcile.Attach, w.urgency); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, w.name)
				mu.Unlock()
			})
			synctest.Wait()
		}
		all.Wait()
		if diff := cmp.Diff([]string{"waiting 1", "waiting 2", "warm 1", "warm 2", "tidy"}, order); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestPaceThrottled: EC2 that refuses everything is asked six times a minute, however many wait; when it takes calls again
// the rate comes back.
func TestPaceThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(50, 5)
		calls, refusing := 0, true
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for {
					wait, cancel := context.WithTimeout(ctx, 30*time.Second)
					err := p.wait(wait, reconcile.Attach, reconcile.ForWaiting)
					cancel()
					if ctx.Err() != nil {
						return
					}
					if paced := new(reconcile.PacedError); errors.As(err, &paced) && paced.Code == "" && paced.Rate < 5 {
						t.Errorf("paced without EC2's word: %v", err)
					}
					if err == nil {
						mu.Lock()
						calls++
						no := refusing
						mu.Unlock()
						if no {
							p.throttled(reconcile.Attach, "RequestLimitExceeded")
						} else {
							p.taken(reconcile.Attach)
						}
					}
					time.Sleep(time.Second)
				}
			})
		}
		count := func(d time.Duration) int {
			mu.Lock()
			before := calls
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return calls - before
		}
		if got := count(time.Minute); got > 75 {
			t.Errorf("%d calls in the first minute of refusals, want the burst of 50 and a few", got)
		}
		if got := count(time.Hour); got > 361 || got < 180 {
			t.Errorf("%d calls in the next hour of refusals, want about six a minute", got)
		}
		mu.Lock()
		refusing = false
		mu.Unlock()
		count(5 * time.Minute)
		if got := count(time.Minute); got < 290 {
			t.Errorf("%d calls a minute after recovery, want 300", got)
		}
		stop()
		all.Wait()
	})
}

// TestPaceGivesUp: who cannot wait any longer leaves the queue to the others.
func TestPaceGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPacer(1, 0.1)
		if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.wait(ctx, reconcile.Attach, reconcile.ForWaiting)
		if paced := new(reconcile.PacedError); !errors.As(err, &paced) || paced.Action != reconcile.Attach || paced.Code != "" {
			t.Fatalf("%v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, reconcile.Attach, reconcile.ForWaiting); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
		started := time.Now()
		if err := p.wait(t.Context(), reconcile.Attach, reconcile.ForWaiting); err != nil || time.Since(started) > 10*time.Second {
			t.Fatalf("%v after %s", err, time.Since(started))
		}
		if l := p.levels(); len(l) != 1 || l[0].Waiting != 0 {
			t.Errorf("%+v", l)
		}
	})
}
