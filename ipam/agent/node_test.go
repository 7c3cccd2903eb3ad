package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

const testInstance = ipam.InstanceID("i-0123456789abcdef0")

// node drives a Shell by hand: its own clock, a kernel and a bus in memory, a real pool file and a real ledger. Nothing
// runs beside the test's goroutine.
type node struct {
	t      *testing.T
	shell  *Shell
	config Config
	now    Now
	kernel *fakeKernel
	bus    *fakeBus
	did    []Effect // of the newest core
	// dies is after how many turns of the core the agent is killed, before that turn's effects; 0 = it lives.
	dies int
}

// killed is the end of an agent by kill -9.
type killed struct{}

func newNode(t *testing.T, seed uint64) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{t: t, now: Now{Boot: ipam.Instant(time.Hour), Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		kernel: &fakeKernel{prepared: map[int]bool{}}, bus: &fakeBus{up: true}}
	incs := 0
	n.config = Config{Instance: testInstance, Type: "m5.large", MaxPods: 29, Boot: "boot-1",
		PoolFile: filepath.Join(dir, "run", "pool.db"), LedgerFile: filepath.Join(dir, "var", "ledger"),
		CacheDir: filepath.Join(dir, "results"), Store: store.Options{},
		Bus: n.bus, Kernel: n.kernel, Clock: func() Now { return n.now },
		NewInc: func() ipam.Inc { incs++; return ipam.Inc(fmt.Sprintf("inc-%d", incs)) },
		Random: rand.New(rand.NewPCG(seed, 0)), Log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		n.config.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return n
}

// start is an agent that comes up, or comes up again after a crash.
func (n *node) start() {
	n.t.Helper()
	shell, err := NewShell(n.config)
	if err != nil {
		n.t.Fatal(err)
	}
	n.shell = shell
	n.open()
}

func (n *node) open() {
	n.t.Helper()
	s := n.shell
	st, ledger, err := s.config.openPool(n.t.Context(), func(_, format string, args ...any) { n.t.Logf(format, args...) })
	if err != nil {
		n.t.Fatal(err)
	}
	s.file = NewPoolFile(st)
	s.core = New(s.config.Options, s.config.Random)
	s.inbox, s.jobs = newInbox(), make(chan job, 8)
	first := s.file.look(n.t.Context(), n.now, "start")
	if first.Err != "" {
		n.t.Fatal(first.Err)
	}
	n.did = nil
	n.step(Input{Start: &Start{Pool: *first, Ledger: ledger}})
	n.step(Input{Bus: &BusState{Up: n.bus.up}})
}

// step feeds the shell and does what it asks of the bus at once.
func (n *node) step(in Input) {
	n.t.Helper()
	s := n.shell
	recorder := s.config.Record
	s.config.Record = recordFunc(func(turn []byte) {
		n.did = append(n.did, outOf(n.t, turn)...)
		if n.dies--; n.dies == 0 {
			panic(killed{})
		}
	})
	defer func() {
		s.config.Record = recorder
		switch p := recover(); p {
		case nil:
		case killed{}:
			n.start() // on the files as they are
		default:
			panic(p)
		}
	}()
	s.step(n.t.Context(), in)
	for len(s.jobs) > 0 || len(s.inbox.some) > 0 {
		select {
		case j := <-s.jobs:
			s.step(n.t.Context(), j(n.t.Context()))
		case <-s.inbox.some:
			for _, in := range s.inbox.take() {
				s.step(n.t.Context(), in)
			}
		}
	}
	if s.file.lost != nil {
		n.open()
	}
}

// pass lets time pass, with every timer of the core in it.
func (n *node) pass(d time.Duration) {
	n.t.Helper()
	end := n.now.After(d)
	for {
		at := n.shell.core.Deadline()
		if at == 0 || at > end {
			break
		}
		n.moveTo(max(at, n.now.Boot+ipam.Instant(time.Millisecond)))
		n.step(Input{Timer: true})
	}
	n.moveTo(end)
}

func (n *node) moveTo(at ipam.Instant) {
	if d := time.Duration(at - n.now.Boot); d > 0 {
		n.now = Now{Boot: at, Wall: n.now.Wall.Add(d)}
	}
}

// settle passes a moment, so that what is due is done.
func (n *node) settle() { n.t.Helper(); n.pass(time.Second) }

// update is eni-ipam at work; the agent hears the bell.
func (n *node) update(f func(*store.Tx) error) error {
	n.t.Helper()
	err := n.shell.file.store.Update(n.t.Context(), f)
	n.step(Input{Bell: true})
	return err
}

func (n *node) add(container string) (netip.Addr, error) {
	n.t.Helper()
	var got netip.Addr
	err := n.update(func(tx *store.Tx) error {
		l, err := tx.Lease(n.now, n.request(container))
		if err == nil {
			got = l.Addresses[0]
		}
		return err
	})
	return got, err
}

func (n *node) request(container string) store.LeaseRequest {
	return store.LeaseRequest{Attachment: attachment(container), Pool: "default", Families: []store.Family{store.IPv4},
		Netns: "/proc/self/ns/net"}
}

func attachment(container string) ipam.Attachment {
	return ipam.Attachment{Network: "test", Container: container, IfName: "eth0"}
}

func (n *node) del(container string) {
	n.t.Helper()
	if err := n.update(func(tx *store.Tx) error { tx.Release(n.now, attachment(container), ""); return nil }); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) state() store.State {
	n.t.Helper()
	var s store.State
	if err := n.shell.file.store.View(n.t.Context(), func(tx *store.Tx) error { s = tx.State(); return nil }); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// states counts addresses by state, held ones too.
func (n *node) states() map[ipam.State]int {
	n.t.Helper()
	counts := map[ipam.State]int{}
	s := n.state()
	for _, a := range s.Addresses {
		counts[a.State]++
	}
	for _, h := range s.Held {
		counts[ipam.Held] += max(h.N, 1)
	}
	return counts
}

// eni is an ENI as a supply says it: number d of this node, in 10.0.d.0/24, with so many addresses from .10 on.
func eni(d, addresses int) ipam.SuppliedENI {
	e := ipam.SuppliedENI{ENI: ipam.ENIID(fmt.Sprintf("eni-%02d", d)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%02d", d)),
		Pool: "default", MAC: fmt.Sprintf("0a:00:00:00:00:%02x", d+1), Device: d, SubnetID: "subnet-1",
		Subnet: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", d)), Primary: netip.MustParseAddr(fmt.Sprintf("10.0.%d.9", d)),
		Gateway: netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", d)), PodsOK: true}
	for i := range addresses {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", d, 10+i)))
	}
	return e
}

// supply is what a reconciler that has just read the newest snapshot would send.
func (n *node) supply(enis ...ipam.SuppliedENI) ipam.Supply {
	s := n.bus.stream
	return ipam.Supply{Instance: testInstance, Epoch: 1, Rev: s.Seen.Rev + 1, Basis: ipam.Basis{Inc: s.Inc, Seq: s.Seq},
		First: s.Inc == "inc-1", VPC: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, ENIs: enis,
		Policy: ipam.NodePolicy{Rev: 1}, Pools: []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4, ipam.IPv6},
			Cooldown: 30 * time.Second, Low: 2, High: 8, Window: time.Minute, MinAge: time.Minute}}}
}

// send delivers a supply and lets a second pass.
func (n *node) send(s ipam.Supply) { n.t.Helper(); n.step(Input{Supply: &s}); n.settle() }

func (n *node) attach(d int) {
	n.kernel.links = append(n.kernel.links, Link{Name: fmt.Sprintf("eth%d", d), Index: 2 + d, MAC: eni(d, 0).MAC, Up: true, N: -1,
		Addresses: []netip.Addr{eni(d, 0).Primary}})
}

func (n *node) detach(d int) {
	n.kernel.links = slices.DeleteFunc(n.kernel.links, func(l Link) bool { return l.MAC == eni(d, 0).MAC })
}

// fakeKernel is a kernel in memory.
type fakeKernel struct {
	links    []Link
	pods     []PodLink
	prepared map[int]bool
	mu       sync.Mutex // guards missing
	missing  []string   // what Repair will put back
	fails    error      // what everything answers
	refuse   error      // what Prepare answers
	unfit    error      // what Prepare answers when all but the MTU is done
	mtus     []string   // that Prepare was asked for: number and bytes
	repairs  int
	swept    int
}

var _ Kernel = (*fakeKernel)(nil)

func (k *fakeKernel) Links(context.Context) ([]Link, error) { return slices.Clone(k.links), k.fails }

func (k *fakeKernel) Prepare(_ context.Context, e ENI) error {
	if err := errors.Join(k.fails, k.refuse); err != nil {
		return err
	}
	if !slices.ContainsFunc(k.links, func(l Link) bool { return l.MAC == e.MAC }) {
		return errors.New("no link with MAC " + e.MAC)
	}
	k.prepared[e.N] = true
	k.mtus = append(k.mtus, fmt.Sprintf("%d:%d", e.N, e.MTU))
	return k.unfit
}

func (k *fakeKernel) Repair(context.Context, []ENI) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.repairs++
	what := k.missing
	k.missing = nil
	return what, k.fails
}

