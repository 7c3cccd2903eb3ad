package store

import (
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// recheck is the time until an address that should be unused, and that the kernel still routes, is looked at again.
const recheck = 10 * time.Second

// lastWord is how long an ADD that waited in vain has to say so itself: it knows the cause, and needs the lock for it. Its
// ticket counts for nothing from its deadline on.
const lastWord = ipam.Instant(DefaultLockWait)

// Tick does what time alone brings about: cooling addresses become free (or held), hold-downs end, dead tickets go. It
// asks inUse, which looks into the kernel, before any address turns free; nil = nobody can ask.
func (t *Tx) Tick(now Now, inUse func(netip.Addr) bool) error {
	if inUse == nil {
		inUse = func(netip.Addr) bool { return false }
	}
	t.cooled(now, inUse)
	t.unknown(inUse)
	t.lapse(now)
	for _, k := range t.queue() {
		if k.Deadline+lastWord <= now.Boot {
			t.Drop(now, LeaseRequest{Attachment: k.Attachment, Pod: k.Pod, Took: time.Duration(now.Boot - k.Since)},
				"its ADD ended without a word")
		}
	}
	t.settle()
	t.prune()
	return t.err
}

// Ripe are the addresses whose cooling is over, which the next Tick turns free unless the kernel has them in use.
func (t *Tx) Ripe(now Now) (due []netip.Addr) {
	t.each(bucketCooling, nil, func(k, _ []byte) bool {
		if ipam.Instant(be(k)) > now.Boot {
			return false
		}
		if a, ok := netip.AddrFromSlice(k[8:]); ok {
			due = append(due, a)
		}
		return true
	})
	return due
}

func (t *Tx) cooled(now Now, inUse func(netip.Addr) bool) {
	for _, addr := range t.Ripe(now) {
		a, ok := t.address(addr)
		switch {
		case !ok:
			t.fail(&DamagedError{Path: t.path, Cause: addr.String() + " is in an index only"})
		case a.State == ipam.Cooling && !t.cool(a, now): // it was told to cool for longer since
			t.change(a, func(a *Address) { a.Until = t.coolAt(a) })
		case inUse(addr):
			t.change(a, func(a *Address) { a.Until = now.After(recheck) })
		case a.Lost || !a.Listed:
			t.forget(a)
		default:
			t.change(a, func(a *Address) { a.State, a.Until, a.Flagged = ipam.Free, 0, false })
			t.chance()
		}
	}
}

// unknown holds the addresses that were found in use without an owner, once the kernel has let go of them.
func (t *Tx) unknown(inUse func(netip.Addr) bool) {
	for _, l := range t.leasesOf(unknownNetwork) {
		if slices.ContainsFunc(l.Addresses, inUse) {
			continue
		}
		for _, addr := range l.Addresses {
			if a, ok := t.address(addr); ok && a.Owner == l.Attachment {
				t.forget(a)
			}
		}
		t.delete(bucketLeases, leaseKey(l.Attachment))
	}
}

// settle enters listed addresses that could not be entered because an older life had them; that may be over.
func (t *Tx) settle() {
	if !t.unsettled() {
		return
	}
	t.setUnsettled(false)
	for _, e := range t.ranked() {
		t.listed(e)
	}
}

var keyUnsettled = []byte("unsettled")

func (t *Tx) unsettled() bool { return t.b.Bucket(bucketMeta).Get(keyUnsettled) != nil }

func (t *Tx) setUnsettled(yes bool) {
	switch {
	case yes && !t.unsettled():
		t.putRaw(bucketMeta, keyUnsettled, []byte{})
	case !yes && t.unsettled():
		t.delete(bucketMeta, keyUnsettled)
	}
}

// Next is when Tick has something to do; 0 = nothing that time brings.
func (t *Tx) Next(now Now) (next ipam.Instant) {
	sooner := func(i ipam.Instant) {
		if i != 0 && (next == 0 || i < next) {
			next = i
		}
	}
	t.each(bucketCooling, nil, func(k, _ []byte) bool { sooner(ipam.Instant(be(k))); return false })
	for _, h := range t.holds() {
		if h.S1 == 0 {
			sooner(h.Until)
		}
	}
	for _, k := range t.queue() {
		sooner(k.Deadline + lastWord)
	}
	if len(t.leasesOf(unknownNetwork)) > 0 || t.unsettled() {
		sooner(now.After(recheck))
	}
	return next
}

func (t *Tx) leasesOf(network string) []Lease {
	var all []Lease
	t.each(bucketLeases, []byte(network+"\x00"), func(_, v []byte) bool {
		var l Lease
		if t.decode(v, &l) {
			all = append(all, l)
		}
		return true
	})
	return all
}
