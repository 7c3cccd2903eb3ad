package store

import (
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// Bridge says whose subnet a delegated prefix is, for as long as a lease of that network needs it.
type Bridge struct {
	Prefix  netip.Prefix
	Network string
	Users   int // leases
}

// PrefixGateway is a delegated prefix's first host address: the gateway of the bridge whose subnet it becomes.
func PrefixGateway(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// bridgeOf is the place in e.Bridges of a prefix; -1 where it is nobody's subnet.
func (e *ENI) bridgeOf(p netip.Prefix) int {
	return slices.IndexFunc(e.Bridges, func(b Bridge) bool { return b.Prefix == p })
}

// keeps says whether the free addresses of a delegated prefix are for bridges alone: where the prefix is a bridge's
// subnet, whose other pods would look for them on the bridge.
func (e *ENI) keeps(p netip.Prefix) bool { return p.IsValid() && e.bridgeOf(p) >= 0 }

// host says whether an address of a bridge's subnet can be a pod's there.
func host(p netip.Prefix, a netip.Addr) bool {
	next := a.Next()
	return a != p.Masked().Addr() && a != PrefixGateway(p) && next.IsValid() && p.Contains(next)
}

// leasePrefix leases one address per family, each out of a delegated prefix of the primary interface that is the
// network's alone: its own already, or one of which nobody else has an address.
func (t *Tx) leasePrefix(now Now, r LeaseRequest, choices [][]Family) (Lease, error) {
	ahead := t.ahead(now, r)
	eligible := t.eligible(r)
	if len(eligible) == 0 || ahead > 0 && t.spareInPrefixes(now, eligible[0], r) <= ahead {
		return Lease{}, t.empty(now, r, eligible, ahead)
	}
	e := eligible[0]
	if len(r.Want) > 0 {
		choices = [][]Family{nil}
		for _, a := range r.Want {
			choices[0] = append(choices[0], FamilyOf(a))
		}
	}
	p := picker{t: t, now: now, r: r, eligible: eligible}
	for _, families := range choices {
		got, err := p.fromPrefixes(e, families)
		if err != nil {
			return Lease{}, err
		}
		if len(got) == len(families) {
			r.Families = families
			return t.take(now, r, e, got), nil
		}
	}
	return Lease{}, t.empty(now, r, eligible, ahead)
}

// fromPrefixes finds one address of each family; fewer where there is none.
func (p *picker) fromPrefixes(e *ENI, families []Family) (got []*Address, err error) {
	for i, f := range families {
		var want netip.Addr
		if len(p.r.Want) > 0 {
			want = p.r.Want[i]
		}
		a, err := p.fromPrefix(e, f, want)
		if a == nil || err != nil {
			return got, err
		}
		got = append(got, a)
	}
	return got, nil
}

// fromPrefix finds an address of one family, the network's own prefixes first.
func (p *picker) fromPrefix(e *ENI, f Family, want netip.Addr) (*Address, error) {
	if want.IsValid() {
		a, known := p.t.address(want)
		why := p.t.whyNot(a, known, p.now, p.r)
		if why == "" && (!a.Prefix.IsValid() || !host(a.Prefix, want) || !p.t.mayServe(e, a.Prefix, p.r.Network)) {
			why = "it is in no delegated prefix that can be the subnet of network " + p.r.Network
		}
		if why != "" {
			return nil, &UnavailableError{Address: want, Why: why}
		}
		return a, nil
	}
	for _, own := range []bool{true, false} {
		for _, d := range p.t.blocksOf(e, f, rankLeased, rankNothing) {
			if !d.Listed || own != (e.bridgeOf(d.Prefix) >= 0) || !p.t.mayServe(e, d.Prefix, p.r.Network) {
				continue
			}
			p.usable = func(a *Address) bool { return a.Prefix == d.Prefix && host(d.Prefix, a.Address) }
			got := p.group(freeGroup(e.ENI, f, d.Prefix), 1)
			if len(got) == 0 {
				got = p.cooled(f, 1, e)
			}
			if len(got) > 0 {
				return got[0], nil
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
	d := t.delegatedOf(e.ENI, p)
	if d == nil || d.Counts.Fenced > 0 {
		return false
	}
	if g, ok := t.address(PrefixGateway(p)); !ok || g.State != ipam.Free || g.Flagged {
		return false // it is a pod's, or was a moment ago
	}
	if d.Counts.Leased == 0 {
		return true
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
	for _, f := range r.Families {
		for _, d := range t.blocksOf(e, f, rankLeased, rankNothing) {
			if !d.Listed || !t.mayServe(e, d.Prefix, r.Network) {
				continue
			}
			for _, a := range addressesOf(d.Prefix) {
				x, ok := t.address(a)
				if ok && host(d.Prefix, a) && (x.State == ipam.Free && !x.Flagged || x.State == ipam.Cooling && t.cool(x, now)) {
					n++
				}
			}
		}
	}
	return n
}

// bridges notes that a lease's addresses are in the subnets of its network's bridge.
func (t *Tx) bridges(l *Lease, e *ENI) {
	for _, a := range l.Addresses {
		if r, ok := t.address(a); ok && r.Prefix.IsValid() {
			p := r.Prefix
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
		t.recount(e, p)
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
			t.recount(e, p)
		}
		t.tell(e)
	}
}

// recount counts anew what of a prefix is kept for bridges: it has become one's subnet, or is none any more.
func (t *Tx) recount(e *ENI, p netip.Prefix) {
	d := t.delegate(e.ENI, p)
	kept := 0
	if e.keeps(p) {
		kept = d.Counts.Free
	}
	e.prefixed(FamilyOf(p.Addr())).Kept += kept - d.Kept
	d.Kept = kept
	t.tellBlock(d)
}
