package store_test

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// publish puts a snapshot into the stream; the proof of it reaches the agent mostly.
func (w *walk) publish() {
	w.Do(func(t *store.Tx) error {
		w.last = t.Snapshot(w.Now)
		if w.rnd.IntN(4) > 0 {
			t.Proof(w.Now, w.last.Seq)
		}
		return nil
	})
}

// reconcile reads the snapshot, then lists EC2, then sends supply; fenced addresses will be unassigned some time later.
func (w *walk) reconcile() {
	if w.last.Inc == "" {
		return
	}
	if w.rnd.IntN(10) == 0 { // another leader
		w.epoch++
		w.rev = 0
	}
	w.rev++
	s := w.Supply
	s.First = w.rnd.IntN(50) == 0 && w.last.Seq < 3
	s.Epoch, s.Rev, s.Basis = w.epoch, w.rev, ipam.Basis{Inc: storetest.Inc, Seq: w.last.Seq}
	s.ENIs = w.lists[w.rnd.IntN(len(w.lists))].enis
	s.Release, s.Pools = nil, nil
	for _, name := range []string{"default", "other"} {
		s.Pools = append(s.Pools, ipam.SuppliedPool{Name: name, Families: []ipam.Family{ipam.IPv4, ipam.IPv6},
			Cooldown: []time.Duration{10 * time.Second, 30 * time.Second, time.Minute}[w.rnd.IntN(3)]})
	}
	for _, e := range s.ENIs {
		if w.rnd.IntN(3) == 0 {
			s.Release = append(s.Release, ipam.Release{ENI: e.ENI, Count: 1 + w.rnd.IntN(2)})
		} else if len(e.Prefixes) > 0 && w.rnd.IntN(2) == 0 {
			s.Release = append(s.Release, ipam.Release{ENI: e.ENI, Prefix: e.Prefixes[w.rnd.IntN(len(e.Prefixes))]})
		} else if w.rnd.IntN(6) == 0 {
			s.Release = append(s.Release, ipam.Release{ENI: e.ENI, Whole: true})
		}
	}
	w.messages = append(w.messages, s)
	for _, e := range w.last.ENIs {
		if w.ec2[e.ENI] != nil && len(e.Fenced) > 0 {
			due := w.Now.After(25 * time.Second) // L + D
			w.rounds = append(w.rounds, round{eni: e.ENI, addrs: slices.Clone(e.Fenced), due: due})
		}
		for _, p := range e.Prefixes {
			if w.ec2[e.ENI] != nil && p.Fenced {
				w.rounds = append(w.rounds, round{eni: e.ENI, prefix: p.Prefix, due: w.Now.After(25 * time.Second)})
			}
		}
	}
}

// note keeps what EC2 looks like now, and forgets what no list can show any more.
func (w *walk) note() {
	var enis []ipam.SuppliedENI
	for _, id := range []ipam.ENIID{"eni-00", "eni-01"} {
		if e := w.ec2[id]; e != nil {
			c := *e
			c.Addresses, c.Prefixes = slices.Clone(e.Addresses), slices.Clone(e.Prefixes)
			enis = append(enis, c)
		}
	}
	w.lists = append(w.lists, list{w.Now.Boot, enis})
	oldest := w.Now.Boot - ipam.Instant(60*time.Second) // V
	w.lists = slices.DeleteFunc(w.lists, func(l list) bool { return l.at < oldest })
}

// act carries out an Unassign that was decided on, as r2 allows it; S3 must hold at that moment.
func (w *walk) act() {
	if len(w.rounds) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.rounds))
	w.unassign(w.rounds[i])
	w.rounds = slices.Delete(w.rounds, i, i+1)
}

