package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/vpc"
)

// The tests of this file are what hurts users of amazon-vpc-cni-k8s most, by the issues of its repository: each makes
// the situation and shows that nothing of the kind happens here.

// TestW1_RestartWithIncompleteLists: prefixes; agent and reconciler restart while lists lag so far that they miss what was
// given last. No pod is taken for dead, no lease is dropped, nothing is unassigned (#3824).
func TestW1_RestartWithIncompleteLists(t *testing.T) {
	t.Parallel()
	pool := usualPool()
	pool.Target.Mode = ipam.ModePrefix
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{pool}))
	n := f.addNode("m5.large", 60)
	f.lasts(t, 10*time.Second)
	f.fault(t, "visibility", "60s")
	pods := f.burst(n, "pod", 40)
	f.lasts(t, 20*time.Second)
	allRun(t, f, pods)
	had, before := addressesOf(pods), f.releases
	if listed, there := f.listed(t, n); listed >= there {
		f.wrong(t, "a list has %d of %d addresses and prefixes: it misses none", listed, there)
	}
	lost := false
	for i := range 5 {
		n.crash()
		if i < 2 { // one that starts anew knows nothing but what lists tell
			f.apply(Fault{Kind: LeaderCrash})
		}
		f.lasts(t, 3*time.Second)
		n.startAgent()
		for range 30 {
			f.lasts(t, time.Second)
			lost = lost || n.unlisted() > 0
		}
		keep(t, f, pods, had)
	}
	if f.releases != before {
		f.wrong(t, "%d calls gave something back", f.releases-before)
	}
	if !lost || n.unlisted() > 0 {
		f.wrong(t, "a list without leased addresses came: %t; %d are not back", lost, n.unlisted())
	}
}

// TestW2_InterfaceBrieflyMissing: a network interface is missing for a while from what the node sees and from what a
// reconciler that starts anew is told, with pods on it. It is neither detached nor emptied, and the pods keep their
// addresses (#1967).
func TestW2_InterfaceBrieflyMissing(t *testing.T) {
	t.Parallel()
	f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
	pods := f.burst(n, "pod", 9)
	f.lasts(t, 30*time.Second)
	had := addressesOf(pods)
	f.fault(t, "visibility", "60s")
	f.apply(Fault{Kind: LeaderCrash})
	for mac, l := range n.links {
		if l.Index > 2 {
			delete(n.links, mac)
			n.step(agent.Input{Wake: &agent.Wake{Links: true}})
			f.after(40*time.Second, func() { n.links[mac] = l })
		}
	}
	f.lasts(t, 10*time.Second)
	if n.unlisted() == 0 {
		f.wrong(t, "every lease has its network interface: none is missing")
	}
	f.lasts(t, 2*time.Minute)
	keep(t, f, pods, had)
	if got, _ := f.calls("DetachNetworkInterface"); got > 0 || n.unlisted() > 0 {
		f.wrong(t, "%d interfaces were detached, %d leases are without one", got, n.unlisted())
	}
	settled(t, f)
}

// TestW3_RestartForgetsNothingGivenBack: an address is given back, agent and reconciler restart, and lists still show it.
// It is not served again, however many pods come (#3887): S1 and S5 would break.
func TestW3_RestartForgetsNothingGivenBack(t *testing.T) {
	t.Parallel()
	f, n := one(t, "m5.large", 29, vpc.Config{Latency: vpc.Typical(1), Visibility: 50 * time.Second})
	stale := 0
	for i := range 12 {
		for _, p := range f.burst(n, "pod", 12) {
			f.after(time.Minute, p.del)
		}
		f.lasts(t, time.Minute)
		before := f.releases
		for limit := f.now + time.Hour; f.releases == before && f.now < limit; {
			f.lasts(t, 100*time.Millisecond)
		}
		f.lasts(t, []time.Duration{0, 2 * time.Second, 5 * time.Second, 15 * time.Second}[i%4])
		n.crash()
		f.apply(Fault{Kind: LeaderCrash})
		if i%3 == 2 {
			n.loseFile()
		}
		n.startAgent()
		if listed, there := f.listed(t, n); listed > there {
			stale++
		}
		f.burst(n, "next", 18)
		f.lasts(t, time.Minute)
		for _, p := range slices.Clone(n.pods) {
			p.del()
		}
	}
	if stale < 4 {
		f.wrong(t, "lists showed what was given back after %d restarts: this looks at nothing", stale)
	}
	settled(t, f)
}

// TestW4_CoolingIsNotFree: all addresses cool. The pool grows at once instead of taking them for free ones, so that the
// pods that come then find their addresses (#2896).
func TestW4_CoolingIsNotFree(t *testing.T) {
	t.Parallel()
	pool := usualPool()
	pool.Cooldown = 5 * time.Minute
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{pool}))
	n := f.addNode("m5.large", 29)
	f.lasts(t, 10*time.Second)
	for _, p := range f.burst(n, "short", 4) {
		p.del()
	}
	f.lasts(t, 5*time.Second)
	if n.on(ipam.Cooling) != 4 || n.on(ipam.Free) != 4 {
		f.wrong(t, "%d cool and %d are free, want 4 and 4", n.on(ipam.Cooling), n.on(ipam.Free))
	}
	next := f.burst(n, "next", 4)
	f.lasts(t, 50*time.Millisecond)
	allRun(t, f, next)
}

