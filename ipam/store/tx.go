package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam"
)

// Tx is one transaction. Its methods are the only ways to change a pool; a Tx is used by one goroutine and not after
// the function it was given to has returned.
//
// The first error of the file itself stays in the transaction and is what Update or View return in the end; methods
// go on with zero values until then, and nothing of it is ever committed.
type Tx struct {
	path  string
	b     *bbolt.Tx
	write bool
	err   error

	meta  Meta
	dirty bool // meta or a record has changed
	enis  map[ipam.ENIID]*ENI
	told  map[ipam.ENIID]bool // interfaces to be written

	blocks     map[string]*delegated // prefixes that were read, by key
	toldBlocks map[string]bool       // those to be written

	queued []Ticket // those that were read; nil = they were not

	bumped bool // seq has risen in this transaction
}

var errReadOnly = errors.New("cannot change the pool in a transaction that only reads")

// Meta is what the file says of itself.
func (t *Tx) Meta() Meta { return t.meta }

// bump raises seq, once per transaction, because something changed that a snapshot says; it returns seq.
func (t *Tx) bump() uint64 {
	if !t.bumped {
		t.bumped = true
		t.meta.Seq++
	}
	t.dirty = true
	return t.meta.Seq
}

// chance tells those who wait that it may be their turn.
func (t *Tx) chance() { t.meta.Chance++; t.dirty = true }

func (t *Tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *Tx) decode(value []byte, into any) bool {
	if value == nil {
		return false
	}
	if err := read(value, into); err != nil {
		t.fail(&DamagedError{Path: t.path, Cause: "a record is no JSON: " + err.Error()})
		return false
	}
	return true
}

func (t *Tx) get(bucket, key []byte, into any) bool {
	return t.decode(t.b.Bucket(bucket).Get(key), into)
}

func (t *Tx) put(bucket, key []byte, value any) {
	text, err := written(value)
	if err != nil {
		t.fail(fmt.Errorf("cannot encode a record of bucket %s: %w", bucket, err))
		return
	}
	t.putRaw(bucket, key, text)
}

func (t *Tx) putRaw(bucket, key, value []byte) {
	if !t.write {
		t.fail(errReadOnly)
		return
	}
	t.dirty = true
	if err := t.b.Bucket(bucket).Put(key, value); err != nil {
		t.fail(fmt.Errorf("cannot write to bucket %s of %s: %w", bucket, t.path, err))
	}
}

func (t *Tx) delete(bucket, key []byte) {
	if !t.write {
		t.fail(errReadOnly)
		return
	}
	t.dirty = true
	if err := t.b.Bucket(bucket).Delete(key); err != nil {
		t.fail(fmt.Errorf("cannot delete from bucket %s of %s: %w", bucket, t.path, err))
	}
}

// each calls f for each record of a bucket whose key begins with prefix, in order of keys, until f returns false.
// f must not change the bucket.
func (t *Tx) each(bucket, prefix []byte, f func(k, v []byte) bool) {
	c := t.b.Bucket(bucket).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if !f(k, v) {
			return
		}
	}
}

// load reads the interfaces; there are at most as many as the instance type has, and those about to be forgotten.
func (t *Tx) load() map[ipam.ENIID]*ENI {
	if t.enis == nil {
		t.enis = make(map[ipam.ENIID]*ENI)
		t.told = make(map[ipam.ENIID]bool)
		t.each(bucketENIs, nil, func(k, v []byte) bool {
			e := new(ENI)
			if t.decode(v, e) {
				t.enis[ipam.ENIID(k)] = e
			}
			return true
		})
	}
	return t.enis
}

// ranked are the interfaces in the order in which they are picked from: the primary first, then by card and device.
func (t *Tx) ranked() []*ENI {
	all := make([]*ENI, 0, len(t.load()))
	for _, e := range t.enis {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *ENI) int {
		return cmp.Or(cmp.Compare(min(a.N, 1), min(b.N, 1)), cmp.Compare(a.Card, b.Card), cmp.Compare(a.Device, b.Device),
			cmp.Compare(a.ENI, b.ENI))
	})
	return all
}

