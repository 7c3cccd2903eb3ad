package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// The tests of this file are the rows of docs/protocol.md, A9: what happens when. That nothing a pod has is taken away,
// that no address is leased twice, and all else of A8 is checked in each of them, after every step.

func TestA9_Reboot(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	f.burst(n, "pod", 9)
	f.lasts(t, 30*time.Second)
	inc, interfaces := n.pool.state.Meta.Inc, len(f.interfaces(n))
	n.restart(20*time.Second, "")
	f.lasts(t, 40*time.Second)
	if n.pool.state.Meta.Inc == inc || len(n.pool.leases) > 0 {
		f.wrong(t, "inc %s after %s, leases %v: the boot's leases are not void", n.pool.state.Meta.Inc, inc, n.pool.leases)
	}
	if got := len(f.interfaces(n)); got != interfaces {
		f.wrong(t, "%d interfaces after the boot, %d before", got, interfaces)
	}
	allRun(t, f, f.burst(n, "again", 3))
	settled(t, f)
}

func TestA9_StopStartTypeChanged(t *testing.T) {
	t.Parallel()
	f, n := one(t, "m5.xlarge", 58, vpc.Config{Latency: vpc.Typical(1)})
	f.burst(n, "pod", 45)
	f.lasts(t, time.Minute)
	if got := len(f.interfaces(n)); got != 4 {
		f.wrong(t, "%d interfaces for 45 pods", got)
	}
	pool := usualPool()
	pool.Target.Minimum = 58 // whatever there is, is wanted: what goes, goes because of the limit
	f.reload([]reconcile.Pool{pool})
	n.kind = "t3.medium"
	must(f.world.SetInstanceType(string(n.id), n.kind)) // with more than it allows: EC2 itself would not start it
	n.restart(20*time.Second, "")
	f.lasts(t, 20*time.Minute)
	if got := len(f.interfaces(n)); got > 3 {
		f.wrong(t, "%d interfaces on a type that allows 3", got)
	}
	settled(t, f)
}

func TestA9_StopStartTypeGrown(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	f.burst(n, "pod", 12)
	f.lasts(t, 30*time.Second)
	n.maxPods = 58
	n.restart(20*time.Second, "m5.xlarge")
	f.lasts(t, 10*time.Minute)
	pods := f.burst(n, "again", 50)
	f.lasts(t, time.Minute)
	allRun(t, f, pods)
	settled(t, f)
}

func TestA9_ReplacedSameName(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	f.burst(n, "pod", 9)
	f.lasts(t, 30*time.Second)
	old := n.ledger
	f.apply(Fault{Kind: Terminate, For: 10 * time.Second})
	f.lasts(t, 11*time.Second)
	next := f.nodes[1]
	next.ledger, next.older = old, nil // its disk is a copy of the old one's
	next.crash()
	next.loseFile()
	next.startAgent()
	f.lasts(t, 30*time.Minute)
	if left := f.interfaces(n); len(left) > 0 {
		f.wrong(t, "%d interfaces of the terminated instance are left", len(left))
	}
	if len(f.bus.stream) != 1 || next.pool.state.Meta.Seen.Epoch == 0 {
		f.wrong(t, "the stream has %d snapshots", len(f.bus.stream))
	}
	settled(t, f)
}

func TestA9_AgentCrashLoops(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	free := n.on(ipam.Free)
	n.crash()
	f.lasts(t, time.Second)
	before := f.mutations()
	allRun(t, f, f.burst(n, "served", free)) // leasing goes on without it
	f.lasts(t, 2*time.Minute)
	late := f.pod(n, "late")
	if late.state != waiting || late.ticket || late.cause != "the agent is silent" {
		f.wrong(t, "an ADD behind a silent agent waits: %+v", late)
	}
	if got := f.mutations(); got != before {
		f.wrong(t, "%d changes while no agent spoke", got-before)
	}
	n.startAgent()
	f.lasts(t, 40*time.Second)
	allRun(t, f, []*pod{late})
	settled(t, f)
}

func TestA9_PoolFileLostOrCorrupt(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*node){
		"lost": (*node).loseFile, "corrupt": (*node).spoilFile,
		"with the ledger": func(n *node) { n.ledger = nil; n.loseFile() },
	} {
		t.Run(name, func(t *testing.T) {
			f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
			pods := f.burst(n, "pod", 9)
			f.lasts(t, 30*time.Second)
			had := addressesOf(pods)
			harm(n)
			f.lasts(t, 5*time.Minute)
			keep(t, f, pods, had)
			allRun(t, f, f.burst(n, "more", 3))
			settled(t, f)
		})
	}
}