// TestW5_AddressesRest: no address is leased again before its cooldown (#3634). S6 is looked at after every step.
func TestW5_AddressesRest(t *testing.T) {
	t.Parallel()
	pool := usualPool()
	pool.Cooldown = 2 * time.Minute
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{pool}))
	n := f.addNode("m5.large", 29)
	f.lasts(t, 10*time.Second)
	freed := map[string]time.Duration{}
	for i := range 200 {
		p := f.pod(n, "churn")
		f.lasts(t, 8*time.Second)
		allRun(t, f, []*pod{p})
		a := p.addresses[0].String()
		if at, before := freed[a]; before && p.served-at < pool.Cooldown {
			f.wrong(t, "pod %d has %s %s after another had it", i, a, p.served-at)
		}
		p.del()
		freed[a] = f.now
	}
}

// TestW8_NothingLeaksWhenAnInstanceDies: at any moment of making a network interface, or between its detaching and its
// deletion; within half an hour all is gone (#69). L3.
func TestW8_NothingLeaksWhenAnInstanceDies(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second} {
		f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
		f.burst(n, "pod", 12)
		f.lasts(t, after)
		f.apply(Fault{Kind: Terminate, For: time.Hour})
		f.lasts(t, 30*time.Minute)
		if left := f.interfaces(n); len(left) > 0 {
			f.wrong(t, "%d interfaces are left when it dies after %s", len(left), after)
		}
	}
	for _, after := range []time.Duration{0, 300 * time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second} {
		f, n := one(t, "t3.medium", 17, vpc.Config{Latency: vpc.Typical(1)})
		pods := f.burst(n, "pod", 12)
		f.lasts(t, 30*time.Second)
		for _, p := range pods {
			p.del()
		}
		detached := func() int { got, _ := f.calls("DetachNetworkInterface"); return got }
		for limit := f.now + 2*time.Hour; detached() == 0 && f.now < limit; {
			f.lasts(t, 50*time.Millisecond)
		}
		made := len(f.interfaces(n))
		f.lasts(t, after)
		f.apply(Fault{Kind: Terminate, For: time.Hour})
		f.lasts(t, 30*time.Minute)
		if left := f.interfaces(n); made < 2 || len(left) > 0 {
			f.wrong(t, "of %d interfaces %d are left when it dies %s after a Detach", made, len(left), after)
		}
	}
}

// TestW9_FewCallsForManyNodes: an hour in which pods come and go on 50 nodes costs lists for the fleet, not for each
// node (#3719, #887).
func TestW9_FewCallsForManyNodes(t *testing.T) {
	t.Parallel()
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1), Buckets: vpc.Published(1)}, usual())
	for range 50 {
		f.addNode("m5.large", 29)
	}
	f.lasts(t, 2*time.Minute)
	reads := func() (count int) {
		for _, c := range f.world.Counts() {
			if strings.HasPrefix(c.Action, "Describe") {
				count += c.Accepted + c.Throttled + c.Refused
			}
		}
		return count
	}
	before := reads()
	for i := range 60 {
		p := f.pod(f.nodes[i%50], "churn")
		f.lasts(t, time.Minute)
		p.del()
	}
	if got := reads() - before; got > 400 {
		f.wrong(t, "%d reading calls in an hour; one each minute of 50 nodes were 3,000", got)
	}
}

// TestW11_PodsOnANewNodeWait: pods that come with the node itself wait inside of their first ADD instead of failing and
// coming again (#330).
func TestW11_PodsOnANewNodeWait(t *testing.T) {
	t.Parallel()
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, usual())
	n := f.addNode("m5.large", 29)
	pods := f.burst(n, "pod", 20)
	f.lasts(t, 30*time.Second)
	allRun(t, f, pods)
	for _, p := range pods {
		if p.attempt != 1 {
			f.wrong(t, "%s needed %d sandboxes", p.name, p.attempt)
		}
	}
}

// TestW12_FragmentedSubnet: addresses are free and no aligned /28 is. Pods are served by single addresses, and prefixes
// come back when blocks are free (#2749).
func TestW12_FragmentedSubnet(t *testing.T) {
	t.Parallel()
	pool := usualPool()
	pool.Target.Mode = ipam.ModeAuto
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{pool}))
	f.fault(t, "fragment", f.subnet.ID)
	n := f.addNode("m5.large", 29)
	pods := f.burst(n, "pod", 12)
	f.lasts(t, time.Minute)
	allRun(t, f, pods)
	prefixes := func() (count int) {
		for _, e := range f.interfaces(n) {
			count += len(e.Prefixes)
		}
		return count
	}
	if prefixes() > 0 {
		f.wrong(t, "a prefix in a fragmented subnet")
	}
	f.clear(vpc.FaultFragment)
	f.lasts(t, 30*time.Minute)
	more := f.burst(n, "more", 12)
	f.lasts(t, time.Minute)
	allRun(t, f, more)
	if prefixes() == 0 {
		f.wrong(t, "no prefix although blocks are free again")
	}
	settled(t, f)
}

