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
	m.VPC, m.Policy, m.Why, m.Heard = s.VPC, s.Policy, s.Why, now.Wall
	if s.First {
		m.Hold = nil
	}
	t.bump()
	t.Proof(now, s.Basis.Seq)
	a := acceptance{t: t, now: now, supplied: map[ipam.ENIID]ipam.SuppliedENI{}, spared: map[ipam.ENIID]bool{}}
	for _, r := range refused {
		if !r.Address.IsValid() {
			a.spared[r.ENI] = true
		}
	}
	for _, e := range good {
		a.supplied[e.ENI] = e
	}
	a.interfaces(good)
	a.known()
	for _, e := range good {
		a.listed(e)
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
	text, _ := json.Marshal([]any{t.meta.VPC, t.meta.Policy, t.meta.Why, t.meta.Hold})
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
	supplied map[ipam.ENIID]ipam.SuppliedENI
	spared   map[ipam.ENIID]bool // refused ones: a wrong entry is no evidence that their addresses are gone
}

// interfaces brings the records of network interfaces up to date.
func (a *acceptance) interfaces(good []ipam.SuppliedENI) {
	t := a.t
	for _, e := range t.load() {
		if _, ok := a.supplied[e.ENI]; !ok && !a.spared[e.ENI] && e.Listed {
			e.Listed = false
			t.tell(e)
			t.delete(bucketListed, []byte(e.ENI))
		}
	}
	oneCard := !slices.ContainsFunc(good, func(e ipam.SuppliedENI) bool { return e.Card != 0 })
	for _, s := range good {
		t.put(bucketListed, []byte(s.ENI), s.Addresses)
		e := t.load()[s.ENI]
		if e == nil {
			e = &ENI{N: -1}
			t.enis[s.ENI] = e
		}
		if e.N < 0 {
			e.N = t.smallNumber(s, oneCard)
		}
		if e.Attachment != s.Attachment {
			e.Since = a.now.Boot
			t.meta.Gen++
		}
		s.Addresses = nil
		e.SuppliedENI, e.Listed = s, true
		t.lookUp(e)
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

// known carries every address that has a record through the supply.
func (a *acceptance) known() {
	t := a.t
	for _, r := range t.addresses() {
		if a.spared[r.ENI] {
			continue
		}
		e, listed := a.lists(r)
		if listed && r.ENI == "" {
			t.adoptLease(r, e)
		}
		switch {
		case listed:
			lost := (r.State == ipam.Leased || r.State == ipam.Cooling) && !t.load()[e.ENI].Present
			if !r.Listed || r.Lost != lost || r.Attachment != e.Attachment || r.ENI != e.ENI {
				t.change(r, func(r *Address) { r.ENI, r.Attachment, r.Listed, r.Lost = e.ENI, e.Attachment, true, lost })
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

// lists says whether the supply lists a known address in its life. A lease, and what cools after one, lives on in a new
// attachment of the same interface: it was never fenced, so that no old Unassign can mean it.
func (a *acceptance) lists(r *Address) (ipam.SuppliedENI, bool) {
	if r.ENI == "" {
		for _, e := range a.supplied {
			if slices.Contains(e.Addresses, r.Address) {
				return e, true
			}
		}
		return ipam.SuppliedENI{}, false
	}
	e, ok := a.supplied[r.ENI]
	same := e.Attachment == r.Attachment || r.State == ipam.Leased || r.State == ipam.Cooling
	if slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool { return r.State == ipam.Fenced && p.Contains(r.Address) }) {
		return e, false // what was fenced was a single address; that is gone
	}
	return e, ok && same && slices.Contains(e.Addresses, r.Address)
}

// adoptLease tells a rebuilt lease on which interface it lives.
func (t *Tx) adoptLease(r *Address, e ipam.SuppliedENI) {
	var l Lease
	if r.State == ipam.Leased && t.get(bucketLeases, leaseKey(r.Owner), &l) {
		l.ENIID, l.Pool = e.ENI, e.Pool
		for _, p := range l.Prefixes { // of a bridge, by the length of its subnet
			if slices.Contains(e.Prefixes, p) && p.Contains(r.Address) {
				t.useBridge(t.load()[e.ENI], p, l.Network)
			}
		}
		t.put(bucketLeases, leaseKey(r.Owner), l)
	}
}

// listed enters the addresses of an interface that have no record yet.
func (a *acceptance) listed(s ipam.SuppliedENI) {
	e := a.t.load()[s.ENI]
	for _, addr := range s.Addresses {
		a.t.enterListed(e, addr)
	}
	a.t.turnFree(e)
}

// enterListed makes a listed address pending, unless it is another life's still, or held (protocol A4, step 4).
func (t *Tx) enterListed(e *ENI, addr netip.Addr) {
	if b := t.b.Bucket(bucketAddresses).Get(addressKey(addr)); b != nil {
		var r Address
		if t.decode(b, &r) && (r.ENI != e.ENI || r.Attachment != e.Attachment) {
			t.setUnsettled(true)
		}
		return
	}
	for _, id := range []ipam.ENIID{e.ENI, ""} {
		h, ok := t.heldOf(id, addr)
		if !ok {
			continue
		}
		ripe := h.S1 != 0 && t.meta.Basis >= h.S1
		if !ripe && id != "" {
			return
		}
		t.dropHeld(h)
		if !ripe { // now it is known on which interface: the snapshot's count of that one asks for newer lists
			t.putHeld(Held{Life: Life{e.ENI, e.Attachment, addr}, Hold: h.Hold}, true)
			return
		}
	}
	if w := t.meta.Hold; w != nil && (w.S1 == 0 || t.meta.Basis < w.S1) {
		t.putHeld(Held{Life: Life{e.ENI, e.Attachment, addr}, Hold: *w}, true)
		return
	}
	t.enter(&Address{Address: addr, ENI: e.ENI, Attachment: e.Attachment, State: ipam.Pending, Listed: true})
}

// turnFree makes the pending addresses of a ready interface leasable.
func (t *Tx) turnFree(e *ENI) {
	if !e.Ready || !e.Listed || e.Counts.Pending == 0 {
		return
	}
	for _, r := range t.addresses() {
		if r.ENI == e.ENI && r.State == ipam.Pending && r.Listed {
			t.change(r, func(r *Address) { r.State = ipam.Free })
			t.meta.Leasable = true
		}
	}
	t.chance()
}

// gone drops held records that have done their time and that nobody lists. What they forbade is forbidden on by Hold:
// an address without a record comes only by a supply at least as new as the newest of them.
func (a *acceptance) gone() {
	t := a.t
	for _, h := range t.Held() {
		if h.S1 == 0 || t.meta.Basis < h.S1 || a.spared[h.ENI] {
			continue
		}
		if e, ok := a.supplied[h.ENI]; ok && slices.Contains(e.Addresses, h.Address) {
			continue // its address is another life's still
		}
		t.dropHeld(h)
		if w := t.meta.Hold; w == nil || w.S1 != 0 && w.S1 < h.S1 {
			hold := h.Hold
			t.meta.Hold = &hold
		}
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