func TestA9_ClockJumps(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	pods := f.burst(n, "pod", 9)
	f.lasts(t, 30*time.Second)
	had := addressesOf(pods[:5])
	for _, p := range pods[5:] {
		p.del() // cools by BOOTTIME, whatever the wall says: S6
	}
	before := f.mutations()
	for _, d := range []time.Duration{-48 * time.Hour, 100 * time.Hour, -time.Second} {
		n.skew += d
		f.lasts(t, 3*time.Second)
	}
	keep(t, f, pods[:5], had)
	if got := f.mutations(); got != before {
		f.wrong(t, "%d changes because of a clock", got-before)
	}
}

func TestA9_PartitionedForHours(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	f.fault(t, "throttle", "Assign*=0")
	f.fault(t, "throttle", "Create*=0")
	pods := f.burst(n, "pod", n.on(ipam.Free)+3)
	f.lasts(t, 10*time.Second)
	n.setCut(true) // its last word, which stays in the stream, is that three pods wait
	f.lasts(t, 6*time.Minute)
	f.clear("")
	before := f.mutations()
	f.lasts(t, 3*time.Hour) // r8: it gets nothing and gives nothing
	if got := f.mutations(); got != before {
		f.wrong(t, "%d changes for a node that is not heard of", got-before)
	}
	if n.waits() != 3 {
		f.wrong(t, "%d wait, 3 should: the pool serves what it has", n.waits())
	}
	n.setCut(false)
	f.lasts(t, time.Minute)
	allRun(t, f, pods)
	settled(t, f)
}

func TestA9_ReconcilerDownForHours(t *testing.T) {
	t.Parallel()
	f, n := one(t, "m5.large", 29, vpc.Config{Latency: vpc.Typical(1)})
	idle := f.addNode("m5.large", 29)
	f.lasts(t, 10*time.Second)
	f.leaders[0].die()
	pods := f.burst(n, "pod", 8)
	f.lasts(t, 3*time.Hour)
	if n.on(ipam.Fenced)+idle.on(ipam.Fenced) > 0 {
		f.wrong(t, "fences arose without a reconciler")
	}
	f.addLeader("r2").lead(2, forever)
	f.lasts(t, 2*time.Minute)
	allRun(t, f, pods)
	settled(t, f)
}

func TestA9_EC2DownOrThrottled(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	pods := f.burst(n, "pod", 3)
	had := addressesOf(pods)
	f.fault(t, "ec2-error", "Describe*=InternalError")
	for _, action := range []string{"Assign*", "Create*", "Attach*"} {
		f.fault(t, "throttle", action+"=0")
	}
	more := f.burst(n, "more", 6)
	f.lasts(t, 20*time.Minute)
	keep(t, f, pods, had)
	wantWhy(t, f, n, "RequestLimitExceeded")
	if _, refused := f.calls("AssignPrivateIpAddresses"); refused > 20*6+10 {
		f.wrong(t, "%d calls into a throttled EC2 in 20 minutes", refused)
	}
	f.clear("")
	f.lasts(t, 3*time.Minute)
	allRun(t, f, more)
	settled(t, f)
}

func TestA9_SubnetFull(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	f.fault(t, "subnet-full", f.subnet.ID)
	pods := f.burst(n, "pod", 6)
	f.lasts(t, 10*time.Second)
	wantWhy(t, f, n, "InsufficientFreeAddressesInSubnet", f.subnet.ID, "10.110.0.0/18", "0 free addresses")
	f.lasts(t, 10*time.Minute)
	_, assigns := f.calls("AssignPrivateIpAddresses")
	_, creates := f.calls("CreateNetworkInterface")
	if assigns+creates > 3 {
		f.wrong(t, "%d calls into a full subnet", assigns+creates)
	}
	f.clear(vpc.FaultSubnetFull)
	f.lasts(t, 8*time.Minute)
	allRun(t, f, pods)
	settled(t, f)
}

