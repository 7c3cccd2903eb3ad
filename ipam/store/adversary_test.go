package store_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// TestLateSupplyAfterAPartCameBack: a held prefix of which one address comes back by itself is held on for the rest of it:
// a supply that rests on an older list, however new it is, brings nothing back (protocol A4, step 4).
func TestLateSupplyAfterAPartCameBack(t *testing.T) {
	p := storetest.New(t)
	primary, e := storetest.ENI(0, 1), dual(1, 0, "10.110.11.32/28")
	p.Give(primary, e)
	p.Supply.First = false
	if _, refused := wish(p, ipam.Release{ENI: e.ENI, Prefix: e.Prefixes[0]}); refused != "" {
		t.Fatal(refused)
	}
	p.Give(primary, dual(1, 0))
	old := p.Supply.Basis.Seq
	p.Give(primary, dual(1, 0)) // read what was forgotten: the hold-down begins
	p.Pass(store.HoldDown + time.Second)
	single := dual(1, 0)
	single.Addresses = []netip.Addr{netip.MustParseAddr("10.110.11.33")}
	p.Give(primary, single)
	want(t, "one is back", map[ipam.State]int{ipam.Free: 2}, states(p))
	p.Do(func(tx *store.Tx) error {
		late := p.Supply
		late.ENIs = []ipam.SuppliedENI{primary, e}
		p.Supply.Rev++
		late.Rev, late.Basis.Seq = p.Supply.Rev, old
		_, _, err := tx.Accept(p.Now, late)
		return err
	})
	if got := states(p); got[ipam.Pending]+got[ipam.Free] > 2 {
		t.Errorf("a late supply brings the rest back: %v", got)
	}
}
