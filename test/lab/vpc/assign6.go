package vpc

import (
	"net/netip"
	"slices"
)

func (r AssignIpv6Addresses) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	g := growth6{addrs: r.Addresses, count: r.Count, prefixes: r.Prefixes, blocks: r.PrefixCount}
	if err := exclusive(len(r.Addresses), r.Count, len(r.Prefixes), r.PrefixCount, "Ipv6Addresses"); err != nil {
		return nil, err
	}
	s := w.subnets[n.Subnet]
	s.settle(c.now)
	if err := w.mayGrow6(s, g, n.slots6(), w.limits(n)); err != nil {
		return nil, err
	}
	if n.Attachment != nil {
		if err := w.usable(n.VPC, len(g.addrs)+g.count+(len(g.prefixes)+g.blocks)*w.config.PrefixUnits); err != nil {
			return nil, err
		}
	}
	addrs, prefixes := w.grow6(s, g, n.ID)
	n = n.clone()
	n.IPv6 = append(n.IPv6, addrs...)
	n.IPv6Prefixes = append(n.IPv6Prefixes, prefixes...)
	w.rewrite(c, n)
	return AssignIpv6AddressesOutput{ID: n.ID, Addresses: addrs, Prefixes: prefixes}, nil
}

func (r UnassignIpv6Addresses) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	if len(r.Addresses)+len(r.Prefixes) == 0 {
		return nil, missing("Ipv6Addresses")
	}
	for _, a := range r.Addresses {
		if !slices.Contains(n.IPv6, a) {
			return nil, invalid("Some of %v addresses are not assigned to interface %s", r.Addresses, n.ID)
		}
	}
	for _, p := range r.Prefixes {
		if !slices.Contains(n.IPv6Prefixes, p) {
			return nil, invalid("Some of %v prefixes are not assigned to interface %s", r.Prefixes, n.ID)
		}
	}
	n = n.clone()
	n.IPv6 = slices.DeleteFunc(n.IPv6, func(a netip.Addr) bool { return slices.Contains(r.Addresses, a) })
	n.IPv6Prefixes = slices.DeleteFunc(n.IPv6Prefixes, func(p netip.Prefix) bool { return slices.Contains(r.Prefixes, p) })
	w.rewrite(c, n)
	w.subnets[n.Subnet].release(c.effect.Add(w.config.AddressRest), r.Addresses, r.Prefixes)
	return UnassignIpv6AddressesOutput{ID: n.ID, Addresses: slices.Clone(r.Addresses), Prefixes: slices.Clone(r.Prefixes)}, nil
}
