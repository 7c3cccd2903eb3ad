package ipam

import "slices"

// stock is what a network interface has of one family.
type stock struct {
	family   Family
	listed   int // single addresses without fenced ones; IPv6 has none
	prefixes []PrefixSummary
	// What the node says of all these addresses: single and kept ones are of the free.
	free, single, kept, leased, cooling int
}

func (e NodeENI) stock(f Family) stock {
	s := stock{IPv4, e.Listed - len(e.Fenced), e.Delegated, e.Free, e.Single, e.Kept, e.Leased, e.Cooling}
	if f == IPv6 {
		x := e.IPv6
		s = stock{IPv6, 0, x.Prefixes, x.Free, 0, x.Kept, x.Leased, x.Cooling}
	}
	for _, said := range []*int{&s.free, &s.single, &s.kept, &s.leased, &s.cooling} {
		*said = min(max(*said, 0), mostSaid)
	}
	return s
}

// mostSaid is the most addresses of one network interface, or pods, that a node is believed: what it says comes from
// outside. No type has as many.
const mostSaid = 1 << 16

// size is how many addresses pods can use, now or soon: not those that are given up, nor those that a bridge keeps.
func (s stock) size() int {
	return s.listed + worth(s.family)*(len(s.prefixes)-len(s.fenced())) - s.kept
}

// idle says whether no pod has, or lately had, an address of it.
func (s stock) idle() bool { return s.leased+s.cooling == 0 }

// fenced are the prefixes that the node has given up.
func (s stock) fenced() (all []PrefixSummary) {
	for _, p := range s.prefixes {
		if p.Fenced {
			all = append(all, p)
		}
	}
	return all
}

// untouched is the worth of one prefix that no pod has an address of, if there is one, or one that the node does not
// know yet: addresses that it says nothing of.
func (s stock) untouched() int {
	coming := s.size() + s.kept - s.free - s.leased - s.cooling
	if coming >= worth(s.family) || slices.ContainsFunc(s.prefixes, PrefixSummary.allFree) {
		return worth(s.family)
	}
	return 0
}

// allFree says whether every address of a prefix is free.
func (p PrefixSummary) allFree() bool {
	return p.Prefix.IsValid() && !p.Fenced && p.Free == PrefixSize(p.Prefix)
}

// vacant is how many places for addresses or prefixes of a family are empty on e.
func (e NodeENI) vacant(l Limits, f Family) int {
	switch {
	case e.State != ENIUsed:
		return 0
	case f == IPv6:
		return max(l.places(f)-len(e.IPv6.Prefixes), 0)
	}
	return max(l.places(f)-e.Listed-len(e.Delegated)-e.Taken, 0)
}

// worth is how many addresses of a pool one delegated prefix is: see PrefixSize.
func worth(f Family) int {
	if f == IPv6 {
		return 256
	}
	return PrefixSlots
}
