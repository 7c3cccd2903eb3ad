package store_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

func texts(addresses []netip.Addr) (out []string) {
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return out
}

func want[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func empty(t *testing.T, err error) *store.EmptyError {
	t.Helper()
	var e *store.EmptyError
	if !errors.As(err, &e) {
		t.Fatalf("want *EmptyError, got %v", err)
	}
	return e
}

func TestLeaseTwiceIsOne(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 2))
	a, b := p.Lease(storetest.Request("a")), p.Lease(storetest.Request("a"))
	if a.Repeated || !b.Repeated || !slices.Equal(a.Addresses, b.Addresses) {
		t.Errorf("first %+v, second %+v", a, b)
	}
	if got := len(p.State().Leases); got != 1 {
		t.Errorf("%d leases, want 1", got)
	}
}

func TestPickOrder(t *testing.T) {
	p := storetest.New(t, storetest.ENI(1, 2), storetest.ENI(0, 3))
	var got []string
	for _, c := range []string{"a", "b", "c", "d"} {
		got = append(got, texts(p.Lease(storetest.Request(c)).Addresses)...)
	}
	want(t, "primary first, then by device", []string{"10.110.10.10", "10.110.10.11", "10.110.10.12", "10.110.11.10"}, got)

	p.Release("c")
	p.Pass(time.Second)
	p.Release("a")
	p.Pass(time.Minute)
	got = nil
	for _, c := range []string{"e", "f", "g"} {
		got = append(got, texts(p.Lease(storetest.Request(c)).Addresses)...)
	}
	want(t, "oldest-freed first", []string{"10.110.10.12", "10.110.10.10", "10.110.11.11"}, got)
}

func TestKernelHasIt(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 2))
	used := netip.MustParseAddr("10.110.10.10")
	inUse := func(a netip.Addr) bool { return a == used }
	r := storetest.Request("a")
	r.InUse = inUse
	want(t, "the used one is passed over", []string{"10.110.10.11"}, texts(p.Lease(r).Addresses))
	r = storetest.Request("b")
	r.InUse = inUse
	p.Do(func(tx *store.Tx) error { _, err := tx.Lease(p.Now, r); empty(t, err); return nil })
	if a := p.State().Addresses[0]; !a.Flagged || a.State != ipam.Free {
		t.Errorf("%+v is not flagged", a)
	}
	used = netip.Addr{}
	p.Pass(time.Minute)
	want(t, "and comes back when the kernel lets go", []string{"10.110.10.10"}, texts(p.Lease(r).Addresses))
}

func TestCooling(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 1))
	p.Lease(storetest.Request("a"))
	p.Release("a")
	p.Release("a") // twice is once
	now := p.Now
	try := func(d time.Duration) (l store.Lease, err error) {
		p.Do(func(tx *store.Tx) error {
			l, err = tx.Lease(store.Now{Boot: now.After(d), Wall: now.Wall}, storetest.Request("b"))
			return nil
		})
		return l, err
	}
	_, err := try(29 * time.Second)
	if e := empty(t, err); e.NextCool != now.After(30*time.Second) {
		t.Errorf("next cool %v", e.NextCool)
	}
	l, err := try(30 * time.Second) // no agent has ticked: eni-ipam takes it itself
	if err != nil || l.Addresses[0].String() != "10.110.10.10" {
		t.Errorf("after its time: %v, %v", l.Addresses, err)
	}
}

