package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

func dflt(change func(*Pool)) Pool {
	p := Pool{Name: "default", Window: time.Minute, MinAge: 30 * time.Second, Target: ipam.Target{Warm: 4, UsePrimary: true}}
	if change != nil {
		change(&p)
	}
	return p
}

// TestShapes: what a node of each kind of pool gets, before and with pods, and what it costs.
func TestShapes(t *testing.T) {
	both := []ipam.Family{ipam.IPv4, ipam.IPv6}
	for _, test := range []struct {
		name  string
		kind  string
		pool  func(*Pool)
		pods  int
		want  string
		calls map[Action]int
	}{
		{"singles", "t3.medium", nil, 0, "1 interfaces, 4 singles, 0 /28, 0 /80", map[Action]int{Assign: 1}},
		{"singles on a further interface", "t3.medium", nil, 6, "2 interfaces, 10 singles, 0 /28, 0 /80", nil},
		{"prefixes", "t3.medium", func(p *Pool) { p.Target.Mode = ipam.ModePrefix }, 0, "1 interfaces, 0 singles, 1 /28, 0 /80", map[Action]int{Assign: 1}},
		{"prefixes for many", "m5.large", func(p *Pool) { p.Target.Mode = ipam.ModeAuto }, 30, "1 interfaces, 0 singles, 3 /28, 0 /80", nil},
		{"a type without prefixes, auto", "t2.medium", func(p *Pool) { p.Target.Mode = ipam.ModeAuto }, 1, "1 interfaces, 5 singles, 0 /28, 0 /80", nil},
		{"dual stack", "m5.large", func(p *Pool) { p.Target.Families = both }, 3, "1 interfaces, 7 singles, 0 /28, 1 /80", nil},
		{"dual stack on two interfaces", "t3.medium", func(p *Pool) { p.Target.Families = both }, 6, "2 interfaces, 10 singles, 0 /28, 2 /80", nil},
		{"IPv6 alone", "m5.large", func(p *Pool) { p.Target.Families = []ipam.Family{ipam.IPv6} }, 0, "1 interfaces, 0 singles, 0 /28, 1 /80", map[Action]int{Assign6: 2}},
		{"not the primary", "t3.medium", func(p *Pool) { p.Target.UsePrimary = false }, 1, "2 interfaces, 5 singles, 0 /28, 0 /80", nil},
		{"a second card", "p4d.24xlarge", func(p *Pool) { p.Target.UsePrimary, p.Target.Cards = false, []int{1} }, 1, "2 interfaces, 5 singles, 0 /28, 0 /80", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := usual(t, dflt(test.pool))
			n := w.addNode("i-1", test.kind, 0)
			w.lead(1)
			w.pods(n, "default", test.pods)
			w.run(2 * time.Minute)
			w.want(n, test.pods)
			if diff := cmp.Diff(test.want, w.shape(n)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, w.story)
			}
			if test.calls != nil {
				if diff := cmp.Diff(test.calls, w.mutations(0)); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			}
			before := len(w.calls)
			w.run(10 * time.Minute)
			if len(w.calls) > before && test.pods == 0 {
				t.Errorf("calls of constant load: %+v", w.mutations(before))
			}
			for _, e := range n.enis {
				if e.PodsOK && len(e.Prefixes) > 0 && e.Prefixes[0].Addr().Is6() && !e.Primary6.IsValid() {
					t.Errorf("%s has IPv6 prefixes and no address of its own", e.ENI)
				}
			}
		})
	}
}

// TestSeveralPools: each pool has its own interfaces, in its own subnets, with its own groups; pods that ask for one that
// the node has not are told why.
func TestSeveralPools(t *testing.T) {
	w := usual(t, dflt(nil),
		Pool{Name: "web", Window: time.Minute, Target: ipam.Target{Warm: 2}, Subnets: Subnets{Tags: map[string]string{"team": "web"}}, GroupTags: map[string]string{"team": "web"}},
		Pool{Name: "big", Nodes: map[string]string{LabelType: "m5.*"}, Target: ipam.Target{Warm: 1}})
	w.cloud.addSubnet("subnet-b", "a", "10.0.1.0/24", "", map[string]string{"team": "web"})
	w.cloud.addSubnet("subnet-c", "b", "10.0.2.0/24", "", map[string]string{"team": "web"})
	w.cloud.groups = []Group{{ID: "sg-9", VPC: "vpc-1", Tags: map[string]string{"team": "web"}}}
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.pods(n, "web", 1)
	w.pods(n, "big", 1)
	w.pods(n, "cache", 1)
	w.run(time.Minute)
	w.want(n, 1)
	for _, e := range w.cloud.enis {
		if e.Device == 0 {
			continue
		}
		want := map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1", TagPool: "web"}
		if diff := cmp.Diff(want, e.Tags); diff != "" || e.Subnet != "subnet-b" || e.Groups[0] != "sg-9" {
			t.Errorf("%+v, tags (-want +got):\n%s", e, diff)
		}
	}
	want := `big: NoPool: pool "big" is for nodes with node.kubernetes.io/instance-type=m5.*, which this one has not; ` +
		`cache: NoPool: no pool "cache" is configured; this node has pools default and web`
	if diff := cmp.Diff(want, n.whys()); diff != "" {
		t.Errorf("why (-want +got):\n%s", diff)
	}
	if got := n.last.Pools; len(got) != 4 || got[0].Name != "default" || got[1].Name != "web" || got[1].Low != 2 {
		t.Errorf("pools %+v", got)
	}
}

