package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestClaimedAfterFence: an address that somebody claims after the node has given it up is not taken away from him.
func TestClaimedAfterFence(t *testing.T) {
	s := newScript(t)
	e := &s.listed.ENIs[0]
	e.Addresses, e.Tags = addresses(20, 8), map[string]string{TagLeave: "10.0.0.24"}
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 4, Single: 4, Age: time.Hour, Fenced: addresses(24, 4)}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	s.pass(10 * time.Second)
	var taken []netip.Addr
	for _, c := range s.calls {
		taken = append(taken, c.Addresses...)
	}
	if !slices.Equal(taken, addresses(25, 3)) {
		t.Errorf("unassigned %v, want those that nobody has claimed: %v", taken, addresses(25, 3))
	}
}

// TestGroupsOfOthers: a security group that is gone stops the nodes that have it, and no other node of the pool.
func TestGroupsOfOthers(t *testing.T) {
	w := usual(t, dflt(nil))
	var all []*agent
	for i := range 6 {
		all = append(all, w.addNode(ipam.InstanceID(fmt.Sprintf("i-%d", i)), "t3.medium", 0))
	}
	well := all[5]
	for _, e := range w.cloud.enis {
		if e.Instance != well.id {
			e.Groups = []string{"sg-gone"}
		}
	}
	w.lead(1)
	for _, n := range all[:5] {
		w.pods(n, "default", 6)
	}
	w.run(time.Minute)
	w.pods(well, "default", 6)
	w.run(20 * time.Second)
	w.want(well, 6)
	w.want(all[0], 5)
}

// TestOwn6Refused: an interface's own IPv6 address that EC2 has not is asked for no more often than prefixes.
func TestOwn6Refused(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) { p.Target.Families = []ipam.Family{ipam.IPv4, ipam.IPv6} }))
	w.addNode("i-1", "t3.medium", 0)
	for _, e := range w.cloud.enis {
		e.Primary6, e.Prefixes = netip.Addr{}, []netip.Prefix{netip.MustParsePrefix("2001:db8:0:a:1::/80")}
	}
	asked := 0
	w.fault = func(c Call) *Answer {
		if c.Action != Assign6 {
			return nil
		}
		asked++
		return &Answer{Class: SubnetFull, Code: full, Text: "none"}
	}
	w.lead(1)
	w.run(5 * time.Minute)
	if asked < 1 || asked > 2 {
		t.Errorf("asked %d times in 5 min", asked)
	}
}