func TestTicketsAreServedInOrder(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 1))
	p.Lease(storetest.Request("holder"))
	lease := func(c string) (err error) {
		p.Do(func(tx *store.Tx) error { _, err = tx.Lease(p.Now, storetest.Request(c)); return nil })
		return err
	}
	ticket := func(c string, d time.Duration) {
		p.Do(func(tx *store.Tx) error { tx.Ticket(p.Now, storetest.Request(c), p.Now.After(d)); return nil })
	}
	ticket("first", 20*time.Second)
	ticket("second", 50*time.Second)
	ticket("third", 5*time.Minute)
	if k := p.State().Tickets[2]; k.Deadline != p.Now.After(store.MaxTicket) {
		t.Errorf("third may wait until %v", k.Deadline)
	}
	p.Give(storetest.ENI(0, 2))
	if e := empty(t, lease("late")); e.Ahead != 3 {
		t.Errorf("late has %d ahead, want 3", e.Ahead)
	}
	if e := empty(t, lease("second")); e.Ahead != 1 {
		t.Errorf("second has %d ahead, want 1", e.Ahead)
	}
	if err := lease("first"); err != nil {
		t.Errorf("first: %v", err)
	}
	p.Give(storetest.ENI(0, 4)) // two free for second and third: both may come, in any order
	if err := errors.Join(lease("third"), lease("second")); err != nil {
		t.Error(err)
	}
	if n := len(p.State().Tickets); n != 0 {
		t.Errorf("%d tickets left", n)
	}
	ticket("killed", 20*time.Second)
	empty(t, lease("late"))
	p.Now.Boot = p.Now.After(21 * time.Second)
	p.Give(storetest.ENI(0, 5))
	if err := lease("late"); err != nil {
		t.Errorf("a dead ticket is in the way: %v", err)
	}
}

func TestGatewayIsSharedAndEndsWithItsLastUser(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 3), storetest.ENI(1, 3))
	r := func(c string) store.LeaseRequest { r := storetest.Request(c); r.Gateway = true; return r }
	a, b := p.Lease(r("a")), p.Lease(r("b"))
	want(t, "gateway", texts(a.Gateways), texts(b.Gateways))
	if a.ENI.N != 0 || b.ENI.N != 0 || a.Addresses[0] == a.Gateways[0] {
		t.Errorf("a %v, b %v, gateway %v", a.Addresses, b.Addresses, a.Gateways)
	}
	p.Do(func(tx *store.Tx) error { _, err := tx.Lease(p.Now, r("c")); empty(t, err); return nil }) // never another ENI
	p.Release("a")
	if n := len(p.State().Leases); n != 2 {
		t.Errorf("%d leases, want b's and the gateway's", n)
	}
	p.Release("b")
	if n := len(p.State().Leases); n != 0 {
		t.Errorf("%d leases left", n)
	}
}

func TestDualStackComesFromOneInterface(t *testing.T) {
	six := func(e ipam.SuppliedENI, n int) ipam.SuppliedENI {
		e.Subnet6 = netip.MustParsePrefix("2001:db8:110:a::/64")
		for i := range n {
			e.Addresses = append(e.Addresses, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 0x10, 0, 0xa, 15: byte(16*e.Device + 5 + i)}))
		}
		return e
	}
	p := storetest.New(t, six(storetest.ENI(0, 2), 0), six(storetest.ENI(1, 2), 1))
	r := storetest.Request("a")
	r.Families = []store.Family{store.IPv6, store.IPv4}
	want(t, "both of eth1, IPv4 first", []string{"10.110.11.10", "2001:db8:110:a::15"}, texts(p.Lease(r).Addresses))
	r = storetest.Request("b")
	r.Families = []store.Family{store.IPv4, store.IPv6}
	p.Do(func(tx *store.Tx) error { _, err := tx.Lease(p.Now, r); empty(t, err); return nil })
	want(t, "nothing taken of the family there is", 1, len(p.State().Leases))
}

func TestAskedForByName(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 2), storetest.ENI(1, 2))
	p.Lease(storetest.Request("a"))
	tests := []struct{ name, address, why string }{
		{"free", "10.110.11.11", ""},
		{"leased", "10.110.10.10", "cannot lease 10.110.10.10: it is leased to enichain/a/eth0"},
		{"a stranger", "10.110.99.1", "cannot lease 10.110.99.1: this node has no such address"},
		{"a primary", "10.110.10.5", "cannot lease 10.110.10.5: this node has no such address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := storetest.Request("named-" + tt.name)
			r.Want = []netip.Addr{netip.MustParseAddr(tt.address)}
			var err error
			p.Do(func(tx *store.Tx) error { _, err = tx.Lease(p.Now, r); return nil })
			got := ""
			if err != nil {
				got = err.Error()
			}
			want(t, "error", tt.why, got)
		})
	}
}

