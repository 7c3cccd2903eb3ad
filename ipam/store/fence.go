package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Choose says which addresses and prefixes a wish would fence now, without changing anything: the ledger has to know
// them before they are fenced (protocol a3). The last in pick order go first. A wish that cannot be followed is a
// *WishError.
func (t *Tx) Choose(now Now, r ipam.Release) ([]Life, error) {
	e := t.load()[r.ENI]
	kinds := 0
	for _, is := range []bool{r.Whole, r.Prefix.IsValid(), r.Count != 0} {
		if is {
			kinds++
		}
	}
	switch {
	case e == nil || !e.Listed:
		return nil, &WishError{ENI: r.ENI, Why: "this node has no such network interface"}
	case r.Prefix.IsValid() && !r.Whole && r.Count == 0:
		return t.choosePrefix(e, r.Prefix)
	case r.Whole && !r.Prefix.IsValid():
		return t.chooseWhole(now, e)
	case kinds > 1:
		return nil, &WishError{ENI: r.ENI, Why: "it wishes several things at once"}
	case r.Count < 1:
		return nil, &WishError{ENI: r.ENI, Why: fmt.Sprintf("it wishes %d addresses, 1 to %d can be given up at once", r.Count, Batch)}
	}
	free := t.freeSingles(e)
	slices.Reverse(free)
	return free[:min(len(free), r.Count, Batch)], nil
}

// freeSingles are the free single addresses of an interface, in pick order.
func (t *Tx) freeSingles(e *ENI) (free []Life) {
	for _, f := range []Family{IPv4, IPv6} {
		prefix := freeGroup(e.ENI, f, netip.Prefix{})
		t.each(bucketFree, prefix, func(k, _ []byte) bool {
			if a, ok := netip.AddrFromSlice(k[len(prefix)+8:]); ok {
				free = append(free, Life{ENI: e.ENI, Attachment: e.Attachment, Address: a})
			}
			return true
		})
	}
	return free
}

// choosePrefix takes all of a delegated prefix or nothing.
func (t *Tx) choosePrefix(e *ENI, p netip.Prefix) ([]Life, error) {
	d := t.delegatedOf(e.ENI, p)
	switch {
	case d == nil || !d.Listed:
		return nil, &WishError{ENI: e.ENI, Why: "it has no delegated prefix " + p.String()}
	case d.Counts.Fenced > 0:
		return nil, nil // done already
	case e.bridgeOf(p) >= 0:
		return nil, &WishError{ENI: e.ENI, Why: fmt.Sprintf("%s is the subnet of network %s's bridge", p, e.Bridges[e.bridgeOf(p)].Network)}
	case d.Counts.Free < ipam.PrefixSize(p):
		return nil, &WishError{ENI: e.ENI, Why: fmt.Sprintf("not all of %s is free: %s", p, busy(d.Counts, ipam.PrefixSize(p)))}
	}
	return []Life{{ENI: e.ENI, Attachment: e.Attachment, Prefix: p}}, nil
}

// busy says in words what of size addresses is not free.
func busy(c Counts, size int) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Leased, "leased"}, {c.Cooling, "cooling"}, {c.Pending, "pending"}, {size - c.all(), "held"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *Tx) chooseWhole(now Now, e *ENI) ([]Life, error) {
	switch age, least := time.Duration(now.Boot-e.Since), t.meta.minAge(e.Pool); {
	case e.N == 0:
		return nil, &WishError{ENI: e.ENI, Why: "it is the primary one"}
	case age < least:
		return nil, &WishError{ENI: e.ENI, Why: fmt.Sprintf("it is %s old, the policy says %s at least", age.Round(time.Second), least)}
	case e.Counts.Free+e.Counts.Fenced < e.Counts.all():
		return nil, &WishError{ENI: e.ENI, Why: "not all of it is free: " + busy(e.Counts, e.Counts.all())}
	}
	all := t.freeSingles(e)
	l, _ := t.listing(e.ENI)
	for _, p := range l.Prefixes {
		d := t.delegatedOf(e.ENI, p)
		if d == nil || d.Counts.all() == 0 {
			continue // held as a whole, and absent so far
		}
		lives, err := t.choosePrefix(e, p)
		if err != nil {
			return nil, err
		}
		all = append(all, lives...)
	}
	return all, nil
}

// Fence gives up exactly what was chosen, as far as it is free still, for good in this life; a prefix or a whole
// interface all or not at all. It returns what it fenced.
func (t *Tx) Fence(now Now, r ipam.Release, chosen []Life) ([]Life, error) {
	if r.Whole || r.Prefix.IsValid() {
		all, err := t.Choose(now, r)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			if !slices.Contains(chosen, l) {
				return nil, &WishError{ENI: r.ENI, Why: l.String() + " has come since it was looked at"}
			}
		}
		chosen = all
	} else if len(chosen) > Batch {
		return nil, &WishError{ENI: r.ENI, Why: fmt.Sprintf("%d addresses at once, %d can be given up", len(chosen), Batch)}
	}
	var fenced []Life
	for _, l := range chosen {
		if t.fence(r.ENI, l) {
			fenced = append(fenced, l)
		}
	}
	return fenced, t.err
}

// fence gives up one address, or a prefix of which Choose has just said that all of it is free.
func (t *Tx) fence(e ipam.ENIID, l Life) (done bool) {
	addresses := []netip.Addr{l.Address}
	if l.Prefix.IsValid() {
		addresses = addressesOf(l.Prefix)
	}
	for _, addr := range addresses {
		a, ok := t.address(addr)
		if !ok || a.life() != l || l.ENI != e || a.State != ipam.Free || a.Flagged {
			continue
		}
		seq := t.bump()
		t.change(a, func(a *Address) { a.State, a.Fence = ipam.Fenced, seq })
		done = true
	}
	return done
}
