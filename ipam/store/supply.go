package store

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// Accept takes over a supply: protocol a1, a2 and what A2 and A4 let follow from it. A supply that is not newer, or not
// for this pool, is a *RefusedError and changes nothing; parts that cannot be believed are left out and told. changed
// is false when all that changed is what was seen.
func (t *Tx) Accept(now Now, s ipam.Supply) (refused []Refusal, changed bool, err error) {
	if why := t.refuse(s); why != "" {
		return nil, false, &RefusedError{Why: why}
	}
	good, refused := judge(s, t.localAddresses())
	before := t.fingerprint()
	m := &t.meta
	m.Seen, m.Basis, m.Supplied = ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}, s.Basis.Seq, true
	m.VPC, m.Policy, m.Heard = s.VPC, s.Policy, now.Wall
	m.Pools, m.Most = s.Pools[:min(len(s.Pools), ipam.MaxPools)], s.MaxPods
	if s.First {
		m.Hold = nil
	}
	t.bump()
	t.Proof(now, s.Basis.Seq)
	a := acceptance{t: t, now: now, supplied: map[ipam.ENIID]supplied{}, spared: map[ipam.ENIID]bool{},
		still: map[netip.Prefix]bool{}}
	for _, r := range refused {
		if !r.Address.IsValid() {
			a.spared[r.ENI] = true
		}
	}
	for _, e := range good {
		a.supplied[e.ENI] = newSupplied(e)
	}
	a.interfaces(good)
	a.known()
	for _, e := range good {
		t.listed(t.load()[e.ENI])
	}
	a.gone()
	t.prune()
	t.chance()
	return refused, before != t.fingerprint(), t.err
}

// fingerprint is what a supply can change beside what was seen.
func (t *Tx) fingerprint() string {
	var b bytes.Buffer
	for _, e := range t.ranked() {
		text, _ := json.Marshal(e)
		b.Write(text)
	}
	text, _ := json.Marshal([]any{t.meta.VPC, t.meta.Policy, t.meta.Pools, t.meta.Most, t.meta.Hold})
	b.Write(text)
	return b.String()
}

func (t *Tx) localAddresses() map[netip.Addr]string {
	local := map[netip.Addr]string{}
	for _, l := range t.links() {
		for _, a := range l.Addresses {
			local[a] = l.Name
		}
	}
	return local
}

// acceptance is one supply on its way into the pool.
type acceptance struct {
	t        *Tx
	now      Now
	supplied map[ipam.ENIID]supplied
	spared   map[ipam.ENIID]bool   // refused ones: a wrong entry is no evidence that their addresses are gone
	still    map[netip.Prefix]bool // whole prefixes for whose addresses nothing changes: they need not be read
}

// supplied is an interface of a supply, for questions about its addresses.
type supplied struct {
	ipam.SuppliedENI
	singles  map[netip.Addr]bool
	prefixes map[netip.Prefix]bool
}

func newSupplied(e ipam.SuppliedENI) supplied {
	s := supplied{e, map[netip.Addr]bool{}, map[netip.Prefix]bool{}}
	for _, a := range e.Addresses {
		s.singles[a] = true
	}
	for _, p := range e.Prefixes {
		s.prefixes[p] = true
	}
	return s
}

// has says whether an address is listed, and in which prefix.
func (s supplied) has(a netip.Addr) (p netip.Prefix, ok bool) {
	if s.singles[a] {
		return netip.Prefix{}, true
	}
	if p = blockOf(a); s.prefixes[p] {
		return p, true
	}
	return netip.Prefix{}, false
}

// interfaces brings the records of network interfaces up to date.
func (a *acceptance) interfaces(good []ipam.SuppliedENI) {
	t := a.t
	for _, e := range t.load() {
		if _, ok := a.supplied[e.ENI]; !ok && !a.spared[e.ENI] && e.Listed {
			t.unlist(e, nil)
			e.Listed = false
			t.tell(e)
			t.delete(bucketListed, []byte(e.ENI))
		}
	}
	oneCard := !slices.ContainsFunc(good, func(e ipam.SuppliedENI) bool { return e.Card != 0 })
	for _, s := range good {
		e := t.load()[s.ENI]
		if e == nil {
			e = &ENI{N: -1}
			t.enis[s.ENI] = e
		}
		t.unlist(e, a.supplied[s.ENI].prefixes)
		t.put(bucketListed, []byte(s.ENI), listing{s.Addresses, s.Prefixes})
		if e.N < 0 {
			e.N = t.smallNumber(s, oneCard)
		}
		old := *e
		if e.Attachment != s.Attachment {
			e.Since = a.now.Boot
			t.meta.Gen++
		}
		for _, p := range s.Prefixes {
			d := t.delegate(s.ENI, p)
			a.still[p] = d.Listed && d.Counts.all() == ipam.PrefixSize(p) && old.Attachment == s.Attachment
			if !d.Listed {
				d.Listed = true
				t.tellBlock(d)
			}
		}
		prefixes := s.Prefixes
		s.Addresses, s.Prefixes = nil, nil
		e.SuppliedENI, e.Listed = s, true
		t.lookUp(e)
		for _, p := range prefixes {
			a.still[p] = a.still[p] && old.Present == e.Present
		}
		t.tell(e)
	}
}