// TestFragmented: a subnet without a free /28 is asked once, and again ten minutes later; single addresses serve where the
// mode allows them, until there is one.
func TestFragmented(t *testing.T) {
	for _, mode := range []ipam.Mode{ipam.ModePrefix, ipam.ModeAuto} {
		t.Run(string(mode), func(t *testing.T) {
			w := usual(t, dflt(func(p *Pool) { p.Target.Mode = mode }))
			s := w.cloud.subnets["subnet-a"]
			for at := range each(s.CIDR.Masked()) {
				if b := at.As4(); b[3]%16 == 8 {
					s.used[at] = true
				}
			}
			first, second := w.addNode("i-1", "m5.large", 0), w.addNode("i-2", "m5.large", 0)
			w.lead(1)
			w.pods(first, "default", 1)
			w.pods(second, "default", 1)
			w.run(8 * time.Minute)
			asked := 0
			for _, c := range w.calls {
				asked += c.Prefixes
			}
			if asked > 2 {
				t.Errorf("asked for %d prefixes in 8 min", asked)
			}
			if mode == ipam.ModeAuto {
				w.want(first, 1)
				w.want(second, 1)
			} else if diff := cmp.Diff("default: Fragmented: subnet-a (10.0.0.0/24) has 233 free addresses, but no free, aligned /28; reserve a range of it for prefixes, or use mode auto", first.whys()); diff != "" {
				t.Errorf("why (-want +got):\n%s", diff)
			}
			for at := range each(s.CIDR.Masked()) {
				if b := at.As4(); b[3] > 128 && b[3]%16 == 8 {
					delete(s.used, at)
				}
			}
			w.run(20 * time.Minute)
			w.want(first, 1)
			w.pods(first, "default", 4)
			w.run(6 * time.Minute)
			w.want(first, 5)
			t.Log(w.shape(first), w.mutations(0))
		})
	}
}

// TestFairness: what a scarce subnet has left goes round: one address each before anybody has a second.
func TestFairness(t *testing.T) {
	w := newWorld(t, Config{Cluster: "c", Pools: []Pool{dflt(func(p *Pool) { p.Target.Warm = 0 })}})
	s := w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/28", "", nil) // 11 addresses, less 4 primary ones
	var nodes []*agent
	for _, id := range []ipam.InstanceID{"i-1", "i-2", "i-3", "i-4"} {
		nodes = append(nodes, w.addNode(id, "m5.large", 0))
	}
	s.addresses(3) // 4 left
	w.lead(1)
	for _, n := range nodes {
		w.pods(n, "default", 5)
	}
	w.run(4 * time.Minute)
	for _, n := range nodes {
		w.want(n, 1)
		if got := n.whys(); got != "default: InsufficientFreeAddressesInSubnet: subnet-a (10.0.0.0/28) has 0 free addresses" {
			t.Errorf("%s: why %q", n.id, got)
		}
	}
	calls := len(w.calls)
	w.run(10 * time.Minute)
	if got := len(w.calls) - calls; got > 0 {
		t.Errorf("%d calls in 10 min for a subnet that EC2 lists as full", got)
	}
}

// TestNextSubnet: of a pool's subnets the one with the most free addresses comes first, and where EC2 refuses it the next.
func TestNextSubnet(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) {
		p.Target.UsePrimary, p.Subnets = false, Subnets{IDs: []ipam.SubnetID{"subnet-b", "subnet-c"}}
	}))
	w.cloud.addSubnet("subnet-b", "a", "10.0.1.0/24", "", nil)
	w.cloud.addSubnet("subnet-c", "a", "10.0.2.0/25", "", nil)
	w.fault = func(c Call) *Answer {
		if c.Action == Create && c.Subnet == "subnet-b" {
			return &Answer{Class: SubnetFull, Code: full}
		}
		return nil
	}
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.pods(n, "default", 1)
	w.run(30 * time.Second)
	w.want(n, 1)
}

// TestRefusedToAll: what EC2 refuses to one node it would refuse to all: one asks, and the reason reaches the pods of each.
func TestRefusedToAll(t *testing.T) {
	for _, test := range []struct {
		name    string
		refusal Answer
		why     string
	}{
		{"denied", Answer{Class: Denied, Code: "UnauthorizedOperation", Text: "the reconciler's role lacks ec2:AssignPrivateIpAddresses"},
			"default: UnauthorizedOperation: EC2 refuses AssignPrivateIpAddresses: the reconciler's role lacks ec2:AssignPrivateIpAddresses"},
		{"NAU", Answer{Class: Quota, Code: "NetworkAddressUsageLimitExceeded", Text: "too many"},
			"default: NetworkAddressUsageLimitExceeded: EC2 refuses AssignPrivateIpAddresses: too many"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := usual(t, dflt(nil))
			refused, deny := 0, true
			w.fault = func(c Call) *Answer {
				if deny {
					refused++
					return &test.refusal
				}
				return nil
			}
			var nodes []*agent
			for i := range 20 {
				n := w.addNode(ipam.InstanceID("i-"+string(rune('a'+i))), "t3.medium", 0)
				nodes = append(nodes, n)
				w.pods(n, "default", 1)
			}
			w.lead(1)
			w.run(10 * time.Minute)
			if refused > 30 {
				t.Errorf("%d calls that are refused in 10 min", refused)
			}
			for _, n := range nodes {
				if diff := cmp.Diff(test.why, n.whys()); diff != "" {
					t.Fatalf("%s: why (-want +got):\n%s", n.id, diff)
				}
			}
			deny = false
			w.run(8 * time.Minute)
			for _, n := range nodes {
				w.want(n, 1)
			}
		})
	}
}
