package store

import (
	"fmt"
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

// Bridge says whose subnet a delegated prefix is, for as long as a lease of that network needs it.
type Bridge struct {
	Prefix  netip.Prefix
	Network string
	Users   int // leases
}

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

// enterPrefixes puts the addresses of an interface's delegated prefixes to its single ones, and takes out prefixes that
// cannot be believed. never are addresses that no pod may have, with why; taken are those of interfaces before.
func enterPrefixes(e *ipam.SuppliedENI, never map[netip.Addr]string, taken map[netip.Addr]ipam.ENIID) (refused []Refusal) {
	var kept []netip.Prefix
	for _, p := range e.Prefixes {
		why := prefixFault(p, *e)
		if why == "" && slices.Contains(kept, p) {
			why = "it is listed twice"
		}
		all := addressesOf(p)
		for _, a := range all {
			if why == "" {
				why = never[a]
			}
			if other, dup := taken[a]; why == "" && dup {
				why = "it is listed on " + string(other) + " too"
			}
		}
		if why != "" {
			refused = append(refused, Refusal{ENI: e.ENI, Address: p.Addr(), Reason: "delegated prefix " + p.String() + ": " + why})
			continue
		}
		kept = append(kept, p)
		e.Addresses = append(slices.DeleteFunc(e.Addresses, p.Contains), all...)
	}
	e.Prefixes = kept
	return refused
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

// PrefixGateway is a delegated prefix's first host address: the gateway of the bridge whose subnet it becomes.
func PrefixGateway(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// prefixOf is the delegated prefix of e that an address is in; ok is false for a single address.
func prefixOf(e *ENI, a netip.Addr) (p netip.Prefix, ok bool) {
	if e == nil {
		return netip.Prefix{}, false
	}
	i := slices.IndexFunc(e.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return e.Prefixes[i], true
}

// bridgeOf is the place in e.Bridges of a prefix; -1 where it is nobody's subnet.
func (e *ENI) bridgeOf(p netip.Prefix) int {
	return slices.IndexFunc(e.Bridges, func(b Bridge) bool { return b.Prefix == p })
}

// single says whether an address may be leased by itself: not where its prefix is a bridge's subnet, whose other pods
// would look for it on the bridge, nor where it is the gateway that such a bridge has or may get.
func single(e *ENI, a netip.Addr) bool {
	p, ok := prefixOf(e, a)
	return !ok || e.N != 0 || e.bridgeOf(p) < 0 && a != PrefixGateway(p)
}

// host says whether an address of a bridge's subnet can be a pod's there.
func host(p netip.Prefix, a netip.Addr) bool {
	next := a.Next()
	return a != p.Masked().Addr() && a != PrefixGateway(p) && next.IsValid() && p.Contains(next)
}

// leasePrefix leases one address per family, each out of a delegated prefix of the primary interface that is the
// network's alone: its own already, or one of which nobody else has an address.
func (t *Tx) leasePrefix(now Now, r LeaseRequest) (Lease, error) {
	ahead := t.ahead(now, r)
	eligible := t.eligible(r)
	if len(eligible) == 0 || ahead > 0 && t.spareInPrefixes(now, eligible[0], r) <= ahead {
		return Lease{}, t.empty(now, r, eligible, ahead)
	}
	e := eligible[0]
	families := r.Families
	if len(r.Want) > 0 {
		families = nil
		for _, a := range r.Want {
			families = append(families, FamilyOf(a))
		}
	}
	p := picker{t: t, now: now, r: r, eligible: eligible}
	var got []*Address
	for i, f := range families {
		var want netip.Addr
		if len(r.Want) > 0 {
			want = r.Want[i]
		}
		a, err := p.fromPrefix(e, f, want)
		if err != nil {
			return Lease{}, err
		}
		if a == nil {
			return Lease{}, t.empty(now, r, eligible, ahead)
		}
		got = append(got, a)
	}
	return t.take(now, r, e, got), nil
}

// fromPrefix finds an address of one family, the network's own prefixes first.
func (p *picker) fromPrefix(e *ENI, f Family, want netip.Addr) (*Address, error) {
	if want.IsValid() {
		a, known := p.t.address(want)
		prefix, ok := prefixOf(e, want)
		why := p.t.whyNot(a, known, p.now, p.r)
		if why == "" && (!ok || !host(prefix, want) || !p.t.mayServe(e, prefix, p.r.Network)) {
			why = "it is in no delegated prefix that can be the subnet of network " + p.r.Network
		}
		if why != "" {
			return nil, &UnavailableError{Address: want, Why: why}
		}
		return a, nil
	}
	for _, own := range []bool{true, false} {
		for _, prefix := range e.Prefixes {
			if FamilyOf(prefix.Addr()) != f || own != (e.bridgeOf(prefix) >= 0) || !p.t.mayServe(e, prefix, p.r.Network) {
				continue
			}
			p.usable = func(a netip.Addr) bool { return prefix.Contains(a) && host(prefix, a) }
			for _, cooled := range []bool{false, true} {
				if a := p.from(e, f, 1, cooled); len(a) > 0 {
					return a[0], nil
				}
			}
		}
	}
	return nil, nil
}

// mayServe says whether a prefix is, or can become, the subnet of a network's bridge.
func (t *Tx) mayServe(e *ENI, p netip.Prefix, network string) bool {
	if i := e.bridgeOf(p); i >= 0 {
		return e.Bridges[i].Network == network
	}
	for _, a := range addressesOf(p) {
		if r, ok := t.address(a); ok && r.State == ipam.Leased && r.Owner.Network != network {
			return false
		}
	}
	return true
}

// spareInPrefixes counts what a network could lease out of prefixes now.
func (t *Tx) spareInPrefixes(now Now, e *ENI, r LeaseRequest) (n int) {
	for _, p := range e.Prefixes {
		if !slices.Contains(r.Families, FamilyOf(p.Addr())) || !t.mayServe(e, p, r.Network) {
			continue
		}
		for _, a := range addressesOf(p) {
			x, ok := t.address(a)
			if ok && host(p, a) && (x.State == ipam.Free && !x.Flagged || x.State == ipam.Cooling && x.Until <= now.Boot) {
				n++
			}
		}
	}
	return n
}

// bridges notes that a lease's addresses are in the subnets of its network's bridge.
func (t *Tx) bridges(l *Lease, e *ENI) {
	for _, a := range l.Addresses {
		if p, ok := prefixOf(e, a); ok {
			l.Prefixes = append(l.Prefixes, p)
			l.Gateways = append(l.Gateways, PrefixGateway(p))
			t.useBridge(e, p, l.Network)
		}
	}
}

func (t *Tx) useBridge(e *ENI, p netip.Prefix, network string) {
	i := e.bridgeOf(p)
	if i < 0 {
		i = len(e.Bridges)
		e.Bridges = append(slices.Clone(e.Bridges), Bridge{Prefix: p, Network: network})
	}
	e.Bridges[i].Users++
	t.tell(e)
}

// leaveBridges takes a lease off the prefixes that were its network's subnets, and gives them back with the last.
func (t *Tx) leaveBridges(l Lease) {
	e := t.load()[l.ENIID]
	if e == nil {
		return
	}
	for _, p := range l.Prefixes {
		i := e.bridgeOf(p)
		if i < 0 {
			continue
		}
		if e.Bridges[i].Users--; e.Bridges[i].Users <= 0 {
			e.Bridges = slices.Delete(slices.Clone(e.Bridges), i, i+1)
		}
		t.tell(e)
	}
}

// prefixSummaries count the addresses of an interface's delegated prefixes.
func (t *Tx) prefixSummaries(e *ENI) (all []ipam.PrefixSummary) {
	for _, p := range e.Prefixes {
		s := ipam.PrefixSummary{Prefix: p}
		for _, a := range addressesOf(p) {
			r, ok := t.address(a)
			switch {
			case !ok || r.ENI != e.ENI:
			case r.State == ipam.Leased:
				s.Leased++
			case r.State == ipam.Free && !r.Flagged:
				s.Free++
				if !single(e, a) {
					s.Kept++
				}
			}
		}
		all = append(all, s)
	}
	return all
}
