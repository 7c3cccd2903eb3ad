package agent

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

type recordFunc func([]byte)

func (f recordFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func outOf(t *testing.T, text []byte) []Effect {
	t.Helper()
	var turn Turn
	if err := json.Unmarshal(text, &turn); err != nil {
		t.Fatal(err)
	}
	return turn.Out
}

// ready is a node with one attached ENI and five warm addresses.
func ready(t *testing.T) *node {
	t.Helper()
	n := newNode(t, 1)
	n.attach(0)
	n.start()
	n.settle()
	n.send(n.supply(eni(0, 5)))
	return n
}

func TestSupplyBecomesWarm(t *testing.T) {
	n := ready(t)
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if !n.kernel.prepared[0] {
		t.Error("the ENI was not prepared")
	}
	if got := n.bus.stream.Seen; got != (ipam.Seen{Epoch: 1, Rev: 1}) {
		t.Errorf("the stream has seen %+v", got)
	}
	if got := n.bus.verbs()[ipam.ENIAttached]; got != 1 {
		t.Errorf("%d events eni.attached", got)
	}
}

func TestPendingUntilTheLinkIsThere(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.start()
	n.settle()
	n.send(n.supply(eni(0, 2), eni(1, 3)))
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 2, ipam.Pending: 3}, n.states()); diff != "" {
		t.Fatalf("before the link (-want +got):\n%s", diff)
	}
	n.attach(1)
	n.step(Input{Wake: &Wake{Links: true}})
	n.settle()
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
		t.Fatalf("with the link (-want +got):\n%s", diff)
	}
	n.detach(1)
	n.step(Input{Wake: &Wake{Links: true}})
	n.settle()
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 2, ipam.Held: 3}, n.states()); diff != "" {
		t.Errorf("after the link (-want +got):\n%s", diff)
	}
	if n.kernel.prepared[1] {
		t.Error("the ENI that went was not forgotten")
	}
}

func TestRefusedSupplies(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*ipam.Supply)
	}{
		{"another instance's", func(s *ipam.Supply) { s.Instance = "i-other" }},
		{"another inc's", func(s *ipam.Supply) { s.Basis.Inc = "inc-0" }},
		{"an old one", func(s *ipam.Supply) { s.Rev = 1 }},
		{"one based on what was not said yet", func(s *ipam.Supply) { s.Basis.Seq += 1000 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ready(t)
			s := n.supply(eni(0, 9))
			tc.spoil(&s)
			n.send(s)
			if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPublishOccasions is the table of protocol a4.
func TestPublishOccasions(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*node)
		want int
	}{
		{"nothing", func(n *node) {}, 0},
		{"a lease that crosses nothing", func(n *node) { n.mustAdd("a") }, 0},
		{"free falls below low", func(n *node) { n.mustAdd("a"); n.mustAdd("b"); n.mustAdd("c"); n.mustAdd("d") }, 1},
		{"a pod waits", func(n *node) { n.wait("w") }, 1},
		{"a pod waits and gives up", func(n *node) { n.wait("w"); n.pass(time.Second); n.giveUp("w") }, 2},
		{"seen changes", func(n *node) { n.send(n.supply(eni(0, 5))) }, 1},
		{"free rises above high", func(n *node) { n.send(n.supply(eni(0, 9))) }, 1},
		{"fenced changes", func(n *node) {
			s := n.supply(eni(0, 5))
			s.Release = []ipam.Release{{ENI: "eni-00", Count: 1}}
			n.send(s)
		}, 2},
		{"the bus comes back", func(n *node) { n.connect(false); n.connect(true) }, 1},
		{"the bus is away", func(n *node) { n.connect(false); n.wait("w"); n.pass(time.Hour) }, 0},
		{"an interface becomes empty", func(n *node) {
			n.mustAdd("a")
			n.connect(false)
			n.connect(true)
			n.pass(time.Second)
			n.del("a")
			n.pass(40 * time.Second)
		}, 2}, // one of them for the bus
		{"drained", func(n *node) { n.step(Input{Hint: &Hint{MaxPods: 29, Unschedulable: true}}) }, 1},
		{"heartbeats", func(n *node) { n.pass(10 * time.Minute) }, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ready(t)
			if tc.name != "heartbeats" {
				n.shell.core.options.Heartbeat = time.Hour
				n.connect(false)
				n.connect(true)
			}
			n.pass(2 * time.Second)
			before := n.bus.snapshots
			tc.do(n)
			n.pass(2 * time.Second)
			got := n.bus.snapshots - before
			if tc.name == "heartbeats" && got >= 8 && got <= 13 {
				return // 60 s ± 20 %
			}
			if got != tc.want {
				t.Errorf("%d snapshots, want %d", got, tc.want)
			}
		})
	}
}

