package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// For a night's run: go test ./test/sim -run Seeds -sim.seeds 20000 -sim.first 1000 -sim.hours 3
var (
	seeds   = flag.Int("sim.seeds", 0, "run so many seeds")
	first   = flag.Uint64("sim.first", 1, "from this seed on")
	hours   = flag.Float64("sim.hours", 1, "simulated hours with faults of each")
	most    = flag.Int("sim.nodes", 2, "at most so many nodes to begin with")
	plan    = flag.String("sim.plan", "", "run this plan, a file as a failing seed leaves it, instead")
	explain = flag.Bool("sim.explain", false, "print the end of the run")
)

// length is the part of a run with faults.
func length() time.Duration { return time.Duration(*hours * float64(time.Hour)) }

// scratch is where the nodes' files go: memory, if there is some.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestSeeds is the simulator: each seed an hour with faults, all invariants after every step. Under the race detector
// it is a sample: go test ./test/sim, without it, runs all.
func TestSeeds(t *testing.T) {
	count := *seeds
	if count == 0 {
		count = 2000
		if testing.Short() || slow {
			count = 20
		}
	}
	dir := scratch(t)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // many small runs: memory is not what is short
	began := time.Now()
	var next, done, events, calls, pods atomic.Int64
	var failed sync.Map
	seen := tally{count: map[string]int{}}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(count) || failures(&failed) >= 3 {
					return
				}
				p := Generate(*first+uint64(i), length(), *most)
				r, err := Run(p, Settings{Dir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
				events.Add(int64(r.Events))
				calls.Add(int64(r.Calls))
				pods.Add(int64(r.Pods))
				seen.add(r.ByAction)
				if len(r.Broken) > 0 {
					failed.Store(p.Seed, r)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds of %s, %d events, %d EC2 changes, %d pods in %s", done.Load(), length(), events.Load(), calls.Load(), pods.Load(), time.Since(began).Round(time.Second))
	t.Logf("calls that EC2 took: %v", seen.count)
	for _, action := range []string{"CreateNetworkInterface", "AttachNetworkInterface", "DetachNetworkInterface", "DeleteNetworkInterface",
		"AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "AssignIpv6Addresses", "UnassignIpv6Addresses", "ModifyNetworkInterfaceAttribute"} {
		if count >= 60 && seen.count[action] == 0 && failures(&failed) == 0 {
			t.Errorf("no %s in any run: it is not looked at", action)
		}
	}
	failed.Range(func(seed, r any) bool {
		report(t, dir, Generate(seed.(uint64), length(), *most), r.(Result))
		return true
	})
}

// tally adds up the calls of all runs.
type tally struct {
	mu    sync.Mutex // guards count
	count map[string]int
}

func (t *tally) add(calls map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for action, n := range calls {
		t.count[action] += n
	}
}

func failures(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// report prints a failing seed, how to run it again, and the smallest plan that still fails.
func report(t *testing.T, dir string, p Plan, r Result) {
	t.Helper()
	v := r.Broken[0]
	small := Shrink(p, v.Invariant, Settings{Dir: dir}, 20*time.Second)
	again, err := Run(small, Settings{Dir: dir})
	if err != nil {
		t.Error(err)
		return
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("sim-%d.json", p.Seed))
	text, err := json.MarshalIndent(small, "", " ")
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
	t.Errorf("seed %d breaks %s\n  again:   go test ./test/sim -run 'TestSeeds$' -sim.seeds 1 -sim.first %d -sim.hours %g -sim.nodes %d\n  smaller: go test ./test/sim -run 'TestPlan$' -sim.explain -sim.plan %s (%d nodes, %d pods, %d faults, %s)\n%s",
		p.Seed, v, p.Seed, *hours, *most, file, len(small.Nodes), len(small.Pods), len(small.Faults), small.Length, again.Story)
}

// TestPlan runs one plan from a file.
func TestPlan(t *testing.T) {
	if *plan == "" {
		t.Log("no -sim.plan is given: a plan of seed 1 goes the same way twice")
		p := Generate(1, 20*time.Minute, 2)
		if r := p.runTwice(t); r.Lines < 50 {
			t.Errorf("only %d lines: this looks at nothing", r.Lines)
		}
		return
	}
	text, err := os.ReadFile(*plan)
	if err != nil {
		t.Fatal(err)
	}
	var p Plan
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	p.runTwice(t)
}

func (p Plan) runTwice(t *testing.T) Result {
	t.Helper()
	r, err := Run(p, Settings{Dir: scratch(t)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Run(p, Settings{Dir: scratch(t)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Trace != s.Trace || r.Lines != s.Lines {
		t.Errorf("two runs of one plan differ: %x of %d lines and %x of %d", r.Trace, r.Lines, s.Trace, s.Lines)
	}
	if len(r.Broken) > 0 {
		t.Errorf("%v\n%s", r.Broken, r.Story)
	} else if *explain {
		t.Log(strings.TrimSpace(r.Story))
	}
	return r
}