func TestCollect(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 5))
	p.Lease(storetest.Request("kept"))
	p.Lease(storetest.Request("stale"))
	other := storetest.Request("other")
	other.Network = "enichain2"
	p.Lease(other)
	started := p.Now.After(5 * time.Minute)
	p.Pass(4 * time.Minute)
	p.Lease(storetest.Request("young"))
	p.Pass(time.Minute)
	collect := func(keep []ipam.Attachment) (names []string) {
		p.Do(func(tx *store.Tx) error {
			for _, l := range tx.Collect(p.Now, "enichain", keep, started, "gc") {
				names = append(names, l.Container)
			}
			return nil
		})
		return names
	}
	want(t, "no list, nothing goes", nil, collect(nil))
	want(t, "stale ones go", []string{"stale"}, collect([]ipam.Attachment{storetest.Request("kept").Attachment}))
	want(t, "an empty list keeps none", []string{"kept"}, collect([]ipam.Attachment{}))
}

func TestOutboxIsARing(t *testing.T) {
	p := storetest.New(t)
	p.Do(func(tx *store.Tx) error {
		for range store.OutboxSize + 10 {
			tx.Append(p.Now, ipam.Record{Verb: ipam.KernelRepaired})
		}
		records, dropped := tx.Outbox(0, 0)
		if len(records) != store.OutboxSize || dropped != 10 || records[0].N != 11 || records[0].Boot != storetest.Boot {
			t.Errorf("%d records from %d on, %d dropped", len(records), records[0].N, dropped)
		}
		tx.Acknowledge(1030)
		records, _ = tx.Outbox(0, 2)
		if tx.Pending() != 4 || len(records) != 2 || records[0].N != 1031 {
			t.Errorf("%d pending, then %+v", tx.Pending(), records)
		}
		return nil
	})
}