// smallNumber is n of a new attachment (design, "One table each"): what its link's group already says, or 0 for the
// primary, the device index where all are on one card, the lowest unused else.
func (t *Tx) smallNumber(s ipam.SuppliedENI, oneCard bool) int {
	if s.Device == 0 && s.Card == 0 {
		return 0
	}
	used := map[int]bool{0: true}
	for _, e := range t.load() {
		used[e.N] = true
	}
	if l, ok := t.links()[s.MAC]; ok && l.N > 0 && l.N <= maxDevices && !used[l.N] {
		return l.N
	}
	if oneCard && !used[s.Device] {
		return s.Device
	}
	n := 1
	for used[n] {
		n++
	}
	return n
}

// unlist notes which prefixes of an interface are not listed any more.
func (t *Tx) unlist(e *ENI, still map[netip.Prefix]bool) {
	l, _ := t.listing(e.ENI)
	for _, p := range l.Prefixes {
		if d := t.delegatedOf(e.ENI, p); d != nil && d.Listed && !still[p] {
			d.Listed = false
			t.tellBlock(d)
		}
	}
}

// known carries every address that has a record through the supply.
func (a *acceptance) known() {
	t := a.t
	for _, r := range t.addressesBut(a.still) {
		if a.spared[r.ENI] {
			continue
		}
		e, in, listed := a.lists(r)
		if listed && r.ENI == "" {
			t.adoptLease(r, e)
		}
		switch {
		case listed:
			lost := (r.State == ipam.Leased || r.State == ipam.Cooling) && !t.load()[e.ENI].Present
			if !r.Listed || r.Lost != lost || r.Attachment != e.Attachment || r.ENI != e.ENI || r.Prefix != in {
				t.change(r, func(r *Address) {
					r.ENI, r.Attachment, r.Listed, r.Lost, r.Prefix = e.ENI, e.Attachment, true, lost, in
				})
			}
		case r.State == ipam.Pending || r.State == ipam.Free:
			t.forget(r)
		case r.State == ipam.Fenced:
			if t.meta.Basis >= r.Fence {
				t.forget(r)
			}
		case r.Listed || !r.Lost:
			t.change(r, func(r *Address) { r.Listed, r.Lost = false, true })
		}
	}
}

// lists says whether the supply lists a known address in its life, and in which prefix. A lease, and what cools after
// one, lives on in a new attachment of the same interface: it was never fenced, so that no old Unassign can mean it. All
// else lives on only as what it was: a single address is not what a prefix around it is.
func (a *acceptance) lists(r *Address) (e supplied, in netip.Prefix, ok bool) {
	if r.ENI == "" {
		for _, e := range a.supplied {
			if in, ok := e.has(r.Address); ok {
				return e, in, true
			}
		}
		return supplied{}, netip.Prefix{}, false
	}
	e, ok = a.supplied[r.ENI]
	in, has := e.has(r.Address)
	used := r.State == ipam.Leased || r.State == ipam.Cooling
	return e, in, ok && has && (used || e.Attachment == r.Attachment && in == r.Prefix)
}

// adoptLease tells a rebuilt lease on which interface it lives.
func (t *Tx) adoptLease(r *Address, e supplied) {
	var l Lease
	if r.State == ipam.Leased && t.get(bucketLeases, leaseKey(r.Owner), &l) {
		l.ENIID, l.Pool = e.ENI, e.Pool
		t.serves(e.Pool)
		for _, p := range l.Prefixes { // of a bridge, by the length of its subnet
			if e.prefixes[p] && p.Contains(r.Address) {
				t.useBridge(t.load()[e.ENI], p, l.Network)
			}
		}
		t.put(bucketLeases, leaseKey(r.Owner), &l)
	}
}

// listed enters the listed addresses of an interface that have no record yet, and makes leasable what is ready.
func (t *Tx) listed(e *ENI) {
	l, ok := t.listing(e.ENI)
	if !ok || !e.Listed {
		return
	}
	for _, a := range l.Addresses {
		t.enterListed(e, a, netip.Prefix{})
	}
	for _, p := range l.Prefixes {
		missing := ipam.PrefixSize(p)
		if d := t.delegatedOf(e.ENI, p); d != nil {
			missing -= d.Counts.all()
		}
		if missing == 0 {
			continue
		}
		if w := t.meta.Hold; w != nil && !t.ripe(*w) {
			t.holdListed(e, p, missing)
			continue
		}
		for _, a := range addressesOf(p) {
			t.enterListed(e, a, p)
		}
	}
	t.turnFree(e)
}

