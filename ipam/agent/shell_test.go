package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// wire is a bus between goroutines: it answers after a while, or not before the caller gives up.
type wire struct {
	mu     sync.Mutex // guards the rest
	up     bool
	times  uint64 // connections after the first
	delay  time.Duration
	got    []ipam.Snapshot
	at     []time.Time
	events []ipam.Record
	reader func(ipam.Supply)

	changed chan struct{}
}

var _ Bus = (*wire)(nil)

func (w *wire) Connected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up
}

func (w *wire) Reconnects() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times
}

func (w *wire) Changed() <-chan struct{} { return w.changed }

// turn changes the connection, and tells.
func (w *wire) turn(f func()) {
	w.set(f)
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *wire) PublishSnapshot(ctx context.Context, s ipam.Snapshot) error {
	w.mu.Lock()
	delay, up := w.delay, w.up
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
	}
	if !up {
		return errors.New("no connection")
	}
	w.set(func() { w.got, w.at = append(w.got, s), append(w.at, time.Now()) })
	return nil
}

func (w *wire) PublishEvent(_ context.Context, _ ipam.InstanceID, _ ipam.Inc, r ipam.Record) error {
	w.set(func() { w.events = append(w.events, r) })
	return nil
}

func (w *wire) Supplies(ctx context.Context, _ ipam.InstanceID, f func(ipam.Supply)) error {
	w.set(func() { w.reader = f })
	<-ctx.Done()
	return nil
}

func (w *wire) last() (s ipam.Snapshot, at time.Time, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.got) == 0 {
		return s, at, 0
	}
	return w.got[len(w.got)-1], w.at[len(w.at)-1], len(w.got)
}

// oneLock stands for flock(2), on which a bubble would hang.
type oneLock chan struct{}

func (l oneLock) Lock(context.Context) (func(), error) {
	l <- struct{}{}
	return func() { <-l }, nil
}

// bubble is a running agent in a synctest bubble.
type bubble struct {
	t      *testing.T
	config Config
	bus    *wire
	kernel *fakeKernel
	shell  *Shell
	bell   func(string)
	stop   context.CancelFunc
	ended  chan error
}

func newBubble(t *testing.T) *bubble {
	t.Helper()
	began := time.Now()
	dir := t.TempDir()
	b := &bubble{t: t, bus: &wire{up: true, delay: 3 * time.Millisecond, changed: make(chan struct{}, 1)}, kernel: &fakeKernel{prepared: map[int]bool{}}}
	b.kernel.links = []Link{{Name: "eth0", Index: 2, MAC: eni(0, 0).MAC, Up: true}}
	b.config = Config{Instance: testInstance, Type: "m5.large", MaxPods: 29, Boot: "boot-1",
		PoolFile: filepath.Join(dir, "run", "pool.db"), LedgerFile: filepath.Join(dir, "ledger"), CacheDir: dir,
		Store: store.Options{Locker: make(oneLock, 1)}, Bus: b.bus, Kernel: b.kernel,
		Watch:       func(context.Context, func(Wake)) error { return nil },
		WatchFolder: func(_ context.Context, _ string, f func(string)) error { b.bell = f; return nil },
		Clock: func() Now {
			return Now{Boot: ipam.Instant(time.Hour + time.Since(began)), Wall: time.Now()}
		},
		Random: rand.New(rand.NewPCG(1, 2))}
	incs := 0
	b.config.NewInc = func() ipam.Inc { incs++; return ipam.Inc(fmt.Sprintf("inc-%d", incs)) }
	b.run()
	t.Cleanup(b.stop) // should the test have failed: nobody else ends the agent
	return b
}

func (b *bubble) run() {
	b.t.Helper()
	var err error
	b.shell, err = NewShell(b.config)
	check(b.t, err)
	ctx, stop := context.WithCancel(b.t.Context())
	b.stop, b.ended = stop, make(chan error, 1)
	shell := b.shell
	go func() { b.ended <- shell.Run(ctx) }()
	time.Sleep(time.Second)
	synctest.Wait()
}

func (b *bubble) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Errorf("Run: %v", err)
	}
}

func (b *bubble) send(enis ...ipam.SuppliedENI) {
	b.t.Helper()
	s, _, _ := b.bus.last()
	n := node{bus: &fakeBus{stream: s}}
	b.bus.mu.Lock()
	reader := b.bus.reader
	b.bus.mu.Unlock()
	reader(n.supply(enis...))
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func TestShellLivesAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		turns := 0
		b.end()
		b.config.Record = recordFunc(func([]byte) { turns++ })
		b.run()
		s, _, before := b.bus.last()
		if got := free4(s); got != 5 {
			t.Fatalf("%d free after a supply of 5", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		_, _, after := b.bus.last()
		if n := after - before; n < 50 || n > 75 {
			t.Errorf("%d heartbeats in an hour of 60 s ± 20 %%", n)
		}
		if turns > 2500 { // every 30 s what is there is compared with what should be, in a dozen steps
			t.Errorf("%d steps in an hour without any event", turns)
		}
		for i := before; i < len(b.bus.at); i++ {
			if gap := b.bus.at[i].Sub(b.bus.at[i-1]); gap < 200*time.Millisecond || gap > 73*time.Second {
				t.Errorf("%s between two snapshots", gap)
			}
		}
		if status := b.shell.Status(); !status.Connected || status.Publishes < after-before || status.Failures != 0 || status.Acked == 0 {
			t.Errorf("status %+v", status)
		}
		b.end()
	})
}

func TestShellHearsTheBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		st := store.New(b.config.PoolFile, b.config.storeOptions())
		n := node{config: b.config}
		check(t, st.Update(t.Context(), func(tx *store.Tx) error {
			now := b.config.Clock()
			tx.Ticket(now, n.request("w"), now.After(30*time.Second))
			return nil
		}))
		began := time.Now()
		b.bell("pool.db.bell")
		time.Sleep(time.Second)
		synctest.Wait()
		s, at, _ := b.bus.last()
		if s.Pools[0].Waiting != 1 || at.Sub(began) > 300*time.Millisecond {
			t.Errorf("%d waiting, said after %s", s.Pools[0].Waiting, at.Sub(began))
		}
		b.end()
		if verbs := (&fakeBus{events: b.bus.events}).verbs(); verbs[ipam.PodWaiting] != 1 {
			t.Errorf("events %v", verbs)
		}
	})
}

func TestShellFollowsTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		b.bus.turn(func() { b.bus.up = false })
		_, _, before := b.bus.last()
		time.Sleep(30 * time.Minute)
		b.bus.turn(func() { b.bus.up = true })
		back := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		_, at, after := b.bus.last()
		if after != before+1 || at.Sub(back) > 500*time.Millisecond {
			t.Errorf("%d snapshots after the bus came back, the last %s later", after-before, at.Sub(back))
		}
		b.bus.turn(func() { b.bus.times++ }) // gone and back between two looks: a hub that started anew knows nothing
		back, before = time.Now(), after
		time.Sleep(time.Second)
		synctest.Wait()
		_, at, after = b.bus.last()
		if after != before+1 || at.Sub(back) > 500*time.Millisecond {
			t.Errorf("%d snapshots after a reconnect, the last %s later", after-before, at.Sub(back))
		}
		b.end()
	})
}

// TestShellWithASlowBus: a hub that never answers costs nothing but its own messages.
func TestShellWithASlowBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		b.bus.set(func() { b.bus.delay = time.Hour })
		b.kernel.taken("3 rules")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if b.kernel.taken() != nil {
			t.Error("nothing is repaired while the bus does not answer")
		}
		if status := b.shell.Status(); status.Failures == 0 || status.Repairs != 1 || !strings.Contains(status.LastRepair, "3 rules") {
			t.Errorf("status %+v", status)
		}
		b.end()
	})
}

// TestShellFarewell: what happened while the bus was away is said when the agent is told to stop.
func TestShellFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		st := store.New(b.config.PoolFile, b.config.storeOptions())
		check(t, st.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Lease(b.config.Clock(), (&node{}).request("late"))
			return err
		})) // nobody rings
		b.end()
		s, _, _ := b.bus.last()
		if got := free4(s); got != 4 {
			t.Errorf("the last snapshot says %d free, want 4", got)
		}
		if verbs := (&fakeBus{events: b.bus.events}).verbs(); verbs[ipam.PodAdded] != 1 {
			t.Errorf("events %v", verbs)
		}
		check(t, st.View(context.Background(), func(tx *store.Tx) error {
			if tx.Pending() != 0 {
				t.Errorf("%d records are left", tx.Pending())
			}
			return nil
		}))
	})
}

// TestShellMakesTheFileAnew: the pool file is taken away under a running agent.
func TestShellMakesTheFileAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.send(eni(0, 5))
		first, _, _ := b.bus.last()
		check(t, os.Remove(b.config.PoolFile))
		b.bell("pool.db")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		second, _, _ := b.bus.last()
		if second.Inc == first.Inc || second.Seen != first.Seen {
			t.Errorf("inc %s then %s, seen %+v then %+v", first.Inc, second.Inc, first.Seen, second.Seen)
		}
		b.end()
	})
}

func TestShellRefusesANewerSchema(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pool.db")
	st, err := store.Create(t.Context(), path, store.Options{}, store.Now{}, store.Identity{Instance: testInstance, Boot: "b", Inc: "x"}, store.Past{})
	check(t, err)
	check(t, replaceSchema(t, path))
	before, err := os.ReadFile(path)
	check(t, err)
	shell, err := NewShell(Config{Instance: testInstance, Boot: "b", PoolFile: st.Path(), LedgerFile: filepath.Join(dir, "ledger"), CacheDir: dir,
		Bus: &fakeBus{}, Kernel: &fakeKernel{}, Log: slog.New(slog.DiscardHandler),
		Watch: func(context.Context, func(Wake)) error { return nil }})
	check(t, err)
	var schema *store.SchemaError
	if err := shell.Run(t.Context()); !errors.As(err, &schema) {
		t.Errorf("Run: %v, want a schema error", err)
	}
	after, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(before, after) {
		t.Error("a file of a newer version was changed")
	}
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	_, err := NewShell(Config{})
	for _, field := range []string{"Instance", "Boot", "Bus", "Kernel"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field+" ") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}
