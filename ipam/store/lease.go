package store

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// LeaseRequest is what eni-ipam asks for.
type LeaseRequest struct {
	ipam.Attachment
	Pool     string
	Families []Family // one address of each, all of one interface: a pod's packets leave by one
	// Optional are families of which it gets an address too where there is one now, on the same interface; where there is
	// none, or the pool has no such family, it goes without.
	Optional []Family
	// Want are addresses asked for by name, at most one per family: exactly these or an *UnavailableError.
	Want    []netip.Addr
	Primary bool // of the primary interface only: for callers that cannot steer to another one
	Gateway bool // and an address of the same subnet that serves all such callers on this node as their gateway
	// Prefix: out of delegated prefixes of the primary interface that serve this network alone, with their first host
	// addresses as gateways: for callers that make them the subnets of a bridge.
	Prefix bool
	Netns  string
	Pod    string
	Took   time.Duration // so far; for the record
	// InUse asks the kernel whether it routes the address to somebody; such a one is passed over and flagged. nil =
	// nobody can ask.
	InUse func(netip.Addr) bool
}

// gatewayNetwork is the network of the pseudo attachments that hold reserved gateways. '#' cannot stand in a real name
// (CNI specification, section 1, "name"), so that no GC of a network can mean them.
const gatewayNetwork = "#gateway"

// unknownNetwork is that of addresses which the kernel had in use when the pool was rebuilt, and nobody owned.
const unknownNetwork = "#unknown"

// GatewayAttachment holds the reserved gateway addresses of this node.
func GatewayAttachment() ipam.Attachment {
	return ipam.Attachment{Network: gatewayNetwork, Container: "node", IfName: "all"}
}

// Lease gives the attachment its addresses: those it holds already, or free ones (protocol A2, "Pick"). When there are
// none, or all that are free belong to those who wait longer, the error is *EmptyError and nothing but flags has
// changed: the caller may take a ticket and commit.
func (t *Tx) Lease(now Now, r LeaseRequest) (Lease, error) {
	if l, ok := t.Leased(r.Attachment); ok {
		l.Repeated = true
		return l, nil
	}
	choices, err := t.choices(r)
	if err != nil {
		return Lease{}, err
	}
	if r.Prefix {
		return t.leasePrefix(now, r, choices)
	}
	if len(r.Want) > 0 {
		return t.leaseNamed(now, r)
	}
	ahead := t.ahead(now, r)
	p := picker{t: t, now: now, r: r, eligible: t.eligible(r)}
	p.gateways = t.lackGateways(r)
	for _, families := range choices {
		if !p.enough(families, ahead) {
			continue
		}
		for _, cooled := range []bool{false, true} {
			if e, got := p.pick(families, cooled); e != nil {
				r.Families = families
				return t.take(now, r, e, got), nil
			}
		}
	}
	return Lease{}, t.empty(now, r, p.eligible, ahead)
}

// choices are the sets of families that a request may be served with, the best one first. A family that it must have
// and that the pool has not is a *FamilyError: no waiting brings it.
func (t *Tx) choices(r LeaseRequest) ([][]Family, error) {
	asked := r.Families
	if len(r.Want) > 0 {
		asked = nil
	}
	for _, a := range r.Want {
		asked = append(asked, FamilyOf(a))
	}
	has := []Family{IPv4, IPv6}
	if p, ok := t.meta.Pool(r.Pool); ok {
		has = p.Families
	}
	for _, f := range asked {
		if !slices.Contains(has, f) {
			return nil, &FamilyError{Pool: r.Pool, Has: has, Wants: f}
		}
	}
	must := slices.Clone(r.Families)
	slices.Sort(must)
	more := slices.Clone(must)
	for _, f := range r.Optional {
		if slices.Contains(has, f) && !slices.Contains(more, f) {
			more = append(more, f)
		}
	}
	if len(more) == len(must) {
		return [][]Family{must}, nil
	}
	slices.Sort(more)
	return [][]Family{more, must}, nil
}

// Leased is the lease of an attachment, if it has one.
func (t *Tx) Leased(a ipam.Attachment) (Lease, bool) {
	var l Lease
	if !t.get(bucketLeases, leaseKey(a), &l) {
		return Lease{}, false
	}
	t.complete(&l)
	return l, true
}

