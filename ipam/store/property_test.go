package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// TestInvariants walks a pool through random histories with an EC2, a bus that repeats, reorders and delays, and a
// reconciler that may act late on what it read, and checks S1 to S8 of docs/protocol.md, A8, after every step.
// SEED=n repeats one history.
func TestInvariants(t *testing.T) {
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		newWalk(t, seed).run(2000)
		return
	}
	for range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newWalk(t, seed).run(1000) })
	}
}

// walk is one history.
type walk struct {
	*storetest.Pool
	rnd  *rand.Rand
	ec2  map[ipam.ENIID]*ipam.SuppliedENI // the truth; an interface that is not attached is not in it
	down map[ipam.ENIID]bool              // attached, and not shown by the kernel
	pods map[ipam.Attachment]bool

	lists    []list        // what EC2 looked like, for lists that lag by up to V
	messages []ipam.Supply // all ever sent: the bus may deliver any of them at any time
	rounds   []round       // what reconcilers are about to do
	last     ipam.Snapshot // newest in the stream
	epoch    uint64
	rev      uint64
	human    map[netip.Addr]bool // changed behind our back: S1 says nothing of these
	freed    map[netip.Addr]ipam.Instant
	before   store.State
	op       string
	lives    int
	humans   bool // somebody else detaches interfaces
}

type list struct {
	at   ipam.Instant
	enis []ipam.SuppliedENI
}

// round is an Unassign that a reconciler decided on; it happens before due, L + D after the snapshot was read.
type round struct {
	eni   ipam.ENIID
	addrs []netip.Addr
	due   ipam.Instant
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{Pool: storetest.New(t), rnd: rand.New(rand.NewPCG(seed, 1)), ec2: map[ipam.ENIID]*ipam.SuppliedENI{},
		down: map[ipam.ENIID]bool{}, pods: map[ipam.Attachment]bool{}, human: map[netip.Addr]bool{},
		freed: map[netip.Addr]ipam.Instant{}, epoch: 1, humans: seed%2 == 0}
	for n, count := range []int{1 + int(seed/2%2), 2} {
		e := storetest.ENI(n, count)
		w.ec2[e.ENI] = &e
	}
	w.before = w.State()
	w.note()
	return w
}

func (w *walk) run(steps int) {
	type step struct {
		name   string
		weight int
		f      func()
	}
	ops := []step{
		{"add", 10, w.add}, {"del", 8, w.del}, {"gc", 1, w.gc}, {"wait", 2, w.wait}, {"reconcile", 16, w.reconcile},
		{"deliver", 16, w.deliver}, {"publish", 16, w.publish}, {"links", 8, w.showLinks}, {"time", 14, w.time},
		{"act", 6, w.act}, {"assign", 10, w.assign}, {"delegate", 1, w.delegate}, {"add to a bridge", 3, w.addBridged},
	}
	if w.humans {
		ops = append(ops, step{"detach", 1, w.detach}, step{"attach", 3, w.attach})
	}
	total := 0
	for i := range ops { // another mixture in each history: some faults show only where one thing is rare and another is not
		ops[i].weight *= 1 + w.rnd.IntN(8)
		total += ops[i].weight
	}
	for range steps {
		n := w.rnd.IntN(total)
		for _, o := range ops {
			if n -= o.weight; n < 0 {
				w.op = o.name
				o.f()
				w.note()
				break
			}
		}
		w.check()
		if w.T.Failed() {
			return
		}
	}
}

func (w *walk) attachment() ipam.Attachment {
	return ipam.Attachment{Network: "net" + strconv.Itoa(w.rnd.IntN(2)), Container: "c" + strconv.Itoa(w.rnd.IntN(12)), IfName: "eth0"}
}

func (w *walk) request(a ipam.Attachment) store.LeaseRequest {
	return store.LeaseRequest{Attachment: a, Pool: "default", Families: []store.Family{store.IPv4}}
}

func (w *walk) add() {
	a := w.attachment()
	w.Do(func(t *store.Tx) error {
		l, err := t.Lease(w.Now, w.request(a))
		var empty *store.EmptyError
		if errors.As(err, &empty) {
			return nil
		}
		if err != nil || l.Repeated {
			return err
		}
		addr := l.Addresses[0]
		e := w.ec2[l.ENIID]
		if !w.human[addr] && (e == nil || e.Attachment != l.ENI.Attachment || !has(e, addr)) {
			w.T.Errorf("S1: %s leased to %s, EC2 does not have it on %s", addr, a, l.ENIID)
		}
		w.onBridge(t, l)
		if f, ok := w.freed[addr]; ok && w.Now.Boot-f < ipam.Instant(30*time.Second) {
			w.T.Errorf("S6: %s leased %s after its last lease ended", addr, time.Duration(w.Now.Boot-f))
		}
		w.pods[a] = true
		return nil
	})
}