func (t *Tx) tell(e *ENI) { t.load(); t.told[e.ENI] = true; t.dirty = true }

func (t *Tx) address(a netip.Addr) (*Address, bool) {
	r := new(Address)
	return r, t.get(bucketAddresses, addressKey(a), r)
}

// addresses are all of them, in order of address.
func (t *Tx) addresses() []*Address { return t.addressesBut(nil) }

// addressesBut leaves out those of some delegated prefixes, and does not decode them.
func (t *Tx) addressesBut(but map[netip.Prefix]bool) []*Address {
	var all []*Address
	t.each(bucketAddresses, nil, func(k, v []byte) bool {
		if addr, ok := netip.AddrFromSlice(k); ok && but[blockOf(addr)] {
			return true
		}
		a := new(Address)
		if t.decode(v, a) {
			all = append(all, a)
		}
		return true
	})
	return all
}

// change alters an address and keeps indexes and counts true. What the change means is the caller's affair.
func (t *Tx) change(a *Address, alter func(*Address)) {
	t.count(a, -1)
	t.unindex(a)
	alter(a)
	t.count(a, 1)
	t.index(a)
	t.put(bucketAddresses, addressKey(a.Address), a)
	t.bump()
}

// enter adds an address that has no record.
func (t *Tx) enter(a *Address) {
	t.count(a, 1)
	t.index(a)
	t.put(bucketAddresses, addressKey(a.Address), a)
	t.bump()
}

// drop takes away an address's record.
func (t *Tx) drop(a *Address) {
	t.count(a, -1)
	t.unindex(a)
	t.delete(bucketAddresses, addressKey(a.Address))
	t.bump()
}

func (t *Tx) index(a *Address) {
	switch {
	case a.State == ipam.Free && !a.Flagged:
		t.putRaw(bucketFree, freeKey(a), []byte{})
	case a.State == ipam.Cooling || a.State == ipam.Free:
		t.putRaw(bucketCooling, coolingKey(a), []byte{})
	case a.State == ipam.Fenced && !a.Prefix.IsValid():
		t.putRaw(bucketFenced, addressKey(a.Address), []byte{})
	}
}

func (t *Tx) unindex(a *Address) {
	switch {
	case a.State == ipam.Free && !a.Flagged:
		t.delete(bucketFree, freeKey(a))
	case a.State == ipam.Cooling || a.State == ipam.Free:
		t.delete(bucketCooling, coolingKey(a))
	case a.State == ipam.Fenced && !a.Prefix.IsValid():
		t.delete(bucketFenced, addressKey(a.Address))
	}
}

func (t *Tx) count(a *Address, d int) {
	e := t.load()[a.ENI]
	if e == nil {
		return // a rebuilt lease whose interface no supply has named yet
	}
	e.Counts.count(a, d)
	if FamilyOf(a.Address) == IPv6 {
		e.Counts6.count(a, d)
	}
	t.countBlock(e, a, d)
	t.tell(e)
}

// count puts an address to the counts, d times.
func (c *Counts) count(a *Address, d int) {
	switch a.State {
	case ipam.Pending:
		c.Pending += d
	case ipam.Free:
		if a.Flagged {
			c.Cooling += d
			break
		}
		c.Free += d
		if FamilyOf(a.Address) == IPv6 {
			c.Free6 += d
		}
	case ipam.Leased:
		c.Leased += d
		if a.Lost {
			c.Lost += d
		}
	case ipam.Cooling:
		c.Cooling += d
	case ipam.Fenced:
		c.Fenced += d
	}
}

// errUnchanged ends a transaction that wrote nothing without a commit, and without the bell.
var errUnchanged = errors.New("nothing has changed")

// flush writes what was kept in memory.
func (t *Tx) flush() error {
	if t.err != nil {
		return t.err
	}
	if !t.dirty {
		return errUnchanged
	}
	t.flushBlocks()
	for id := range t.told {
		if e := t.enis[id]; e != nil {
			t.put(bucketENIs, []byte(id), e)
		} else {
			t.delete(bucketENIs, []byte(id))
		}
	}
	t.meta.Commits++
	t.put(bucketMeta, keyMeta, &t.meta)
	return t.err
}
