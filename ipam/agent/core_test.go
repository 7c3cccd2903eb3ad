package agent

import (
	"encoding/json"
	"errors"
	"strconv"
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
		}, 1},
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
	if n.bus.stream.Pools[0].Waiting != 20 {
		t.Errorf("the stream says %d waiting, want 20", n.bus.stream.Pools[0].Waiting)
	}
}

// TestBurstIsOneSnapshot: pods that come together are told of together, one alone is told of soon, and a burst without end
// is told of all the same.
func TestBurstIsOneSnapshot(t *testing.T) {
	for _, tc := range []struct {
		name      string
		pods      int
		every     time.Duration // from pod to pod
		after     time.Duration // from the last pod to the look at the stream
		snapshots int
		waiting   int
	}{
		{"one pod, at once", 1, 0, burstQuiet - time.Millisecond, 0, 0},
		{"one pod, soon", 1, 0, burstQuiet + time.Millisecond, 1, 1},
		{"ten pods", 10, 5 * time.Millisecond, time.Second, 1, 10},
		{"thirty pods for 150 ms", 30, 5 * time.Millisecond, time.Second, 1, 30},
		{"sixty pods for 600 ms", 60, 10 * time.Millisecond, time.Second, 4, 60},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ready(t)
			n.pass(2 * time.Second)
			before := n.bus.snapshots
			for i := range tc.pods {
				if i > 0 {
					n.pass(tc.every)
				}
				n.wait("w" + strconv.Itoa(i))
			}
			n.pass(tc.after)
			waiting := 0
			if len(n.bus.stream.Pools) > 0 {
				waiting = n.bus.stream.Pools[0].Waiting
			}
			if got := n.bus.snapshots - before; got != tc.snapshots || waiting != tc.waiting {
				t.Errorf("%d snapshots, the last with %d waiting; want %d and %d", got, waiting, tc.snapshots, tc.waiting)
			}
		})
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

func TestCoolingRipens(t *testing.T) {
	n := ready(t)
	a, err := n.add("a")
	if err != nil {
		t.Fatal(err)
	}
	n.kernel.wire("a", a)
	n.del("a")
	n.pass(20 * time.Second)
	n.start() // anew: what cools goes on cooling
	n.pass(9 * time.Second)
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
