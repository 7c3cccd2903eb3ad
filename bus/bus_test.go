package bus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
)

const patience = 30 * time.Second // of a condition that is bound to come true

// serve runs a server for the test in a folder of its own.
func serve(t *testing.T, o bus.ServerOptions) *bus.Server {
	t.Helper()
	if o.Store == "" {
		o.Store = filepath.Join(t.TempDir(), "bus")
	}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := bus.Serve(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, o bus.Options) *bus.Conn {
	t.Helper()
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c, err := bus.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// eventually waits for a condition that something else makes true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// box collects what a callback brings.
type box[T any] struct {
	mu  sync.Mutex
	got []T
}

func (b *box[T]) add(v T) { b.mu.Lock(); defer b.mu.Unlock(); b.got = append(b.got, v) }

func (b *box[T]) list() []T { b.mu.Lock(); defer b.mu.Unlock(); return append([]T(nil), b.got...) }

func (b *box[T]) wait(t *testing.T, n int) []T {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages, have %v", n, b.list()), func() bool { return len(b.list()) >= n })
	return b.list()
}

// listen runs what blocks until its context ends, which is the test's end or stop, and checks that it ends well.
func listen(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func snapshot(node string, seq uint64) ipam.Snapshot {
	return ipam.Snapshot{Instance: ipam.InstanceID(node), Inc: "00ff", Seq: seq, ENIs: []ipam.ENISummary{{ENI: "eni-1", Free: 3,
		Fenced: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}}}
}

var addresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestSnapshots: the newest of each node stands in the stream, is read back whole, and wakes who follows.
func TestSnapshots(t *testing.T) {
	s := serve(t, bus.ServerOptions{})
	a, r := connect(t, bus.Options{Server: s, Instance: "i-a"}), connect(t, bus.Options{Server: s})
	ctx := t.Context()
	for _, snap := range []ipam.Snapshot{snapshot("i-a", 1), snapshot("i-b", 1), snapshot("i-a", 2)} {
		if err := a.PublishSnapshot(ctx, snap); err != nil {
			t.Fatal(err)
		}
	}
	latest, err := r.LatestSnapshots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[ipam.InstanceID]ipam.Snapshot{"i-a": snapshot("i-a", 2), "i-b": snapshot("i-b", 1)}
	if diff := cmp.Diff(want, latest, addresses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var seen box[ipam.Snapshot]
	listen(t, func(ctx context.Context) error { return r.Snapshots(ctx, seen.add) })
	seen.wait(t, 2)
	if err := a.PublishSnapshot(ctx, snapshot("i-a", 2)); err != nil { // a heartbeat repeats seq and is no duplicate
		t.Fatal(err)
	}
	if got := seen.wait(t, 3)[2]; got.Instance != "i-a" {
		t.Errorf("woken by %s", got.Instance)
	}
	if err := r.Purge(ctx, "i-b"); err != nil {
		t.Fatal(err)
	}
	if _, there, err := r.LatestSnapshot(ctx, "i-b"); there || err != nil {
		t.Errorf("i-b still there: %v, %v", there, err)
	}
	if one, there, err := r.LatestSnapshot(ctx, "i-a"); !there || err != nil || one.Seq != 2 {
		t.Errorf("i-a: seq %d, %v, %v", one.Seq, there, err)
	}
}

// TestReadingLeavesNothing: a consumer lives in the server for minutes after its last reader, and a leader reads with each
// of its lists.
func TestReadingLeavesNothing(t *testing.T) {
	s := serve(t, bus.ServerOptions{Store: filepath.Join(t.TempDir(), "bus")})
	c := connect(t, bus.Options{Server: s})
	for i := range uint64(2) {
		for range 5 {
			if latest, err := c.LatestSnapshots(t.Context()); err != nil || uint64(len(latest)) != i {
				t.Fatalf("%v, %v", latest, err)
			}
		}
		if n, err := c.Consumers(t.Context(), bus.StreamState); err != nil || n != 0 {
			t.Errorf("%d snapshots: %d consumers are left, %v", i, n, err)
		}
		if err := c.PublishSnapshot(t.Context(), snapshot("i-a", 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmptyStream: nothing to read is not an error and does not wait.
func TestEmptyStream(t *testing.T) {
	r := connect(t, bus.Options{Server: serve(t, bus.ServerOptions{})})
	if latest, err := r.LatestSnapshots(t.Context()); err != nil || len(latest) != 0 {
		t.Errorf("%v, %v", latest, err)
	}
}

// TestLiar: a snapshot that speaks for another node than its subject is left aside.
func TestLiar(t *testing.T) {
	users, seeds := keys(t, "i-a")
	s := serve(t, bus.ServerOptions{Listen: "127.0.0.1:-1", Users: users})
	r := connect(t, bus.Options{Server: s})
	raw := rawClient(t, s, seeds["i-a"], "i-a")
	payload, err := json.Marshal(map[string]any{"specversion": "1.0", "id": "x", "type": "io.enichain.pool.v1", "data": snapshot("i-b", 7)})
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range [][]byte{payload, []byte("garbage"), []byte(`{"specversion":"1.0","type":"io.enichain.pool.v1","data":7}`)} {
		if err := raw.Publish(bus.SnapshotSubject("i-a"), data); err != nil {
			t.Fatal(err)
		}
		if err := raw.Flush(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "rejected", func() bool {
			latest, err := r.LatestSnapshots(t.Context())
			if err != nil || len(latest) != 0 {
				t.Fatalf("%s was believed: %v, %v", data, latest, err)
			}
			return r.Rejected() > uint64(i)
		})
	}
}

// TestSupply reaches its node and nobody else.
func TestSupply(t *testing.T) {
	s := serve(t, bus.ServerOptions{})
	a, b, r := connect(t, bus.Options{Server: s, Instance: "i-a"}), connect(t, bus.Options{Server: s, Instance: "i-b"}),
		connect(t, bus.Options{Server: s})
	var forA, forB box[ipam.Supply]
	stop := listen(t, func(ctx context.Context) error { return a.Supplies(ctx, "i-a", forA.add) })
	listen(t, func(ctx context.Context) error { return b.Supplies(ctx, "i-b", forB.add) })
	send := func(node ipam.InstanceID, rev uint64) {
		t.Helper()
		if err := r.PublishSupply(t.Context(), ipam.Supply{Instance: node, Epoch: 4, Rev: rev,
			Policy: ipam.NodePolicy{Rev: 30}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a hears", func() bool { send("i-a", 1); return len(forA.list()) > 0 })
	stop()
	n := len(forA.list())
	send("i-a", 2)
	eventually(t, "b hears", func() bool { send("i-b", 3); return len(forB.list()) > 0 })
	if got := forA.list()[0]; got.Epoch != 4 || got.Policy.Rev != 30 {
		t.Errorf("supply %+v", got)
	}
	for _, got := range forA.list()[n:] {
		if got.Rev == 2 {
			t.Error("a supply arrived after the subscription's end")
		}
	}
}

func record(n uint64, verb ipam.Verb) ipam.Record {
	return ipam.Record{N: n, Verb: verb, At: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Pod: "default/web", Took: time.Millisecond,
		Address: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}
}

// TestEvents: history and future, filtered; a repeated one is stored once.
func TestEvents(t *testing.T) {
	s := serve(t, bus.ServerOptions{})
	a, r := connect(t, bus.Options{Server: s, Instance: "i-a"}), connect(t, bus.Options{Server: s})
	ctx := t.Context()
	publish := func(node ipam.InstanceID, rec ipam.Record) {
		t.Helper()
		if err := a.PublishEvent(ctx, node, "inc", rec); err != nil {
			t.Fatal(err)
		}
	}
	publish("i-a", record(1, ipam.PodAdded))
	publish("i-a", record(1, ipam.PodAdded)) // told again after a crash
	publish("i-a", record(2, ipam.ENIAttached))
	publish("i-b", record(3, ipam.PodDeleted))
	var all, pods box[bus.Event]
	listen(t, func(ctx context.Context) error {
		return r.Events(ctx, bus.EventFilter{Since: time.Unix(0, 0)}, all.add)
	})
	listen(t, func(ctx context.Context) error {
		return r.Events(ctx, bus.EventFilter{Instance: "i-a", Entity: "pod", Since: time.Unix(0, 0)}, pods.add)
	})
	publish("i-a", record(4, ipam.PodDeleted))
	ids := func(list []bus.Event) (ids []string) {
		for _, e := range list {
			ids = append(ids, string(e.Instance)+" "+e.ID+" "+string(e.Verb))
		}
		return ids
	}
	want := []string{"i-a inc/1 pod.added", "i-a inc/2 eni.attached", "i-b inc/3 pod.deleted", "i-a inc/4 pod.deleted"}
	if diff := cmp.Diff(want, ids(all.wait(t, 4))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{want[0], want[3]}, ids(pods.wait(t, 2))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(record(1, ipam.PodAdded), all.list()[0].Record, addresses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var fresh box[bus.Event]
	listen(t, func(ctx context.Context) error { return r.Events(ctx, bus.EventFilter{}, fresh.add) })
	n := uint64(4)
	eventually(t, "a new event", func() bool { n++; publish("i-a", record(n, ipam.PodAdded)); return len(fresh.list()) > 0 })
	if old := fresh.list()[0]; old.N <= 4 {
		t.Errorf("history came without being asked for: %s", old.ID)
	}
}

// TestEventForm: one line of CloudEvents 1.0.
func TestEventForm(t *testing.T) {
	text, err := json.Marshal(bus.Event{ID: "inc/1", Instance: "i-a", Record: record(1, ipam.PodAdded)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"specversion":"1.0","id":"inc/1","source":"/node/i-a","type":"io.enichain.pod.added.v1","subject":"default/web",` +
		`"time":"2026-11-20T12:00:00Z","datacontenttype":"application/json","data":{"n":1,"at":"2026-11-20T12:00:00Z","boot":"",` +
		`"verb":"pod.added","address":["10.0.0.9"],"pod":"default/web","took":1000000}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var back bus.Event
	if err := json.Unmarshal(text, &back); err != nil || back.ID != "inc/1" || back.Instance != "i-a" || back.Pod != "default/web" {
		t.Errorf("%+v, %v", back, err)
	}
}

// FuzzEvent: whatever comes is an event or an error, and an event can be told again.
func FuzzEvent(f *testing.F) {
	text, err := json.Marshal(bus.Event{ID: "inc/1", Instance: "i-a", Record: record(1, ipam.PodAdded)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"specversion":"1.0","type":"io.enichain.x","data":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e bus.Event
		if json.Unmarshal(text, &e) != nil || len(text) > 32<<10 || e.At.Year() > 9999 || e.At.Year() < 0 {
			return
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("cannot tell again: %v", err)
		}
	})
}

// TestRefused: what would be a subject of another's, or too large, is refused before it is sent.
func TestRefused(t *testing.T) {
	c := connect(t, bus.Options{Server: serve(t, bus.ServerOptions{})})
	big := snapshot("i-a", 1)
	for range 10_000 {
		big.ENIs[0].Fenced = append(big.ENIs[0].Fenced, netip.MustParseAddr("10.0.0.9"))
	}
	for name, err := range map[string]error{
		"wildcard":  c.PublishSnapshot(t.Context(), snapshot("*", 1)),
		"two words": c.PublishEvent(t.Context(), "i-a.evt", "inc", record(1, ipam.PodAdded)),
		"empty":     c.PublishSupply(t.Context(), ipam.Supply{}),
		"large":     c.PublishSnapshot(t.Context(), big),
		"filter":    c.Events(t.Context(), bus.EventFilter{Entity: ">"}, nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// keys makes a users file and one seed file per name.
func keys(t *testing.T, names ...string) (users string, seeds map[string]string) {
	t.Helper()
	dir, seeds := t.TempDir(), map[string]string{}
	var lines strings.Builder
	for _, name := range names {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		seed, _ := pair.Seed()
		public, _ := pair.PublicKey()
		seeds[name] = filepath.Join(dir, name+".nk")
		if err := os.WriteFile(seeds[name], append(seed, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s %s # a node\n", name, public)
	}
	users = filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte("# nodes\n\n"+lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return users, seeds
}

func rawClient(t *testing.T, s *bus.Server, seed, name string, more ...nats.Option) *nats.Conn {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+s.Addr(), append(more, key, nats.CustomInboxPrefix("_INBOX_"+name), nats.MaxReconnects(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// jet speaks to a server's streams past this package.
func jet(t *testing.T, s *bus.Server) jetstream.JetStream {
	t.Helper()
	raw, err := nats.Connect("", nats.InProcessServer(s.NATS()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	js, err := jetstream.New(raw)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
