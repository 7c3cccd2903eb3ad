package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// dual is interface n with prefixes of both families.
func dual(n, singles int, delegated ...string) ipam.SuppliedENI {
	e := storetest.ENI(n, singles)
	e.Subnet6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%d::/64", 10+n))
	e.Primary6 = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d::5", 10+n))
	e.Prefixes = prefixes(delegated...)
	return e
}

// TestPickOrderOfPrefixes: prefixes with leases first, those with most before others; then single addresses; then
// prefixes that nobody uses, so that those stay empty and can be given back.
func TestPickOrderOfPrefixes(t *testing.T) {
	p := storetest.New(t)
	p.Give(storetest.ENI(0, 0), dual(1, 2, "10.110.11.32/28", "10.110.11.64/28"))
	next := func(c string) string { return p.Lease(storetest.Request(c)).Addresses[0].String() }
	want(t, "single ones before an empty prefix", []string{"10.110.11.10", "10.110.11.11"}, []string{next("s1"), next("s2")})
	want(t, "the first prefix", "10.110.11.32", next("a1"))
	p.Release("s1")
	p.Pass(time.Minute)
	want(t, "a prefix with leases before single ones", "10.110.11.34", next("a2"))
	for i := 3; i <= 16; i++ {
		next("a" + strconv.Itoa(i))
	}
	want(t, "full: the single one", "10.110.11.10", next("s3"))
	want(t, "then the other prefix", "10.110.11.64", next("b1"))
	want(t, "and on", "10.110.11.66", next("b2"))
	p.Release("a5")
	p.Pass(time.Minute)
	want(t, "15 leases go before 2", "10.110.11.37", next("a17"))
	for i := range 14 {
		p.Release("a" + strconv.Itoa(1+i))
	}
	p.Release("a15")
	p.Release("a17")
	p.Pass(time.Minute)
	want(t, "2 leases go before 1", "10.110.11.67", next("b3"))
	p.Release("a16")
	p.Release("b3")
	p.Pass(time.Minute)
	want(t, "oldest-freed within", "10.110.11.68", next("b4"))
}

func wish(p *storetest.Pool, r ipam.Release) (got []store.Life, refused string) {
	p.T.Helper()
	p.Do(func(tx *store.Tx) error {
		chosen, err := tx.Choose(p.Now, r)
		if err == nil {
			got, err = tx.Fence(p.Now, r, chosen)
		}
		var no *store.WishError
		if errors.As(err, &no) {
			refused = no.Why
			return nil
		}
		return err
	})
	return got, refused
}

func states(p *storetest.Pool) map[ipam.State]int {
	s := p.State()
	n := map[ipam.State]int{}
	for _, a := range s.Addresses {
		n[a.State]++
	}
	for _, h := range s.Held {
		n[ipam.Held] += max(h.N, 1)
	}
	return n
}

// TestPrefixGoesAndComesBackAsOne walks a prefix through A2 and A4.
func TestPrefixGoesAndComesBackAsOne(t *testing.T) {
	for _, tc := range []struct {
		name, prefix string
		size         int
	}{{"IPv4", "10.110.11.32/28", 16}, {"IPv6", "2001:db8:0:11:1::/80", 256}} {
		t.Run(tc.name, func(t *testing.T) {
			p := storetest.New(t)
			primary, e, without := storetest.ENI(0, 1), dual(1, 0, tc.prefix), dual(1, 0)
			p.Give(primary, e)
			r := ipam.Release{ENI: e.ENI, Prefix: e.Prefixes[0]}
			got, refused := wish(p, r)
			want(t, "refused", "", refused)
			want(t, "one entry", 1, len(got))
			want(t, "fenced", map[ipam.State]int{ipam.Free: 1, ipam.Fenced: tc.size}, states(p))
			p.Do(func(tx *store.Tx) error {
				s := tx.Snapshot(p.Now).ENIs[1]
				want(t, "said so", []ipam.PrefixSummary{{Prefix: e.Prefixes[0], Fenced: true}}, s.Prefixes)
				want(t, "and not one by one", 0, len(s.Fenced))
				want(t, "one entry for the ledger", []store.Life{{ENI: e.ENI, Attachment: e.Attachment, Prefix: e.Prefixes[0]}}, tx.Fenced())
				return nil
			})
			got, refused = wish(p, r)
			want(t, "twice is once", 0, len(got)+len(refused))
			p.Give(primary, without)
			want(t, "unassigned", map[ipam.State]int{ipam.Free: 1, ipam.Held: tc.size}, states(p))
			want(t, "one record", 1, len(p.State().Held))
			p.Give(primary, e)
			want(t, "assigned anew, too early", map[ipam.State]int{ipam.Free: 1, ipam.Held: tc.size}, states(p))
			single := dual(1, 0)
			single.Addresses = []netip.Addr{e.Prefixes[0].Addr().Next()}
			p.Give(primary, single)
			want(t, "nor one address of it by itself", map[ipam.State]int{ipam.Free: 1, ipam.Held: tc.size}, states(p))
			p.Pass(store.HoldDown + time.Second)
			p.Give(primary, e)
			want(t, "after its time", map[ipam.State]int{ipam.Free: 1 + tc.size}, states(p))
			want(t, "nothing is left", 0, len(p.State().Held))
		})
	}
}

