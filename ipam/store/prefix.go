package store

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// A delegated prefix (EC2: "prefix delegation") is one slot of a network interface and many addresses. They are leased
// as others are, but EC2 takes back the whole prefix or nothing: none of them is ever fenced by itself. On the primary
// interface a prefix may serve one network as the subnet of its bridge, with the first host address as gateway.

// Lengths of delegated prefixes (Amazon EC2 user guide, "Prefix delegation").
const (
	prefixBits4 = 28
	prefixBits6 = 80
)

// IsDelegated says whether a prefix has the form of a delegated one.
func IsDelegated(p netip.Prefix) bool { return p.IsValid() && p == blockOf(p.Addr()) }

// prefixFault says why a delegated prefix cannot be one of this interface.
func prefixFault(p netip.Prefix, e ipam.SuppliedENI) string {
	subnet, bits := e.Subnet, prefixBits4
	if p.IsValid() && p.Addr().Is6() {
		subnet, bits = e.Subnet6, prefixBits6
	}
	switch {
	case !p.IsValid() || p != p.Masked() || p.Bits() != bits:
		return fmt.Sprintf("want a /%d without bits behind it", bits)
	case !subnet.IsValid() || subnet.Bits() > p.Bits() || !subnet.Contains(p.Addr()):
		return fmt.Sprintf("it is not in the interface's subnet %s", subnet)
	}
	for _, a := range addressesOf(p) {
		if Reserved(subnet, a) || a == e.Gateway {
			return fmt.Sprintf("%s in it is one of the five addresses that %s reserves", a, subnet)
		}
	}
	return ""
}

// claims are the addresses and prefixes that a supply gives to its interfaces, as far as it was judged.
type claims struct {
	never  map[netip.Addr]string       // that no pod may have, with why
	taken  map[netip.Addr]ipam.ENIID   // single addresses
	inside map[netip.Prefix]ipam.ENIID // prefixes that have single addresses in them
	blocks map[netip.Prefix]ipam.ENIID // delegated prefixes
}

// prefixes takes out of an interface's delegated prefixes those that cannot be believed, and out of its single
// addresses those that are in the rest.
func (c *claims) prefixes(e *ipam.SuppliedENI) (refused []Refusal) {
	var kept []netip.Prefix
	for _, p := range e.Prefixes {
		why := prefixFault(p, *e)
		if why == "" && slices.Contains(kept, p) {
			why = "it is listed twice"
		}
		if a, ok := c.neverIn(p); ok && why == "" {
			why = c.never[a]
		}
		for _, others := range []map[netip.Prefix]ipam.ENIID{c.blocks, c.inside} {
			if other, dup := others[p]; why == "" && dup {
				why = "it is listed on " + string(other) + " too"
			}
		}
		if why != "" {
			refused = append(refused, Refusal{ENI: e.ENI, Address: p.Addr(), Reason: "delegated prefix " + p.String() + ": " + why})
			continue
		}
		kept = append(kept, p)
		c.blocks[p] = e.ENI
		e.Addresses = slices.DeleteFunc(e.Addresses, p.Contains)
	}
	e.Prefixes = kept
	return refused
}

// neverIn is the first address of a prefix's that no pod may have.
func (c *claims) neverIn(p netip.Prefix) (first netip.Addr, found bool) {
	for a := range c.never {
		if entered(p, a) && (!found || a.Less(first)) {
			first, found = a, true
		}
	}
	return first, found
}

// entered says whether an address is one of those of a delegated prefix that the pool enters.
func entered(p netip.Prefix, a netip.Addr) bool {
	size := bits.TrailingZeros(uint(ipam.PrefixSize(p)))
	return p.Contains(a) && netip.PrefixFrom(p.Addr(), p.Addr().BitLen()-size).Contains(a)
}

// addressesOf are those of a delegated prefix that the pool enters.
func addressesOf(p netip.Prefix) (all []netip.Addr) {
	if !p.IsValid() {
		return nil
	}
	a := p.Addr()
	for range ipam.PrefixSize(p) {
		all, a = append(all, a), a.Next()
	}
	return all
}
