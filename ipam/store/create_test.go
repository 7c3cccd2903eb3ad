package store_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

func TestRebuilt(t *testing.T) {
	o := store.Options{Boot: storetest.Boot}
	p := storetest.New(t)
	id := store.Identity{Instance: storetest.Instance, Boot: storetest.Boot, Inc: "second"}
	lease := store.Lease{Attachment: storetest.Request("live").Attachment, Addresses: []netip.Addr{netip.MustParseAddr("10.110.10.10")}}
	unknown := store.Lease{Addresses: []netip.Addr{netip.MustParseAddr("10.110.10.11")}}
	if _, err := store.Create(t.Context(), p.Path(), o, p.Now, id, store.Past{}); err == nil {
		t.Fatal("made a pool file over another")
	}
	if err := store.MoveAside(t.Context(), p.Path(), o); err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(t.Context(), p.Path(), o, p.Now, id, store.Past{Unknown: true, Leases: []store.Lease{lease, unknown}})
	if err != nil {
		t.Fatal(err)
	}
	p.Store, p.Supply.Basis.Inc, p.Supply.First = s, "second", false
	p.Give(storetest.ENI(0, 4))
	c := p.State().ENIs[0].Counts
	want(t, "two live on, two are held as if forgotten now", store.Counts{Leased: 2, Held: 2}, c)
	want(t, "same lease", []string{"10.110.10.10"}, texts(p.Lease(storetest.Request("live")).Addresses))
	p.Pass(time.Second) // the kernel has let go of the unknown one
	want(t, "held when it vanished", store.Counts{Leased: 1, Held: 3}, p.State().ENIs[0].Counts)
	p.Supply.First = true
	p.Give(storetest.ENI(0, 5))
	want(t, "a reconciler that saw no other inc waives it for what has no record", 1, p.State().ENIs[0].Counts.Free)
}

// TestRebuiltHeldWithoutInterface: an address can be held before any supply said on which interface it is.
func TestRebuiltHeldWithoutInterface(t *testing.T) {
	o := store.Options{Boot: storetest.Boot}
	p := storetest.New(t)
	id := store.Identity{Instance: storetest.Instance, Boot: storetest.Boot, Inc: "second"}
	if err := store.MoveAside(t.Context(), p.Path(), o); err != nil {
		t.Fatal(err)
	}
	held := storetest.ENI(0, 4).Addresses[0]
	s, err := store.Create(t.Context(), p.Path(), o, p.Now, id, store.Past{Held: []store.Life{{Address: held}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Store, p.Supply.Basis.Inc, p.Supply.First = s, "second", false
	want(t, "no interface is made up for it", 0, len(p.State().ENIs))
	p.Give(storetest.ENI(0, 4))
	want(t, "it is held where it is now; the list proves that its word was heard", store.Counts{Free: 3, Held: 1}, p.State().ENIs[0].Counts)
	p.Pass(store.HoldDown - time.Second)
	p.Accept()
	want(t, "not before its time", store.Counts{Free: 3, Held: 1}, p.State().ENIs[0].Counts)
	p.Pass(time.Second)
	p.Accept()
	want(t, "then a newer list does", store.Counts{Free: 4}, p.State().ENIs[0].Counts)
}