func (n *node) mustAdd(container string) {
	n.t.Helper()
	if _, err := n.add(container); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) wait(container string) {
	n.t.Helper()
	if err := n.update(func(tx *store.Tx) error {
		tx.Ticket(n.now, n.request(container), n.now.After(20*time.Second))
		return nil
	}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) giveUp(container string) {
	n.t.Helper()
	if err := n.update(func(tx *store.Tx) error { tx.Drop(n.now, n.request(container), "tired"); return nil }); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) connect(up bool) {
	n.bus.up = up
	n.step(Input{Bus: &BusState{Up: up}})
}

func TestPublishGap(t *testing.T) {
	n := ready(t)
	n.pass(2 * time.Second)
	before := n.bus.snapshots
	for i := range 20 { // 20 changes within 200 ms
		n.wait(string(rune('a' + i)))
		n.pass(10 * time.Millisecond)
	}
	if got := n.bus.snapshots - before; got > 2 {
		t.Errorf("%d snapshots within 200 ms", got)
	}
	n.settle()
	if n.bus.stream.Waiting != 20 {
		t.Errorf("the stream says %d waiting, want 20", n.bus.stream.Waiting)
	}
}

func TestFailedPublishIsNoStorm(t *testing.T) {
	n := ready(t)
	n.bus.fails = errors.New("no responders")
	before := len(n.did)
	n.wait("w")
	n.pass(10 * time.Minute)
	tries := 0
	for _, e := range n.did[before:] {
		if e.Publish != nil {
			tries++
		}
	}
	if tries < 5 || tries > 40 {
		t.Errorf("%d tries in 10 minutes", tries)
	}
	n.bus.fails = nil
	n.pass(time.Minute)
	if n.bus.stream.Seq != n.state().Meta.Seq {
		t.Errorf("the stream has seq %d, the pool %d", n.bus.stream.Seq, n.state().Meta.Seq)
	}
}

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

func TestCoolingRipens(t *testing.T) {
	n := ready(t)
	a, err := n.add("a")
	if err != nil {
		t.Fatal(err)
	}
	n.kernel.wire("a", a)
	n.del("a")
	n.pass(29 * time.Second)
	if got := n.states()[ipam.Cooling]; got != 1 {
		t.Fatalf("after 29 s %d cool", got)
	}
	n.pass(5 * time.Second)
	if got := n.states()[ipam.Cooling]; got != 1 {
		t.Fatalf("%d cool while the kernel routes the address", got)
	}
	n.kernel.cut("a")
	n.pass(15 * time.Second)
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDeadPodsAreSwept: a runtime that forgot a sandbox never asks for its DEL again.
func TestDeadPodsAreSwept(t *testing.T) {
	n := ready(t)
	dead := n.request("dead")
	dead.Netns = "/proc/self/ns/no-such"
	unseen := n.request("unseen")
	unseen.Netns = "/no-such-folder/ns"
	wired := n.request("wired")
	wired.Netns = "/proc/self/ns/no-such"
	if err := n.update(func(tx *store.Tx) error {
		for _, r := range []store.LeaseRequest{dead, unseen, wired, n.request("lives")} {
			l, err := tx.Lease(n.now, r)
			if err != nil {
				return err
			}
			if r.Container == "wired" {
				n.kernel.wire("wired", l.Addresses[0])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n.pass(90 * time.Second)
	if got := n.states()[ipam.Leased]; got != 4 {
		t.Fatalf("within the grace %d leases", got)
	}
	n.pass(90 * time.Second)
	var left []string
	for _, l := range n.state().Leases {
		left = append(left, l.Container)
	}
	if diff := cmp.Diff([]string{"lives", "unseen", "wired"}, left); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
}

func TestRepair(t *testing.T) {
	n := ready(t)
	n.pass(5 * time.Second)
	n.kernel.missing = []string{"3 rules"}
	n.step(Input{Wake: &Wake{Who: "ip (pid 7)"}})
	n.pass(19 * time.Millisecond)
	if n.kernel.missing == nil {
		t.Fatal("repaired before the kernel was quiet")
	}
	n.pass(2 * time.Millisecond)
	if n.kernel.missing != nil {
		t.Fatal("not repaired after 20 ms")
	}
	last := n.bus.events[len(n.bus.events)-1]
	if last.Verb != ipam.KernelRepaired || last.Cause != "put back 3 rules; taken by ip (pid 7)" {
		t.Errorf("event %+v", last)
	}
}

// TestFight: somebody takes away at once what was put back.
func TestFight(t *testing.T) {
	n := ready(t)
	n.pass(5 * time.Second)
	before := n.kernel.repairs
	for range 6000 { // 10 minutes
		n.kernel.missing = []string{"3 rules"}
		n.step(Input{Wake: &Wake{Who: "networkd (pid 42)"}})
		n.pass(100 * time.Millisecond)
	}
	if got := n.kernel.repairs - before; got > 60 {
		t.Errorf("%d repairs in 10 minutes of fight", got)
	}
	named := 0
	for _, e := range n.did {
		if e.Note != nil && e.Note.Level == "error" && strings.HasPrefix(e.Note.Text, "networkd (pid 42) takes") {
			named++
		}
	}
	if named != 1 {
		t.Errorf("the other was named %d times, want once", named)
	}
	n.pass(2 * time.Minute)
	n.kernel.missing = []string{"1 rule"}
	n.step(Input{Wake: &Wake{}})
	n.pass(200 * time.Millisecond)
	if n.kernel.missing != nil {
		t.Error("after the fight repairs are as quick as before")
	}
}