// TestPrefixUnderPods: what pods have of a prefix that somebody took back is lost, the rest is held as one.
func TestPrefixUnderPods(t *testing.T) {
	p := storetest.New(t)
	e := dual(1, 0, "10.110.11.32/28")
	p.Give(storetest.ENI(0, 0), e)
	p.Lease(storetest.Request("a"))
	p.Lease(storetest.Request("b"))
	p.Release("b") // cools
	p.Give(storetest.ENI(0, 0), dual(1, 0))
	want(t, "taken", map[ipam.State]int{ipam.Leased: 1, ipam.Cooling: 1, ipam.Held: 14}, states(p))
	p.Release("a")
	p.Pass(time.Minute)
	want(t, "after the pods", map[ipam.State]int{ipam.Held: 16}, states(p))
	p.Give(storetest.ENI(0, 0), e)
	p.Pass(store.HoldDown + time.Second)
	p.Give(storetest.ENI(0, 0), e)
	want(t, "back", map[ipam.State]int{ipam.Free: 16}, states(p))
}

func TestWishesForPrefixesThatAreRefused(t *testing.T) {
	mine := netip.MustParsePrefix("10.110.11.32/28")
	for _, tc := range []struct {
		name string
		do   func(*storetest.Pool)
		r    ipam.Release
		want string
	}{
		{"another's", nil, ipam.Release{ENI: "eni-00", Prefix: mine}, "it has no delegated prefix 10.110.11.32/28"},
		{"leased", func(p *storetest.Pool) { p.Lease(storetest.Request("a")) }, ipam.Release{ENI: "eni-01", Prefix: mine},
			"not all of 10.110.11.32/28 is free: 1 leased"},
		{"cooling", func(p *storetest.Pool) { p.Lease(storetest.Request("a")); p.Release("a") }, ipam.Release{ENI: "eni-01", Prefix: mine},
			"not all of 10.110.11.32/28 is free: 1 cooling"},
		{"whole, leased", func(p *storetest.Pool) { p.Lease(storetest.Request("a")) }, ipam.Release{ENI: "eni-01", Whole: true},
			"not all of it is free: 1 leased"},
		{"whole, too young", func(p *storetest.Pool) { p.Supply.Pools[0].MinAge = 2 * time.Hour; p.Accept() },
			ipam.Release{ENI: "eni-01", Whole: true}, "it is 1h0m0s old, the policy says 2h0m0s at least"},
		{"two things", nil, ipam.Release{ENI: "eni-01", Whole: true, Prefix: mine}, "it wishes several things at once"},
		{"two things", nil, ipam.Release{ENI: "eni-01", Count: 1, Prefix: mine}, "it wishes several things at once"},
		{"nothing", nil, ipam.Release{ENI: "eni-01"}, "it wishes 0 addresses, 1 to 16 can be given up at once"},
		{"a bridge's", func(p *storetest.Pool) { p.Lease(bridged("one", "c1")) },
			ipam.Release{ENI: "eni-00", Prefix: netip.MustParsePrefix("10.110.10.32/28")}, "10.110.10.32/28 is the subnet of network one's bridge"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := storetest.New(t)
			p.Give(dual(0, 0, "10.110.10.32/28"), dual(1, 0, "10.110.11.32/28"))
			p.Give(dual(0, 0), dual(1, 0, "10.110.11.32/28")) // pods go to eni-01
			if tc.name == "a bridge's" {
				p = storetest.New(t)
				p.Give(dual(0, 0, "10.110.10.32/28"), dual(1, 0, "10.110.11.32/28"))
			}
			p.Now.Boot += ipam.Instant(time.Hour)
			if tc.do != nil {
				tc.do(p)
			}
			before := states(p)
			_, refused := wish(p, tc.r)
			want(t, "why", tc.want, refused)
			want(t, "no effect", before, states(p))
		})
	}
}

