package store

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Choose says which addresses a wish would fence now, without changing anything: the ledger has to know them before
// they are fenced (protocol a3). The last in pick order go first. A wish that cannot be followed is a *WishError.
func (t *Tx) Choose(now Now, r ipam.Release) ([]Life, error) {
	e := t.load()[r.ENI]
	if e == nil || !e.Listed {
		return nil, &WishError{ENI: r.ENI, Why: "this node has no such network interface"}
	}
	if r.Whole {
		return t.chooseWhole(now, e)
	}
	if r.Count < 1 {
		return nil, &WishError{ENI: r.ENI, Why: fmt.Sprintf("it wishes %d addresses, 1 to %d can be given up at once", r.Count, Batch)}
	}
	var free []Life
	for _, f := range []Family{IPv4, IPv6} {
		prefix := freePrefix(e.ENI, f)
		t.each(bucketFree, prefix, func(k, _ []byte) bool {
			a, ok := netip.AddrFromSlice(k[len(prefix)+8:])
			if _, delegated := prefixOf(e, a); ok && !delegated {
				free = append(free, Life{e.ENI, e.Attachment, a})
			}
			return true
		})
	}
	slices.Reverse(free)
	return free[:min(len(free), r.Count, Batch)], nil
}

func (t *Tx) chooseWhole(now Now, e *ENI) ([]Life, error) {
	switch age := time.Duration(now.Boot - e.Since); {
	case e.N == 0:
		return nil, &WishError{ENI: e.ENI, Why: "it is the primary one"}
	case len(e.Prefixes) > 0:
		return nil, &WishError{ENI: e.ENI, Why: "it has the delegated prefix " + e.Prefixes[0].String()}
	case age < t.meta.Policy.MinAge:
		return nil, &WishError{ENI: e.ENI, Why: fmt.Sprintf("it is %s old, the policy says %s at least", age.Round(time.Second), t.meta.Policy.MinAge)}
	}
	var free []Life
	for _, a := range t.addresses() {
		switch {
		case a.ENI != e.ENI || a.State == ipam.Fenced:
		case a.State == ipam.Free && !a.Flagged:
			free = append(free, a.life())
		default:
			return nil, &WishError{ENI: e.ENI, Why: fmt.Sprintf("%s is %s", a.Address, a.State)}
		}
	}
	return free, nil
}

// Fence gives up exactly the chosen addresses, as far as they are free still, for good in this life; a whole interface
// all or not at all. It returns what it fenced.
func (t *Tx) Fence(now Now, r ipam.Release, chosen []Life) ([]Life, error) {
	if r.Whole {
		all, err := t.Choose(now, r)
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			if !slices.Contains(chosen, l) {
				return nil, &WishError{ENI: r.ENI, Why: l.Address.String() + " has come since it was looked at"}
			}
		}
	} else if len(chosen) > Batch {
		return nil, &WishError{ENI: r.ENI, Why: fmt.Sprintf("%d addresses at once, %d can be given up", len(chosen), Batch)}
	}
	var fenced []Life
	for _, l := range chosen {
		a, ok := t.address(l.Address)
		if !ok || a.life() != l || l.ENI != r.ENI || a.State != ipam.Free || a.Flagged {
			continue
		}
		if _, delegated := prefixOf(t.load()[r.ENI], l.Address); delegated {
			continue
		}
		seq := t.bump()
		t.change(a, func(a *Address) { a.State, a.Fence = ipam.Fenced, seq })
		fenced = append(fenced, l)
	}
	return fenced, t.err
}
