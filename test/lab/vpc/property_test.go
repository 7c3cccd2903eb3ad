package vpc_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// walk makes random calls, sensible and not, and returns the world's text at the end. After each it checks what must
// hold of any VPC.
func walk(t *testing.T, seed uint64, steps int) string {
	latency := vpc.Typical(1)
	if seed%2 == 1 { // calls overtake one another
		latency = vpc.Latencies{"*": {Answer: time.Second, Effect: 4 * time.Second, Jitter: 1}, "Attach*": {Effect: time.Second}}
	}
	l := newLab(t, vpc.Config{Latency: latency})
	random := rand.New(rand.NewPCG(seed, 7))
	old, _ := l.launch("i-00000000000000003", "t2.medium", "old")
	instances := []string{l.node.ID, l.big.ID, old.ID, "i-99"}
	kernel := map[string]string{}
	for range steps {
		l.now = l.now.Add(time.Duration(random.IntN(1500)) * time.Millisecond)
		all := l.NetworkInterfaces(l.now)
		n := all[random.IntN(len(all))]
		r := randomCall(random, l, n, instances)
		response, err := l.Call(l.now, "walker", r)
		if (err == nil) != (response.Output != nil) {
			t.Fatalf("%s answered %v and %v", r.Action(), response.Output, err)
		}
		if random.IntN(3) == 0 {
			for _, c := range l.Advance(l.now) {
				follow(t, kernel, c)
			}
		}
		check(t, l)
	}
	l.now = l.now.Add(time.Minute)
	for _, c := range l.Advance(l.now) {
		follow(t, kernel, c)
	}
	for _, n := range l.NetworkInterfaces(l.now) { // the kernel side has ended up where the truth is
		on := n.Instance()
		if i, _ := l.Instance(on); i.State != vpc.Running {
			on = ""
		}
		if kernel[n.ID] != on {
			t.Errorf("%s is on %q, the kernel side has it on %q", n.ID, on, kernel[n.ID])
		}
		delete(kernel, n.ID)
	}
	exact(t, l)
	for id, on := range kernel {
		if on != "" {
			t.Errorf("%s does not exist, the kernel side has it on %s", id, on)
		}
	}
	return l.Dump(l.now)
}

func follow(t *testing.T, kernel map[string]string, c vpc.Change) {
	t.Helper()
	switch on := kernel[c.ENI.ID]; {
	case c.Kind == vpc.InstanceStopped, c.Kind == vpc.InstanceTerminated:
		for id, on := range kernel {
			if on == c.Instance {
				kernel[id] = ""
			}
		}
	case c.Kind == vpc.InstanceStarted:
		for id, on := range kernel {
			if on == c.Instance {
				t.Errorf("%s starts with the link of %s", c.Instance, id)
			}
		}
	case c.Kind == vpc.LinkAttached && on == "":
		kernel[c.ENI.ID] = c.Instance
	case c.Kind == vpc.LinkDetached && on == c.Instance:
		kernel[c.ENI.ID] = ""
	case c.Kind == vpc.AddressesChanged && on == c.Instance:
	default:
		t.Errorf("%s of %s on %s, which was on %q", c.Kind, c.ENI.ID, c.Instance, on)
	}
}

func randomCall(random *rand.Rand, l *lab, n vpc.NetworkInterface, instances []string) vpc.Request {
	subnets := []string{l.a.ID, l.b.ID, l.tiny.ID}
	address := func() []netip.Addr {
		if len(n.Secondary) > 0 && random.IntN(2) == 0 {
			return n.Secondary[:1+random.IntN(len(n.Secondary))]
		}
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 110, 10, byte(random.IntN(256))})}
	}
	block := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 110, 10, byte(random.IntN(16) * 16)}), 28)
	attachment := "eni-attach-1"
	if n.Attachment != nil {
		attachment = n.Attachment.ID
	}
	switch random.IntN(15) {
	case 13:
		return randomTurn(random, instances[random.IntN(4):])
	case 14:
		return vpc.ModifyNetworkInterfaceAttribute{ID: n.ID, Groups: [][]string{{l.group.ID}, {"sg-1"}, {l.group.ID, l.group.ID}}[random.IntN(3)]}
	case 0, 1, 2:
		return vpc.CreateNetworkInterface{SubnetID: subnets[random.IntN(3)], SecondaryCount: random.IntN(4), IPv6Count: random.IntN(2)}
	case 3:
		return vpc.CreateNetworkInterface{SubnetID: subnets[random.IntN(3)], PrefixCount: random.IntN(3)}
	case 4:
		return vpc.DeleteNetworkInterface{ID: n.ID}
	case 5, 6:
		return vpc.AttachNetworkInterface{ID: n.ID, InstanceID: instances[random.IntN(4)], Device: random.IntN(4), Card: random.IntN(8) / 7}
	case 7:
		return vpc.DetachNetworkInterface{AttachmentID: attachment, Force: random.IntN(2) == 0}
	case 8:
		return vpc.AssignPrivateIpAddresses{ID: n.ID, Count: random.IntN(4)}
	case 9:
		return vpc.AssignPrivateIpAddresses{ID: n.ID, Addresses: address(), AllowReassignment: random.IntN(2) == 0}
	case 10:
		return vpc.AssignPrivateIpAddresses{ID: n.ID, Prefixes: []netip.Prefix{block}}
	case 11:
		return vpc.UnassignPrivateIpAddresses{ID: n.ID, Addresses: address(), Prefixes: n.Prefixes}
	}
	return vpc.AssignIpv6Addresses{ID: n.ID, Count: random.IntN(3), PrefixCount: random.IntN(2)}
}

