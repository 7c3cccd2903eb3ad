package store_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, p := range texts {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// bridged asks for an address in a bridge's subnet.
func bridged(network, container string) store.LeaseRequest {
	r := storetest.Request(container)
	r.Network, r.Prefix = network, true
	return r
}

func TestPrefixIsNotBelieved(t *testing.T) {
	e := storetest.ENI(0, 1)
	e.Prefixes = prefixes("10.110.10.0/28", "10.110.10.240/28", "10.110.10.33/28", "10.110.10.32/27", "10.110.11.32/28",
		"fd00::/80", "10.110.10.32/28", "10.110.10.32/28")
	p := storetest.New(t)
	var got []string
	p.Supply.ENIs = []ipam.SuppliedENI{e}
	for _, r := range p.Accept() {
		got = append(got, r.Reason)
	}
	want(t, "refusals", []string{
		"delegated prefix 10.110.10.0/28: 10.110.10.0 in it is one of the five addresses that 10.110.10.0/24 reserves",
		"delegated prefix 10.110.10.240/28: 10.110.10.255 in it is one of the five addresses that 10.110.10.0/24 reserves",
		"delegated prefix 10.110.10.33/28: want a /28 without bits behind it",
		"delegated prefix 10.110.10.32/27: want a /28 without bits behind it",
		"delegated prefix 10.110.11.32/28: it is not in the interface's subnet 10.110.10.0/24",
		"delegated prefix fd00::/80: it is not in the interface's subnet invalid Prefix",
		"delegated prefix 10.110.10.32/28: it is listed twice",
	}, got)
	want(t, "one single address and sixteen of the prefix", 17, p.State().ENIs[0].Counts.Pending)
}

// TestPrefixIsGivenBackWhole: no address of one is ever fenced by itself; EC2 could not take it.
func TestPrefixIsGivenBackWhole(t *testing.T) {
	p := storetest.New(t)
	e := storetest.ENI(1, 2)
	e.Prefixes = prefixes("10.110.11.32/28")
	p.Give(storetest.ENI(0, 1), e)
	p.Do(func(tx *store.Tx) error {
		chosen, err := tx.Choose(p.Now, ipam.Release{ENI: e.ENI, Count: store.Batch})
		want(t, "the single ones alone", 2, len(chosen))
		return err
	})
	p.Lease(storetest.Request("c1"))
	for range 18 { // the whole prefix of a secondary interface serves pods
		p.Lease(storetest.Request("c" + time.Duration(p.Now.Boot).String()))
		p.Now.Boot++
	}
	p.Do(func(tx *store.Tx) error {
		s := tx.Snapshot(p.Now).ENIs[1]
		want(t, "leased, free, single", []int{18, 0, 0}, []int{s.Leased, s.Free, s.Single})
		want(t, "none can be given up", 0, len(s.Prefixes))
		return nil
	})
	p.Give(storetest.ENI(0, 1), storetest.ENI(1, 2)) // somebody took it back under pods
	want(t, "its leases are lost, not gone", 16, p.State().ENIs[1].Counts.Lost)
}

// TestBridge: a prefix is one network's subnet while that has pods there, also after the file was made anew.
func TestBridge(t *testing.T) {
	p := storetest.New(t)
	e := storetest.ENI(0, 0)
	e.Prefixes = prefixes("10.110.10.32/28")
	p.Give(e)
	one := p.Lease(bridged("one", "c1"))
	want(t, "address", []string{"10.110.10.34"}, texts(one.Addresses))
	want(t, "gateway", []string{"10.110.10.33"}, texts(one.Gateways))
	refused := func(r store.LeaseRequest) {
		t.Helper()
		p.Do(func(tx *store.Tx) error {
			_, err := tx.Lease(p.Now, r)
			empty(t, err)
			return nil
		})
	}
	refused(bridged("two", "c2"))
	refused(storetest.Request("c3"))
	counts := func() []int { // leased, free, and of those kept for bridges
		var s ipam.ENISummary
		p.Do(func(tx *store.Tx) error { s = tx.Snapshot(p.Now).ENIs[0]; return nil })
		return []int{s.Leased, s.Free, s.Kept}
	}
	want(t, "all that is free is kept", []int{1, 15, 15}, counts())
	p.Do(func(tx *store.Tx) error {
		tx.Ticket(p.Now, bridged("two", "c2"), p.Now.After(time.Minute))
		want(t, "who waits for a prefix is counted apart", []ipam.PoolSummary{{Name: "default", WaitingPrefix: 1}}, tx.Snapshot(p.Now).Pools)
		tx.Drop(p.Now, bridged("two", "c2"), "test")
		return nil
	})

	o := store.Options{Boot: storetest.Boot}
	if err := store.MoveAside(t.Context(), p.Path(), o); err != nil {
		t.Fatal(err)
	}
	id := store.Identity{Instance: storetest.Instance, Boot: storetest.Boot, Inc: "second"}
	rebuilt := store.Lease{Attachment: one.Attachment, Addresses: one.Addresses, Prefixes: prefixes("10.110.10.32/28")}
	s, err := store.Create(t.Context(), p.Path(), o, p.Now, id, store.Past{Leases: []store.Lease{rebuilt}})
	if err != nil {
		t.Fatal(err)
	}
	p.Store, p.Supply.Basis.Inc, p.Supply.First = s, "second", false
	want(t, "a full node stays ready", true, p.State().Meta.Leasable)
	p.Give(e)
	refused(bridged("two", "c2"))
	refused(storetest.Request("c3"))
	want(t, "the network's next pod", []string{"10.110.10.35"}, texts(p.Lease(bridged("one", "c4")).Addresses))
	for _, c := range []string{"c1", "c4"} {
		p.Do(func(tx *store.Tx) error { tx.Release(p.Now, bridged("one", c).Attachment, ""); return nil })
	}
	want(t, "given back", 0, len(p.State().ENIs[0].Bridges))
	p.Pass(time.Hour)
	want(t, "all of it", []int{0, 16, 0}, counts())
	r := bridged("two", "c5")
	r.Want = []netip.Addr{netip.MustParseAddr("10.110.10.47")} // the subnet's broadcast address
	p.Do(func(tx *store.Tx) error {
		_, err := tx.Lease(p.Now, r)
		want(t, "by name", "cannot lease 10.110.10.47: it is in no delegated prefix that can be the subnet of network two", err.Error())
		r.Want[0] = netip.MustParseAddr("10.110.10.46")
		_, err = tx.Lease(p.Now, r)
		return err
	})
}
