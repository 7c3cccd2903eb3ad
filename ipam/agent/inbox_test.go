package agent

import (
	"testing"

	"github.com/enichain/enichain/ipam"
)

func TestInboxDoesNotGrow(t *testing.T) {
	b := newInbox()
	for i := range 1000 {
		b.put(Input{Bell: true})
		b.put(Input{Wake: &Wake{Links: i%2 == 0}})
		b.put(Input{Supply: &ipam.Supply{Rev: uint64(i)}})
	}
	b.put(Input{Published: &Published{Seq: 7}})
	got := b.take()
	if len(got) != 1+2+inboxSupplies+1 {
		t.Errorf("%d inputs wait", len(got))
	}
	newest := uint64(0)
	for _, in := range got {
		if in.Supply != nil {
			newest = max(newest, in.Supply.Rev)
		}
	}
	if newest != 999 {
		t.Errorf("the newest supply is %d, want 999", newest)
	}
	if left := b.take(); len(left) != 0 {
		t.Errorf("taken twice: %v", left)
	}
}
