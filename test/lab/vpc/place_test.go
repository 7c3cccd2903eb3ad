package vpc_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/lab/vpc"
)

// A subnet has five addresses less than its size; a prefix takes sixteen.
func TestFreeAddresses(t *testing.T) {
	l := newLab(t, vpc.Config{})
	free := func() string {
		var all []string
		for _, s := range ok[vpc.DescribeSubnetsOutput](l, vpc.DescribeSubnets{}).Subnets {
			all = append(all, fmt.Sprintf("%s %d", s.Name(), s.Free))
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	if got, want := free(), "subnet-a 249, subnet-b 251, tiny 11"; got != want {
		t.Errorf("free: %s, want %s", got, want)
	}
	n := l.eni(vpc.CreateNetworkInterface{PrefixCount: 2})
	l.eni(vpc.CreateNetworkInterface{SubnetID: l.tiny.ID, SecondaryCount: 10})
	if got, want := free(), "subnet-a 216, subnet-b 251, tiny 0"; got != want {
		t.Errorf("free: %s, want %s", got, want)
	}
	for _, p := range n.Prefixes {
		if p.Bits() != 28 || p != p.Masked() || p.Addr().As4()[3] == 0 || p.Addr().As4()[3] == 240 {
			t.Errorf("prefix %s holds a reserved address or is not aligned", p)
		}
	}
	ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: n.ID})
	if got, want := free(), "subnet-a 249, subnet-b 251, tiny 0"; got != want {
		t.Errorf("free: %s, want %s", got, want)
	}
}

// Places that could not be in a VPC are refused.
func TestPlaces(t *testing.T) {
	l := newLab(t, vpc.Config{})
	id := l.a.VPC
	block := netip.MustParsePrefix
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"VPC without block", second(l.AddVPC(vpc.VPC{})), "no IPv4 block"},
		{"VPC too large", second(l.AddVPC(vpc.VPC{CIDRs: prefixes("10.0.0.0/8")})), "/16 to /28"},
		{"VPC with host bits", second(l.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 16)}})), "/16 to /28"},
		{"VPC with a small IPv6 block", second(l.AddVPC(vpc.VPC{CIDRs: prefixes("10.0.0.0/16"), IPv6: block("2001:db8::/64")})), "/56"},
		{"VPC twice", second(l.AddVPC(vpc.VPC{ID: id, CIDRs: prefixes("10.0.0.0/16")})), "exists"},
		{"subnet of no VPC", second(l.AddSubnet(vpc.Subnet{VPC: "vpc-1", Zone: "z", CIDR: block("10.110.40.0/24")})), "no VPC"},
		{"subnet of no zone", second(l.AddSubnet(vpc.Subnet{VPC: id, CIDR: block("10.110.40.0/24")})), "zone"},
		{"subnet too small", second(l.AddSubnet(vpc.Subnet{VPC: id, Zone: "z", CIDR: block("10.110.40.0/29")})), "/16 to /28"},
		{"subnet outside", second(l.AddSubnet(vpc.Subnet{VPC: id, Zone: "z", CIDR: block("10.111.40.0/24")})), "not inside"},
		{"subnet overlaps", second(l.AddSubnet(vpc.Subnet{VPC: id, Zone: "z", CIDR: block("10.110.10.128/25")})), "overlaps"},
		{"subnet with foreign IPv6", second(l.AddSubnet(vpc.Subnet{VPC: id, Zone: "z", CIDR: block("10.110.40.0/24"), IPv6: block("2001:db8:200::/64")})), "IPv6"},
		{"group of no VPC", second(l.AddSecurityGroup(vpc.SecurityGroup{VPC: "vpc-1", Name: "x"})), "no VPC"},
		{"instance of no type", third(l.AddInstance(l.now, vpc.Launch{Type: "m9.giant", Subnet: l.a.ID})), "does not know the type"},
		{"instance in no subnet", third(l.AddInstance(l.now, vpc.Launch{Type: "m5.large"})), "no subnet"},
		{"instance with a name for id", third(l.AddInstance(l.now, vpc.Launch{ID: "i-node", Type: "m5.large", Subnet: l.a.ID})), "hex"},
		{"instance in a full subnet", third(l.AddInstance(l.now, vpc.Launch{Type: "m5.4xlarge", Subnet: l.tiny.ID, Secondary: 20})), "InsufficientFreeAddressesInSubnet"},
		{"another type that is none", l.SetInstanceType(l.node.ID, "m9.giant"), "does not know the type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("got %v, want %q", test.err, test.want)
			}
		})
	}
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

