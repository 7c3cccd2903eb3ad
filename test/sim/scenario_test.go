package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// one is a filled node and its reconciler.
func one(t *testing.T, kind string, world vpc.Config) (*fleet, *node, *leader) {
	t.Helper()
	f := newFleet(5, world, usual())
	n := f.addNode(kind, 0)
	l := f.addLeader("a")
	l.lead(1, forever)
	f.run(10 * time.Second)
	f.must(t)
	return f, n, l
}

func (f *fleet) fault(t *testing.T, kind, argument string) {
	t.Helper()
	fault, err := vpc.ParseFault(kind, argument)
	if err == nil {
		err = f.world.SetFault(f.wall(), fault)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) clear(kind vpc.FaultKind) { f.world.ClearFault(f.wall(), kind, "") }

func (f *fleet) burst(n *node, prefix string, count int) {
	for i := range count {
		f.pod(n, fmt.Sprint(prefix, "-", i))
	}
}

// accepted counts calls by action and outcome.
func (f *fleet) calls(action string) (accepted, refused int) {
	for _, c := range f.world.Counts() {
		if c.Action == action {
			accepted += c.Accepted
			refused += c.Refused + c.Throttled
		}
	}
	return accepted, refused
}

// TestFullSubnet: a full subnet is said, with its name, to the node whose pods wait; it is not asked over and over; as
// soon as it has room again the pods are served.
func TestFullSubnet(t *testing.T) {
	f, n, _ := one(t, "t3.medium", vpc.Config{Latency: vpc.Typical(1)})
	f.fault(t, "subnet-full", f.subnet.ID)
	f.burst(n, "pod", 6)
	f.run(10 * time.Second)
	f.must(t)
	if n.why == nil || n.why.Code != "InsufficientFreeAddressesInSubnet" || !strings.Contains(n.why.Text, f.subnet.ID+" (10.110.0.0/18) has 0 free addresses") {
		t.Errorf("why: %+v\n%s", n.why, f.story())
	}
	f.run(10 * time.Minute)
	_, assigns := f.calls("AssignPrivateIpAddresses")
	_, creates := f.calls("CreateNetworkInterface")
	if assigns+creates > 3 {
		t.Errorf("%d calls into a full subnet:\n%s", assigns+creates, f.story())
	}
	for i := range 6 {
		f.end(n, fmt.Sprint("pod-", i)) // some run, some wait
	}
	f.run(5 * time.Minute)
	f.burst(n, "again", 4)
	f.clear(vpc.FaultSubnetFull)
	f.run(3 * time.Minute) // nobody waits, and yet the pool is filled
	f.must(t)
	if s := n.snapshot(f.now); s.ENIs[0].Leased+s.ENIs[0].Free != 5 {
		t.Errorf("not filled again:\n%s", f.story())
	}
	if len(n.waiting) > 0 || n.why != nil {
		t.Errorf("still waiting %v, why %+v:\n%s", n.waiting, n.why, f.story())
	}
}

// TestScarceSubnet: what is left of a subnet goes to pods that wait, not to warm pools.
func TestScarceSubnet(t *testing.T) {
	f := newFleet(6, vpc.Config{Latency: vpc.Typical(1)}, usual())
	var err error
	f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: f.subnet.VPC, Zone: "lab-1a", CIDR: mustPrefix("10.110.64.0/28")}) // 11 addresses
	if err != nil {
		t.Fatal(err)
	}
	n := f.addNode("m5.large", 0)
	f.addLeader("a").lead(1, forever)
	f.run(10 * time.Second)
	f.burst(n, "pod", 9) // 4 warm ones there, 6 free in the subnet: 5 for pods, all that is missing fits on eth0
	f.run(2 * time.Minute)
	f.must(t)
	if len(n.waiting) > 0 {
		t.Errorf("%d wait:\n%s", len(n.waiting), f.story())
	}
	f.burst(n, "late", 4)
	f.run(5 * time.Minute)
	f.must(t)
	if n.why == nil || n.why.Subnet != ipam.SubnetID(f.subnet.ID) {
		t.Errorf("why %+v:\n%s", n.why, f.story())
	}
}

