package vpc_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// lab is a small world: two zones, a subnet in each and a tiny one, two nodes in zone a.
type lab struct {
	*vpc.World
	t          testing.TB
	now        time.Time
	a, b, tiny vpc.Subnet
	node, big  vpc.Instance
	eth0       vpc.NetworkInterface // of node
	group      vpc.SecurityGroup
}

func newLab(t testing.TB, config vpc.Config) *lab {
	t.Helper()
	l := &lab{World: vpc.New(config, rand.New(rand.NewPCG(1, 2))), t: t, now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	v := must(l.AddVPC(vpc.VPC{CIDRs: prefixes("10.110.0.0/16"), IPv6: netip.MustParsePrefix("2001:db8:100::/56")}))(t)
	subnet := func(name, zone, cidr, ipv6 string) vpc.Subnet {
		s := vpc.Subnet{VPC: v.ID, Zone: zone, CIDR: netip.MustParsePrefix(cidr), Tags: map[string]string{"Name": name}}
		if ipv6 != "" {
			s.IPv6 = netip.MustParsePrefix(ipv6)
		}
		return must(l.AddSubnet(s))(t)
	}
	l.a = subnet("subnet-a", "lab-1a", "10.110.10.0/24", "2001:db8:100:a::/64")
	l.b = subnet("subnet-b", "lab-1b", "10.110.20.0/24", "")
	l.tiny = subnet("tiny", "lab-1a", "10.110.30.0/28", "")
	l.group = must(l.AddSecurityGroup(vpc.SecurityGroup{VPC: v.ID, Name: "pods", Description: "of pods"}))(t)
	l.node, l.eth0 = l.launch("i-00000000000000001", "t3.medium", "node-1")
	l.big, _ = l.launch("i-00000000000000002", "p4d.24xlarge", "node-2")
	return l
}

func (l *lab) launch(id, kind, name string) (vpc.Instance, vpc.NetworkInterface) {
	l.t.Helper()
	i, n, err := l.AddInstance(l.now, vpc.Launch{ID: id, Type: kind, Subnet: l.a.ID, Tags: map[string]string{"Name": name}})
	if err != nil {
		l.t.Fatal(err)
	}
	return i, n
}

// must is the value of a call that must not fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// ok makes a call that must be granted, waits for its answer and effect, and returns its output.
func ok[O any](l *lab, r vpc.Request) O {
	l.t.Helper()
	response, err := l.Call(l.now, "tester", r)
	if err != nil {
		l.t.Fatalf("%s: %v", r.Action(), err)
	}
	for _, at := range []time.Time{response.Answered, response.Effect} {
		if at.After(l.now) {
			l.now = at
		}
	}
	output, is := response.Output.(O)
	if !is {
		l.t.Fatalf("%s answered a %T", r.Action(), response.Output)
	}
	return output
}

// refused makes a call and returns the code of its refusal, or an empty text.
func (l *lab) refused(r vpc.Request) string {
	l.t.Helper()
	before := l.Dump(l.now)
	_, err := l.Call(l.now, "tester", r)
	if err == nil {
		return ""
	}
	if after := l.Dump(l.now); before != after {
		l.t.Errorf("%s was refused and changed the world:\n%s\nbefore:\n%s", r.Action(), after, before)
	}
	return err.Code
}

// eni makes an interface in subnet-a.
func (l *lab) eni(r vpc.CreateNetworkInterface) vpc.NetworkInterface {
	l.t.Helper()
	if r.SubnetID == "" {
		r.SubnetID = l.a.ID
	}
	return ok[vpc.CreateNetworkInterfaceOutput](l, r).NetworkInterface
}

// attach attaches an interface to the t3.medium.
func (l *lab) attach(id string, device int) string {
	l.t.Helper()
	return ok[vpc.AttachNetworkInterfaceOutput](l, vpc.AttachNetworkInterface{ID: id, InstanceID: l.node.ID, Device: device}).AttachmentID
}

func (l *lab) truth(id string) vpc.NetworkInterface {
	l.t.Helper()
	n, ok := l.NetworkInterface(l.now, id)
	if !ok {
		l.t.Fatalf("%s does not exist", id)
	}
	return n
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}