// Quotas of the account and of the VPC.
func TestQuotas(t *testing.T) {
	l := newLab(t, vpc.Config{Quotas: vpc.Quotas{NetworkInterfaces: 4, AddressUsage: 8}})
	one, two := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 2}), l.eni(vpc.CreateNetworkInterface{})
	if got := l.refused(vpc.CreateNetworkInterface{SubnetID: l.a.ID}); got != "NetworkInterfaceLimitExceeded" {
		t.Errorf("the fifth interface: %q", got)
	}
	attachment := l.attach(one.ID, 1) // 2 primaries, and 3 addresses and 1 for the interface: 6 of 8
	if got := l.refused(vpc.AssignPrivateIpAddresses{ID: one.ID, Count: 3}); got != "NetworkAddressUsageLimitExceeded" {
		t.Errorf("three more units: %q", got)
	}
	ok[vpc.AssignPrivateIpAddressesOutput](l, vpc.AssignPrivateIpAddresses{ID: one.ID, PrefixCount: 1})
	if got := l.refused(vpc.AttachNetworkInterface{ID: two.ID, InstanceID: l.node.ID, Device: 2}); got != "NetworkAddressUsageLimitExceeded" {
		t.Errorf("attaching two units: %q", got)
	}
	ok[vpc.Done](l, vpc.DetachNetworkInterface{AttachmentID: attachment})
	l.attach(two.ID, 2)
}

