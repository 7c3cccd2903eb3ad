package agent

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

var walkSeed = flag.Uint64("walk.seed", 0, "walk this seed alone")

// TestRandomWalk lets an agent, a careless runtime, two overlapping reconcilers with lagging lists and a bus that
// loses, repeats and delays do as they like, and looks at the invariants of docs/protocol.md, A8, after every step.
func TestRandomWalk(t *testing.T) {
	seeds, steps := 16, 250
	if testing.Short() {
		seeds = 8
	}
	first := uint64(1)
	if *walkSeed != 0 {
		first, seeds = *walkSeed, 1
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWalk(t, seed)
			for range steps {
				w.move()
				w.check()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			w.calm()
		})
	}
}

// walk is the world around one node.
type walk struct {
	*node
	random *rand.Rand

	ec2    []listing     // versions of the truth, the newest last
	flight []ipam.Supply // sent, not yet delivered; may be delivered again
	calls  []call        // Unassigns decided on, not yet made
	epoch  ipam.Seen
	pods   map[string]netip.Addr
	pod    int
	cooled map[netip.Addr]ipam.Instant // end of the last lease
	fenced map[netip.Addr]bool
	seen   ipam.Seen
	inc    ipam.Inc
}

// listing is what EC2 says from an instant on.
type listing struct {
	from ipam.Instant
	has  map[netip.Addr]int // address → ENI's number
}

type call struct {
	address netip.Addr
	until   ipam.Instant // the lease and deadline of its caller end here
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{node: newNode(t, seed), random: rand.New(rand.NewPCG(seed, 1)), pods: map[string]netip.Addr{},
		cooled: map[netip.Addr]ipam.Instant{}, fenced: map[netip.Addr]bool{}}
	has := map[netip.Addr]int{}
	for d := range 2 {
		w.attach(d)
		for _, a := range eni(d, 4).Addresses {
			has[a] = d
		}
	}
	w.ec2 = []listing{{from: w.now.Boot, has: has}}
	w.start()
	w.pass(time.Second)
	return w
}

func (w *walk) say(format string, args ...any) {
	w.t.Logf("%8s "+format, append([]any{time.Duration(w.now.Boot) - time.Hour}, args...)...)
}

func (w *walk) truth() map[netip.Addr]int { return w.ec2[len(w.ec2)-1].has }

// change makes a new version of the truth.
func (w *walk) change(f func(map[netip.Addr]int)) {
	has := map[netip.Addr]int{}
	for a, d := range w.truth() {
		has[a] = d
	}
	f(has)
	w.ec2 = append(w.ec2, listing{from: w.now.Boot, has: has})
}

// list is what EC2 may answer now: the truth of up to V ago (protocol A1).
func (w *walk) list() map[netip.Addr]int {
	oldest := len(w.ec2) - 1
	for oldest > 0 && w.ec2[oldest].from > w.now.Boot-ipam.Instant(50*time.Second) {
		oldest--
	}
	return w.ec2[oldest+w.random.IntN(len(w.ec2)-oldest)].has
}

func (w *walk) move() {
	moves := []struct {
		weight int
		do     func()
	}{
		{20, w.addPod}, {14, w.delPod}, {12, w.round}, {14, w.deliver}, {8, w.unassign}, {5, w.assign},
		{12, func() { w.pass(time.Duration(w.random.IntN(2000)) * time.Millisecond) }},
		{8, func() { w.pass(time.Duration(w.random.IntN(60)) * time.Second) }},
		{2, func() { w.say("agent crashes"); w.start() }},
		{2, w.loseFile}, {2, w.flapBus}, {2, w.flapLink}, {1, w.loseLedger},
	}
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	at := w.random.IntN(total)
	for _, m := range moves {
		if at -= m.weight; at < 0 {
			m.do()
			return
		}
	}
}

func (w *walk) addPod() {
	w.pod++
	name := fmt.Sprintf("pod%d", w.pod)
	var before store.State
	var got netip.Addr
	err := w.node.update(func(tx *store.Tx) error {
		before = tx.State()
		r := w.request(name)
		used := View{Pods: w.kernel.pods}.InUse()
		r.InUse = func(a netip.Addr) bool { return used[a] }
		l, err := tx.Lease(w.now, r)
		if err == nil {
			got = l.Addresses[0]
		}
		var empty *store.EmptyError
		if errors.As(err, &empty) {
			return nil // flags stay
		}
		return err
	})
	if err != nil {
		w.t.Errorf("ADD: %v", err)
	}
	if !got.IsValid() {
		return
	}
	w.say("ADD %s %s", name, got)
	if _, held := w.truth()[got]; !held {
		w.t.Errorf("S1: %s was leased and EC2 does not have it", got)
	}
	for pod, a := range w.pods {
		if a == got {
			w.t.Errorf("S2: %s was leased to %s and is %s's", got, name, pod)
		}
	}
	if end, ok := w.cooled[got]; ok && w.now.Boot-end < ipam.Instant(30*time.Second) {
		w.t.Errorf("S6: %s cooled for %s; state before %v", got, time.Duration(w.now.Boot-end), before.Addresses)
	}
	w.pods[name] = got
	w.kernel.wire(name, got)
}

