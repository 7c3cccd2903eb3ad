package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

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
		Pools: w.policy(), ENIs: w.enisOf(list)}
	for _, e := range snapshot.ENIs {
		for _, a := range e.Fenced {
			if _, there := list.has[a]; there && w.random.IntN(2) == 0 {
				w.calls = append(w.calls, call{address: a, until: w.now.After(20 * time.Second)})
			}
		}
		for _, p := range e.Prefixes {
			if _, there := list.blocks[p.Prefix]; p.Fenced && there && w.random.IntN(2) == 0 {
				w.calls = append(w.calls, call{prefix: p.Prefix, until: w.now.After(20 * time.Second)})
			}
		}
	}
	d := w.random.IntN(2)
	switch w.random.IntN(8) {
	case 0, 1:
		s.Release = []ipam.Release{{ENI: eni(d, 0).ENI, Count: 1 + w.random.IntN(2)}}
	case 2:
		s.Release = []ipam.Release{{ENI: eni(1, 0).ENI, Whole: true}}
	case 3, 4, 5:
		for _, p := range blocksOf(d) {
			if _, there := list.blocks[p]; there && w.random.IntN(2) == 0 {
				s.Release = []ipam.Release{{ENI: eni(d, 0).ENI, Prefix: p}}
			}
		}
	}
	w.flight = append(w.flight, s)
}

func (w *walk) policy() (all []ipam.SuppliedPool) {
	for _, name := range []string{"default", "other"} {
		all = append(all, ipam.SuppliedPool{Name: name, Families: []ipam.Family{ipam.IPv4, ipam.IPv6}, Cooldown: 30 * time.Second,
			Low: 2, High: 4, Window: time.Minute})
	}
	return all
}

func (w *walk) enisOf(list listing) []ipam.SuppliedENI {
	enis := []ipam.SuppliedENI{eni(0, 0), eni(1, 0)}
	if w.pools {
		enis[1].Pool = "other"
	}
	for d := range enis {
		enis[d].Subnet6 = netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", d))
	}
	for a, d := range list.has {
		enis[d].Addresses = append(enis[d].Addresses, a)
	}
	for p, d := range list.blocks {
		enis[d].Prefixes = append(enis[d].Prefixes, p)
	}
	for _, e := range enis {
		slices.SortFunc(e.Addresses, netip.Addr.Compare)
		slices.SortFunc(e.Prefixes, func(p, q netip.Prefix) int { return p.Addr().Compare(q.Addr()) })
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
	_, single := w.truth().has[c.address]
	_, block := w.truth().blocks[c.prefix]
	if !single && !block || w.now.Boot > c.until {
		return
	}
	w.say("EC2 unassigns %s %s", c.address, c.prefix)
	for _, a := range w.state().Addresses {
		if (a.Address == c.address || c.prefix.Contains(a.Address)) && (a.State == ipam.Leased || a.State == ipam.Cooling) {
			w.t.Errorf("S3: %s is unassigned and %s by %s", a.Address, a.State, a.Owner)
		}
	}
	w.change(func(l listing) { delete(l.has, c.address); delete(l.blocks, c.prefix) })
}

// delegate gives an ENI a prefix that it lacks.
func (w *walk) delegate() {
	d := w.random.IntN(2)
	p := blocksOf(d)[w.random.IntN(3)]
	if _, there := w.truth().blocks[p]; !there {
		w.say("EC2 delegates %s", p)
		w.change(func(l listing) { l.blocks[p] = d })
	}
}

// assign gives an address of the range back to its ENI (a pod's address never changes the ENI here).
func (w *walk) assign() {
	d := w.random.IntN(2)
	all := eni(d, 6).Addresses
	a := all[w.random.IntN(len(all))]
	if _, there := w.truth().has[a]; there {
		return
	}
	w.say("EC2 assigns %s", a)
	w.change(func(l listing) { l.has[a] = d })
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
	owners := map[string][]netip.Addr{}
	now := map[netip.Addr]bool{}
	for _, a := range s.Addresses {
		if a.State == ipam.Leased {
			owners[a.Owner.Container] = append(owners[a.Owner.Container], a.Address)
		}
		now[a.Address] = a.State == ipam.Fenced
		if w.fenced[a.Address] && (a.State == ipam.Free || a.State == ipam.Leased || a.State == ipam.Cooling) {
			w.t.Errorf("S4: %s was fenced and is %s", a.Address, a.State)
		}
	}
	w.fenced = now
	for pod, a := range w.pods {
		if !slices.Equal(owners[pod], a) {
			w.t.Errorf("S7: the lease of %s on %s is gone", pod, a)
		}
	}
}

// calm lets the faults stop; what was fenced must go, and what is held must come back (L2).
func (w *walk) calm() {
	w.dies, w.bus.up, w.bus.fails = 0, true, nil
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
				w.change(func(l listing) { delete(l.has, a) })
			}
			for _, p := range e.Prefixes {
				if p.Fenced {
					w.change(func(l listing) { delete(l.blocks, p.Prefix) })
				}
			}
		}
		w.epoch = ipam.Seen{Epoch: max(w.epoch.Epoch, snapshot.Seen.Epoch) + 1, Rev: 1}
		s := ipam.Supply{Instance: testInstance, Epoch: w.epoch.Epoch, Rev: 1, Basis: ipam.Basis{Inc: snapshot.Inc, Seq: snapshot.Seq},
			VPC:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
			Pools: w.policy(), ENIs: w.enisOf(w.truth())}
		w.step(Input{Supply: &s})
		w.check()
	}
	w.pass(time.Minute)
	counts := w.states()
	if counts[ipam.Free] != w.truth().size() || counts[ipam.Held]+counts[ipam.Fenced]+counts[ipam.Leased]+counts[ipam.Cooling] != 0 {
		w.t.Errorf("after ten calm minutes EC2 has %d addresses and the pool %v", w.truth().size(), counts)
	}
}
