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
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newWalk(t, seed).run(600) })
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
	human    map[netip.Addr]bool         // changed behind our back: S1 says nothing of these
	freed    map[netip.Addr]ipam.Instant // when its last lease ended, and cooled the least time from then on
	cooled   map[netip.Addr]time.Duration
	before   store.State
	op       string
	lives    int
	humans   bool // somebody else detaches interfaces
	pools    bool // the second interface is of a pool of its own
}

// eni is interface n as EC2 makes it.
func (w *walk) eni(n, count int) ipam.SuppliedENI {
	e := dual(n, count)
	if w.pools && n == 1 {
		e.Pool = "other"
	}
	return e
}

type list struct {
	at   ipam.Instant
	enis []ipam.SuppliedENI
}

// round is an Unassign that a reconciler decided on; it happens before due, L + D after the snapshot was read.
type round struct {
	eni    ipam.ENIID
	addrs  []netip.Addr
	prefix netip.Prefix // instead of addrs
	due    ipam.Instant
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{Pool: storetest.New(t), rnd: rand.New(rand.NewPCG(seed, 1)), ec2: map[ipam.ENIID]*ipam.SuppliedENI{},
		down: map[ipam.ENIID]bool{}, pods: map[ipam.Attachment]bool{}, human: map[netip.Addr]bool{},
		freed: map[netip.Addr]ipam.Instant{}, cooled: map[netip.Addr]time.Duration{}, epoch: 1, humans: seed%2 == 0}
	w.pools = seed/4%2 == 0
	for n, count := range []int{1 + int(seed/2%2), 2} {
		e := w.eni(n, count)
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
		{"act", 6, w.act}, {"assign", 10, w.assign}, {"delegate", 4, w.delegate}, {"add to a bridge", 3, w.addBridged},
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
	r := store.LeaseRequest{Attachment: a, Pool: "default", Families: []store.Family{store.IPv4}}
	if w.pools && w.rnd.IntN(2) == 0 {
		r.Pool = "other"
	}
	switch w.rnd.IntN(5) {
	case 0:
		r.Families = []store.Family{store.IPv6}
	case 1:
		r.Families = []store.Family{store.IPv4, store.IPv6}
	case 2:
		r.Optional = []store.Family{store.IPv6}
	}
	return r
}

func (w *walk) add() { w.lease(w.request(w.attachment())) }

// lease asks for a lease and judges what came.
func (w *walk) lease(r store.LeaseRequest) {
	w.Do(func(t *store.Tx) error {
		l, err := t.Lease(w.Now, r)
		var empty *store.EmptyError
		if errors.As(err, &empty) {
			return nil
		}
		if err != nil || l.Repeated {
			return err
		}
		w.judge(t, r, l)
		w.pods[r.Attachment] = true
		return nil
	})
}

func (w *walk) judge(t *store.Tx, r store.LeaseRequest, l store.Lease) {
	var families []store.Family
	for _, addr := range l.Addresses {
		families = append(families, store.FamilyOf(addr))
		e := w.ec2[l.ENIID]
		if !w.human[addr] && (e == nil || e.Attachment != l.ENI.Attachment || !has(e, addr)) {
			w.T.Errorf("S1: %s leased to %s, EC2 does not have it on %s", addr, r.Attachment, l.ENIID)
		}
		if l.ENI.SuppliedENI.Pool != r.Pool {
			w.T.Errorf("%s leased of pool %s, want %s", addr, l.ENI.Pool, r.Pool)
		}
		p, _ := metaPool(t, l.ENI.Pool)
		least := w.cooled[addr]
		if slices.Contains(l.Cooled, addr) { // it cooled until now: what is configured now counts as well
			least = max(least, p.Cooldown)
		}
		if f, ok := w.freed[addr]; ok && w.Now.Boot-f < ipam.Instant(least) {
			w.T.Errorf("S6: %s leased %s after its last lease ended, want %s then and %s now", addr, time.Duration(w.Now.Boot-f),
				w.cooled[addr], p.Cooldown)
		}
	}
	for _, f := range r.Families {
		if !slices.Contains(families, f) {
			w.T.Errorf("%s has no address of IPv%d: %v", r.Attachment, f, l.Addresses)
		}
	}
	w.onBridge(t, l)
}

func metaPool(t *store.Tx, name string) (ipam.SuppliedPool, bool) {
	m := t.Meta()
	return m.Pool(name)
}

// ended notes the end of a lease.
func (w *walk) ended(t *store.Tx, l store.Lease) {
	e := l.ENIID
	for _, n := range t.State().ENIs {
		if n.ENI == e {
			p, _ := metaPool(t, n.Pool)
			for _, a := range l.Addresses {
				w.freed[a], w.cooled[a] = w.Now.Boot, p.Cooldown
			}
		}
	}
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
		a := l.Addresses[i]
		if l.Gateways[i] != p.Addr().Next() || a == p.Addr() || a == l.Gateways[i] || !p.Contains(a.Next()) {
			w.T.Errorf("%s has %s by gateway %s in subnet %s", l.Attachment, a, l.Gateways[i], p)
		}
	}
}

// addBridged is an ADD behind a bridge.
func (w *walk) addBridged() {
	r := w.request(w.attachment())
	r.Prefix = true
	w.lease(r)
}

// delegate gives an interface a prefix that it lacks, as assign does an address.
func (w *walk) delegate() {
	n := w.rnd.IntN(2)
	id := ipam.ENIID("eni-0" + strconv.Itoa(n))
	e := w.ec2[id]
	if e == nil || w.fencedOn(id) {
		return
	}
	all := prefixes(fmt.Sprintf("10.110.%d.32/28", 10+n), fmt.Sprintf("10.110.%d.64/28", 10+n), fmt.Sprintf("2001:db8:0:%d:1::/80", 10+n))
	if p := all[w.rnd.IntN(len(all))]; !slices.Contains(e.Prefixes, p) {
		e.Prefixes = append(e.Prefixes, p)
	}
}

// fencedOn says whether the newest snapshot has fenced ones of an interface: protocol r7 forbids to assign more then.
func (w *walk) fencedOn(id ipam.ENIID) bool {
	return slices.ContainsFunc(w.last.ENIs, func(s ipam.ENISummary) bool {
		return s.ENI == id && (len(s.Fenced) > 0 || slices.ContainsFunc(s.Prefixes, func(p ipam.PrefixSummary) bool { return p.Fenced }))
	})
}

func (w *walk) del() {
	a := w.attachment()
	w.Do(func(t *store.Tx) error {
		if l, ok := t.Release(w.Now, a, ""); ok {
			w.ended(t, l)
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
			w.ended(t, l)
			delete(w.pods, l.Attachment)
		}
		return nil
	})
}

func (w *walk) wait() {
	r := w.request(w.attachment())
	w.Do(func(t *store.Tx) error {
		l, err := t.Lease(w.Now, r)
		if err != nil {
			t.Ticket(w.Now, r, w.Now.After(20*time.Second))
			return nil
		}
		if !l.Repeated {
			w.judge(t, r, l)
		}
		w.pods[r.Attachment] = true
		return nil
	})
}
