package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/enichain/enichain/ipam/store/storetest"
)

// TestBellWhereBothCome rings for a wait that is over: whichever of the two Wait tells, the next one knows nothing of it.
func TestBellWhereBothCome(t *testing.T) {
	p := storetest.New(t, storetest.ENI(0, 200))
	b, err := p.Bell()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	commit := func() {
		p.Lease(storetest.Request("a"))
		p.Release("a")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 90 {
		commit()
		if err := b.Wait(over); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("round %d, a wait that is over: %v", i, err)
		}
		commit()
		if err := b.Wait(t.Context()); err != nil {
			t.Fatalf("round %d, the next: %v", i, err)
		}
	}
}
