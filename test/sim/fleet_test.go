package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// seeds is for a night's run: go test ./test/sim -sim.seeds 2000
var seeds = flag.Int("sim.seeds", 0, "walk so many seeds of each kind at random")

// seedsOf is how many seeds to walk.
func seedsOf(usual int) int {
	switch {
	case *seeds > 0:
		return *seeds
	case testing.Short():
		return usual / 4
	}
	return usual
}

// usual is a policy with short windows; the constants of protocol A1 stay.
func usual() reconcile.Config {
	return reconcile.Config{
		Cluster: "sim",
		Pool: reconcile.Pool{
			Target: ipam.Target{Warm: 4, UsePrimary: true}, Window: time.Minute, MinAge: time.Minute, Cooldown: 10 * time.Second,
		},
		Orphans: reconcile.Orphans{MinAge: 2 * time.Minute},
	}
}

const forever = 1000 * time.Hour

func (f *fleet) must(t *testing.T) {
	t.Helper()
	if len(f.faults) > 0 {
		t.Fatalf("%s\n%s", strings.Join(f.faults, "\n"), f.story())
	}
}

// TestFirstFill: a fresh node gets its warm addresses by itself, and nothing more for as long as nothing happens.
func TestFirstFill(t *testing.T) {
	f := newFleet(1, vpc.Config{Latency: vpc.Typical(1)}, usual())
	n := f.addNode("t3.medium", 17)
	f.addLeader("a").lead(1, forever)
	f.run(5 * time.Second)
	f.must(t)
	if s := n.snapshot(f.now); len(s.ENIs) != 1 || s.ENIs[0].Free != 4 {
		t.Fatalf("not filled within 5 s:\n%s", f.story())
	}
	done := f.mutations()
	f.run(time.Hour)
	f.must(t)
	if got := f.mutations(); got != done {
		t.Errorf("%d changes in an hour of nothing:\n%s", got-done, f.story())
	}
}

// TestBurst: pods that wait get interfaces created with their addresses; when the pods are gone, so are those.
func TestBurst(t *testing.T) {
	f := newFleet(2, vpc.Config{Latency: vpc.Typical(1)}, usual())
	n := f.addNode("t3.medium", 17)
	l := f.addLeader("a")
	l.lead(1, forever)
	f.run(5 * time.Second)
	for i := range 9 {
		f.pod(n, fmt.Sprint("pod-", i))
	}
	f.run(15 * time.Second)
	f.must(t)
	if len(n.waiting) > 0 {
		t.Fatalf("pods wait after 15 s:\n%s", f.story())
	}
	if got := strings.Count(f.story(), "CreateNetworkInterface"); got != 2 {
		t.Errorf("%d interfaces created, want 2:\n%s", got, f.story())
	}
	f.run(time.Minute)
	for i := range 9 {
		f.end(n, fmt.Sprint("pod-", i))
	}
	f.run(10 * time.Minute)
	f.must(t)
	if s := n.snapshot(f.now); len(s.ENIs) != 1 || s.ENIs[0].Free != 5 {
		t.Errorf("interfaces not given back:\n%s", f.story())
	}
	if left := len(f.world.NetworkInterfaces(f.wall())); left != 1 {
		t.Errorf("EC2 has %d interfaces left, want 1:\n%s", left, f.story())
	}
	done := f.mutations()
	f.run(time.Hour)
	f.must(t)
	if got := f.mutations(); got != done {
		t.Errorf("L4: %d changes in an hour of nothing:\n%s", got-done, f.story())
	}
}

// TestReplay: the recorded inputs of a run have the same effects in a new core, byte for byte (L6).
func TestReplay(t *testing.T) {
	f := newFleet(3, vpc.Config{Latency: vpc.Typical(1), Visibility: 5 * time.Second}, usual())
	f.loss, f.lost, f.lateBus = 0.1, 0.1, 2*time.Second
	for range 3 {
		f.addNode("t3.medium", 17)
	}
	l := f.addLeader("a")
	l.record = []string{}
	l.core = reconcile.New(f.cfg)
	l.lead(1, forever)
	f.walk(10 * time.Minute)
	f.must(t)
	again := reconcile.New(f.cfg)
	for i, line := range l.record {
		var step struct {
			Now reconcile.Now
			In  reconcile.Input
			Out json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &step); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(again.Step(step.Now, step.In))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(step.Out), string(got)); diff != "" {
			t.Fatalf("step %d of %d (-first +again):\n%s", i, len(l.record), diff)
		}
	}
}

// walk lets pods come and go at random for a time.
func (f *fleet) walk(d time.Duration) {
	end := f.now + d
	ids := f.ids()
	for f.now < end && len(f.faults) == 0 {
		n := f.nodes[ids[f.r.IntN(len(ids))]]
		have := f.pods[n.id]
		if f.r.IntN(2) == 0 && len(have) < n.maxPods {
			for range min(1+f.r.IntN(6), n.maxPods-len(have)) {
				f.names++
				name := fmt.Sprint("pod-", f.names)
				f.pods[n.id] = append(f.pods[n.id], name)
				f.pod(n, name)
			}
		} else {
			for range min(1+f.r.IntN(8), len(have)) {
				i := f.r.IntN(len(f.pods[n.id]))
				f.end(n, f.pods[n.id][i])
				f.pods[n.id] = append(f.pods[n.id][:i], f.pods[n.id][i+1:]...)
			}
		}
		f.run(f.between(time.Second, 40*time.Second))
	}
}

