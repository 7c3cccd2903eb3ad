package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam"
)

// Identity is whose pool a new file is.
type Identity struct {
	Instance ipam.InstanceID
	Boot     string
	Inc      ipam.Inc // new random bits
	Type     string
	MaxPods  int
}

// Past is what is known of an earlier file of this instance: the ledger, and what the kernel still shows.
type Past struct {
	Seen   ipam.Seen
	Gen    uint64
	Fenced []Life
	Held   []Life
	// Unknown: there may have been an earlier file, and nothing is known of it. Every address is then held as if it had
	// been forgotten now, unless the reconciler says that it never saw another inc (Supply.First).
	Unknown bool
	// Leases are those of pods that live: rebuilt from the kernel's marks. One without a network has no known owner.
	Leases []Lease
}

// UnknownAttachment stands for the owner of an address that the kernel had in use and nobody claims.
func UnknownAttachment(a netip.Addr) ipam.Attachment {
	return ipam.Attachment{Network: unknownNetwork, Container: a.String(), IfName: "-"}
}

// Create makes a pool file where there is none; the agent alone does so (protocol a5). The file appears whole or not at
// all.
func Create(ctx context.Context, path string, o Options, now Now, id Identity, past Past) (*Store, error) {
	if id.Instance == "" || id.Boot == "" || id.Inc == "" {
		return nil, fmt.Errorf("cannot make pool file %s: instance %q, boot %q and inc %q must all be known", path, id.Instance, id.Boot, id.Inc)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the pool file: %w", err)
	}
	s := New(path, o)
	unlock, err := s.lock.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot make pool file %s: there is one; move it aside first", path)
	}
	meta, err := s.build(path+".new", now, id, past)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make pool file %s: %w", path, err), os.Remove(path+".new"))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, fmt.Errorf("cannot make pool file %s: %w", path, err)
	}
	s.ring(meta)
	return s, nil
}

func (s *Store) build(path string, now Now, id Identity, past Past) (*Meta, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{Timeout: time.Second, NoSync: true, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	meta := Meta{Instance: id.Instance, Boot: id.Boot, Inc: id.Inc, Type: id.Type, MaxPods: id.MaxPods, Seq: 1,
		Gen: past.Gen, Seen: past.Seen, Created: now.Wall}
	if past.Unknown {
		meta.Hold = &Hold{S0: 1}
	}
	err = db.Update(func(b *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := b.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := b.Bucket(bucketMeta).Put(keySchema, []byte(strconv.Itoa(schema))); err != nil {
			return err
		}
		t := &Tx{path: path, b: b, write: true, meta: meta, dirty: true}
		t.restore(now, past)
		if err := t.flush(); err != nil {
			return err
		}
		meta = t.meta
		return nil
	})
	return &meta, errors.Join(err, db.Close())
}

// restore enters what is known from before the file.
func (t *Tx) restore(now Now, past Past) {
	for _, l := range past.Leases {
		if l.Network == "" && len(l.Addresses) > 0 {
			l.Attachment = UnknownAttachment(l.Addresses[0])
		}
		l.At, l.Wall = now.Boot, now.Wall
		var mine []netip.Addr
		for _, a := range l.Addresses {
			if _, taken := t.address(a); taken {
				continue // two claim it: the first keeps it, and the kernel decides what works
			}
			t.enter(&Address{Address: a, ENI: "", State: ipam.Leased, Lost: true, Owner: l.Attachment})
			mine = append(mine, a)
		}
		slices.SortFunc(mine, byFamily)
		if l.Addresses, l.ENIID = mine, ""; len(mine) > 0 {
			t.put(bucketLeases, leaseKey(l.Attachment), &l)
			t.meta.Leasable = true // it was leased: a full node stays ready while its file is made anew
		}
	}
	for _, f := range past.Fenced {
		t.stub(f)
		t.restoreFence(f)
	}
	for _, h := range past.Held {
		t.stub(h)
		t.hold(h, h.size())
	}
}

// restoreFence fences again what the ledger says, but for what a pod has: that was written down, and not fenced before
// the pod came. The rest of such a prefix is held: it comes back, and nobody may ask EC2 to take it.
func (t *Tx) restoreFence(f Life) {
	addresses := []netip.Addr{f.Address}
	if f.Prefix.IsValid() {
		addresses = addressesOf(f.Prefix)
	}
	taken := slices.ContainsFunc(addresses, func(a netip.Addr) bool { _, ok := t.address(a); return ok })
	switch {
	case taken && f.Prefix.IsValid():
		t.hold(f, f.size())
	case taken:
	default:
		for _, a := range addresses {
			t.enter(&Address{Address: a, ENI: f.ENI, Attachment: f.Attachment, State: ipam.Fenced, Fence: t.bump(), Prefix: f.Prefix})
		}
	}
}

// stub makes a record for an interface that only its addresses are known of, until a supply says more. A life without an
// interface's name has none.
func (t *Tx) stub(l Life) {
	if l.ENI == "" {
		return
	}
	if t.load()[l.ENI] == nil {
		e := &ENI{N: -1}
		e.SuppliedENI.ENI, e.Attachment = l.ENI, l.Attachment
		t.enis[l.ENI] = e
		t.tell(e)
	}
}
