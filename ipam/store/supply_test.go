package store_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

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
	narrow := storetest.ENI(4, 1)
	narrow.MTU = 575
	p.Supply.ENIs = []ipam.SuppliedENI{e, storetest.ENI(1, 0), wild, bad, narrow}
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
		"eni-04: its MTU 575 is not 576..9001",
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