// has says whether EC2 has an address on an interface, as a single one or in a delegated prefix.
func has(e *ipam.SuppliedENI, a netip.Addr) bool {
	return slices.Contains(e.Addresses, a) || slices.ContainsFunc(e.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// onBridge checks that a bridge's subnet is its network's alone.
func (w *walk) onBridge(t *store.Tx, l store.Lease) {
	for _, other := range t.State().Leases {
		for _, p := range other.Prefixes {
			if other.Attachment != l.Attachment && p.Contains(l.Addresses[0]) && (len(l.Prefixes) == 0 || other.Network != l.Network) {
				w.T.Errorf("%s has %s, which is in the subnet %s of the bridge of %s", l.Attachment, l.Addresses[0], p, other.Network)
			}
		}
	}
	for i, p := range l.Prefixes {
		a, last := l.Addresses[i], netip.Addr{}
		for b := p.Addr(); p.Contains(b); b = b.Next() {
			last = b
		}
		if l.Gateways[i] != p.Addr().Next() || a == p.Addr() || a == l.Gateways[i] || a == last {
			w.T.Errorf("%s has %s by gateway %s in subnet %s", l.Attachment, a, l.Gateways[i], p)
		}
	}
}

// addBridged is an ADD behind a bridge.
func (w *walk) addBridged() {
	r := w.request(w.attachment())
	r.Prefix = true
	w.Do(func(t *store.Tx) error {
		l, err := t.Lease(w.Now, r)
		var empty *store.EmptyError
		if errors.As(err, &empty) {
			return nil
		}
		if err != nil || l.Repeated {
			return err
		}
		addr := l.Addresses[0]
		if e := w.ec2[l.ENIID]; !w.human[addr] && (e == nil || !has(e, addr)) {
			w.T.Errorf("S1: %s leased to %s, EC2 does not have it on %s", addr, r.Attachment, l.ENIID)
		}
		if f, ok := w.freed[addr]; ok && w.Now.Boot-f < ipam.Instant(30*time.Second) {
			w.T.Errorf("S6: %s leased %s after its last lease ended", addr, time.Duration(w.Now.Boot-f))
		}
		w.onBridge(t, l)
		w.pods[r.Attachment] = true
		return nil
	})
}

// delegate gives the primary interface a prefix: EC2 has it until the node ends.
func (w *walk) delegate() {
	e := w.ec2["eni-00"]
	if len(e.Prefixes) < 2 {
		e.Prefixes = append(e.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 110, 10, byte(32 + 16*len(e.Prefixes))}), 28))
	}
}

func (w *walk) del() {
	a := w.attachment()
	w.Do(func(t *store.Tx) error {
		if l, ok := t.Release(w.Now, a, ""); ok {
			w.freed[l.Addresses[0]] = w.Now.Boot
		} else if w.pods[a] {
			w.T.Errorf("S7: %s had no lease any more", a)
		}
		delete(w.pods, a)
		return nil
	})
}

func (w *walk) gc() {
	keep := []ipam.Attachment{}
	for _, l := range w.before.Leases {
		if w.rnd.IntN(2) == 0 {
			keep = append(keep, l.Attachment)
		}
	}
	w.Do(func(t *store.Tx) error {
		for _, l := range t.Collect(w.Now, "net0", keep, w.Now.Boot, "gc") {
			if l.Network != "net0" || slices.Contains(keep, l.Attachment) || w.Now.Boot-l.At <= ipam.Instant(store.CollectAge) {
				w.T.Errorf("i4: %s collected", l.Attachment)
			}
			w.freed[l.Addresses[0]] = w.Now.Boot
			delete(w.pods, l.Attachment)
		}
		return nil
	})
}

func (w *walk) wait() {
	r := w.request(w.attachment())
	w.Do(func(t *store.Tx) error {
		if _, err := t.Lease(w.Now, r); err != nil {
			t.Ticket(w.Now, r, w.Now.After(20*time.Second))
		} else {
			w.pods[r.Attachment] = true
		}
		return nil
	})
}

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
	s.Release = nil
	for _, e := range s.ENIs {
		if w.rnd.IntN(3) == 0 {
			s.Release = append(s.Release, ipam.Release{ENI: e.ENI, Count: 1 + w.rnd.IntN(2)})
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
	for _, a := range w.State().Addresses {
		if a.ENI == r.eni && slices.Contains(r.addrs, a.Address) && slices.Contains(e.Addresses, a.Address) &&
			(a.State == ipam.Leased || a.State == ipam.Cooling) && !w.human[a.Address] {
			w.T.Errorf("S3: unassign of %s, which is %s", a.Address, a.State)
		}
	}
	e.Addresses = slices.DeleteFunc(e.Addresses, func(a netip.Addr) bool { return slices.Contains(r.addrs, a) })
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
		delete(w.ec2, "eni-01")
	}
}

func (w *walk) attach() {
	if w.ec2["eni-01"] == nil {
		w.lives++
		e := storetest.ENI(1, w.rnd.IntN(4))
		e.Attachment = ipam.AttachmentID("eni-attach-x" + strconv.Itoa(w.lives))
		w.ec2["eni-01"] = &e
	}
}

// assign gives an interface an address that it lacks; never one that the newest snapshot says is fenced there (r7).
func (w *walk) assign() {
	for _, n := range w.rnd.Perm(2) {
		id := ipam.ENIID("eni-0" + strconv.Itoa(n))
		e := w.ec2[id]
		fenced := slices.ContainsFunc(w.last.ENIs, func(s ipam.ENISummary) bool { return s.ENI == id && len(s.Fenced) > 0 })
		if e == nil || fenced {
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
