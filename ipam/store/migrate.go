package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam"
)

// errOld says that a file has to be brought up to this program's schema before it can be read.
var errOld = errors.New("the pool file has an older schema")

// outdated says whether a file of a schema that can be read is of an older one than this program writes.
func outdated(value []byte) bool { return string(value) != strconv.Itoa(schema) }

// migrate brings a file of schema 1 up to date: counts and indexes are made anew from the addresses, held records and
// lists in it. It happens with the first change of the file after this program was installed.
func migrate(b *bbolt.Tx, t *Tx) error {
	for _, name := range [][]byte{bucketFree, bucketCooling} {
		if err := b.DeleteBucket(name); err != nil {
			return fmt.Errorf("cannot migrate pool file %s: %w", t.path, err)
		}
	}
	for _, name := range buckets {
		if _, err := b.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("cannot migrate pool file %s: %w", t.path, err)
		}
	}
	t.adoptPolicy(b.Bucket(bucketMeta).Get(keyMeta))
	for _, e := range t.load() {
		t.splitList(e)
		e.Counts, e.Counts6, e.Prefixed, e.Prefixed6 = Counts{}, Counts{}, Prefixed{}, Prefixed{}
		t.tell(e)
	}
	for _, r := range t.addresses() {
		if e := t.load()[r.ENI]; e != nil {
			l, _ := t.listing(e.ENI)
			if in := blockOf(r.Address); slices.Contains(l.Prefixes, in) {
				r.Prefix = in
			}
		}
		t.enter(r)
	}
	for _, h := range t.Held() {
		t.countHeld(h, 1)
	}
	t.putRaw(bucketMeta, keySchema, []byte(strconv.Itoa(schema)))
	return t.err
}

// adoptPolicy makes of the one policy that schema 1 has that of each pool of an interface.
func (t *Tx) adoptPolicy(meta []byte) {
	var old struct {
		Policy struct {
			Cooldown, Window, MinAge time.Duration
			Low, High                int
		}
		Why *ipam.Why
	}
	if len(t.meta.Pools) > 0 || json.Unmarshal(meta, &old) != nil {
		return
	}
	for _, e := range t.ranked() {
		if _, known := t.meta.Pool(e.Pool); e.Listed && !known {
			p := ipam.SuppliedPool{Name: e.Pool, Families: []Family{IPv4, IPv6}, Low: old.Policy.Low, High: old.Policy.High,
				Cooldown: cmp.Or(old.Policy.Cooldown, DefaultCooldown), Window: old.Policy.Window, MinAge: old.Policy.MinAge, Why: old.Why}
			t.meta.Pools, t.dirty = append(t.meta.Pools, p), true
		}
	}
}

// splitList takes an interface's prefixes out of its record, and their addresses out of its list.
func (t *Tx) splitList(e *ENI) {
	raw := bytes.Clone(t.b.Bucket(bucketListed).Get([]byte(e.ENI)))
	var addresses []netip.Addr
	if raw == nil || json.Unmarshal(raw, &addresses) != nil {
		return
	}
	l := listing{Prefixes: e.Prefixes}
	for _, a := range addresses {
		if !slices.Contains(l.Prefixes, blockOf(a)) {
			l.Addresses = append(l.Addresses, a)
		}
	}
	t.put(bucketListed, []byte(e.ENI), l)
	for _, p := range l.Prefixes {
		d := t.delegate(e.ENI, p)
		d.Listed = e.Listed
		t.tellBlock(d)
	}
	e.Prefixes = nil
}

// older is a file's first use by this program: a write, before what was asked for.
func (s *Store) older(f func(*Tx) error) error {
	if err := s.run(true, func(*Tx) error { return nil }); err != nil {
		return err
	}
	return s.run(false, f)
}
