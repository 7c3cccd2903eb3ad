package store

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// maxDevices bounds small numbers, protocol A2 "n": 1..127.
const maxDevices = 127

// refuse says why a whole supply is not for this pool now (protocol a1); "" when it is.
func (t *Tx) refuse(s ipam.Supply) string {
	m := t.meta
	seen := ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	switch {
	case s.Instance != m.Instance:
		return fmt.Sprintf("it is for %q, this node is %q", s.Instance, m.Instance)
	case s.Basis.Inc != m.Inc:
		return fmt.Sprintf("it is based on inc %q, this pool file is inc %q", s.Basis.Inc, m.Inc)
	case !m.Seen.Less(seen):
		return fmt.Sprintf("(epoch %d, rev %d) is not newer than what was seen, (%d, %d)", s.Epoch, s.Rev, m.Seen.Epoch, m.Seen.Rev)
	case s.Basis.Seq > m.Seq:
		return fmt.Sprintf("it is based on seq %d, this pool file has only reached %d", s.Basis.Seq, m.Seq)
	}
	return ""
}

// judge splits a supply into what may be believed and what may not (protocol a2): a forged or wrong supply must not
// make the node route its gateway, itself or a stranger to a pod. local are addresses that the kernel has itself.
func judge(s ipam.Supply, local map[netip.Addr]string) (good []ipam.SuppliedENI, refused []Refusal) {
	primaries := map[netip.Addr]string{}
	for a, link := range local {
		primaries[a.Unmap()] = "the kernel has it on " + link
	}
	for _, e := range s.ENIs {
		for _, p := range []netip.Addr{e.Primary, e.Primary6} {
			if p.IsValid() {
				primaries[p.Unmap()] = "it is the primary address of " + string(e.ENI)
			}
		}
	}
	ids, macs := map[ipam.ENIID]bool{}, map[string]bool{}
	c := claims{primaries, map[netip.Addr]ipam.ENIID{}, map[netip.Prefix]ipam.ENIID{}, map[netip.Prefix]ipam.ENIID{}}
	for _, e := range s.ENIs {
		why := faultOf(e, s.VPC)
		switch {
		case why != "":
		case ids[e.ENI]:
			why = "it is listed twice"
		case macs[e.MAC]:
			why = "its MAC " + e.MAC + " is another interface's too"
		}
		if why != "" {
			refused = append(refused, Refusal{ENI: e.ENI, Reason: why})
			continue
		}
		ids[e.ENI], macs[e.MAC] = true, true
		e.Addresses = slices.Clone(e.Addresses)
		refused = append(refused, c.prefixes(&e)...)
		refused = append(refused, c.addresses(&e)...)
		good = append(good, e)
	}
	return good, refused
}

// addresses takes out of an interface's single addresses those that cannot be believed.
func (c *claims) addresses(e *ipam.SuppliedENI) (refused []Refusal) {
	e.Addresses = slices.DeleteFunc(e.Addresses, func(a netip.Addr) bool {
		a = a.Unmap()
		why := addressFault(a, *e)
		if why == "" {
			why = c.never[a]
		}
		other, dup := c.taken[a]
		if !dup {
			other, dup = c.blocks[blockOf(a)]
		}
		if why == "" && dup {
			why = "it is listed on " + string(other) + " too"
		}
		if why != "" {
			refused = append(refused, Refusal{ENI: e.ENI, Address: a, Reason: why})
			return true
		}
		c.taken[a], c.inside[blockOf(a)] = e.ENI, e.ENI
		return false
	})
	return refused
}

// faultOf says what makes an interface unbelievable as a whole.
func faultOf(e ipam.SuppliedENI, vpc []netip.Prefix) string {
	mac, err := net.ParseMAC(e.MAC)
	within := func(p netip.Prefix) bool {
		return slices.ContainsFunc(vpc, func(v netip.Prefix) bool { return v.Bits() <= p.Bits() && v.Contains(p.Addr()) })
	}
	switch {
	case e.ENI == "" || e.Attachment == "":
		return "it has no id or no attachment id"
	case err != nil || len(mac) != 6 || mac.String() != e.MAC:
		return fmt.Sprintf("its MAC %q is not six bytes in lower case with colons", e.MAC)
	case !e.Subnet.IsValid() && !e.Subnet6.IsValid():
		return "it has no subnet"
	case e.Subnet.IsValid() && (!e.Subnet.Addr().Is4() || e.Subnet != e.Subnet.Masked()):
		return fmt.Sprintf("its subnet %s is not an IPv4 network", e.Subnet)
	case e.Subnet6.IsValid() && (!e.Subnet6.Addr().Is6() || e.Subnet6 != e.Subnet6.Masked()):
		return fmt.Sprintf("its subnet %s is not an IPv6 network", e.Subnet6)
	case e.Subnet.IsValid() && len(vpc) > 0 && !within(e.Subnet):
		return fmt.Sprintf("its subnet %s is in none of the VPC's networks", e.Subnet)
	case e.Subnet.IsValid() && !e.Subnet.Contains(e.Primary):
		return fmt.Sprintf("its primary address %s is not in its subnet %s", e.Primary, e.Subnet)
	case e.Primary6.IsValid() && !e.Subnet6.Contains(e.Primary6):
		return fmt.Sprintf("its primary address %s is not in its subnet %s", e.Primary6, e.Subnet6)
	case e.Device < 0 || e.Device > maxDevices || e.Card < 0:
		return fmt.Sprintf("its device index %d on card %d is out of range", e.Device, e.Card)
	case e.MTU != 0 && (e.MTU < ipam.LeastMTU || e.MTU > ipam.MostMTU):
		return fmt.Sprintf("its MTU %d is not %d..%d", e.MTU, ipam.LeastMTU, ipam.MostMTU)
	}
	return ""
}

// addressFault says why an address cannot be a pod's on this interface.
func addressFault(a netip.Addr, e ipam.SuppliedENI) string {
	subnet := e.Subnet
	if a.Is6() {
		subnet = e.Subnet6
	}
	switch {
	case !a.IsValid() || !subnet.IsValid() || !subnet.Contains(a):
		return fmt.Sprintf("it is not in the interface's subnet %s", subnet)
	case Reserved(subnet, a):
		return fmt.Sprintf("it is one of the five addresses that %s reserves", subnet)
	case a == e.Gateway:
		return "it is the subnet's gateway"
	}
	return ""
}

// Reserved says whether a is one of the five addresses that no interface of a subnet can have: the first four and the
// last (Amazon VPC user guide, "Subnet CIDR blocks").
func Reserved(subnet netip.Prefix, a netip.Addr) bool {
	first := subnet.Masked().Addr()
	for range 4 {
		if a == first {
			return true
		}
		first = first.Next()
	}
	last := a.Next()
	return !last.IsValid() || !subnet.Contains(last)
}
