package store

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

func be(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// picker chooses addresses for one request. Each choice is a seek in an index, not a scan of the pool.
type picker struct {
	t        *Tx
	now      Now
	r        LeaseRequest
	eligible []*ENI
	gateways []Family            // of which one more is needed, for the node's gateway
	except   []netip.Addr        // chosen already
	usable   func(*Address) bool // nil = all that may be leased by themselves
}

// need is how many addresses of a family one interface has to give.
func (p *picker) need(f Family) int {
	if slices.Contains(p.gateways, f) {
		return 2
	}
	return 1
}

// enough says whether there would be an address of each family left for this caller after all who wait longer took
// theirs. Those may take them at the same time: it is a count, not a turn, so that ten addresses serve ten waiters at
// once.
func (p *picker) enough(families []Family, ahead int) bool {
	for _, f := range families {
		if p.available(f, ahead+p.need(f)) < ahead+p.need(f) {
			return false
		}
	}
	return true
}

// available counts leasable addresses of a family, and those whose cooling is over as far as they are needed.
func (p *picker) available(f Family, enough int) (n int) {
	for _, e := range p.eligible {
		n += e.available(f)
	}
	if n < enough {
		n += len(p.cooled(f, enough-n, nil))
	}
	return n
}

// leasable says whether an address of e is for this request.
func (p *picker) leasable(e *ENI, a *Address) bool {
	if p.usable != nil {
		return p.usable(a)
	}
	return !e.keeps(a.Prefix)
}

// pick finds the first interface, by rank, that can serve all families; cooled ones only in a second round.
func (p *picker) pick(families []Family, cooled bool) (*ENI, []*Address) {
	for _, e := range p.eligible {
		var got, gateways []*Address
		for _, f := range families {
			a := p.from(e, f, p.need(f), cooled)
			if len(a) < p.need(f) {
				got = nil
				break
			}
			got = append(got, a[len(a)-1])
			gateways = append(gateways, a[:len(a)-1]...)
		}
		if got != nil {
			return e, append(got, gateways...)
		}
	}
	return nil, nil
}

// from takes up to n addresses of one interface and family (protocol A2, "Pick"): of prefixes that have leases, those
// with most first; single ones; of prefixes without any. Within each oldest-freed first. Then cooled ones if allowed.
func (p *picker) from(e *ENI, f Family, n int, cooled bool) (got []*Address) {
	blocks := func(low, high byte) {
		for _, prefix := range p.t.order(e, f, low, high) {
			if len(got) < n {
				got = append(got, p.group(freeGroup(e.ENI, f, prefix), n-len(got))...)
			}
		}
	}
	blocks(rankLeased, rankLeased)
	if len(got) < n {
		got = append(got, p.group(freeGroup(e.ENI, f, netip.Prefix{}), n-len(got))...)
	}
	if len(got) < n {
		blocks(rankUsed, rankWhole)
	}
	if cooled && len(got) < n {
		got = append(got, p.cooled(f, n-len(got), e)...)
	}
	return got
}

// group takes up to n of the free addresses whose keys begin alike, oldest-freed first, and flags those that the kernel
// has in use.
func (p *picker) group(prefix []byte, n int) (got []*Address) {
	var flagged []*Address
	p.t.each(bucketFree, prefix, func(k, _ []byte) bool {
		addr, ok := netip.AddrFromSlice(k[len(prefix)+8:])
		if !ok || slices.Contains(p.except, addr) {
			return true
		}
		a, ok := p.t.address(addr)
		if !ok {
			p.t.fail(&DamagedError{Path: p.t.path, Cause: addr.String() + " is in an index only"})
			return false
		}
		if !p.leasable(p.t.load()[a.ENI], a) {
			return true
		}
		if p.r.InUse != nil && p.r.InUse(addr) {
			flagged = append(flagged, a)
			return true
		}
		got = append(got, a)
		return len(got) < n
	})
	for _, a := range flagged {
		p.flag(a)
	}
	return got
}

// flag takes a free address that the kernel has in use out of the way until a tick finds it unused.
func (p *picker) flag(a *Address) {
	p.t.change(a, func(a *Address) { a.Flagged, a.Until = true, p.now.After(recheck) })
	p.t.record(p.now, ipam.Record{Verb: ipam.AddressRefused, Address: []netip.Addr{a.Address}, ENI: a.ENI,
		Cause: "free in the pool, but the kernel routes it to somebody"})
}

// cool says whether an address has cooled for as long as was configured when its lease ended, and for as long as is
// configured now (protocol S6): a change of the configuration shortens no cooling that has begun, and may lengthen it.
func (t *Tx) cool(a *Address, now Now) bool { return t.coolAt(a) <= now.Boot }

func (t *Tx) coolAt(a *Address) ipam.Instant {
	if a.State != ipam.Cooling {
		return a.Until // flagged
	}
	pool := ""
	if e := t.load()[a.ENI]; e != nil {
		pool = e.Pool
	}
	return max(a.Until, a.Freed+ipam.Instant(t.meta.cooldown(pool)))
}

// cooled are addresses whose cooling is over and which nobody has turned free yet; of one interface, or of any eligible
// one, which is for counting and asks the kernel nothing.
func (p *picker) cooled(f Family, n int, only *ENI) []*Address {
	var got []*Address
	p.t.each(bucketCooling, nil, func(k, _ []byte) bool {
		if ipam.Instant(be(k)) > p.now.Boot {
			return false
		}
		addr, ok := netip.AddrFromSlice(k[8:])
		if !ok || FamilyOf(addr) != f || slices.Contains(p.except, addr) {
			return true
		}
		a, ok := p.t.address(addr)
		if !ok || a.Lost || !a.Listed {
			return true
		}
		e := p.t.load()[a.ENI]
		switch {
		case only == nil && !slices.Contains(p.eligible, e), only != nil && e != only:
			return true
		case !p.leasable(e, a) || !p.t.cool(a, p.now):
			return true
		case only != nil && p.r.InUse != nil && p.r.InUse(addr):
			return true // it goes on cooling; the agent looks again
		}
		got = append(got, a)
		return len(got) < n
	})
	return got
}