// TestGivesBackToOthers: in a full subnet a node that idles gives its free addresses back to one whose pods wait.
func TestGivesBackToOthers(t *testing.T) {
	f := newFleet(11, vpc.Config{Latency: vpc.Typical(1)}, usual())
	var err error
	f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: f.subnet.VPC, Zone: "lab-1a", CIDR: mustPrefix("10.110.64.0/28")}) // 11 addresses
	if err != nil {
		t.Fatal(err)
	}
	idle, busy := f.addNode("m5.large", 0), f.addNode("m5.large", 0)
	f.addLeader("a").lead(1, forever)
	f.run(2 * time.Minute) // two primaries, four warm each: one address is left
	f.burst(busy, "pod", 8)
	f.run(6 * time.Minute)
	f.must(t)
	if len(busy.waiting) > 0 {
		t.Errorf("%d wait while %s has %+v:\n%s", len(busy.waiting), idle.id, idle.snapshot(f.now).ENIs, f.story())
	}
	done := f.mutations()
	f.run(20 * time.Minute)
	f.must(t)
	if got := f.mutations(); got-done > 4 {
		t.Errorf("%d changes after that:\n%s", got-done, f.story())
	}
}

// TestThrottledToNothing: EC2 refuses every call for its rate. The nodes' calls fall to a trickle, the reason is said,
// and all is made up for afterwards.
func TestThrottledToNothing(t *testing.T) {
	f := newFleet(7, vpc.Config{Latency: vpc.Typical(1)}, usual())
	for range 20 {
		f.addNode("t3.medium", 0)
	}
	f.addLeader("a").lead(1, forever)
	f.run(20 * time.Second)
	f.must(t)
	for _, action := range []string{"Assign*", "Create*", "Attach*"} {
		f.fault(t, "throttle", action+"=0")
	}
	for _, n := range f.nodes {
		f.burst(n, "pod", 6)
	}
	f.run(10 * time.Minute)
	f.must(t)
	_, refused := f.calls("AssignPrivateIpAddresses")
	if refused > 20*(10*60/10+6) {
		t.Errorf("%d calls into a throttled EC2 by 20 nodes in 10 minutes", refused)
	}
	for _, n := range f.nodes {
		if n.why == nil || n.why.Code != "RequestLimitExceeded" {
			t.Fatalf("why %+v", n.why)
		}
	}
	f.clear(vpc.FaultThrottle)
	for _, action := range []string{"Assign*", "Create*", "Attach*"} {
		f.world.ClearFault(f.wall(), vpc.FaultThrottle, action)
	}
	f.run(2 * time.Minute)
	f.must(t)
	for _, n := range f.nodes {
		if len(n.waiting) > 0 {
			t.Fatalf("still waiting:\n%s", f.story())
		}
	}
}

// TestDetachedByHuman: an interface with pods that somebody pulls is attached again, with its addresses; the fourth
// time within an hour it is left alone.
func TestDetachedByHuman(t *testing.T) {
	f, n, _ := one(t, "t3.medium", vpc.Config{Latency: vpc.Typical(1)})
	f.burst(n, "pod", 8)
	f.run(time.Minute)
	f.must(t)
	second := n.links()[1]
	f.human[second.eni] = true
	for i := range 4 {
		f.fault(t, "detach", string(second.eni))
		f.run(3 * time.Minute)
		f.must(t)
		e, _ := f.world.NetworkInterface(f.wall(), string(second.eni))
		if attached := e.Instance() == string(n.id); attached != (i < 3) {
			t.Fatalf("pulled %d times, attached: %t\n%s", i+1, attached, f.story())
		}
	}
}