// TestWhyOfTheInstance: pods hear it when nothing can be planned for their node.
func TestWhyOfTheInstance(t *testing.T) {
	for _, test := range []struct {
		name string
		prep func(*world)
		want string
	}{
		{"a type that EC2 does not describe", func(w *world) { w.cloud.instances["i-1"].Type = "x9.huge" },
			"default: UnknownType: EC2 does not describe the instance type \"x9.huge\", so that its limits are not known; " +
				"see that DescribeInstanceTypes has it in this region"},
		{"it ends", func(w *world) { w.cloud.instances["i-1"].State = "shutting-down" },
			"default: Ending: the instance is shutting-down, and gets nothing more; run pods on another one"},
		{"it stops", func(w *world) { w.cloud.instances["i-1"].State = "stopping" },
			"default: Ending: the instance is stopping, and gets nothing more; run pods on another one"},
		{"all is well", func(w *world) {}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := usual(t, dflt(nil))
			n := w.addNode("i-1", "t3.medium", 0)
			w.lead(1)
			w.run(30 * time.Second)
			test.prep(w)
			w.run(6 * time.Minute)
			w.pods(n, "default", 5)
			w.run(10 * time.Second)
			if diff := cmp.Diff(test.want, n.whys()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEmptyUnderANewLeader: an interface that has nothing needs no fence, so that the leader before may be about to detach
// it: for as long as a call of his can last, nothing is given to it.
func TestEmptyUnderANewLeader(t *testing.T) {
	s := newScript(t)
	e := s.listed.ENIs[0]
	e.ID, e.MAC, e.Device, e.Attachment = "eni-1", "02:00:00:00:00:02", 1, "at-1"
	e.Primary, e.Tags = netip.MustParseAddr("10.0.0.11"), map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1"}
	s.listed.ENIs[0].Addresses = addresses(20, 5)
	s.listed.ENIs = append(s.listed.ENIs, e)
	s.snap.ENIs = []ipam.ENISummary{
		{ENI: "eni-0", Attachment: "at-0", Pool: "default", Link: true, Leased: 5, Age: time.Hour},
		{ENI: "eni-1", Attachment: "at-1", Pool: "default", Link: true, N: 1, Age: time.Hour},
	}
	s.snap.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 3}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	s.pass(LeaseTTL + Deadline - time.Second)
	if i := slices.IndexFunc(s.calls, func(c Call) bool { return c.ENI == "eni-1" && c.Action == Assign }); i >= 0 {
		t.Errorf("%+v", s.calls[i])
	}
	for range 40 { // what else it does has its answers
		s.pass(time.Second)
		s.step(Input{Answers: []Answer{{ID: s.last().ID, Class: NotSent}}})
	}
	if !slices.ContainsFunc(s.calls, func(c Call) bool { return c.ENI == "eni-1" && c.Action == Assign }) {
		t.Errorf("it stays empty: %+v", s.calls)
	}
}

// TestWhyWithoutAnswers: Creates that nobody has answered take places, and are told for what they are.
func TestWhyWithoutAnswers(t *testing.T) {
	w := usual(t, dflt(nil))
	n := w.addNode("i-1", "t3.medium", 0)
	w.fault = func(c Call) *Answer {
		if c.Action != Create {
			return nil
		}
		return &Answer{Class: Unknown, Code: "InternalError"}
	}
	w.lead(1)
	w.pods(n, "default", 20)
	w.run(2 * time.Minute)
	w.want(n, 5)
	if diff := cmp.Diff("default: InternalError: CreateNetworkInterface was not answered", n.whys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOthersPrefixes: delegated prefixes that somebody has claimed, by themselves or by an address in them, are no pod's,
// take their places, and are never given back.
func TestOthersPrefixes(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) { p.Target.Mode = ipam.ModePrefix }))
	n := w.addNode("i-1", "t3.medium", 0)
	var primary *ENI
	for _, e := range w.cloud.enis {
		primary = e
	}
	w.cloud.assign(primary, 0, 2)
	claimed := slices.Clone(primary.Prefixes)
	primary.Prefixes = append(primary.Prefixes, netip.MustParsePrefix("2001:db8:0:a:1::/80"))
	primary.Tags = map[string]string{TagLeave: claimed[0].String() + " " + claimed[1].Addr().Next().String() + " 2001:db8:0:a:1::7"}
	all := slices.Clone(primary.Prefixes)
	w.lead(1)
	w.most["i-1/default"] = 64 + 32 // others have them
	names := w.pods(n, "default", 60)
	w.run(4 * time.Minute)
	w.want(n, 60)
	if got := w.shape(n); got != "2 interfaces, 0 singles, 6 /28, 1 /80" { // 3 on the primary's five places, 2 of others
		t.Error(got)
	}
	for _, name := range names {
		n.end(name)
	}
	w.run(20 * time.Minute)
	for _, p := range all {
		if !slices.Contains(primary.Prefixes, p) {
			t.Errorf("%s was taken away", p)
		}
	}
	for _, e := range n.enis {
		for at := range e.addrs {
			if slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(at) }) {
				t.Errorf("pods may have %s", at)
			}
		}
	}
}

// TestSixNeedsNoBlock: an interface of a pool of IPv6 alone takes one IPv4 address, whatever the pool's mode: a subnet
// without a free /28 is good enough for it.
func TestSixNeedsNoBlock(t *testing.T) {
	for _, mode := range []ipam.Mode{ipam.ModeSecondary, ipam.ModeAuto, ipam.ModePrefix} {
		pool := dflt(func(p *Pool) {
			p.Name, p.Target.Mode, p.Target.Families = "six", mode, []ipam.Family{ipam.IPv6}
		})
		w := newWorld(t, Config{Cluster: "c", Pools: []Pool{dflt(nil), pool}})
		net := w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/24", "2001:db8:0:a::/64", nil)
		net.addresses(net.free() - 6)
		n := w.addNode("i-1", "t3.medium", 0)
		w.lead(1)
		w.run(2 * time.Minute)
		if got := w.shape(n); got != "2 interfaces, 4 singles, 0 /28, 1 /80" {
			t.Errorf("mode %s: %s; why %s", mode, got, n.whys())
		}
	}
}

// TestWhySixHasNoInterface: a pool of IPv6 alone that cannot have an interface says why, as others do.
func TestWhySixHasNoInterface(t *testing.T) {
	six := dflt(func(p *Pool) {
		p.Name, p.Target.Families, p.Subnets.IDs = "six", []ipam.Family{ipam.IPv6}, []ipam.SubnetID{"subnet-b"}
	})
	w := usual(t, dflt(nil), six)
	w.cloud.addSubnet("subnet-b", "b", "10.0.1.0/24", "2001:db8:0:b::/64", nil)
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.run(time.Minute)
	want := "six: NoSubnet: no subnet of pool six is in zone a of vpc-1 (it names subnet-b)"
	if diff := cmp.Diff(want, n.whys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