// taken sets what is missing and says what was.
func (k *fakeKernel) taken(what ...string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.missing
	k.missing = what
	return was
}

func (k *fakeKernel) Forget(_ context.Context, n int) error { delete(k.prepared, n); return k.fails }

func (k *fakeKernel) Inspect(context.Context) (View, error) {
	return View{Pods: slices.Clone(k.pods)}, k.fails
}

func (k *fakeKernel) Sweep(context.Context) (int, error) { k.swept++; return 0, k.fails }

func (k *fakeKernel) wire(container string, addresses ...netip.Addr) {
	k.pods = append(k.pods, PodLink{Name: "eni" + container, MAC: OwnerMAC(attachment(container)), Alias: attachment(container).String(),
		Up: true, Addresses: addresses})
}

func (k *fakeKernel) cut(container string) {
	k.pods = slices.DeleteFunc(k.pods, func(p PodLink) bool { return p.MAC == OwnerMAC(attachment(container)) })
}

// fakeBus keeps the last snapshot, as the stream does.
type fakeBus struct {
	up        bool
	fails     error
	stream    ipam.Snapshot
	snapshots int
	events    []ipam.Record
}

var _ Bus = (*fakeBus)(nil)

func (b *fakeBus) Connected() bool { return b.up }

func (b *fakeBus) Reconnects() uint64 { return 0 }

func (b *fakeBus) Changed() <-chan struct{} { return nil }

func (b *fakeBus) PublishSnapshot(_ context.Context, s ipam.Snapshot) error {
	if b.fails == nil {
		b.stream = s
		b.snapshots++
	}
	return b.fails
}

func (b *fakeBus) PublishEvent(_ context.Context, _ ipam.InstanceID, _ ipam.Inc, r ipam.Record) error {
	if b.fails == nil {
		b.events = append(b.events, r)
	}
	return b.fails
}

func (b *fakeBus) Supplies(ctx context.Context, _ ipam.InstanceID, _ func(ipam.Supply)) error {
	<-ctx.Done()
	return nil
}

func (b *fakeBus) verbs() map[ipam.Verb]int {
	counts := map[ipam.Verb]int{}
	for _, r := range b.events {
		counts[r.Verb]++
	}
	return maps.Clone(counts)
}

func without(all []netip.Addr, one netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a == one })
}