// all is how many addresses have records; held ones have none.
func (c Counts) all() int { return c.Pending + c.Free + c.Leased + c.Cooling + c.Fenced }

// ripe says whether a held record may be dropped for what an accepted supply lists (protocol A4, step 4).
func (t *Tx) ripe(h Hold) bool { return h.S1 != 0 && t.meta.Basis >= h.S1 }

// holdListed gives a prefix that Meta.Hold forbids a record of its own, which the snapshot counts.
func (t *Tx) holdListed(e *ENI, p netip.Prefix, missing int) {
	life := Life{ENI: e.ENI, Attachment: e.Attachment, Prefix: p}
	if h, ok := t.heldAt(life.heldKey()); ok {
		if !t.ripe(h.Hold) {
			return
		}
		t.dropHeld(h)
	}
	t.putHeld(Held{Life: life, Hold: *t.meta.Hold, N: missing}, true)
}

// enterListed makes a listed address pending, unless it is another life's still, or held (protocol A4, step 4), by
// itself or with the prefix around it.
func (t *Tx) enterListed(e *ENI, addr netip.Addr, in netip.Prefix) {
	if b := t.b.Bucket(bucketAddresses).Get(addressKey(addr)); b != nil {
		var r Address
		if t.decode(b, &r) && (r.ENI != e.ENI || r.Attachment != e.Attachment || r.Prefix != in) {
			t.setUnsettled(true)
		}
		return
	}
	life := Life{ENI: e.ENI, Attachment: e.Attachment, Address: addr}
	for _, key := range [][]byte{heldKey(e.ENI, addr), heldBlockKey(e.ENI, blockOf(addr)), heldKey("", addr)} {
		h, ok := t.heldAt(key)
		if !ok {
			continue
		}
		if !t.ripe(h.Hold) && h.ENI != "" {
			return
		}
		t.dropHeld(h)
		if h.Prefix.IsValid() && h.Prefix != in { // the rest of the prefix stays away
			t.goOn(h.Hold)
		}
		if !t.ripe(h.Hold) { // now it is known on which interface: the snapshot's count of that one asks for newer lists
			t.putHeld(Held{Life: life, Hold: h.Hold}, true)
			return
		}
	}
	if w := t.meta.Hold; w != nil && !t.ripe(*w) {
		t.putHeld(Held{Life: life, Hold: *w}, true)
		return
	}
	t.enter(&Address{Address: addr, ENI: e.ENI, Attachment: e.Attachment, State: ipam.Pending, Listed: true, Prefix: in})
}

// turnFree makes the pending addresses of a ready interface leasable.
func (t *Tx) turnFree(e *ENI) {
	l, _ := t.listing(e.ENI)
	if !e.Ready || !e.Listed || e.Counts.Pending == 0 {
		return
	}
	all := l.Addresses
	for _, p := range l.Prefixes {
		if d := t.delegatedOf(e.ENI, p); d != nil && d.Counts.Pending > 0 {
			all = append(all, addressesOf(p)...)
		}
	}
	for _, addr := range all {
		r, ok := t.address(addr)
		if ok && r.ENI == e.ENI && r.State == ipam.Pending && r.Listed {
			t.change(r, func(r *Address) { r.State = ipam.Free })
			t.serves(e.Pool)
		}
	}
	t.chance()
}

// gone drops held records that have done their time and that nobody lists. What they forbade is forbidden on by Hold:
// an address without a record comes only by a supply at least as new as the newest of them.
func (a *acceptance) gone() {
	t := a.t
	for _, h := range t.Held() {
		if !t.ripe(h.Hold) || a.spared[h.ENI] {
			continue
		}
		e := a.supplied[h.ENI]
		if _, ok := e.has(h.Address); ok || e.prefixes[h.Prefix] {
			continue // its address is another life's still
		}
		t.dropHeld(h)
		t.goOn(h.Hold)
	}
}

// goOn lets Hold forbid what a record forbade that is not there any more.
func (t *Tx) goOn(h Hold) {
	if w := t.meta.Hold; w == nil || w.S1 != 0 && w.S1 < h.S1 {
		t.meta.Hold = &h
	}
}

// prune forgets interfaces of which nothing is left.
func (t *Tx) prune() {
	for id, e := range t.load() {
		if !e.Listed && e.Counts == (Counts{}) {
			t.tell(e)
			delete(t.enis, id)
			t.delete(bucketListed, []byte(id))
		}
	}
}