// TestW13_NoHoarding: a node that may have 8 pods holds no more than 8 addresses, whatever its type has room for, and
// one that idles has its target and no whole network interface (#2294).
func TestW13_NoHoarding(t *testing.T) {
	t.Parallel()
	f, n := one(t, "m5.4xlarge", 8, vpc.Config{Latency: vpc.Typical(1)})
	if got := n.on(ipam.Free); got != 4 {
		f.wrong(t, "an idle node has %d free addresses, its target is 4", got)
	}
	f.burst(n, "pod", 8)
	f.lasts(t, time.Minute)
	stock := 0
	for _, e := range f.interfaces(n) {
		stock += len(e.Secondary)
	}
	if stock > 8 {
		f.wrong(t, "%d addresses for 8 pods at most", stock)
	}
}

// TestW14_PolicyByNode: two kinds of nodes have two targets, and a change reaches them while everything runs (#2072).
func TestW14_PolicyByNode(t *testing.T) {
	t.Parallel()
	small, big := usualPool(), usualPool()
	small.Target.Warm, small.Nodes = 2, map[string]string{"node.kubernetes.io/instance-type": "t3.*"}
	big.Target.Warm = 7
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{small, big}))
	a, b := f.addNode("t3.medium", 17), f.addNode("m5.large", 29)
	f.lasts(t, 15*time.Second)
	if a.on(ipam.Free) != 2 || b.on(ipam.Free) != 7 {
		f.wrong(t, "%d and %d free, want 2 and 7", a.on(ipam.Free), b.on(ipam.Free))
	}
	pods := f.burst(b, "pod", 3)
	had := addressesOf(pods)
	big.Target.Warm = 9
	f.reload([]reconcile.Pool{small, big})
	f.lasts(t, time.Minute)
	keep(t, f, pods, had)
	if a.on(ipam.Free) != 2 || b.on(ipam.Free) != 9 {
		f.wrong(t, "%d and %d free, want 2 and 9", a.on(ipam.Free), b.on(ipam.Free))
	}
}

// TestW17_EveryRefusalIsSaid: each reason for which a pod waits reaches it in words of its own (#111, #1791).
func TestW17_EveryRefusalIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ fault, argument, code, text string }{
		"full subnet":    {"subnet-full", "", "InsufficientFreeAddressesInSubnet", "has 0 free addresses"},
		"throttled":      {"throttle", "Assign*=0", "RequestLimitExceeded", "AssignPrivateIpAddresses"},
		"not allowed":    {"deny", "Assign*", "UnauthorizedOperation", "AssignPrivateIpAddresses"},
		"at the limit":   {"", "", ipam.WhyInstanceLimit, "3 network interfaces of 5 addresses"},
		"not in the sum": {"ec2-error", "Create*=NetworkInterfaceLimitExceeded", "NetworkInterfaceLimitExceeded", "CreateNetworkInterface"},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := one(t, "t3.medium", 40, vpc.Config{Latency: vpc.Typical(1)})
			if c.fault == "subnet-full" {
				c.argument = f.subnet.ID
			}
			if c.fault != "" {
				f.fault(t, c.fault, c.argument)
			}
			pods := f.burst(n, "pod", 20)
			f.lasts(t, 50*time.Second)
			wantWhy(t, f, n, c.code, c.text)
			f.lasts(t, time.Minute)
			if last := pods[19]; last.state == waiting && !last.refused {
				f.wrong(t, "it does not reach the pod: %q", last.cause)
			}
		})
	}
}

// TestW19_DualStack: pods of IPv4, of IPv6 and of both on one node (#3615).
func TestW19_DualStack(t *testing.T) {
	t.Parallel()
	pool := usualPool()
	pool.Target.Families = []ipam.Family{ipam.IPv4, ipam.IPv6}
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, configOf([]reconcile.Pool{pool}))
	n := f.addNode("m5.large", 29)
	f.lasts(t, 15*time.Second)
	var pods []*pod
	for _, families := range [][]ipam.Family{{ipam.IPv4}, {ipam.IPv6}, {ipam.IPv4, ipam.IPv6}} {
		for range 4 {
			pods = append(pods, f.podOf(n, fmt.Sprint("pod-", len(pods)), "default", families...))
		}
	}
	f.lasts(t, 30*time.Second)
	allRun(t, f, pods)
	for _, p := range pods {
		var got []ipam.Family
		for _, a := range p.addresses {
			got = append(got, store.FamilyOf(a))
		}
		if !slices.Equal(got, p.families) {
			f.wrong(t, "%v for %v", p.addresses, p.families)
		}
	}
	for _, p := range pods {
		p.del()
	}
	settled(t, f)
}
