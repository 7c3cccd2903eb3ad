package store_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
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

// TestNoCooling: a pool whose policy wants none has none; 30 s are for a pool that nobody has told of.
func TestNoCooling(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 1))
	p.Supply.Pools[0].Cooldown = 0
	p.Accept()
	first := p.Lease(storetest.Request("a"))
	p.Release("a")
	if next := p.Lease(storetest.Request("b")); next.Addresses[0] != first.Addresses[0] {
		t.Errorf("%v after %v", next.Addresses, first.Addresses)
	}
	p.Supply.Pools = nil
	p.Accept()
	p.Release("b")
	p.Do(func(tx *store.Tx) error {
		_, err := tx.Lease(p.Now, storetest.Request("c"))
		if e := empty(t, err); e.NextCool != p.Now.After(store.DefaultCooldown) {
			t.Errorf("without a policy: next cool %v", e.NextCool)
		}
		return nil
	})
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
