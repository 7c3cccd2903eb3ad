package store_test

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// check compares the state with the one before the step.
func (w *walk) check() {
	after := w.State()
	old := map[netip.Addr]store.Address{}
	for _, a := range w.before.Addresses {
		old[a.Address] = a
	}
	for _, a := range after.Addresses {
		if why := w.wrong(old[a.Address], a); why != "" {
			w.T.Errorf("after %s: %s: %s → %s: %s", w.op, a.Address, old[a.Address].State, a.State, why)
		}
	}
	owners := map[ipam.Attachment][]netip.Addr{}
	for _, a := range after.Addresses {
		if a.State == ipam.Leased {
			owners[a.Owner] = append(owners[a.Owner], a.Address)
		}
	}
	leases := map[ipam.Attachment][]netip.Addr{}
	for _, l := range after.Leases {
		leases[l.Attachment] = l.Addresses
	}
	if d := cmp.Diff(leases, owners, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		w.T.Errorf("S2 after %s: leases and owners differ (-lease +owner):\n%s", w.op, d)
	}
	if len(leases) != len(w.pods) {
		w.T.Errorf("S7 after %s: %d leases for %d pods", w.op, len(leases), len(w.pods))
	}
	if after.Meta.Seen.Less(w.before.Meta.Seen) {
		w.T.Errorf("S8 after %s: seen fell from %v to %v", w.op, w.before.Meta.Seen, after.Meta.Seen)
	}
	for _, l := range w.fencedNow(after) {
		if e := w.ec2[l.ENI]; e != nil && slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool { return p.Contains(l.Address) }) {
			w.T.Errorf("after %s: %s is fenced by itself, and of a delegated prefix", w.op, l.Address)
		}
	}
	w.recount(after)
	w.snapshots(after)
	w.before = after
}

// wrong judges one transition by the table of A2.
func (w *walk) wrong(was, is store.Address) string {
	same := was.ENI == is.ENI && was.Attachment == is.Attachment
	switch {
	case was.State == "" && is.State != ipam.Pending && is.State != ipam.Free:
		return "begins so"
	case was.State == "":
		for _, h := range w.before.Held {
			if h.Address == is.Address && h.ENI == is.ENI && h.S1 == 0 {
				return fmt.Sprintf("S5: it was held, %+v", h.Hold)
			}
		}
	case was.State == ipam.Fenced && is.State != ipam.Fenced && same:
		return "S4"
	case was.State == ipam.Leased && is.State == ipam.Free, was.State == ipam.Pending && is.State == ipam.Leased,
		was.State != ipam.Free && was.State != ipam.Fenced && is.State == ipam.Fenced && same:
		return "no such transition"
	}
	return ""
}

func (w *walk) fencedNow(s store.State) (all []store.Address) {
	for _, a := range s.Addresses {
		if a.State == ipam.Fenced {
			all = append(all, a)
		}
	}
	return all
}

func (w *walk) recount(s store.State) {
	want := map[ipam.ENIID]store.Counts{}
	for _, e := range s.ENIs {
		want[e.ENI] = store.Counts{}
	}
	for _, a := range s.Addresses {
		c := want[a.ENI]
		switch {
		case a.State == ipam.Pending:
			c.Pending++
		case a.State == ipam.Free && !a.Flagged:
			c.Free++
		case a.State == ipam.Leased:
			c.Leased++
			if a.Lost {
				c.Lost++
			}
		case a.State == ipam.Fenced:
			c.Fenced++
		default:
			c.Cooling++
		}
		want[a.ENI] = c
	}
	for _, h := range s.Held {
		c := want[h.ENI]
		c.Held++
		want[h.ENI] = c
	}
	for _, e := range s.ENIs {
		if d := cmp.Diff(want[e.ENI], e.Counts); d != "" {
			w.T.Errorf("after %s: counts of %s (-want +got):\n%s", w.op, e.ENI, d)
		}
	}
}

// snapshots checks that seq rose if anything changed that a snapshot says.
func (w *walk) snapshots(after store.State) {
	if after.Meta.Seq != w.before.Meta.Seq || w.op == "time" {
		return
	}
	for i, e := range after.ENIs {
		if i >= len(w.before.ENIs) || e.Counts != w.before.ENIs[i].Counts || e.Ready != w.before.ENIs[i].Ready {
			w.T.Errorf("after %s: %s changed and seq did not", w.op, e.ENI)
		}
	}
	if len(after.ENIs) != len(w.before.ENIs) || after.Meta.Gen != w.before.Meta.Gen || after.Meta.Seen != w.before.Meta.Seen ||
		len(after.Tickets) != len(w.before.Tickets) {
		w.T.Errorf("after %s: the snapshot changed and seq did not", w.op)
	}
}
