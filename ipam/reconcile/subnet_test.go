package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestSubnets: which subnets a pool's interfaces of a node may be in, and in which order; the tags mean what they mean to
// amazon-vpc-cni-k8s.
func TestSubnets(t *testing.T) {
	discover := map[string]string{TagRole: "1"}
	type tags = map[string]string
	for _, test := range []struct {
		name    string
		choose  Subnets
		six     bool
		subnets []Subnet
		want    string
	}{
		{"none chosen: the node's own", Subnets{}, false, []Subnet{{ID: "own"}, {ID: "a", Free: 9}}, "own"},
		{"0 keeps out of the node's own, too", Subnets{}, false, []Subnet{{ID: "own", Tags: tags{TagRole: "0"}}}, ""},
		{"0 keeps out, even by id", Subnets{IDs: []ipam.SubnetID{"a", "b"}}, false, []Subnet{{ID: "a", Tags: tags{TagRole: "0"}}, {ID: "b"}}, "b"},
		{"by id, the most free first", Subnets{IDs: []ipam.SubnetID{"a", "b"}}, false, []Subnet{{ID: "a", Free: 3}, {ID: "b", Free: 5}, {ID: "c", Free: 9}}, "b a"},
		{"another zone", Subnets{IDs: []ipam.SubnetID{"a", "b"}}, false, []Subnet{{ID: "a", Zone: "z2"}, {ID: "b"}}, "b"},
		{"another VPC", Subnets{IDs: []ipam.SubnetID{"a", "b"}}, false, []Subnet{{ID: "a", VPC: "vpc-2"}, {ID: "b"}}, "b"},
		{"all tags", Subnets{Tags: tags{"team": "a", "for": "pods"}}, false, []Subnet{{ID: "a", Tags: tags{"team": "a", "for": "pods"}}, {ID: "b", Tags: tags{"team": "a"}}, {ID: "own"}}, "a"},
		{"tagged, or the node's own untagged one", Subnets{Tags: discover}, false, []Subnet{{ID: "own", Free: 1}, {ID: "a", Free: 2}, {ID: "b", Free: 3, Tags: discover}, {ID: "c", Free: 4, Tags: tags{TagRole: "yes"}}}, "c b own"},
		{"the node's own is tagged 0", Subnets{Tags: discover}, false, []Subnet{{ID: "own", Tags: tags{TagRole: "0"}}, {ID: "b", Tags: discover}}, "b"},
		{"another cluster's tag keeps out", Subnets{Tags: discover}, false, []Subnet{
			{ID: "a", Tags: tags{TagRole: "1", TagFor + "other": "shared"}}, {ID: "b", Tags: tags{TagRole: "1", TagFor + "c": "shared", TagFor + "other": "shared"}}}, "b"},
		{"another cluster's tag without the first says nothing", Subnets{}, false, []Subnet{{ID: "own", Tags: tags{TagFor + "other": "shared"}}}, "own"},
		{"another cluster's tag, but chosen by id", Subnets{IDs: []ipam.SubnetID{"a"}}, false, []Subnet{{ID: "a", Tags: tags{TagRole: "1", TagFor + "other": "shared"}}}, "a"},
		{"with IPv6 first", Subnets{IDs: []ipam.SubnetID{"a", "b"}}, true, []Subnet{{ID: "a", Free: 9}, {ID: "b", Free: 5, CIDR6: prefixes("2001:db8::/64")[0]}}, "b a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			core := New(Config{Cluster: "c"})
			for _, s := range test.subnets {
				if s.Zone == "" {
					s.Zone = "z1"
				}
				if s.VPC == "" {
					s.VPC = "vpc-1"
				}
				core.subnets[s.ID] = s
				core.zones[zone{s.VPC, s.Zone}] = append(core.zones[zone{s.VPC, s.Zone}], s.ID)
			}
			p := Pool{Subnets: test.choose}
			if test.six {
				p.Target.Families = []ipam.Family{ipam.IPv4, ipam.IPv6}
			}
			n := core.node("i-1")
			n.row = Instance{ID: "i-1", Zone: "z1", VPC: "vpc-1", Subnet: "own"}
			var got []string
			for _, s := range core.candidates(n, p) {
				got = append(got, string(s.ID))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestExcludedSubnet: an attached interface in a subnet that is tagged 0 from then on gets no new pods; those that it has
// live on, and it is given back when they have ended.
func TestExcludedSubnet(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) { p.Target.UsePrimary, p.Subnets.Tags = false, map[string]string{TagRole: "1"} }))
	b := w.cloud.addSubnet("subnet-b", "a", "10.0.2.0/23", "", map[string]string{TagRole: "1"})
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	names := w.pods(n, "default", 3)
	w.run(time.Minute)
	w.want(n, 3)
	old := w.ours("i-1")[0]
	b.Tags = map[string]string{TagRole: "0"}
	w.run(7 * time.Minute)
	w.pods(n, "default", 2)
	w.run(time.Minute)
	w.want(n, 5)
	for name, p := range n.pods {
		if late := name > names[2]; late == (p.eni == old.ID) {
			t.Errorf("%s is on %s", name, p.eni)
		}
	}
	if n.enis[old.ID].PodsOK {
		t.Error("pods may still use it")
	}
	for _, name := range names {
		n.end(name)
	}
	w.run(10 * time.Minute)
	if w.cloud.enis[old.ID] != nil {
		t.Errorf("%s is still there: %s", old.ID, w.shape(n))
	}
}

// TestNoSubnet: a pool without a subnet in the node's zone says so.
func TestNoSubnet(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) {
		p.Target.UsePrimary, p.Subnets = false, Subnets{IDs: []ipam.SubnetID{"subnet-z"}, Tags: map[string]string{"a": "b"}}
	}))
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.pods(n, "default", 1)
	w.run(30 * time.Second)
	if diff := cmp.Diff("default: NoSubnet: no subnet of pool default is in zone a of vpc-1 (it names subnet-z, tags a=b)", n.whys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhys: what keeps a pool from growing, in words that people can act on.
func TestWhys(t *testing.T) {
	for _, test := range []struct {
		name string
		kind string
		most int
		pool func(*Pool)
		prep func(*world)
		pods int
		want string
	}{
		{"the type has no more", "t3.nano", 0, nil, nil, 9, "default: InstanceLimit: t3.nano holds 2 network interfaces of 1 addresses for pods; all are in use"},
		{"the policy has no more", "t3.medium", 0, func(p *Pool) { p.Target.Maximum = 3 }, nil, 9, "default: PoolLimit: the policy allows 3 addresses of pool default on a node"},
		{"the policy has no more interfaces", "t3.medium", 0, func(p *Pool) { p.Target.MaxENIs = 1 }, nil, 9, "default: PoolLimit: the policy allows 1 network interfaces on a node, of 5 addresses for pods each; all are in use"},
		{"no prefixes", "t2.medium", 0, func(p *Pool) { p.Target.Mode = ipam.ModePrefix }, nil, 1, "default: NoPrefixes: t2.medium instances have no delegated prefixes (not Nitro), which pool default needs; use another type, or mode secondary with ipv4"},
		{"no groups", "t3.medium", 0, func(p *Pool) {
			p.Target.UsePrimary, p.GroupTags = false, map[string]string{"team": "x"}
		}, nil, 1, "default: NoGroup: no security group of vpc-1 bears the tags team=x of pool default"},
		{"throttled", "t3.medium", 0, nil, func(w *world) {
			w.fault = func(Call) *Answer { return &Answer{Class: Throttled, Code: "RequestLimitExceeded"} }
		}, 1, "default: RequestLimitExceeded: EC2 throttles AssignPrivateIpAddresses"},
		{"away", "t3.medium", 0, nil, func(w *world) {
			w.fault = func(Call) *Answer { return &Answer{Class: Away, Text: "dial tcp: no route to host"} }
		}, 1, "default: away: EC2 cannot be reached: dial tcp: no route to host"},
		{"no answer", "t3.medium", 0, nil, func(w *world) {
			w.fault = func(Call) *Answer { return &Answer{Class: Unknown} }
		}, 1, "default: unknown: AssignPrivateIpAddresses was not answered"},
		{"subnet gone", "t3.medium", 0, func(p *Pool) { p.Target.UsePrimary = false }, func(w *world) {
			w.fault = func(c Call) *Answer {
				return &Answer{Class: BadConfig, Code: "InvalidSubnetID.NotFound", Text: "The subnet ID 'subnet-a' does not exist"}
			}
		}, 1, "default: InvalidSubnetID.NotFound: EC2 refuses CreateNetworkInterface: The subnet ID 'subnet-a' does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := usual(t, dflt(test.pool))
			if test.prep != nil {
				test.prep(w)
			}
			n := w.addNode("i-1", test.kind, test.most)
			w.lead(1)
			w.pods(n, "default", test.pods)
			w.run(40 * time.Second)
			if diff := cmp.Diff(test.want, n.whys()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhySix: pods that wait for IPv6 alone are told why there is none.
func TestWhySix(t *testing.T) {
	both := []ipam.Family{ipam.IPv4, ipam.IPv6}
	for _, test := range []struct {
		name, kind, cidr6 string
		families          []ipam.Family
		fault             *Answer
		want              string
	}{
		{"no IPv6 in the subnet", "t3.medium", "", both, nil,
			"default: NoIPv6: subnet-a (10.0.0.0/24) has no IPv6 network, and pool default has ipv6; give it one, or choose other subnets"},
		{"IPv6 alone, and none in the subnet", "t3.medium", "", both[1:], nil,
			"default: NoIPv6: subnet-a (10.0.0.0/24) has no IPv6 network, and pool default has ipv6; give it one, or choose other subnets"},
		{"no prefixes of the type", "t2.medium", "2001:db8::/64", both, nil,
			"default: NoPrefixes: t2.medium instances have no delegated prefixes (not Nitro), without which pool default has no IPv6"},
		{"denied", "t3.medium", "2001:db8::/64", both[1:], &Answer{Class: Denied, Code: "UnauthorizedOperation", Text: "the reconciler's role lacks ec2:AssignIpv6Addresses"},
			"default: UnauthorizedOperation: EC2 refuses AssignIpv6Addresses: the reconciler's role lacks ec2:AssignIpv6Addresses"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Config{Cluster: "c", Pools: []Pool{dflt(func(p *Pool) { p.Target.Families = test.families })}})
			w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/24", test.cidr6, nil)
			w.fault = func(c Call) *Answer {
				if c.Action == Assign6 {
					return test.fault
				}
				return nil
			}
			n := w.addNode("i-1", test.kind, 0)
			w.lead(1)
			n.pods["p"] = &pod{pool: "default", six: true}
			w.run(40 * time.Second)
			if diff := cmp.Diff(test.want, n.whys()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTags: a Create bears our tags, the configured ones and a description.
func TestTags(t *testing.T) {
	w := newWorld(t, Config{Cluster: "c", Tags: map[string]string{"team": "net"}, Pools: []Pool{dflt(func(p *Pool) {
		p.Target.UsePrimary, p.About = false, "{cluster}/{node}/{pool}"
	})}})
	w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/24", "", nil)
	w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.run(30 * time.Second)
	want := map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1", TagPool: "default", "team": "net"}
	if diff := cmp.Diff(want, w.calls[0].Tags); diff != "" || w.calls[0].About != "c/i-1/default" {
		t.Errorf("about %q, tags (-want +got):\n%s", w.calls[0].About, diff)
	}
}

// TestNoManage: an interface that people tagged no_manage, ours by its other tags, is left alone and takes a place.
func TestNoManage(t *testing.T) {
	w := usual(t, dflt(nil))
	n := w.addNode("i-1", "t3.medium", 0)
	e := w.cloud.newENI("subnet-a", []string{"sg-9"}, map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1", TagNoManage: "true"})
	e.Instance, e.Attachment, e.Device = "i-1", "at-x", 1
	w.lead(1)
	w.pods(n, "default", 15)
	w.run(5 * time.Minute)
	w.want(n, 10)
	if n.enis[e.ID] != nil {
		t.Error("it is supplied")
	}
	want := "default: InstanceLimit: t3.medium holds 3 network interfaces of 5 addresses for pods; 1 of 3 interfaces is not ours (" + string(e.ID) + "), the others are full"
	if diff := cmp.Diff(want, n.whys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPlaceTaken: a pool whose new interface finds its place taken by somebody else's says so, and counts on it no more.
func TestPlaceTaken(t *testing.T) {
	w := usual(t, dflt(nil))
	n := w.addNode("i-1", "t3.medium", 0)
	theirs := w.cloud.newENI("subnet-a", []string{"sg-9"}, nil)
	w.fault = func(c Call) *Answer {
		if c.Action == Attach && c.Device == 2 && theirs.Instance == "" {
			theirs.Instance, theirs.Attachment, theirs.Device = "i-1", "at-x", 2
		}
		return nil
	}
	w.lead(1)
	w.pods(n, "default", 11) // and four to be warm
	w.run(5 * time.Minute)
	w.want(n, 10)
	want := "default: InstanceLimit: t3.medium holds 3 network interfaces of 5 addresses for pods; 1 of 3 interfaces is not ours (" + string(theirs.ID) + "), the others are full"
	if diff := cmp.Diff(want, n.whys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOrphan: an interface of ours that no node has is deleted when lists at least Orphans.MinAge apart have shown it so.
func TestOrphan(t *testing.T) {
	for _, keep := range []bool{false, true} {
		w := newWorld(t, Config{Cluster: "c", Orphans: Orphans{Keep: keep}, Pools: []Pool{dflt(nil)}})
		w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/24", "", nil)
		w.lead(1)
		e := w.cloud.newENI("subnet-a", nil, map[string]string{TagCluster: "c", TagNode: "i-gone", TagSlot: "1"})
		w.run(9 * time.Minute)
		if w.cloud.enis[e.ID] == nil {
			t.Error("deleted before its time")
		}
		w.run(12 * time.Minute)
		if gone := w.cloud.enis[e.ID] == nil; gone == keep {
			t.Errorf("keep %t: gone %t", keep, gone)
		}
	}
}

// TestNotDeletedOnOldWords: an interface that was given up is not deleted while EC2 lists nothing: a human may have taken it
// over since, as one of the two.
func TestNotDeletedOnOldWords(t *testing.T) {
	for _, node := range []ipam.InstanceID{"i-gone", "i-1"} {
		t.Run(string(node), func(t *testing.T) {
			w := usual(t, dflt(nil))
			w.addNode("i-1", "t3.medium", 0)
			w.lead(1)
			tags := func() map[string]string {
				return map[string]string{TagCluster: "c", TagNode: string(node), TagSlot: "7"}
			}
			theirs, ours := w.cloud.newENI("subnet-a", nil, tags()), w.cloud.newENI("subnet-a", nil, tags())
			tried := 0
			w.fault = func(c Call) *Answer {
				if c.Action != Delete {
					return nil
				}
				tried++
				return &Answer{Class: Throttled, Code: "RequestLimitExceeded"}
			}
			w.run(25 * time.Minute)
			if tried == 0 {
				t.Fatal("neither was given up")
			}
			theirs.Tags[TagNoManage], w.blind = "true", true
			w.run(10 * time.Second) // a list as old as half a lease is as good as new
			w.fault = nil
			calls := len(w.calls)
			w.run(15 * time.Minute)
			if got := w.mutations(calls)[Delete]; got > 0 {
				t.Errorf("%d deleted while nothing is listed", got)
			}
			w.blind = false
			w.run(25 * time.Minute)
			if w.cloud.enis[theirs.ID] == nil || w.cloud.enis[ours.ID] != nil {
				t.Errorf("theirs is there: %t; ours: %t", w.cloud.enis[theirs.ID] != nil, w.cloud.enis[ours.ID] != nil)
			}
		})
	}
}