// TestNoManage: what bears the tag is left alone, and so is what is not ours.
func TestNoManage(t *testing.T) {
	f, n, _ := one(t, "t3.medium", vpc.Config{})
	made, err := f.world.Call(f.wall(), "human", vpc.CreateNetworkInterface{SubnetID: f.subnet.ID})
	if err != nil {
		t.Fatal(err)
	}
	foreign := made.Output.(vpc.CreateNetworkInterfaceOutput).NetworkInterface
	if _, err := f.world.Call(f.wall(), "human", vpc.AttachNetworkInterface{ID: foreign.ID, InstanceID: string(n.id), Device: 1}); err != nil {
		t.Fatal(err)
	}
	f.run(6 * time.Minute)
	f.burst(n, "pod", 12)
	f.run(6 * time.Minute)
	f.must(t)
	e, ok := f.world.NetworkInterface(f.wall(), foreign.ID)
	if !ok || e.Instance() != string(n.id) || len(e.Secondary) != 0 || e.Attachment.DeleteOnTermination {
		t.Errorf("touched: %+v\n%s", e, f.story())
	}
	if len(n.waiting) != 2 || n.why == nil || n.why.Code != ipam.WhyInstanceLimit {
		t.Errorf("two interfaces of five serve ten pods; %d wait, why %+v\n%s", len(n.waiting), n.why, f.story())
	}
}

// TestTerminated: a terminated instance's interfaces are swept and its snapshot is purged.
func TestTerminated(t *testing.T) {
	cfg := usual()
	f := newFleet(8, vpc.Config{Latency: vpc.Typical(1)}, cfg)
	n := f.addNode("t3.medium", 0)
	l := f.addLeader("a")
	l.lead(1, forever)
	f.run(10 * time.Second)
	f.burst(n, "pod", 8)
	f.fault(t, "latency", "AttachNetworkInterface=9s")
	f.run(6 * time.Second) // created, not attached
	if _, err := f.world.Call(f.wall(), "human", vpc.TerminateInstances{IDs: []string{string(n.id)}}); err != nil {
		t.Fatal(err)
	}
	n.off = true
	f.run(30 * time.Minute)
	if left := f.world.NetworkInterfaces(f.wall()); len(left) != 0 {
		t.Errorf("%d interfaces are left:\n%s", len(left), f.story())
	}
	if len(f.stream) != 0 {
		t.Errorf("its snapshot is still there")
	}
}

// TestTypeChanged: an instance that comes back smaller gives up what is above its new limit, and never by force.
func TestTypeChanged(t *testing.T) {
	f, n, _ := one(t, "m5.xlarge", vpc.Config{})
	f.burst(n, "pod", 45)
	f.run(time.Minute)
	for i := range 45 {
		if i >= 10 {
			f.end(n, fmt.Sprint("pod-", i))
		}
	}
	if got := len(n.links()); got != 4 {
		t.Fatalf("%d interfaces", got)
	}
	if err := f.world.SetInstanceType(string(n.id), "t3.medium"); err != nil {
		t.Fatal(err)
	}
	f.run(20 * time.Minute)
	f.must(t)
	if got := len(n.links()); got > 3 {
		t.Errorf("%d interfaces on a type that allows 3:\n%s", got, f.story())
	}
}

// TestSilent: a node that is not heard of gets nothing more, however many pods it said were waiting (protocol r8).
func TestSilent(t *testing.T) {
	f, n, l := one(t, "m5.4xlarge", vpc.Config{})
	f.fault(t, "throttle", "*=0") // it asks, and gets nothing in time
	f.burst(n, "pod", 30)
	f.run(time.Minute)
	f.loss = 1
	f.run(5 * time.Minute)
	f.world.ClearFault(f.wall(), vpc.FaultThrottle, "*")
	before := f.mutations()
	f.run(30 * time.Minute)
	f.must(t)
	if got := f.mutations() - before; got != 0 {
		t.Errorf("%d changes for a node that was not heard of:\n%s", got, f.story())
	}
	_ = l
	f.loss = 0
	f.run(2 * time.Minute)
	if len(n.waiting) > 0 {
		t.Errorf("%d wait after its return:\n%s", len(n.waiting), f.story())
	}
}

