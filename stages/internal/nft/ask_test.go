package nft

import (
	"errors"
	"net/netip"
	"testing"
)

// TestAsk has each of many questions, more than go in one piece, get its own answer.
func TestAsk(t *testing.T) {
	c := inNamespace(t)
	b := &Batch{Table: "enichain-test"}
	b.AddTable("")
	b.AddSet(Set{Name: "addresses", Key: []Type{IPv4Addr}})
	a := netip.MustParseAddr("10.0.0.0")
	var all []*Answer[Element]
	var ask []Question
	for i := range 100 {
		if a = a.Next(); i%2 == 0 {
			b.Add("addresses", Element{Key: Addr(a), Comment: a.String()})
		}
		all = append(all, AskElement("enichain-test", "addresses", Addr(a)))
		ask = append(ask, all[i])
	}
	commit(t, c, b)
	if err := c.Ask(append(ask, AskTable("nat").In(IPv4))...); err != nil {
		t.Fatal(err)
	}
	a = netip.MustParseAddr("10.0.0.0")
	for i, e := range all {
		a = a.Next()
		if there := e.Err == nil && e.Value.Comment == a.String(); there != (i%2 == 0) || !there && !errors.Is(e.Err, ErrNotExist) {
			t.Errorf("element %s: %+v, %v", a, e.Value, e.Err)
		}
	}
	if err := c.Transact("enichain-test", func(b *Batch) error {
		gone := AskTable("enichain-test").In(IPv6)
		if err := c.Ask(gone); err != nil || !errors.Is(gone.Err, ErrNotExist) || b.generation == 0 {
			t.Errorf("Ask = %v, answer %v, at generation %d", err, gone.Err, b.generation)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
