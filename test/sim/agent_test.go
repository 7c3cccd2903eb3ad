package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// TestClosedLoop: the reconciler's core, the agent's core, the pool file's transactions and the VPC's rules in one
// thread. A burst is served, and when the pods are gone the node comes back to its target and stays there.
func TestClosedLoop(t *testing.T) {
	f := newFleet(1, vpc.Config{Latency: vpc.Typical(1)}, usual())
	n := f.addReal("t3.medium", 17, t.TempDir())
	f.addLeader("a").lead(1, forever)
	f.run(5 * time.Second)
	f.must(t)
	if free := n.snapshot(f.now).ENIs[0].Free; free != 4 {
		t.Fatalf("%d free after 5 s:\n%s", free, f.story())
	}
	f.burst(n, "pod", 11)
	f.run(15 * time.Second)
	f.must(t)
	if len(n.waiting) > 0 {
		t.Fatalf("%d wait after 15 s:\n%s", len(n.waiting), f.story())
	}
	for i := range 11 {
		f.end(n, fmt.Sprint("pod-", i))
	}
	f.run(15 * time.Minute)
	f.must(t)
	if left := len(f.world.NetworkInterfaces(f.wall())); left != 1 {
		t.Errorf("%d interfaces are left:\n%s", left, f.story())
	}
	done := f.mutations()
	f.run(20 * time.Minute)
	f.must(t)
	if got := f.mutations(); got != done {
		t.Errorf("L4: %d changes with nothing going on:\n%s", got-done, f.story())
	}
}

// TestClosedLoopWalks: harsh walks with real agents and pool files. Agents crash, pool files are lost in a running boot;
// no address is ever leased twice, nor one that EC2 does not have, and nothing a pod has is taken away.
func TestClosedLoopWalks(t *testing.T) {
	for seed := range seedsOf(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			cfg := usual()
			cfg.Pool.Window, cfg.Pool.MinAge, cfg.Pool.Cooldown = 20*time.Second, 20*time.Second, 5*time.Second
			cfg.Pool.Target.Warm = 2
			f := newFleet(uint64(seed)+900, vpc.Config{
				Latency: vpc.Typical(1), Visibility: time.Duration(seed%3) * 25 * time.Second, DeletedToken: vpc.DeletedToken(seed % 2),
			}, cfg)
			var err error
			f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: f.subnet.VPC, Zone: "lab-1a", CIDR: mustPrefix("10.110.64.0/27")})
			if err != nil {
				t.Fatal(err)
			}
			f.loss, f.lost, f.lateBus = 0.1, 0.05*float64(seed%4), time.Second
			dir := t.TempDir()
			for range 2 {
				f.addReal([]string{"t3.small", "t3.medium"}[seed%2], []int{7, 10}[seed%2], dir)
			}
			f.addLeader("a").lead(1, forever)
			if seed%2 == 0 {
				f.addLeader("b").lead(2, forever)
			}
			for range 10 {
				f.walk(f.between(30*time.Second, 2*time.Minute))
				n := f.nodes[f.ids()[f.r.IntN(2)]]
				switch f.r.IntN(4) {
				case 0:
					n.real.start()
				case 1:
					n.real.lose()
				case 2:
					l := f.leaders[f.r.IntN(len(f.leaders))]
					l.stalled = f.now + f.between(0, 4*time.Minute)
				}
			}
			f.must(t)
			f.leaders[0].dead = len(f.leaders) > 1
			f.alone()
			f.settle(t)
		})
	}
}