// complete adds what is true of the lease's interface now.
func (t *Tx) complete(l *Lease) {
	l.VPC = t.meta.VPC
	if e := t.load()[l.ENIID]; e != nil {
		l.ENI = *e
	}
}

// eligible are the interfaces that may serve a request, in rank order.
func (t *Tx) eligible(r LeaseRequest) []*ENI {
	return slices.DeleteFunc(t.ranked(), func(e *ENI) bool {
		return !e.Listed || !e.Ready || !e.PodsOK || e.Pool != r.Pool || (r.Primary || r.Gateway || r.Prefix) && e.N != 0
	})
}

// leaseNamed leases exactly the addresses of r.Want.
func (t *Tx) leaseNamed(now Now, r LeaseRequest) (Lease, error) {
	var got []*Address
	for _, want := range r.Want {
		a, ok := t.address(want)
		if why := t.whyNot(a, ok, now, r); why != "" {
			return Lease{}, &UnavailableError{Address: want, Why: why}
		}
		if len(got) > 0 && got[0].ENI != a.ENI {
			return Lease{}, &UnavailableError{Address: want, Why: "it is not on the same network interface as " + got[0].Address.String()}
		}
		got = append(got, a)
	}
	e := t.load()[got[0].ENI]
	p := picker{t: t, now: now, r: r, eligible: []*ENI{e}, except: slices.Clone(r.Want)}
	for _, f := range t.lackGateways(r) {
		if !slices.ContainsFunc(r.Want, func(a netip.Addr) bool { return FamilyOf(a) == f }) {
			continue
		}
		g := p.from(e, f, 1, true)
		if len(g) == 0 {
			return Lease{}, t.empty(now, r, []*ENI{e}, 0)
		}
		got = append(got, g...)
	}
	return t.take(now, r, e, got), nil
}

// whyNot says in words why an address asked for by name cannot be leased now; "" when it can.
func (t *Tx) whyNot(a *Address, known bool, now Now, r LeaseRequest) string {
	if !known {
		return "this node has no such address"
	}
	e := t.load()[a.ENI]
	switch {
	case a.State == ipam.Leased:
		return "it is leased to " + a.Owner.String()
	case a.State == ipam.Cooling && !t.cool(a, now):
		return fmt.Sprintf("it cools for another %s", time.Duration(t.coolAt(a)-now.Boot).Round(time.Second))
	case a.State != ipam.Free && a.State != ipam.Cooling:
		return "it is " + string(a.State)
	case e == nil || !e.Listed || !e.Ready || a.Lost || !a.Listed:
		return "its network interface is not ready"
	case !e.PodsOK:
		return "pods may not use its network interface"
	case e.Pool != r.Pool:
		return fmt.Sprintf("it is of pool %q, not %q", e.Pool, r.Pool)
	case (r.Primary || r.Gateway || r.Prefix) && e.N != 0:
		return "it is not on the primary network interface, and the caller cannot steer to another one"
	case !r.Prefix && e.keeps(a.Prefix):
		return "it is in a delegated prefix that is kept for a bridge"
	case r.InUse != nil && r.InUse(a.Address):
		return "the kernel routes it to somebody already"
	}
	return ""
}

// take leases what was picked: the addresses of the families in order, then the gateways if there are any.
func (t *Tx) take(now Now, r LeaseRequest, e *ENI, got []*Address) Lease {
	n := max(len(r.Families), 1)
	if len(r.Want) > 0 {
		n = len(r.Want)
	}
	l := Lease{Attachment: r.Attachment, Pool: r.Pool, ENIID: e.ENI, Netns: r.Netns, Pod: r.Pod, At: now.Boot, Wall: now.Wall}
	for _, a := range got[:n] {
		if a.State == ipam.Cooling {
			l.Cooled = append(l.Cooled, a.Address)
		}
	}
	l.Addresses = t.bind(got[:n], r.Attachment)
	if r.Gateway {
		l.Gateways = t.gateways(now, r, e, got[n:], l.Addresses)
	}
	if r.Prefix {
		t.bridges(&l, e)
	}
	t.put(bucketLeases, leaseKey(r.Attachment), &l)
	t.endTicket(r.Attachment)
	t.record(now, ipam.Record{Verb: ipam.PodAdded, Network: r.Network, Container: r.Container, IfName: r.IfName,
		Netns: r.Netns, Address: l.Addresses, ENI: e.ENI, Pod: r.Pod, Took: r.Took})
	t.complete(&l)
	return l
}