// The subnet has 11 addresses. Both nodes keep four warm; when one node's pods need more than is left, the other gives up
// what it does not use, and gets nothing warm again as long as pods need it.
func TestA9_SubnetFullIdleNodeGivesBack(t *testing.T) {
	t.Parallel()
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, usual())
	small, err := f.world.AddSubnet(vpc.Subnet{VPC: f.vpc, Zone: "lab-1a", CIDR: mustPrefix("10.110.64.0/28")})
	must(err)
	f.subnet = small
	idle, busy := f.addNode("m5.large", 29), f.addNode("m5.large", 29)
	f.lasts(t, time.Minute)
	if idle.on(ipam.Free) != 4 || busy.on(ipam.Free) != 4 {
		f.wrong(t, "%d and %d free, want 4 each", idle.on(ipam.Free), busy.on(ipam.Free))
	}
	pods := f.burst(busy, "pod", 9)
	f.lasts(t, 15*time.Second)
	if busy.waits() != 4 {
		f.wrong(t, "%d wait, want 4: one address was left", busy.waits())
	}
	wantWhy(t, f, busy, "InsufficientFreeAddressesInSubnet", small.ID, "0 free addresses")
	f.lasts(t, 10*time.Minute)
	allRun(t, f, pods)
	f.lasts(t, 10*time.Minute)
	if idle.on(ipam.Free) > 0 {
		f.wrong(t, "the idle node keeps %d free", idle.on(ipam.Free))
	}
	late := f.pod(idle, "late") // who has nothing waits for others to end
	f.lasts(t, time.Minute)
	pods[0].del()
	f.lasts(t, 15*time.Minute)
	allRun(t, f, []*pod{late})
	settled(t, f)
}

func TestA9_InterfaceDetachedByHuman(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	pods := f.burst(n, "pod", 8)
	f.lasts(t, time.Minute)
	had := addressesOf(pods)
	second := string(pods[7].eni)
	f.human.enis[ipam.ENIID(second)] = true
	for i := range 4 { // three times in an hour, and then no more
		f.fault(t, "detach", second)
		f.lasts(t, 3*time.Minute)
		e, _ := f.world.NetworkInterface(f.wall(), second)
		if attached := e.Instance() == string(n.id); attached != (i < 3) {
			f.wrong(t, "pulled %d times, attached: %t", i+1, attached)
		}
		keep(t, f, pods, had)
	}
}

func TestA9_SecurityGroupDeleted(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	g, err := f.world.AddSecurityGroup(vpc.SecurityGroup{VPC: f.vpc, Name: "pods"})
	must(err)
	pool := usualPool()
	pool.Groups = []string{g.ID}
	f.reload([]reconcile.Pool{pool})
	pods := f.burst(n, "pod", 4)
	f.lasts(t, time.Minute)
	had := addressesOf(pods)
	f.world.DeleteSecurityGroup(g.ID)
	more := f.burst(n, "more", 8) // two more than the two interfaces that there are have room for
	f.lasts(t, 2*time.Minute)
	keep(t, f, pods, had)
	if n.waits() != 2 {
		f.wrong(t, "%d wait, want the two for which an interface would have to be made", n.waits())
	}
	wantWhy(t, f, n, "InvalidGroup.NotFound", g.ID)
	second, _ := f.world.NetworkInterface(f.wall(), string(more[5].eni))
	if count := len(f.interfaces(n)); count != 2 || !slices.Equal(second.Groups, []string{g.ID}) {
		f.wrong(t, "the node has %d interfaces, and that of the pods has the groups %v", count, second.Groups)
	}
	pool.Groups = nil // those of the primary
	f.reload([]reconcile.Pool{pool})
	f.lasts(t, 3*time.Minute)
	allRun(t, f, more)
}

func TestA9_DrainAndTerminate(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	pods := f.burst(n, "pod", 8)
	f.lasts(t, time.Minute)
	n.setCordon(true)
	for _, p := range pods[1:] {
		p.del()
	}
	before := f.mutations()
	f.lasts(t, 15*time.Minute) // no warm fill, no release
	if got := f.mutations(); got != before {
		f.wrong(t, "%d changes on a node that is drained", got-before)
	}
	late := f.burst(n, "late", 12)
	f.lasts(t, 40*time.Second)
	allRun(t, f, late) // who waits is served all the same
	if got := n.on(ipam.Free); got > 0 {
		f.wrong(t, "%d addresses are free: they were for nobody", got)
	}
	f.apply(Fault{Kind: Terminate, For: time.Hour})
	f.lasts(t, 30*time.Minute)
	if left := f.interfaces(n); len(left) > 0 {
		f.wrong(t, "%d interfaces are left of a terminated instance", len(left))
	}
}
