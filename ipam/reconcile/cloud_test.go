package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// cloud is an EC2 in memory: its rules as far as the reconciler could break them.
type cloud struct {
	subnets   map[ipam.SubnetID]*network
	enis      map[ipam.ENIID]*ENI
	instances map[ipam.InstanceID]*Instance
	limits    map[string]ipam.Limits
	groups    []Group
	tokens    map[string]ipam.ENIID
	asked     map[string]string // parameters by token
	ids       int
}

// network is a subnet and what is used of it.
type network struct {
	Subnet
	used map[netip.Addr]bool
	next int // of IPv6
}

func newCloud() *cloud {
	return &cloud{
		subnets: map[ipam.SubnetID]*network{}, enis: map[ipam.ENIID]*ENI{}, instances: map[ipam.InstanceID]*Instance{},
		tokens: map[string]ipam.ENIID{}, asked: map[string]string{},
		limits: map[string]ipam.Limits{
			"t3.medium": {ENIs: 3, IPv4: 6, IPv6: 6, Prefixes: true}, "t2.medium": {ENIs: 3, IPv4: 6, IPv6: 6},
			"m5.large": {ENIs: 3, IPv4: 10, IPv6: 10, Prefixes: true}, "t3.nano": {ENIs: 2, IPv4: 2, IPv6: 2, Prefixes: true},
			"p4d.24xlarge": {ENIs: 15, IPv4: 50, IPv6: 50, Prefixes: true, Cards: []int{2, 2}},
		},
	}
}

