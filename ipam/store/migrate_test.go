package store_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// age turns a pool file into one of schema 1, as the version before wrote it.
func age(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(b *bbolt.Tx) error {
		bucket := func(name string) *bbolt.Bucket { return b.Bucket([]byte(name)) }
		for k, v := range records(bucket("listed")) {
			var l struct {
				Addresses []netip.Addr
				Prefixes  []netip.Prefix
			}
			var e map[string]any
			if err := errorsOf(json.Unmarshal(v, &l), json.Unmarshal(bucket("enis").Get([]byte(k)), &e)); err != nil {
				return err
			}
			for _, p := range l.Prefixes {
				for a := p.Addr(); len(l.Addresses) < 400 && p.Contains(a); a = a.Next() {
					l.Addresses = append(l.Addresses, a)
				}
			}
			e["prefixes"] = l.Prefixes
			for _, field := range []string{"Counts6", "Prefixed", "Prefixed6"} {
				delete(e, field)
			}
			list, _ := json.Marshal(l.Addresses)
			eni, _ := json.Marshal(e)
			if err := errorsOf(bucket("listed").Put([]byte(k), list), bucket("enis").Put([]byte(k), eni)); err != nil {
				return err
			}
		}
		for k, v := range records(bucket("addresses")) {
			var a map[string]any
			if err := json.Unmarshal(v, &a); err != nil {
				return err
			}
			delete(a, "Prefix")
			text, _ := json.Marshal(a)
			if err := bucket("addresses").Put([]byte(k), text); err != nil {
				return err
			}
		}
		var meta map[string]any
		if err := json.Unmarshal(bucket("meta").Get([]byte("meta")), &meta); err != nil {
			return err
		}
		delete(meta, "Pools")
		delete(meta, "Most")
		text, _ := json.Marshal(meta)
		return errorsOf(b.DeleteBucket([]byte("prefixes")), b.DeleteBucket([]byte("order")), b.DeleteBucket([]byte("fenced")),
			bucket("meta").Put([]byte("meta"), text), bucket("meta").Put([]byte("schema"), []byte("1")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func records(b *bbolt.Bucket) map[string][]byte {
	all := map[string][]byte{}
	_ = b.ForEach(func(k, v []byte) error { all[string(k)] = append([]byte{}, v...); return nil })
	return all
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestFileOfTheVersionBefore opens as it stood: by a reader and by a writer first.
func TestFileOfTheVersionBefore(t *testing.T) {
	for _, first := range []string{"a reader", "a writer"} {
		t.Run(first, func(t *testing.T) {
			p := storetest.New(t)
			p.Give(dual(0, 2, "10.110.10.32/28"), dual(1, 4, "10.110.11.32/28", "2001:db8:0:11:1::/80"))
			wish(p, ipam.Release{ENI: "eni-01", Count: 2})
			p.Lease(bridged("one", "b1"))
			for _, c := range []string{"a", "b", "c", "d", "e", "f", "g"} {
				p.Lease(storetest.Request(c))
			}
			p.Release("b")
			r := storetest.Request("six")
			r.Families = []store.Family{store.IPv6}
			p.Lease(r)
			p.Give(dual(0, 2, "10.110.10.32/28"), dual(1, 3, "10.110.11.32/28", "2001:db8:0:11:1::/80"))
			p.Do(func(tx *store.Tx) error {
				tx.Ticket(p.Now, storetest.Request("w"), p.Now.After(time.Minute))
				return nil
			})
			want(t, "something of everything", map[ipam.State]int{ipam.Free: 15 + 13 + 255, ipam.Leased: 8, ipam.Cooling: 1, ipam.Fenced: 1, ipam.Held: 1}, states(p))
			before := p.State()
			age(t, p.Path())
			if first == "a writer" {
				p.Do(func(tx *store.Tx) error { tx.SetHint(29, true); tx.SetHint(29, false); return nil })
			}
			after := p.State()
			ignore := cmpopts.IgnoreFields(store.Meta{}, "Commits", "Pools", "Most", "Seq", "Chance")
			if d := cmp.Diff(before, after, ignore, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("(-before +after):\n%s", d)
			}
			want(t, "and goes on", "10.110.11.36", p.Lease(storetest.Request("next")).Addresses[0].String())
		})
	}
}