func (f *fleet) ids() []ipam.InstanceID {
	var ids []ipam.InstanceID
	for i := range len(f.nodes) {
		ids = append(ids, ipam.InstanceID(fmt.Sprintf("i-%017x", i+1)))
	}
	return ids
}

// TestRandomWalks: pods come and go while the bus loses, repeats and delays, answers get lost, lists lag, and two
// reconcilers believe that they lead. Nothing a pod has is ever taken away; when it is quiet, everything settles.
func TestRandomWalks(t *testing.T) {
	for seed := range seedsOf(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newFleet(uint64(seed)+100, vpc.Config{
				Latency: vpc.Typical(1), Visibility: time.Duration(seed%4) * 15 * time.Second, DeletedToken: vpc.DeletedToken(seed % 2),
			}, usual())
			f.loss, f.lost, f.lateBus = 0.1*float64(seed%3), 0.05*float64(seed%4), time.Duration(seed%5)*time.Second
			for range 1 + seed%3 {
				f.addNode([]string{"t3.small", "t3.medium", "m5.large"}[seed%3], []int{8, 11, 20}[seed%3])
			}
			first := f.addLeader("a")
			first.lead(1, forever)
			f.walk(8 * time.Minute)
			second := f.addLeader("b")
			second.lead(2, forever) // both, for a while
			f.walk(time.Duration(seed%3) * time.Minute)
			first.until = f.now // from now on it calls no more, wherever it was
			f.walk(time.Minute)
			first.dead = true
			f.alone()
			f.walk(6 * time.Minute)
			f.must(t)
			f.settle(t)
		})
	}
}

// TestHarshWalks: as above, in a subnet so small that addresses come back soon, with windows so short that addresses
// and interfaces are given back all the time, and with reconcilers whose subscriptions stall for minutes.
func TestHarshWalks(t *testing.T) {
	for seed := range seedsOf(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := usual()
			cfg.Pool.Window, cfg.Pool.MinAge, cfg.Pool.Cooldown = 10*time.Second, 10*time.Second, 5*time.Second
			cfg.Pool.Target.AtOnce, cfg.Pool.Target.Warm = []int{2, 4, 16}[seed%3], 1
			f := newFleet(uint64(seed)+500, vpc.Config{
				Latency: vpc.Typical(1), Visibility: time.Duration(seed%3) * 25 * time.Second, DeletedToken: vpc.DeletedToken(seed % 2),
			}, cfg)
			var err error
			f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: f.subnet.VPC, Zone: "lab-1a", CIDR: mustPrefix("10.110.64.0/27")})
			if err != nil {
				t.Fatal(err)
			}
			f.loss, f.lost, f.lateBus = 0.1, 0.1*float64(seed%4), time.Second
			for range 2 {
				f.addNode([]string{"t3.small", "t3.medium"}[seed%2], []int{7, 10}[seed%2])
			}
			f.addLeader("a").lead(1, forever)
			if seed%4 != 3 {
				f.addLeader("b").lead(2, forever)
			}
			for range 12 {
				l := f.leaders[f.r.IntN(len(f.leaders))]
				l.stalled = f.now + f.between(0, 6*time.Minute)
				f.walk(f.between(time.Minute, 4*time.Minute))
			}
			f.must(t)
			f.leaders[0].dead = len(f.leaders) > 1
			f.alone()
			f.settle(t)
		})
	}
}

// alone forgets what two leaders wished for in the same window.
func (f *fleet) alone() {
	for _, n := range f.nodes {
		n.given = nil
	}
}

// settle ends all faults and checks what must be true then.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	f.loss, f.lost, f.lateBus = 0, 0, 100*time.Millisecond
	for _, l := range f.leaders {
		l.stalled = 0
	}
	f.run(40 * time.Minute)
	f.must(t)
	done := f.mutations()
	f.run(30 * time.Minute)
	f.must(t)
	if got := f.mutations(); got != done {
		t.Errorf("L4: %d changes with nothing going on:\n%s", got-done, f.story())
	}
	for _, n := range f.nodes {
		s := n.snapshot(f.now)
		free, fenced, held := 0, 0, 0
		for _, e := range s.ENIs {
			free, fenced, held = free+e.Free, fenced+len(e.Fenced), held+e.Held
		}
		if s.Waiting > 0 || fenced > 0 || held > 0 || free > n.policy.High {
			t.Errorf("%s: %d wait, %d free of %d..%d, %d fenced, %d held:\n%s", n.id, s.Waiting, free, n.policy.Low, n.policy.High, fenced, held, f.story())
		}
	}
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Attachment == nil {
			t.Errorf("L3: %s is left over:\n%s", e.ID, f.story())
		}
	}
}