// An address moves when it is allowed to.
func TestReassign(t *testing.T) {
	l := newLab(t, vpc.Config{})
	n := l.eni(vpc.CreateNetworkInterface{SecondaryCount: 2})
	l.attach(n.ID, 1)
	ok[vpc.AssignPrivateIpAddressesOutput](l, vpc.AssignPrivateIpAddresses{ID: l.eth0.ID, Addresses: n.Secondary[:1], AllowReassignment: true})
	if from, to := l.truth(n.ID), l.truth(l.eth0.ID); !slices.Equal(from.Secondary, n.Secondary[1:]) || !slices.Equal(to.Secondary, n.Secondary[:1]) {
		t.Errorf("from %v to %v", from.Secondary, to.Secondary)
	}
	want := []string{"0s attached #0 2+0 on 1", "0s attached #0 1+0 on 2", "0s attached #1 2+0 on 1", "0s addresses #1 2+0 on 1", "0s addresses #0 2+0 on 1"}
	if diff := cmp.Diff(want, l.seen(0)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A terminated instance takes the interfaces with it that say so, and lets the others go.
func TestTerminate(t *testing.T) {
	l := newLab(t, vpc.Config{})
	keep, drop := l.eni(vpc.CreateNetworkInterface{}), l.eni(vpc.CreateNetworkInterface{})
	l.attach(keep.ID, 1)
	attachment, yes := l.attach(drop.ID, 2), true
	ok[vpc.Done](l, vpc.ModifyNetworkInterfaceAttribute{ID: drop.ID, Attachment: &vpc.AttachmentChanges{AttachmentID: attachment, DeleteOnTermination: &yes}})
	l.seen(0)
	out := ok[vpc.TerminateInstancesOutput](l, vpc.TerminateInstances{IDs: []string{l.node.ID}})
	if diff := cmp.Diff([]vpc.StateChange{{ID: l.node.ID, Previous: vpc.Running, Current: vpc.ShuttingDown}}, out.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := l.seen(0); len(got) != 4 || got[3] != "0s terminated 1" {
		t.Errorf("links went: %v", got)
	}
	var left []string
	for _, n := range l.NetworkInterfaces(l.now) {
		if n.Zone == "lab-1a" && n.Instance() != l.big.ID {
			left = append(left, n.ID)
		}
	}
	if !slices.Equal(left, []string{keep.ID}) || l.truth(keep.ID).Status() != "available" {
		t.Errorf("left: %v, want %s available", left, keep.ID)
	}
	if _, there := l.Metadata(l.now, l.node.ID); there {
		t.Error("its metadata service still answers")
	}
}

// Pages fit together while the world changes between them: nothing that stayed is missed or shown twice.
func TestPages(t *testing.T) {
	l := newLab(t, vpc.Config{})
	stayed := map[string]int{}
	for _, n := range l.NetworkInterfaces(l.now) {
		stayed[n.ID] = 0
	}
	var doomed []string
	for n := range 30 {
		id := l.eni(vpc.CreateNetworkInterface{Description: []string{"stays", "goes"}[n%2]}).ID
		if n%2 == 0 {
			stayed[id] = 0
		} else {
			doomed = append(doomed, id)
		}
	}
	r := vpc.DescribeNetworkInterfaces{Page: vpc.Page{MaxResults: 5}}
	for {
		out := ok[vpc.DescribeNetworkInterfacesOutput](l, r)
		for _, n := range out.NetworkInterfaces {
			if _, is := stayed[n.ID]; is {
				stayed[n.ID]++
			}
		}
		if out.NextToken == "" {
			break
		}
		r.NextToken = out.NextToken
		for range 3 {
			if len(doomed) > 0 {
				ok[vpc.Done](l, vpc.DeleteNetworkInterface{ID: doomed[0]})
				doomed = doomed[1:]
			}
		}
		l.eni(vpc.CreateNetworkInterface{})
	}
	for id, times := range stayed {
		if times != 1 {
			t.Errorf("%s was listed %d times", id, times)
		}
	}
}

// Filters: all of them must fit, any of a filter's values may, * and ? are wild.
func TestFilters(t *testing.T) {
	l := newLab(t, vpc.Config{})
	tag := func(v string) []vpc.TagSpecification {
		return []vpc.TagSpecification{{ResourceType: "network-interface", Tags: []vpc.Tag{{Key: "node", Value: v}}}}
	}
	a := l.eni(vpc.CreateNetworkInterface{Description: "a*b", TagSpecification: tag("n1"), SecondaryCount: 1})
	b := l.eni(vpc.CreateNetworkInterface{Description: "axb", TagSpecification: tag("n2"), Groups: []string{l.group.ID}})
	l.attach(b.ID, 1)
	names := map[string]string{a.ID: "a", b.ID: "b", l.eth0.ID: "eth0"}
	f := func(name string, values ...string) vpc.Filter { return vpc.Filter{Name: name, Values: values} }
	for _, test := range []struct {
		filters []vpc.Filter
		want    string
	}{
		{[]vpc.Filter{f("tag:node", "n1")}, "a"},
		{[]vpc.Filter{f("tag:node", "n1", "n2")}, "a b"},
		{[]vpc.Filter{f("tag:node", "n*"), f("status", "available")}, "a"},
		{[]vpc.Filter{f("tag-key", "node"), f("attachment.instance-id", l.node.ID)}, "b"},
		{[]vpc.Filter{f("attachment.instance-id", l.node.ID)}, "b eth0"},
		{[]vpc.Filter{f("attachment.instance-id", l.node.ID), f("attachment.device-index", "0")}, "eth0"},
		{[]vpc.Filter{f("description", "a?b")}, "a b"},
		{[]vpc.Filter{f("description", `a\*b`)}, "a"},
		{[]vpc.Filter{f("group-id", l.group.ID)}, "b"},
		{[]vpc.Filter{f("group-name", "pods")}, "b"},
		{[]vpc.Filter{f("mac-address", a.MAC)}, "a"},
		{[]vpc.Filter{f("addresses.private-ip-address", a.Secondary[0].String())}, "a"},
		{[]vpc.Filter{f("private-ip-address", a.Secondary[0].String())}, ""},
		{[]vpc.Filter{f("subnet-id", l.b.ID)}, ""},
	} {
		var got []string
		for _, n := range ok[vpc.DescribeNetworkInterfacesOutput](l, vpc.DescribeNetworkInterfaces{Filters: test.filters}).NetworkInterfaces {
			if names[n.ID] != "" {
				got = append(got, names[n.ID])
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v: %v, want %s", test.filters, got, test.want)
		}
	}
}

// The whole world as text.
func TestDump(t *testing.T) {
	w := vpc.New(vpc.Config{}, rand.New(rand.NewPCG(1, 2)))
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	v := must(w.AddVPC(vpc.VPC{ID: "vpc-1", CIDRs: prefixes("10.110.0.0/16")}))(t)
	s := must(w.AddSubnet(vpc.Subnet{ID: "subnet-1", VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.10.0/24"), Tags: map[string]string{"Name": "subnet-a"}}))(t)
	g := must(w.AddSecurityGroup(vpc.SecurityGroup{ID: "sg-1", VPC: v.ID, Name: "pods"}))(t)
	_, n, err := w.AddInstance(now, vpc.Launch{ID: "i-1", Type: "t3.medium", Subnet: s.ID, Groups: []string{g.ID},
		Primary: netip.MustParseAddr("10.110.10.171"), Tags: map[string]string{"Name": "node-1"}, ENITags: map[string]string{"cluster": "c"}})
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := w.Call(now, "c", vpc.AssignPrivateIpAddresses{ID: n.ID, Addresses: addrs("10.110.10.9", "10.110.10.10")})
	if refusal != nil {
		t.Fatal(refusal)
	}
	if err := w.SetFault(now, vpc.Fault{Kind: vpc.FaultSubnetFull, Target: "subnet-a"}); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(n.ID, "ENI", n.MAC, "MAC", n.Attachment.ID, "ATTACHMENT").Replace(w.Dump(now))
	want := []string{
		"vpc vpc-1 10.110.0.0/16",
		"  subnet subnet-1 (subnet-a) lab-1a 10.110.10.0/24 · 248 free",
		"  group sg-00000000000000000 default",
		"  group sg-1 pods",
		"instance i-1 (node-1) t3.medium lab-1a running",
		"  eni ENI MAC subnet-1 #0 card 0 ATTACHMENT attached delete-on-termination groups sg-1",
		"    primary 10.110.10.171",
		"    secondary 10.110.10.9 10.110.10.10",
		`    tags cluster="c"`,
		"fault subnet-full subnet-a",
		"",
	}
	lines := strings.Split(text, "\n")
	lines[2] = "  group sg-00000000000000000 default" // its id is made up
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("dump (-want +got):\n%s", diff)
	}
}