func (t *Tx) bind(got []*Address, owner ipam.Attachment) []netip.Addr {
	var out []netip.Addr
	for _, a := range got {
		t.change(a, func(a *Address) {
			a.State, a.Owner, a.Until, a.Flagged = ipam.Leased, owner, 0, false
		})
		out = append(out, a.Address)
	}
	return out
}

// lackGateways are the families of which the node has no reserved gateway yet, and a request wants one.
func (t *Tx) lackGateways(r LeaseRequest) (lack []Family) {
	if !r.Gateway {
		return nil
	}
	var g Lease
	t.get(bucketLeases, leaseKey(GatewayAttachment()), &g)
	for _, f := range []Family{IPv4, IPv6} {
		if !slices.ContainsFunc(g.Addresses, func(a netip.Addr) bool { return FamilyOf(a) == f }) {
			lack = append(lack, f)
		}
	}
	return lack
}

// gateways are the node's reserved gateway addresses, one of each family that any lease needs one of, leased with the
// first of those and ended with the last of all. It returns those of the lease's addresses, in their order.
func (t *Tx) gateways(now Now, r LeaseRequest, e *ENI, fresh []*Address, of []netip.Addr) (mine []netip.Addr) {
	owner := GatewayAttachment()
	var g Lease
	if !t.get(bucketLeases, leaseKey(owner), &g) {
		g = Lease{Attachment: owner, Pool: r.Pool, ENIID: e.ENI, At: now.Boot, Wall: now.Wall}
	}
	g.Addresses = append(g.Addresses, t.bind(fresh, owner)...)
	slices.SortFunc(g.Addresses, byFamily)
	g.Users++
	t.put(bucketLeases, leaseKey(owner), &g)
	for _, a := range of {
		for _, b := range g.Addresses {
			if FamilyOf(a) == FamilyOf(b) {
				mine = append(mine, b)
			}
		}
	}
	return mine
}

func byFamily(a, b netip.Addr) int { return int(FamilyOf(a)) - int(FamilyOf(b)) }

func (t *Tx) empty(now Now, r LeaseRequest, eligible []*ENI, ahead int) *EmptyError {
	e := &EmptyError{Pool: r.Pool, Primary: r.Primary || r.Gateway || r.Prefix, ENIs: len(eligible), Ahead: ahead, Why: t.meta.why(r.Pool),
		Supplied: t.meta.Supplied, Heard: t.meta.Heard, Mute: t.meta.Mute, Prefix: r.Prefix}
	for _, n := range eligible {
		l, _ := t.listing(n.ENI)
		e.Prefixes += len(l.Prefixes)
	}
	_, e.Known = t.meta.Pool(r.Pool)
	other := func(pool string) {
		if pool != r.Pool && !slices.Contains(e.Others, pool) {
			e.Others = append(e.Others, pool)
		}
	}
	for _, p := range t.meta.Pools {
		if len(p.Families) > 0 {
			other(p.Name)
		}
	}
	for _, n := range t.ranked() {
		if n.N == 0 && n.Listed {
			e.PrimaryPool, e.PrimaryClosed = n.Pool, !n.PodsOK
		}
		switch {
		case n.Pool != r.Pool:
			other(n.Pool)
		case !e.Primary || n.N == 0:
			e.Counts.add(n.Counts)
			e.Counts6.add(n.Counts6)
			e.Here++
		}
	}
	t.each(bucketCooling, nil, func(k, _ []byte) bool {
		e.NextCool = ipam.Instant(be(k))
		return e.NextCool <= now.Boot
	})
	if e.NextCool <= now.Boot {
		e.NextCool = 0
	}
	return e
}

// Lost are those of the addresses whose network interface is not in sight: unlisted, or without a link.
func (t *Tx) Lost(addresses []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(addr netip.Addr) bool {
		a, ok := t.address(addr)
		return ok && !a.Lost
	})
}