func (c *cloud) addSubnet(id ipam.SubnetID, zone, cidr, cidr6 string, tags map[string]string) *network {
	n := &network{Subnet: Subnet{ID: id, VPC: "vpc-1", Zone: zone, CIDR: netip.MustParsePrefix(cidr), Tags: tags}, used: map[netip.Addr]bool{}}
	if cidr6 != "" {
		n.CIDR6 = netip.MustParsePrefix(cidr6)
	}
	a := n.CIDR.Addr()
	for range 4 {
		n.used[a], a = true, a.Next()
	}
	n.used[lastOf(n.CIDR)] = true
	c.subnets[id] = n
	return n
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

func (n *network) free() int { return 1<<(32-n.CIDR.Bits()) - len(n.used) }

// addresses takes free ones; nil if there are too few.
func (n *network) addresses(count int) []netip.Addr {
	var got []netip.Addr
	for a := n.CIDR.Addr(); n.CIDR.Contains(a) && len(got) < count; a = a.Next() {
		if !n.used[a] {
			got = append(got, a)
		}
	}
	if len(got) < count {
		return nil
	}
	for _, a := range got {
		n.used[a] = true
	}
	return got
}

// blocks takes free, aligned /28.
func (n *network) blocks(count int) []netip.Prefix {
	var got []netip.Prefix
	for a := n.CIDR.Addr(); n.CIDR.Contains(a) && len(got) < count; {
		p, open := netip.PrefixFrom(a, 28), true
		for range 16 {
			open, a = open && !n.used[a], a.Next()
		}
		if open {
			got = append(got, p)
		}
	}
	if len(got) < count {
		return nil
	}
	for _, p := range got {
		for a := range each(p) {
			n.used[a] = true
		}
	}
	return got
}

// each are the addresses of a pool that a prefix holds.
func each(p netip.Prefix) func(func(netip.Addr) bool) {
	return func(yield func(netip.Addr) bool) {
		a := p.Addr()
		for range ipam.PrefixSize(p) {
			if !yield(a) {
				return
			}
			a = a.Next()
		}
	}
}

func (n *network) six() netip.Addr {
	n.next++
	b := n.CIDR6.Addr().As16()
	b[8], b[9] = byte(n.next>>8), byte(n.next)
	return netip.AddrFrom16(b)
}

func (c *cloud) addInstance(id ipam.InstanceID, kind string, subnet ipam.SubnetID) *ENI {
	s := c.subnets[subnet]
	c.instances[id] = &Instance{ID: id, State: "running", Type: kind, Zone: s.Zone, VPC: s.VPC, Subnet: subnet}
	e := c.newENI(subnet, []string{"sg-1"}, nil)
	e.Instance, e.Attachment, e.Bound = id, ipam.AttachmentID("at-"+e.ID), true
	return e
}

func (c *cloud) newENI(subnet ipam.SubnetID, groups []string, tags map[string]string) *ENI {
	c.ids++
	e := &ENI{ID: ipam.ENIID(fmt.Sprintf("eni-%03d", c.ids)), Subnet: subnet, MAC: fmt.Sprintf("02:00:00:00:00:%02x", c.ids),
		Primary: c.subnets[subnet].addresses(1)[0], Groups: groups, Tags: tags, Kind: "interface"}
	c.enis[e.ID] = e
	return e
}

// broken is EC2's code: no aligned /28 is free.
const broken = "InsufficientCidrBlocks"

func refusal(class Class, code string) Answer {
	return Answer{Class: class, Code: code, Text: "said EC2"}
}

// do makes a call.
func (c *cloud) do(call Call) Answer {
	e := c.enis[call.ENI]
	if e == nil && call.Action != Create && call.Action != Detach {
		return refusal(Gone, "InvalidNetworkInterfaceID.NotFound")
	}
	switch call.Action {
	case Create:
		return c.create(call)
	case Attach:
		return c.attach(e, call)
	case Assign:
		return c.assign(e, call.Count, call.Prefixes)
	case Assign6:
		return c.assign6(e, call)
	case Unassign, Unassign6:
		return c.unassign(e, call)
	case Detach:
		for _, e := range c.enis {
			if e.Attachment == call.Attachment {
				e.Instance, e.Attachment, e.Device, e.Card = "", "", 0, 0
				return Answer{Class: Done}
			}
		}
		return refusal(Gone, "InvalidAttachmentID.NotFound")
	case Delete:
		if e.Instance != "" {
			return refusal(Stale, "InvalidNetworkInterface.InUse")
		}
		c.remove(e)
	case Bind:
		if len(call.Groups) > 0 {
			if bad := c.unknownGroup(call.Groups); bad != "" {
				return Answer{Class: BadConfig, Code: "InvalidGroup.NotFound", Text: "The security group '" + bad + "' does not exist"}
			}
			e.Groups = call.Groups
		} else {
			e.Bound = true
		}
	}
	return Answer{Class: Done}
}

func (c *cloud) remove(e *ENI) {
	c.release(e, append(e.Addresses, e.Primary), e.Prefixes)
	delete(c.enis, e.ID)
}

func (c *cloud) release(e *ENI, addresses []netip.Addr, prefixes []netip.Prefix) {
	s := c.subnets[e.Subnet]
	for _, a := range addresses {
		delete(s.used, a)
	}
	for _, p := range prefixes {
		for a := range each(p) {
			delete(s.used, a)
		}
	}
}

func (c *cloud) unknownGroup(ids []string) string {
	for _, id := range ids {
		if !slices.ContainsFunc(c.groups, func(g Group) bool { return g.ID == id }) && id != "sg-1" {
			return id
		}
	}
	return ""
}

func (c *cloud) create(call Call) Answer {
	parameters := fmt.Sprint(call.Subnet, call.Count, call.Prefixes, call.Addrs6, call.Groups, call.Pool)
	if id, ok := c.tokens[call.Token]; ok && c.enis[id] != nil {
		if c.asked[call.Token] != parameters {
			return refusal(Mismatch, "IdempotentParameterMismatch")
		}
		e := *c.enis[id]
		return Answer{Class: Done, ENI: &e}
	}
	if bad := c.unknownGroup(call.Groups); bad != "" {
		return Answer{Class: BadConfig, Code: "InvalidGroup.NotFound", Text: "The security group '" + bad + "' does not exist"}
	}
	s := c.subnets[call.Subnet]
	switch {
	case s == nil:
		return refusal(BadConfig, "InvalidSubnetID.NotFound")
	case call.Count > 0 && call.Prefixes > 0 || call.Addrs6 > 0 && call.Prefixes6 > 0:
		return refusal(Other, "InvalidParameterCombination")
	case s.free() < 1+call.Count:
		return refusal(SubnetFull, full)
	}
	e := c.newENI(call.Subnet, call.Groups, call.Tags)
	if a := c.assign(e, call.Count, call.Prefixes); a.Class != Done {
		c.remove(e)
		return a
	}
	if call.Addrs6 > 0 {
		e.Primary6 = s.six()
	}
	c.tokens[call.Token], c.asked[call.Token] = e.ID, parameters
	made := *e
	return Answer{Class: Done, ENI: &made}
}

func (c *cloud) attach(e *ENI, call Call) Answer {
	in := c.instances[call.Instance]
	if in == nil {
		return refusal(Gone, "InvalidInstanceID.NotFound")
	}
	limits, count := c.limits[in.Type], 0
	for _, other := range c.enis {
		if other.Instance != call.Instance {
			continue
		}
		if other.Card == call.Card {
			count++
			if other.Device == call.Device {
				return refusal(Stale, "InvalidParameterValue")
			}
		}
	}
	switch {
	case e.Instance != "":
		return refusal(Stale, "InvalidNetworkInterface.InUse")
	case count >= limits.OnCard(call.Card):
		return refusal(Limit, "AttachmentLimitExceeded")
	case in.State != "running":
		return refusal(Transition, "IncorrectState")
	}
	c.ids++
	e.Instance, e.Attachment, e.Device, e.Card = call.Instance, ipam.AttachmentID(fmt.Sprintf("at-%03d", c.ids)), call.Device, call.Card
	return Answer{Class: Done, Attachment: e.Attachment}
}

// most is how many places an interface has.
func (c *cloud) most(e *ENI) int {
	if in := c.instances[e.Instance]; in != nil {
		return c.limits[in.Type].PerENI()
	}
	return 49
}

func (c *cloud) assign(e *ENI, count, prefixes int) Answer {
	s := c.subnets[e.Subnet]
	if len(e.Addresses)+len(v4(e.Prefixes))+count+prefixes > c.most(e) {
		return refusal(Limit, "PrivateIpAddressLimitExceeded")
	}
	a := Answer{Class: Done, Addresses: s.addresses(count), Prefixes: s.blocks(prefixes)}
	switch {
	case len(a.Addresses) < count:
		return refusal(SubnetFull, full)
	case len(a.Prefixes) < prefixes:
		return refusal(SubnetFull, broken)
	}
	e.Addresses, e.Prefixes = append(slices.Clip(e.Addresses), a.Addresses...), append(slices.Clip(e.Prefixes), a.Prefixes...)
	return a
}

func (c *cloud) assign6(e *ENI, call Call) Answer {
	s := c.subnets[e.Subnet]
	if !s.CIDR6.IsValid() {
		return refusal(BadConfig, "InvalidSubnet.NoIpv6")
	}
	a := Answer{Class: Done}
	if call.Addrs6 > 0 {
		a.Addresses = []netip.Addr{s.six()}
		e.Primary6 = a.Addresses[0]
	}
	for range call.Prefixes6 {
		p, _ := s.six().Prefix(80)
		a.Prefixes = append(a.Prefixes, p)
	}
	e.Prefixes = append(slices.Clip(e.Prefixes), a.Prefixes...)
	return a
}

func (c *cloud) unassign(e *ENI, call Call) Answer {
	if !within(call.Addresses, e.Addresses) || !within(call.Give, e.Prefixes) {
		return refusal(Stale, "InvalidParameterValue")
	}
	c.release(e, call.Addresses, call.Give)
	e.Addresses, e.Prefixes = minus(e.Addresses, call.Addresses), minus(e.Prefixes, call.Give)
	return Answer{Class: Done}
}

// list answers a List.
func (c *cloud) list(ask List, at time.Duration) Listed {
	l := Listed{ID: ask.ID, ReadBegun: at, Begun: at, Limits: c.limits, VPCs: map[string][]netip.Prefix{}}
	wanted := map[ipam.InstanceID]bool{}
	for _, id := range ask.Instances {
		wanted[id] = true
	}
	for _, e := range c.enis {
		made := ipam.InstanceID(e.Tags[TagNode])
		if ask.Full && made != "" || wanted[e.Instance] || wanted[made] {
			row := *e
			l.ENIs = append(l.ENIs, row)
			wanted[row.Instance] = wanted[row.Instance] || ask.Full
		}
	}
	slices.SortFunc(l.ENIs, func(a, b ENI) int { return int(a.MAC[len(a.MAC)-1]) - int(b.MAC[len(b.MAC)-1]) })
	for id, in := range c.instances {
		if wanted[id] {
			l.Instances = append(l.Instances, *in)
		}
	}
	if ask.Network {
		l.VPCs["vpc-1"] = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		for _, s := range c.subnets {
			row := s.Subnet
			row.Free = s.free()
			l.Subnets = append(l.Subnets, row)
		}
		slices.SortFunc(l.Subnets, func(a, b Subnet) int { return int(a.ID[len(a.ID)-1]) - int(b.ID[len(b.ID)-1]) })
		l.Groups = c.groups
	}
	return l
}