func TestSupplyIsNotBelieved(t *testing.T) {
	p := storetest.New(t)
	e := storetest.ENI(0, 2)
	for _, a := range []string{"10.110.10.0", "10.110.10.3", "10.110.10.255", "10.110.10.5", "10.110.12.7", "10.110.11.5", "10.110.10.77"} {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
	}
	wild, bad := storetest.ENI(2, 1), storetest.ENI(3, 1)
	wild.Subnet, wild.Primary = netip.MustParsePrefix("192.168.0.0/24"), netip.MustParseAddr("192.168.0.9")
	bad.MAC = "02:00:00:00:00:0G"
	p.Do(func(tx *store.Tx) error {
		_, err := tx.Links(p.Now, []store.Link{{MAC: e.MAC, Name: "eth0", N: -1, Ready: true, Addresses: []netip.Addr{netip.MustParseAddr("10.110.10.77")}}})
		return err
	})
	var got []string
	p.Supply.ENIs = []ipam.SuppliedENI{e, storetest.ENI(1, 0), wild, bad}
	for _, r := range p.Accept() {
		got = append(got, r.String())
	}
	want(t, "refusals", []string{
		"eni-00 10.110.10.0: it is one of the five addresses that 10.110.10.0/24 reserves",
		"eni-00 10.110.10.3: it is one of the five addresses that 10.110.10.0/24 reserves",
		"eni-00 10.110.10.255: it is one of the five addresses that 10.110.10.0/24 reserves",
		"eni-00 10.110.10.5: it is the primary address of eni-00",
		"eni-00 10.110.12.7: it is not in the interface's subnet 10.110.10.0/24",
		"eni-00 10.110.11.5: it is not in the interface's subnet 10.110.10.0/24",
		"eni-00 10.110.10.77: the kernel has it on eth0",
		"eni-02: its subnet 192.168.0.0/24 is in none of the VPC's networks",
		`eni-03: its MAC "02:00:00:00:00:0G" is not six bytes in lower case with colons`,
	}, got)
	want(t, "what is left", 2, p.State().ENIs[0].Counts.Free)

	before := p.State()
	for name, alter := range map[string]func(*ipam.Supply){
		"another node's": func(s *ipam.Supply) { s.Instance = "i-other" },
		"another inc's":  func(s *ipam.Supply) { s.Basis.Inc = "x" },
		"seen already":   func(s *ipam.Supply) { s.Rev-- },
		"of the future":  func(s *ipam.Supply) { s.Basis.Seq = 1 << 40 },
	} {
		s := p.Supply
		s.Rev++
		s.ENIs = nil
		alter(&s)
		p.Do(func(tx *store.Tx) error {
			var refused *store.RefusedError
			if _, _, err := tx.Accept(p.Now, s); !errors.As(err, &refused) {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
	}
	if d := cmp.Diff(before, p.State(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("a refused supply changed something:\n%s", d)
	}
}

func TestReturnOfAnAddress(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 2), storetest.ENI(1, 1))
	wish := ipam.Release{ENI: "eni-01", Whole: true}
	p.Do(func(tx *store.Tx) error {
		chosen, err := tx.Choose(p.Now, wish)
		if err != nil {
			return err
		}
		_, err = tx.Fence(p.Now, wish, chosen)
		return err
	})
	one := storetest.ENI(1, 1)
	one.Addresses = nil
	p.Give(storetest.ENI(0, 2), one)
	held := p.State().Held
	if len(held) != 1 || held[0].Until == 0 {
		// the supply's basis was the seq of the fence, not of forgetting it: no proof yet
		p.Do(func(tx *store.Tx) error { tx.Proof(p.Now, tx.Unproven()); return nil })
	}
	p.Give(storetest.ENI(0, 2), storetest.ENI(1, 1))
	want(t, "held back", 1, len(p.State().Held))
	p.Pass(store.HoldDown - time.Second)
	want(t, "not over", uint64(0), p.State().Held[0].S1)
	p.Pass(2 * time.Second)
	s1 := p.State().Held[0].S1
	if s1 == 0 || p.State().Meta.Seq < s1 {
		t.Fatalf("after the hold-down: %+v", p.State().Held[0])
	}
	p.Supply.Rev++ // based on a snapshot from before
	p.Supply.Basis.Seq = s1 - 1
	p.Do(func(tx *store.Tx) error { _, _, err := tx.Accept(p.Now, p.Supply); return err })
	want(t, "still held", 1, len(p.State().Held))
	p.Give(storetest.ENI(0, 2), storetest.ENI(1, 1))
	s := p.State()
	want(t, "nothing held", 0, len(s.Held))
	want(t, "free again", ipam.Free, s.Addresses[len(s.Addresses)-1].State)
}

func TestDetachedAndAttachedAgain(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 0), storetest.ENI(1, 2))
	p.Lease(storetest.Request("a"))
	p.Links(storetest.ENI(0, 0))
	s := p.State()
	want(t, "the lease is lost, not gone", store.Counts{Leased: 1, Lost: 1, Held: 1}, s.ENIs[1].Counts)
	again := storetest.ENI(1, 2)
	again.Attachment = "eni-attach-again"
	p.Give(storetest.ENI(0, 0), again)
	s = p.State()
	want(t, "found again", store.Counts{Leased: 1, Held: 1}, s.ENIs[1].Counts)
	want(t, "same n", 1, s.ENIs[1].N)
	want(t, "three lives seen", uint64(3), s.Meta.Gen)
}

func TestRebuilt(t *testing.T) {
	o := store.Options{Boot: storetest.Boot, NoSync: true}
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
	o := store.Options{Boot: storetest.Boot, NoSync: true}
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