// randomTurn changes an instance's state or type.
func randomTurn(random *rand.Rand, instances []string) vpc.Request {
	ids := instances[:1]
	switch random.IntN(12) {
	case 0, 1, 2:
		return vpc.StopInstances{IDs: ids}
	case 3, 4, 5, 6:
		return vpc.StartInstances{IDs: ids}
	case 7:
		return vpc.RebootInstances{IDs: ids}
	case 8:
		return vpc.TerminateInstances{IDs: ids}
	}
	return vpc.ModifyInstanceAttribute{ID: ids[0], InstanceType: &vpc.StringValue{Value: []string{"t3.small", "m5.large", "p4d.24xlarge"}[random.IntN(3)]}}
}

// check wants of the truth: no address twice, all of them inside of the subnet and not reserved, no limit exceeded, and
// the subnets' numbers of free addresses right once everything has taken effect.
func check(t *testing.T, l *lab) {
	t.Helper()
	owner, held := map[netip.Addr]string{}, map[string]int{}
	type place struct {
		instance     string
		card, device int
	}
	places, links := map[place]string{}, map[string]int{}
	own := func(n vpc.NetworkInterface, a netip.Addr) {
		if other := owner[a]; other != "" {
			t.Fatalf("%s is on %s and on %s", a, other, n.ID)
		}
		owner[a] = n.ID
		held[n.Subnet]++
	}
	for _, n := range l.NetworkInterfaces(l.now) {
		for _, a := range n.Addresses() {
			own(n, a)
		}
		for _, p := range n.Prefixes {
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				own(n, a)
			}
		}
		if n.Attachment == nil {
			continue
		}
		at := place{n.Attachment.Instance, n.Attachment.Card, n.Attachment.Device}
		if other := places[at]; other != "" {
			t.Fatalf("%s and %s are both at %v", other, n.ID, at)
		}
		places[at] = n.ID
		i, _ := l.Instance(n.Instance())
		links[i.ID]++
		for _, k := range vpc.InstanceTypes() {
			if k.Name == i.Type && i.State == vpc.Running && links[i.ID] > k.Interfaces {
				t.Fatalf("a running %s has %d interfaces", i.Type, links[i.ID])
			}
			if k.Name == i.Type && i.State == vpc.Running && (len(n.Addresses())+len(n.Prefixes) > k.IPv4PerInterface || len(n.IPv6)+len(n.IPv6Prefixes) > k.IPv6PerInterface) {
				t.Fatalf("%s holds more than a %s may: %+v", n.ID, i.Type, n)
			}
		}
	}
	for a := range owner {
		if s := l.subnetOf(a); a.Is4() && (!s.CIDR.Contains(a) || a.Compare(s.CIDR.Addr().Next().Next().Next()) <= 0) {
			t.Fatalf("%s is outside or reserved", a)
		}
	}
	r, err := l.Call(l.now, "checker", vpc.DescribeSubnets{})
	if err != nil {
		t.Fatal(err)
	}
	if next, moving := l.Next(); moving && next.After(l.now) {
		return // calls in flight hold addresses that the truth does not show yet
	}
	for _, s := range r.Output.(vpc.DescribeSubnetsOutput).Subnets {
		if size := 1<<(32-s.CIDR.Bits()) - 5; s.Free > size-held[s.ID] {
			t.Fatalf("%s has %d free of %d with %d held", s.Name(), s.Free, size, held[s.ID])
		}
	}
}

// exact wants the subnets' numbers of free addresses right when nothing is in flight.
func exact(t *testing.T, l *lab) {
	t.Helper()
	held := map[string]int{}
	for _, n := range l.NetworkInterfaces(l.now) {
		held[n.Subnet] += len(n.Addresses()) + 16*len(n.Prefixes)
	}
	for _, s := range ok[vpc.DescribeSubnetsOutput](l, vpc.DescribeSubnets{}).Subnets {
		if size := 1<<(32-s.CIDR.Bits()) - 5; s.Free != size-held[s.ID] {
			t.Errorf("%s has %d free of %d with %d held", s.Name(), s.Free, size, held[s.ID])
		}
	}
}

func (l *lab) subnetOf(a netip.Addr) vpc.Subnet {
	for _, s := range []vpc.Subnet{l.a, l.b, l.tiny} {
		if s.CIDR.Contains(a) {
			return s
		}
	}
	return vpc.Subnet{}
}

// Whatever is asked for, the rules of a VPC hold; and the same seed makes the same world.
func TestWalk(t *testing.T) {
	for seed := range uint64(20) {
		one, two := walk(t, seed, 300), walk(t, seed, 300)
		if one != two {
			t.Fatalf("seed %d made two worlds:\n%s\nand\n%s", seed, one, two)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzWalk looks for a seed that breaks a rule.
func FuzzWalk(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { walk(t, seed, 100) })
}