func (w *walk) delPod() {
	names := make([]string, 0, len(w.pods))
	for name := range w.pods {
		names = append(names, name)
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	name := names[w.random.IntN(len(names))]
	w.say("DEL %s %s", name, w.pods[name])
	w.kernel.cut(name)
	w.cooled[w.pods[name]] = w.now.Boot
	delete(w.pods, name)
	w.del(name)
}

// round is one turn of one of several reconcilers: the snapshot first, then a list, then what follows from both.
func (w *walk) round() {
	snapshot := w.bus.stream
	if snapshot.Inc == "" {
		return
	}
	w.pass(time.Duration(w.random.IntN(3000)) * time.Millisecond)
	list := w.list()
	w.epoch.Rev++
	if !snapshot.Seen.Less(w.epoch) || w.random.IntN(10) == 0 {
		w.epoch = ipam.Seen{Epoch: max(w.epoch.Epoch, snapshot.Seen.Epoch) + 1, Rev: 1} // a new leader
	}
	s := ipam.Supply{Instance: testInstance, Epoch: w.epoch.Epoch, Rev: w.epoch.Rev,
		Basis: ipam.Basis{Inc: snapshot.Inc, Seq: snapshot.Seq}, VPC: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Policy: ipam.NodePolicy{Rev: 1, Cooldown: 30 * time.Second, Low: 2, High: 4, Window: time.Minute}, ENIs: enisOf(list)}
	for _, e := range snapshot.ENIs {
		for _, a := range e.Fenced {
			if _, there := list[a]; there && w.random.IntN(2) == 0 {
				w.calls = append(w.calls, call{a, w.now.After(20 * time.Second)})
			}
		}
	}
	if w.random.IntN(3) == 0 {
		d := w.random.IntN(2)
		s.Release = []ipam.Release{{ENI: eni(d, 0).ENI, Count: 1 + w.random.IntN(2), Whole: d == 1 && w.random.IntN(4) == 0}}
	}
	w.flight = append(w.flight, s)
}

func enisOf(list map[netip.Addr]int) []ipam.SuppliedENI {
	enis := []ipam.SuppliedENI{eni(0, 0), eni(1, 0)}
	for a, d := range list {
		enis[d].Addresses = append(enis[d].Addresses, a)
	}
	for _, e := range enis {
		slices.SortFunc(e.Addresses, netip.Addr.Compare)
	}
	return enis
}

// deliver hands over any message that was ever sent, new or old, and sometimes keeps it for another time.
func (w *walk) deliver() {
	if len(w.flight) == 0 {
		return
	}
	at := w.random.IntN(len(w.flight))
	s := w.flight[at]
	if w.random.IntN(4) > 0 {
		w.flight = slices.Delete(w.flight, at, at+1)
	}
	if w.random.IntN(5) == 0 {
		return // lost
	}
	w.say("supply %d/%d basis %d, %d and %d addresses, wishes %v", s.Epoch, s.Rev, s.Basis.Seq, len(s.ENIs[0].Addresses), len(s.ENIs[1].Addresses), s.Release)
	w.step(Input{Supply: &s})
}

// unassign makes a call that was decided on, if its caller's time is not over.
func (w *walk) unassign() {
	if len(w.calls) == 0 {
		return
	}
	c := w.calls[0]
	w.calls = w.calls[1:]
	if _, there := w.truth()[c.address]; !there || w.now.Boot > c.until {
		return
	}
	w.say("EC2 unassigns %s", c.address)
	for _, a := range w.state().Addresses {
		if a.Address == c.address && (a.State == ipam.Leased || a.State == ipam.Cooling) {
			w.t.Errorf("S3: %s is unassigned and %s by %s", a.Address, a.State, a.Owner)
		}
	}
	w.change(func(has map[netip.Addr]int) { delete(has, c.address) })
}

// assign gives an address of the range back to its ENI (a pod's address never changes the ENI here).
func (w *walk) assign() {
	d := w.random.IntN(2)
	all := eni(d, 6).Addresses
	a := all[w.random.IntN(len(all))]
	if _, there := w.truth()[a]; there {
		return
	}
	w.say("EC2 assigns %s", a)
	w.change(func(has map[netip.Addr]int) { has[a] = d })
}

func (w *walk) loseFile() {
	if w.random.IntN(3) > 0 {
		return
	}
	w.say("the pool file is lost")
	clear(w.cooled) // what cooled is known to the file alone: S6 does not reach over its loss
	if err := os.Remove(w.config.PoolFile); err != nil {
		w.t.Fatal(err)
	}
	w.step(Input{Bell: true})
	w.pass(100 * time.Millisecond)
}

// loseLedger loses both files at once.
func (w *walk) loseLedger() {
	if w.random.IntN(3) > 0 {
		return
	}
	w.say("the ledger is lost")
	_ = os.Remove(w.config.LedgerFile)
	w.loseFile()
}

func (w *walk) flapBus() {
	w.say("bus up %v", !w.bus.up)
	w.connect(!w.bus.up)
	if w.bus.up && w.random.IntN(2) == 0 {
		w.bus.fails = errors.New("no responders")
	} else {
		w.bus.fails = nil
	}
}

func (w *walk) flapLink() {
	if w.random.IntN(2) == 0 {
		w.say("eth1 goes")
		w.detach(1)
	} else if !slices.ContainsFunc(w.kernel.links, func(l Link) bool { return l.Name == "eth1" }) {
		w.say("eth1 comes")
		w.attach(1)
	}
	w.step(Input{Wake: &Wake{Links: true}})
}

func (w *walk) check() {
	s := w.state()
	if s.Meta.Inc != w.inc {
		w.inc, w.seen = s.Meta.Inc, s.Meta.Seen
		w.fenced = map[netip.Addr]bool{}
	}
	if s.Meta.Seen.Less(w.seen) {
		w.t.Errorf("S8: seen fell from %+v to %+v", w.seen, s.Meta.Seen)
	}
	w.seen = s.Meta.Seen
	owners := map[string]netip.Addr{}
	now := map[netip.Addr]bool{}
	for _, a := range s.Addresses {
		if a.State == ipam.Leased {
			owners[a.Owner.Container] = a.Address
		}
		now[a.Address] = a.State == ipam.Fenced
		if w.fenced[a.Address] && (a.State == ipam.Free || a.State == ipam.Leased || a.State == ipam.Cooling) {
			w.t.Errorf("S4: %s was fenced and is %s", a.Address, a.State)
		}
	}
	w.fenced = now
	for pod, a := range w.pods {
		if owners[pod] != a {
			w.t.Errorf("S7: the lease of %s on %s is gone", pod, a)
		}
	}
}

// calm lets the faults stop; what was fenced must go, and what is held must come back (L2).
func (w *walk) calm() {
	w.bus.up, w.bus.fails = true, nil
	w.connect(false)
	w.connect(true)
	w.calls, w.flight = nil, nil
	if !slices.ContainsFunc(w.kernel.links, func(l Link) bool { return l.Name == "eth1" }) {
		w.attach(1)
	}
	w.step(Input{Wake: &Wake{Links: true}})
	for len(w.pods) > 0 {
		w.delPod()
	}
	for range 12 {
		w.pass(time.Minute)
		snapshot := w.bus.stream
		for _, e := range snapshot.ENIs {
			for _, a := range e.Fenced {
				w.change(func(has map[netip.Addr]int) { delete(has, a) })
			}
		}
		w.epoch = ipam.Seen{Epoch: max(w.epoch.Epoch, snapshot.Seen.Epoch) + 1, Rev: 1}
		s := ipam.Supply{Instance: testInstance, Epoch: w.epoch.Epoch, Rev: 1, Basis: ipam.Basis{Inc: snapshot.Inc, Seq: snapshot.Seq},
			VPC:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
			Policy: ipam.NodePolicy{Rev: 2, Cooldown: 30 * time.Second, Low: 2, High: 4, Window: time.Minute}, ENIs: enisOf(w.truth())}
		w.step(Input{Supply: &s})
		w.check()
	}
	w.pass(time.Minute)
	counts := w.states()
	if counts[ipam.Free] != len(w.truth()) || counts[ipam.Held]+counts[ipam.Fenced]+counts[ipam.Leased]+counts[ipam.Cooling] != 0 {
		w.t.Errorf("after ten calm minutes EC2 has %d addresses and the pool %v", len(w.truth()), counts)
	}
}
