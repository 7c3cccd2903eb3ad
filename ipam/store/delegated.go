package store

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// delegated is a delegated prefix of an interface, as long as it is listed or any address of it has a record.
type delegated struct {
	ENI    ipam.ENIID
	Prefix netip.Prefix
	Listed bool
	Counts Counts // of its addresses
	Kept   int    // of the free ones, those that are for bridges alone

	key []byte // where it stands in the order now
}

// The ranks of an interface's prefixes among one another: where pods go first, and what is given up. Single addresses
// come between the first and the second, so that the prefixes that nobody uses stay empty.
const (
	rankLeased  byte = iota + 1 // has leases and room: those with most leases first
	rankUsed                    // no lease, but some of it cools, or is flagged or held
	rankWhole                   // all of it is free
	rankNothing                 // nothing for pods: full, pending, a bridge's
	rankFenced                  // given up
)

func (d *delegated) rank() byte {
	room := d.Counts.Free - d.Kept
	switch {
	case d.Counts.Fenced > 0:
		return rankFenced
	case !d.Listed || room == 0:
		return rankNothing
	case d.Counts.Leased > 0:
		return rankLeased
	case d.Counts.Free == ipam.PrefixSize(d.Prefix):
		return rankWhole
	}
	return rankUsed
}

// orderKey is where a prefix stands among those of its interface and family.
func (d *delegated) orderKey() []byte {
	k := append(freePrefix(d.ENI, FamilyOf(d.Prefix.Addr())), d.rank())
	k = binary.BigEndian.AppendUint16(k, ^uint16(d.Counts.Leased))
	return append(k, addressKey(d.Prefix.Addr())...)
}

// blockOf is the prefix that an address would be of, were it delegated.
func blockOf(a netip.Addr) netip.Prefix {
	bits := prefixBits4
	if FamilyOf(a) == IPv6 {
		bits = prefixBits6
	}
	p, _ := a.Unmap().Prefix(bits) // cannot fail: both lengths are in range
	return p
}

func delegatedKey(e ipam.ENIID, p netip.Prefix) []byte { return heldKey(e, p.Addr()) }

// delegatedOf is the record of a prefix of an interface; nil when there is none.
func (t *Tx) delegatedOf(e ipam.ENIID, p netip.Prefix) *delegated {
	key := delegatedKey(e, p)
	if d := t.blocks[string(key)]; d != nil {
		return d
	}
	d := new(delegated)
	if !t.get(bucketPrefixes, key, d) {
		return nil
	}
	d.key = d.orderKey()
	t.remember(key, d)
	return d
}

func (t *Tx) remember(key []byte, d *delegated) {
	if t.blocks == nil {
		t.blocks = map[string]*delegated{}
	}
	t.blocks[string(key)] = d
}

// delegate is delegatedOf, and makes the record where there is none.
func (t *Tx) delegate(e ipam.ENIID, p netip.Prefix) *delegated {
	d := t.delegatedOf(e, p)
	if d == nil {
		d = &delegated{ENI: e, Prefix: p}
		t.remember(delegatedKey(e, p), d)
	}
	return d
}

// tellBlock notes that a prefix has changed: its place in the order is right at once, its record with the commit.
func (t *Tx) tellBlock(d *delegated) {
	if key := d.orderKey(); !slices.Equal(key, d.key) {
		if d.key != nil {
			t.delete(bucketOrder, d.key)
		}
		t.putRaw(bucketOrder, key, []byte{})
		d.key = key
	}
	if t.toldBlocks == nil {
		t.toldBlocks = map[string]bool{}
	}
	t.toldBlocks[string(delegatedKey(d.ENI, d.Prefix))] = true
	t.dirty = true
}

// flushBlocks writes the prefixes that have changed, and forgets those of which nothing is left.
func (t *Tx) flushBlocks() {
	for key := range t.toldBlocks {
		d := t.blocks[key]
		if d.Listed || d.Counts != (Counts{}) {
			t.put(bucketPrefixes, []byte(key), d)
			continue
		}
		t.delete(bucketOrder, d.key)
		t.delete(bucketPrefixes, []byte(key))
	}
	t.blocks, t.toldBlocks = nil, nil
}

// countBlock puts an address to the counts of its prefix, d times, and to what its interface knows of its prefixes.
func (t *Tx) countBlock(e *ENI, a *Address, d int) {
	if !a.Prefix.IsValid() {
		return
	}
	b := t.delegate(a.ENI, a.Prefix)
	b.Counts.count(a, d)
	if a.State == ipam.Free && !a.Flagged {
		sum := e.prefixed(FamilyOf(a.Address))
		sum.Free += d
		if e.keeps(a.Prefix) {
			b.Kept += d
			sum.Kept += d
		}
	}
	t.tellBlock(b)
}

func (e *ENI) prefixed(f Family) *Prefixed {
	if f == IPv6 {
		return &e.Prefixed6
	}
	return &e.Prefixed
}

// available is how many addresses of a family any pod may have of an interface now.
func (e *ENI) available(f Family) int {
	if f == IPv6 {
		return e.Counts6.Free - e.Prefixed6.Kept
	}
	return e.Counts.Free - e.Counts6.Free - e.Prefixed.Kept
}

// order are the prefixes of an interface and family that stand in one of the ranks from low to high.
func (t *Tx) order(e *ENI, f Family, low, high byte) (all []netip.Prefix) {
	start := freePrefix(e.ENI, f)
	skip := len(start) + 3
	c := t.b.Bucket(bucketOrder).Cursor()
	for k, _ := c.Seek(append(slices.Clone(start), low)); len(k) > skip && string(k[:len(start)]) == string(start); k, _ = c.Next() {
		if k[len(start)] > high {
			break
		}
		if a, ok := netip.AddrFromSlice(k[skip:]); ok {
			all = append(all, blockOf(a))
		}
	}
	return all
}

// blocksOf is order with the prefixes' records.
func (t *Tx) blocksOf(e *ENI, f Family, low, high byte) (all []*delegated) {
	for _, p := range t.order(e, f, low, high) {
		if d := t.delegatedOf(e.ENI, p); d != nil {
			all = append(all, d)
		}
	}
	return all
}

// loneBlock says whether an interface has one IPv6 prefix, and its pool wants one on each.
func (t *Tx) loneBlock(e *ENI) bool {
	p, _ := t.meta.Pool(e.Pool)
	return slices.Contains(p.Families, IPv6) && len(t.order(e, IPv6, rankLeased, rankFenced)) == 1
}

// lastWhole is the wholly free prefix of an interface and family that pods would get last; nil = there is none.
func (t *Tx) lastWhole(e *ENI, f Family) *delegated {
	start := append(freePrefix(e.ENI, f), rankWhole)
	c := t.b.Bucket(bucketOrder).Cursor()
	k, _ := c.Seek(append(slices.Clone(start[:len(start)-1]), rankWhole+1))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	if len(k) <= len(start)+2 || string(k[:len(start)]) != string(start) {
		return nil
	}
	a, ok := netip.AddrFromSlice(k[len(start)+2:])
	if !ok {
		return nil
	}
	return t.delegatedOf(e.ENI, blockOf(a))
}

// listing is the addresses and prefixes of an interface in the accepted supply.
type listing struct {
	Addresses []netip.Addr
	Prefixes  []netip.Prefix `json:",omitempty"`
}

func (t *Tx) listing(id ipam.ENIID) (l listing, ok bool) {
	ok = t.get(bucketListed, []byte(id), &l)
	return l, ok
}