func (w *walk) unassign(r round) {
	e := w.ec2[r.eni]
	if e == nil {
		return
	}
	meant := func(a netip.Addr) bool {
		return slices.Contains(r.addrs, a) && slices.Contains(e.Addresses, a) || slices.Contains(e.Prefixes, r.prefix) && r.prefix.Contains(a)
	}
	for _, a := range w.State().Addresses {
		if a.ENI == r.eni && meant(a.Address) &&
			(a.State == ipam.Leased || a.State == ipam.Cooling) && !w.human[a.Address] {
			w.T.Errorf("S3: unassign of %s, which is %s", a.Address, a.State)
		}
	}
	e.Addresses = slices.DeleteFunc(e.Addresses, func(a netip.Addr) bool { return slices.Contains(r.addrs, a) })
	e.Prefixes = slices.DeleteFunc(e.Prefixes, func(p netip.Prefix) bool { return p == r.prefix })
}

// deliver gives the agent any message ever sent, and lets it follow the wishes in it.
func (w *walk) deliver() {
	if len(w.messages) == 0 {
		return
	}
	s := w.messages[len(w.messages)-1]
	if w.rnd.IntN(3) == 0 {
		s = w.messages[w.rnd.IntN(len(w.messages))]
	}
	var accepted bool
	w.Do(func(t *store.Tx) error {
		_, _, err := t.Accept(w.Now, s)
		var refused *store.RefusedError
		if errors.As(err, &refused) {
			return nil
		}
		accepted = true
		return err
	})
	if !accepted {
		return
	}
	w.op = "accept"
	w.check()
	w.op = "wish"
	for _, r := range s.Release {
		w.Do(func(t *store.Tx) error {
			chosen, err := t.Choose(w.Now, r)
			if err == nil {
				_, err = t.Fence(w.Now, r, chosen)
			}
			var wish *store.WishError
			if errors.As(err, &wish) {
				return nil
			}
			return err
		})
	}
}

func (w *walk) showLinks() {
	var links []store.Link
	for _, id := range []ipam.ENIID{"eni-00", "eni-01"} {
		if e := w.ec2[id]; e != nil && !w.down[id] {
			links = append(links, store.Link{MAC: e.MAC, Name: "eth" + strconv.Itoa(e.Device), N: -1, Ready: w.rnd.IntN(8) > 0})
		}
	}
	w.Do(func(t *store.Tx) error { _, err := t.Links(w.Now, links); return err })
}

// detach is a human's act: all addresses of the interface are beyond S1 from here on.
func (w *walk) detach() {
	if e := w.ec2["eni-01"]; e != nil {
		for _, a := range e.Addresses {
			w.human[a] = true
		}
		for _, p := range e.Prefixes {
			for a, n := p.Addr(), 0; n < ipam.PrefixSize(p); a, n = a.Next(), n+1 {
				w.human[a] = true
			}
		}
		delete(w.ec2, "eni-01")
	}
}

func (w *walk) attach() {
	if w.ec2["eni-01"] == nil {
		w.lives++
		e := w.eni(1, w.rnd.IntN(4))
		e.Attachment = ipam.AttachmentID("eni-attach-x" + strconv.Itoa(w.lives))
		w.ec2["eni-01"] = &e
	}
}

// assign gives an interface an address that it lacks; never one that the newest snapshot says is fenced there (r7).
func (w *walk) assign() {
	for _, n := range w.rnd.Perm(2) {
		id := ipam.ENIID("eni-0" + strconv.Itoa(n))
		e := w.ec2[id]
		if e == nil || w.fencedOn(id) {
			continue
		}
		for _, a := range storetest.ENI(n, 3).Addresses {
			if !slices.Contains(e.Addresses, a) {
				e.Addresses = append(e.Addresses, a)
				return
			}
		}
	}
}

func (w *walk) time() {
	d := []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 90 * time.Second}[w.rnd.IntN(4)]
	w.Now = store.Now{Boot: w.Now.After(d), Wall: w.Now.Wall.Add(-d)} // wall time runs backwards: nobody may care
	for _, r := range w.rounds {
		if r.due <= w.Now.Boot {
			w.unassign(r) // at the latest moment there is
		}
	}
	w.rounds = slices.DeleteFunc(w.rounds, func(r round) bool { return r.due <= w.Now.Boot })
	w.Do(func(t *store.Tx) error { return t.Tick(w.Now, nil) })
}
