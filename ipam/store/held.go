package store

import (
	"net/netip"
)

// forget is the first step of protocol A4: the address goes, seq rises to s0, a held record stays. What nobody leases of
// a delegated prefix is forgotten together, and has one record.
func (t *Tx) forget(a *Address) {
	t.drop(a)
	t.hold(a.life(), 1)
}

// hold puts n addresses of a life to its held record, whose way back begins now.
func (t *Tx) hold(l Life, n int) {
	h := Held{Life: l, Hold: Hold{S0: t.bump()}}
	if l.Prefix.IsValid() {
		h.N = n
	}
	if old, ok := t.heldAt(l.heldKey()); ok {
		t.countHeld(old, -1)
		if old.Hold == h.Hold {
			h.N += old.N
		}
	}
	t.putHeld(h, true)
}

// Proof is the second step: the stream holds a snapshot of this pool file with seq or a newer one, so that nobody who
// begins now can read an older word. The hold-down of what was forgotten by then starts.
func (t *Tx) Proof(now Now, seq uint64) {
	start := func(h *Hold) bool {
		if h.Until != 0 || h.S0 > seq || seq > t.meta.Seq {
			return false
		}
		h.Until = now.After(HoldDown)
		return true
	}
	for _, h := range t.Held() {
		if start(&h.Hold) {
			t.putHeld(h, false)
		}
	}
	if w := t.meta.Hold; w != nil && start(w) {
		t.dirty = true
	}
}

// lapse is the third step: where the hold-down is over seq rises to s1. The fourth is in Accept.
func (t *Tx) lapse(now Now) {
	over := func(h *Hold) bool {
		if h.S1 != 0 || h.Until == 0 || h.Until > now.Boot {
			return false
		}
		h.S1 = t.bump()
		return true
	}
	for _, h := range t.Held() {
		if over(&h.Hold) {
			t.putHeld(h, false)
		}
	}
	if w := t.meta.Hold; w != nil {
		over(w)
	}
}

// Held are all held records.
func (t *Tx) Held() []Held {
	var all []Held
	t.each(bucketHeld, nil, func(_, v []byte) bool {
		var h Held
		if t.decode(v, &h) {
			all = append(all, h)
		}
		return true
	})
	return all
}

// Fenced are the fenced addresses and prefixes in their lives, the addresses first.
func (t *Tx) Fenced() []Life {
	var all []Life
	t.each(bucketFenced, nil, func(k, _ []byte) bool {
		if addr, ok := netip.AddrFromSlice(k); ok {
			if a, ok := t.address(addr); ok {
				all = append(all, a.life())
			}
		}
		return true
	})
	for _, e := range t.ranked() {
		if e.Counts.Fenced == 0 {
			continue
		}
		for _, f := range []Family{IPv4, IPv6} {
			for _, d := range t.blocksOf(e, f, rankFenced, rankFenced) {
				if a, ok := t.address(d.Prefix.Addr()); ok {
					all = append(all, a.life())
				}
			}
		}
	}
	return all
}

// Unproven is the newest s0 that waits for Proof; 0 = none.
func (t *Tx) Unproven() (s0 uint64) {
	for _, h := range t.holds() {
		if h.Until == 0 {
			s0 = max(s0, h.S0)
		}
	}
	return s0
}

// Risen is the newest s1 that no accepted supply has reached; 0 = none. Until the reconciler has read a snapshot at
// least that new, nothing held can come back.
func (t *Tx) Risen() (s1 uint64) {
	for _, h := range t.holds() {
		if h.S1 > t.meta.Basis {
			s1 = max(s1, h.S1)
		}
	}
	return s1
}

func (t *Tx) holds() []Hold {
	var all []Hold
	for _, h := range t.Held() {
		all = append(all, h.Hold)
	}
	if t.meta.Hold != nil {
		all = append(all, *t.meta.Hold)
	}
	return all
}

func (t *Tx) heldAt(key []byte) (h Held, ok bool) {
	ok = t.get(bucketHeld, key, &h)
	return h, ok
}

func (t *Tx) putHeld(h Held, fresh bool) {
	if fresh {
		t.countHeld(h, 1)
	}
	t.put(bucketHeld, h.heldKey(), h)
	t.dirty = true
}

func (t *Tx) dropHeld(h Held) {
	t.countHeld(h, -1)
	t.delete(bucketHeld, h.heldKey())
	t.bump()
}

func (t *Tx) countHeld(h Held, d int) {
	if e := t.load()[h.ENI]; e != nil {
		e.Counts.Held += d * h.count()
		if h.Prefix.Addr().Is6() || h.Address.Is6() {
			e.Counts6.Held += d * h.count()
		}
		t.tell(e)
	}
}