// TestWholeInterfaceOfBothFamilies is given up in one transaction.
func TestWholeInterfaceOfBothFamilies(t *testing.T) {
	p := storetest.New(t)
	e := dual(1, 3, "10.110.11.32/28", "10.110.11.64/28", "2001:db8:0:11:1::/80")
	p.Give(storetest.ENI(0, 1), e)
	p.Now.Boot += ipam.Instant(time.Hour)
	got, refused := wish(p, ipam.Release{ENI: e.ENI, Whole: true})
	want(t, "refused", "", refused)
	want(t, "three addresses, three prefixes", 6, len(got))
	want(t, "all of it", map[ipam.State]int{ipam.Free: 1, ipam.Fenced: 3 + 32 + 256}, states(p))
	p.Do(func(tx *store.Tx) error {
		s := tx.Snapshot(p.Now).ENIs[1]
		want(t, "the snapshot names each", []int{3, 3}, []int{len(s.Fenced), len(s.Prefixes)})
		return nil
	})
	p.Give(storetest.ENI(0, 1))
	want(t, "detached", map[ipam.State]int{ipam.Free: 1, ipam.Held: 291}, states(p))
	want(t, "by few records", 6, len(p.State().Held))
}

// largest is the largest instance type with delegated prefixes: 15 interfaces with 49 places each beside the primary
// address, one of them for a /80 where dual is set.
func largest(dual bool) (enis []ipam.SuppliedENI) {
	for n := range 15 {
		e := storetest.ENI(n, 0)
		e.ENI, e.Attachment = ipam.ENIID(fmt.Sprintf("eni-0123456789abcdef%d", n%10)+string(rune('a'+n))), ipam.AttachmentID(fmt.Sprintf("eni-attach-0123456789abcde%02d", n))
		subnet := netip.AddrFrom4([4]byte{10, 110, byte(16 * n), 0})
		e.Subnet = netip.PrefixFrom(subnet, 20)
		e.Primary, e.Gateway = subnet.Next().Next().Next().Next().Next(), subnet.Next()
		for i := range 49 {
			e.Prefixes = append(e.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 110, byte(16*n + 1 + i/16), byte(i % 16 * 16)}), 28))
		}
		if dual {
			e.Subnet6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%d::/64", 10+n))
			e.Prefixes = append(e.Prefixes, netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%d:abcd::/80", 10+n)))
		}
		enis = append(enis, e)
	}
	return enis
}

// TestSnapshotIsSmall on the largest instance type, whatever its pods do (docs/protocol.md, B5).
func TestSnapshotIsSmall(t *testing.T) {
	p := storetest.New(t)
	p.Supply.Pools = []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4, ipam.IPv6}}}
	p.Give(largest(true)...)
	size := func(what string, most int) {
		t.Helper()
		p.Do(func(tx *store.Tx) error {
			text, err := json.Marshal(tx.Snapshot(p.Now))
			if len(text) > most {
				t.Errorf("%s: %d bytes, want at most %d: %s", what, len(text), most, text)
			}
			t.Logf("%s: %d bytes", what, len(text))
			return err
		})
	}
	p.Now.Boot += ipam.Instant(time.Hour)
	size("all free", 4<<10)
	for i := range 3000 {
		r := storetest.Request("c" + strconv.Itoa(i))
		if i%3 == 0 {
			r.Families = []store.Family{store.IPv4, store.IPv6}
		}
		p.Do(func(tx *store.Tx) error { _, err := tx.Lease(p.Now, r); return err })
	}
	size("3000 pods", 4<<10)
	last := p.Supply.ENIs[14].ENI
	_, refused := wish(p, ipam.Release{ENI: last, Whole: true})
	want(t, "refused", "", refused)
	size("a whole interface given up", 6<<10) // one at a time, and not for long
}

// BenchmarkLease leases and releases on a node with few and with very many addresses: the cost must not differ.
func BenchmarkLease(b *testing.B) {
	few := largest(false)
	for i := range few {
		few[i].Prefixes = few[i].Prefixes[:1]
	}
	for _, bench := range []struct {
		name string
		enis []ipam.SuppliedENI
	}{
		{"1 interface, 20 addresses", []ipam.SuppliedENI{storetest.ENI(0, 20)}},
		{"15 interfaces, 240 addresses", few},
		{"15 interfaces, 11760 addresses", largest(false)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := storetest.New(b, bench.enis...)
			for i := range 10 {
				p.Lease(storetest.Request("old" + strconv.Itoa(i)))
			}
			for b.Loop() {
				p.Lease(storetest.Request("c"))
				p.Release("c")
				p.Now.Boot += ipam.Instant(time.Minute)
			}
		})
	}
}

// BenchmarkAccept takes over a supply in which nothing is new, and says what the node has.
func BenchmarkAccept(b *testing.B) {
	p := storetest.New(b, largest(false)...)
	for i := range 700 {
		p.Lease(storetest.Request("c" + strconv.Itoa(i)))
	}
	b.Run("accept", func(b *testing.B) {
		for b.Loop() {
			p.Accept()
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			p.Do(func(tx *store.Tx) error { tx.Snapshot(p.Now); return nil })
		}
	})
}
