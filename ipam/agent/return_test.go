package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// TestReturnOfAnAddress walks the four steps of protocol A4.
func TestReturnOfAnAddress(t *testing.T) {
	n := ready(t)
	wish := n.supply(eni(0, 5))
	wish.Release = []ipam.Release{{ENI: "eni-00", Count: 1}}
	n.send(wish)
	fenced := n.bus.stream.ENIs[0].Fenced
	if len(fenced) != 1 {
		t.Fatalf("fenced %v", fenced)
	}
	left := eni(0, 5)
	left.Addresses = without(left.Addresses, fenced[0])
	n.send(n.supply(left))
	want := func(what string, states map[ipam.State]int) {
		t.Helper()
		if diff := cmp.Diff(states, n.states()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	want("unassigned", map[ipam.State]int{ipam.Free: 4, ipam.Held: 1})
	early := n.supply(eni(0, 5))
	n.pass(store.HoldDown - 10*time.Second)
	n.send(early)
	want("assigned anew, too early", map[ipam.State]int{ipam.Free: 4, ipam.Held: 1})
	late := n.supply(eni(0, 5)) // based on a snapshot before the end of the hold-down
	n.pass(15 * time.Second)
	n.send(late)
	want("a late message of an early list", map[ipam.State]int{ipam.Free: 4, ipam.Held: 1})
	n.send(n.supply(eni(0, 5)))
	want("a list begun after the hold-down", map[ipam.State]int{ipam.Free: 5})
}

// TestEndOfHoldDownIsSaid is A4's third step: without it the address would wait for the next heartbeat.
func TestEndOfHoldDownIsSaid(t *testing.T) {
	n := ready(t)
	n.shell.core.options.Heartbeat = 24 * time.Hour
	n.connect(false)
	n.connect(true)
	n.send(n.supply(eni(0, 4)))
	n.pass(store.HoldDown + 2*time.Second)
	held := n.state().Held
	if len(held) != 1 || held[0].S1 == 0 {
		t.Fatalf("held %+v", held)
	}
	if n.bus.stream.Seq < held[0].S1 {
		t.Errorf("the stream has seq %d, the hold-down ended with %d", n.bus.stream.Seq, held[0].S1)
	}
}

// TestLinkMadeAnew: the same MAC on another link is a link that nobody has prepared.
func TestLinkMadeAnew(t *testing.T) {
	n := ready(t)
	n.kernel.prepared = map[int]bool{}
	n.kernel.links[0].Index = 99
	n.step(Input{Wake: &Wake{Links: true}})
	n.settle()
	if !n.kernel.prepared[0] {
		t.Error("the new link was not prepared")
	}
}

// TestPrepareIsTriedAgain, ever later.
func TestPrepareIsTriedAgain(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.start()
	n.settle()
	s := n.supply(eni(0, 2))
	s.ENIs[0].MAC = "0a:00:00:00:00:77"
	n.kernel.links = append(n.kernel.links, Link{Name: "eth7", Index: 7, MAC: "0a:00:00:00:00:77", Up: true, N: -1})
	n.step(Input{Wake: &Wake{Links: true}})
	n.settle()
	n.kernel.refuse = errors.New("device or resource busy")
	n.send(s)
	n.pass(time.Minute)
	if got := n.states()[ipam.Pending]; got != 2 {
		t.Errorf("%d pending while the interface cannot be prepared", got)
	}
	tries := 0
	for _, e := range n.did {
		if e.Prepare != nil {
			tries++
		}
	}
	if tries < 4 || tries > 10 {
		t.Errorf("%d tries in a minute", tries)
	}
	n.kernel.refuse = nil
	n.pass(31 * time.Second)
	if got := n.states()[ipam.Free]; got != 2 {
		t.Errorf("%d free once it can", got)
	}
}

// TestHoldDownWaitsForProof is A4's second step: no clock runs before the stream has the snapshot.
func TestHoldDownWaitsForProof(t *testing.T) {
	n := ready(t)
	n.bus.fails = errors.New("no responders")
	gone := n.supply(eni(0, 4))
	n.send(gone)
	n.pass(10 * time.Minute)
	if held := n.state().Held; len(held) != 1 || held[0].Until != 0 {
		t.Fatalf("without proof: %+v", held)
	}
	n.bus.fails = nil
	n.pass(2 * time.Minute)
	if held := n.state().Held; len(held) != 1 || held[0].Until == 0 {
		t.Errorf("with proof: %+v", held)
	}
}

func TestFenceIsInTheLedgerFirst(t *testing.T) {
	n := ready(t)
	wish := n.supply(eni(0, 5))
	wish.Release = []ipam.Release{{ENI: "eni-00", Count: 3}}
	n.send(wish)
	var order []string
	for _, e := range n.did {
		switch {
		case e.Ledger != nil && len(e.Ledger.Fenced) == 3:
			order = append(order, "ledger")
		case e.Fence != nil:
			order = append(order, "fence")
		}
	}
	if len(order) < 2 || order[0] != "ledger" || order[1] != "fence" {
		t.Errorf("order %v", order)
	}
	ledger, found, err := ReadLedger(n.config.LedgerFile)
	if err != nil || !found || len(ledger.Fenced) != 3 {
		t.Errorf("ledger %+v, found %v, %v", ledger, found, err)
	}
}

// TestNoFenceWithoutLedger: a disk that takes no ledger takes no fence either.
func TestNoFenceWithoutLedger(t *testing.T) {
	n := ready(t)
	n.shell.config.LedgerFile = "/dev/null/ledger"
	wish := n.supply(eni(0, 5))
	wish.Release = []ipam.Release{{ENI: "eni-00", Count: 1}}
	n.send(wish)
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