// TestReleasesAreSlow: no more than one interface or 16 addresses are given back in any window (protocol B4), and none
// of what was needed within the window before.
func TestReleasesAreSlow(t *testing.T) {
	f, n, _ := one(t, "m5.4xlarge", vpc.Config{})
	f.burst(n, "pod", 150)
	f.run(2 * time.Minute)
	f.must(t)
	if len(n.waiting) > 0 {
		t.Fatalf("%d wait:\n%s", len(n.waiting), f.story())
	}
	for i := range 150 {
		f.end(n, fmt.Sprint("pod-", i))
	}
	window, least := f.cfg.Pool.Window, len(n.links())
	gone := f.now
	for range 400 {
		f.run(5 * time.Second)
		f.must(t)
		now := len(n.links())
		if now < least {
			if f.now-gone < window-5*time.Second {
				t.Fatalf("%d and then %d interfaces, %s apart:\n%s", least, now, f.now-gone, f.story())
			}
			least, gone = now, f.now
		}
	}
	if least > 2 {
		t.Errorf("%d interfaces are left:\n%s", least, f.story())
	}
}

// TestLaggingLists: a list that lags behind our own calls neither takes away what they gave nor has it given twice.
func TestLaggingLists(t *testing.T) {
	f, n, _ := one(t, "m5.4xlarge", vpc.Config{Latency: vpc.Typical(1), Visibility: 55 * time.Second})
	for i := range 5 {
		f.burst(n, fmt.Sprint("pod-", i), 12)
		f.run(20 * time.Second)
		f.must(t)
	}
	listed := 0
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		listed += len(e.Secondary)
	}
	if _, refused := f.calls("AssignPrivateIpAddresses"); len(n.waiting) > 0 || listed != 64 || refused > 0 {
		t.Errorf("%d addresses for 60 pods and 4 warm; %d wait, %d refused:\n%s", listed, len(n.waiting), refused, f.story())
	}
	for _, l := range n.links() {
		for ip, a := range l.addrs {
			if a.lost || a.state == ipam.Held {
				t.Errorf("%s is %+v:\n%s", ip, a, f.story())
			}
		}
	}
}

// TestLostAnswers: an Assign whose answer is lost is not repeated before a list has shown what came of it (protocol
// r5, B2).
func TestLostAnswers(t *testing.T) {
	for seed := range uint64(20) {
		f := newFleet(seed, vpc.Config{}, usual())
		f.addNode("m5.4xlarge", 0)
		f.lost = 1
		f.addLeader("a").lead(1, forever)
		f.run(10 * time.Minute)
		f.must(t)
		listed := 0
		for _, e := range f.world.NetworkInterfaces(f.wall()) {
			listed += len(e.Secondary)
		}
		if listed > 8 {
			t.Fatalf("seed %d: %d addresses for 4 warm ones:\n%s", seed, listed, f.story())
		}
	}
}

// TestRestart: a reconciler that dies between Create and Attach is followed by one that attaches what was made.
func TestRestart(t *testing.T) {
	for _, answer := range []bool{true, false} {
		t.Run(fmt.Sprint("answered ", answer), func(t *testing.T) {
			f := newFleet(9, vpc.Config{Latency: vpc.Typical(1), Visibility: 20 * time.Second}, usual())
			n := f.addNode("t3.medium", 0)
			first := f.addLeader("a")
			first.lead(1, forever)
			f.run(30 * time.Second)
			f.burst(n, "pod", 6)
			for done := 0; done == 0; f.run(50 * time.Millisecond) {
				done, _ = f.calls("CreateNetworkInterface")
				if done > 0 && !answer {
					break
				}
			}
			if answer {
				f.run(900 * time.Millisecond)
			}
			first.dead = true
			second := f.addLeader("b")
			second.lead(2, forever)
			f.run(4 * time.Minute)
			f.must(t)
			made, _ := f.calls("CreateNetworkInterface")
			if len(n.waiting) > 0 || made > 2 {
				t.Errorf("%d wait, %d Creates:\n%s", len(n.waiting), made, f.story())
			}
			f.settle(t)
		})
	}
}

// TestPolicyChanges: a new policy is followed at once.
func TestPolicyChanges(t *testing.T) {
	f, n, l := one(t, "m5.large", vpc.Config{})
	pool := f.cfg.Pool
	pool.Rev, pool.Target.Warm = 2, 9
	l.step(reconcile.Input{Pool: &pool})
	f.run(5 * time.Second)
	f.must(t)
	if s := n.snapshot(f.now); s.ENIs[0].Free != 9 || n.policy.Low != 9 || n.policy.Rev != 2 {
		t.Errorf("%+v:\n%s", n.policy, f.story())
	}
}
