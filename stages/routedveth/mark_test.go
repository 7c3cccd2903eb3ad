package routedveth_test

import (
	"fmt"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// TestAddBesidePrepare: an ADD whose network interface's link has just come (it was attached anew, say) waits for the
// agent to mark it, whichever of the two is first.
func TestAddBesidePrepare(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	for round := range 10 {
		n.in(func() error { return routedveth.Forget(t.Context(), 1) })
		r := request(t, fmt.Sprint("c", round), linktest.New(t), onENI("eth1", mac1, fmt.Sprintf("10.0.1.%d", 100+round)))
		prepared := make(chan error)
		go func() { prepared <- n.try(func() error { return routedveth.Prepare(t.Context(), eni1) }) }()
		added := n.add(r)
		if err := <-prepared; err != nil {
			t.Fatal(err)
		}
		if err := n.check(r, added); err != nil {
			t.Error(err)
		}
		n.in(func() error { return routedveth.Verify(t.Context(), eni1) })
	}
}

// TestAddSaysWhatLacks: an IPv6 address on a network interface that has none of its own.
func TestAddSaysWhatLacks(t *testing.T) {
	n := newNode(t, setup6)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	_, err := n.tryAdd(request(t, "c1", linktest.New(t), onENI("eth1", mac1, "10.0.1.21", "fd00:2::21")))
	if f := isToken(err, stages.ENINotReady, "packets with mark 0x1 do not leave by it; see: ip -6 rule; ip -6 route show table 1001"); f != "" {
		t.Error(f)
	}
}
