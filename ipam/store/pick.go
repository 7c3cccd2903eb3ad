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
	gateway  bool                  // one more per family
	except   []netip.Addr          // chosen already
	usable   func(netip.Addr) bool // of one interface; nil = all that may be leased by themselves
}

// need is how many addresses of each family one interface has to give.
func (p *picker) need() int {
	if p.gateway {
		return 2
	}
	return 1
}

// enough says whether there would be an address left for this caller after all who wait longer took theirs. Those may
// take them at the same time: it is a count, not a turn, so that ten addresses serve ten waiters at once.
func (p *picker) enough(ahead int) bool {
	for _, f := range p.r.Families {
		if p.available(f, ahead+p.need()) < ahead+p.need() {
			return false
		}
	}
	return true
}

// available counts leasable addresses of a family, and those whose cooling is over as far as they are needed.
func (p *picker) available(f Family, enough int) (n int) {
	for _, e := range p.eligible {
		if len(e.Prefixes) > 0 {
			n += p.counted(e, f)
			continue
		}
		if f == IPv6 {
			n += e.Counts.Free6
		} else {
			n += e.Counts.Free - e.Counts.Free6
		}
	}
	if n < enough {
		n += len(p.cooled(f, enough-n, nil))
	}
	return n
}

// counted counts by the index, where some free addresses are kept for bridges.
func (p *picker) counted(e *ENI, f Family) (n int) {
	prefix := freePrefix(e.ENI, f)
	p.t.each(bucketFree, prefix, func(k, _ []byte) bool {
		if a, ok := netip.AddrFromSlice(k[len(prefix)+8:]); ok && single(e, a) {
			n++
		}
		return true
	})
	return n
}

// leasable says whether an address of e is for this request.
func (p *picker) leasable(e *ENI, a netip.Addr) bool {
	if p.usable != nil {
		return p.usable(a)
	}
	return single(e, a)
}

// pick finds the first interface, by rank, that can serve all families; cooled ones only in a second round.
func (p *picker) pick(cooled bool) (*ENI, []*Address) {
	for _, e := range p.eligible {
		var got, gateways []*Address
		for _, f := range p.r.Families {
			a := p.from(e, f, p.need(), cooled)
			if len(a) < p.need() {
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

// from takes up to n addresses of one interface and family: oldest-freed first, then cooled ones if allowed.
func (p *picker) from(e *ENI, f Family, n int, cooled bool) []*Address {
	var got, flagged []*Address
	prefix := freePrefix(e.ENI, f)
	p.t.each(bucketFree, prefix, func(k, _ []byte) bool {
		addr, ok := netip.AddrFromSlice(k[len(prefix)+8:])
		if !ok || slices.Contains(p.except, addr) || !p.leasable(e, addr) {
			return true
		}
		a, ok := p.t.address(addr)
		if !ok {
			p.t.fail(&DamagedError{Path: p.t.path, Cause: addr.String() + " is in an index only"})
			return false
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
	if cooled && len(got) < n {
		got = append(got, p.cooled(f, n-len(got), e)...)
	}
	return got
}

// flag takes a free address that the kernel has in use out of the way until a tick finds it unused.
func (p *picker) flag(a *Address) {
	p.t.change(a, func(a *Address) { a.Flagged, a.Until = true, p.now.After(recheck) })
	p.t.record(p.now, ipam.Record{Verb: ipam.AddressRefused, Address: []netip.Addr{a.Address}, ENI: a.ENI,
		Cause: "free in the pool, but the kernel routes it to somebody"})
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
		case !p.leasable(e, addr):
			return true
		case only != nil && p.r.InUse != nil && p.r.InUse(addr):
			return true // it goes on cooling; the agent looks again
		}
		got = append(got, a)
		return len(got) < n
	})
	return got
}
