package store_test

import (
	"fmt"
	"net/netip"

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
			if (h.Address == is.Address || h.Prefix.Contains(is.Address)) && h.ENI == is.ENI && h.S1 == 0 {
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

// recount counts all addresses one by one, and compares: counts of interfaces by family, what of it is in prefixes, and
// that the fenced addresses of a prefix are all of it.
func (w *walk) recount(s store.State) {
	type sums struct {
		Counts, Counts6     store.Counts
		Prefixed, Prefixed6 store.Prefixed
	}
	got, want := map[ipam.ENIID]*sums{}, map[ipam.ENIID]*sums{}
	bridges := map[netip.Prefix]bool{}
	n := map[ipam.ENIID]int{}
	for _, e := range s.ENIs {
		got[e.ENI] = &sums{e.Counts, e.Counts6, e.Prefixed, e.Prefixed6}
		want[e.ENI], n[e.ENI] = new(sums), e.N
		for _, b := range e.Bridges {
			bridges[b.Prefix] = true
		}
	}
	fenced := map[netip.Prefix]int{}
	for _, a := range s.Addresses {
		c := want[a.ENI]
		if c == nil {
			continue
		}
		tally(&c.Counts, a)
		prefixed := &c.Prefixed
		if a.Address.Is6() {
			tally(&c.Counts6, a)
			prefixed = &c.Prefixed6
		}
		if a.Prefix.IsValid() && a.State == ipam.Free && !a.Flagged {
			prefixed.Free++
			if n[a.ENI] == 0 && bridges[a.Prefix] {
				prefixed.Kept++
			}
		}
		if a.Prefix.IsValid() && a.State == ipam.Fenced {
			fenced[a.Prefix]++
		}
	}
	for p, n := range fenced {
		if n != ipam.PrefixSize(p) {
			w.T.Errorf("after %s: %d addresses of %s are fenced, and the others are not", w.op, n, p)
		}
	}
	for _, h := range s.Held {
		if c := want[h.ENI]; c != nil {
			n := max(h.N, 1)
			c.Counts.Held += n
			if h.Address.Is6() || h.Prefix.Addr().Is6() {
				c.Counts6.Held += n
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		w.T.Errorf("after %s: counts (-want +got):\n%s", w.op, d)
	}
}

func tally(c *store.Counts, a store.Address) {
	switch {
	case a.State == ipam.Pending:
		c.Pending++
	case a.State == ipam.Free && !a.Flagged:
		c.Free++
		if a.Address.Is6() {
			c.Free6++
		}
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
