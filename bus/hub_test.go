package bus_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
)

// TestPermissions: a node says only what is its own and hears only what is for it, tried with raw clients.
func TestPermissions(t *testing.T) {
	users, seeds := keys(t, "i-a", "i-b", "observer")
	s := serve(t, bus.ServerOptions{Listen: "127.0.0.1:-1", Users: users})
	r := connect(t, bus.Options{Server: s})
	refused := make(chan error, 16)
	a := rawClient(t, s, seeds["i-a"], "i-a", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, tc := range []struct {
		name string
		do   func() error
		ok   bool
	}{
		{"its own snapshot", func() error { return a.Publish(bus.SnapshotSubject("i-a"), []byte("{}")) }, true},
		{"its own event", func() error { return a.Publish(bus.EventSubject("i-a", ipam.PodAdded), []byte("{}")) }, true},
		{"its own supply, heard", func() error { _, err := a.SubscribeSync(bus.SupplySubject("i-a")); return err }, true},
		{"another's snapshot", func() error { return a.Publish(bus.SnapshotSubject("i-b"), []byte("{}")) }, false},
		{"another's event", func() error { return a.Publish(bus.EventSubject("i-b", ipam.PodAdded), []byte("{}")) }, false},
		{"another state of its own", func() error { return a.Publish("enichain.v1.node.i-a.state.eni", []byte("{}")) }, false},
		{"a supply, said", func() error { return a.Publish(bus.SupplySubject("i-a"), []byte("{}")) }, false},
		{"another's supply, heard", func() error { _, err := a.SubscribeSync(bus.SupplySubject("i-b")); return err }, false},
		{"everything, heard", func() error { _, err := a.SubscribeSync("enichain.>"); return err }, false},
		{"others' answers, heard", func() error { _, err := a.SubscribeSync("_INBOX.>"); return err }, false},
		{"a stream deleted", func() error { return a.Publish("$JS.API.STREAM.DELETE."+bus.StreamState, nil) }, false},
		{"a message read from the stream", func() error { return a.Publish("$JS.API.STREAM.MSG.GET."+bus.StreamState, nil) }, false},
		{"the leader's key", func() error { return a.Publish("$KV."+bus.BucketLeases+".reconciler", nil) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := errors.Join(tc.do(), a.Flush()); err != nil {
				t.Fatal(err)
			}
			if tc.ok {
				select {
				case err := <-refused:
					t.Errorf("refused: %v", err)
				default:
				}
				return
			}
			select {
			case err := <-refused:
				if !errors.Is(err, nats.ErrPermissionViolation) {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("allowed")
			}
		})
	}
	node := connect(t, bus.Options{URLs: []string{"nats://" + s.Addr()}, Seed: seeds["i-b"], Instance: "i-b"})
	eventually(t, "connected", node.Connected)
	var supplies box[ipam.Supply]
	listen(t, func(ctx context.Context) error { return node.Supplies(ctx, "i-b", supplies.add) })
	if err := node.PublishSnapshot(t.Context(), snapshot("i-b", 1)); err != nil {
		t.Error(err)
	}
	eventually(t, "supply through the hub", func() bool {
		if err := r.PublishSupply(t.Context(), ipam.Supply{Instance: "i-b", Rev: 1}); err != nil {
			t.Fatal(err)
		}
		return len(supplies.list()) > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := node.PublishSnapshot(ctx, snapshot("i-a", 9)); err == nil {
		t.Error("i-b published a snapshot of i-a")
	}
	watcher := connect(t, bus.Options{URLs: []string{"nats://" + s.Addr()}, Seed: seeds["observer"], Name: "observer"})
	eventually(t, "connected", watcher.Connected)
	latest, err := watcher.LatestSnapshots(t.Context())
	if err != nil || len(latest) != 1 {
		t.Errorf("the observer reads %v, %v", latest, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := watcher.Purge(ctx, "i-b"); err == nil {
		t.Error("the observer purged a stream")
	}
}

// TestUsersReload: a node that is taken out of the file is cut off, one that is put in may come; a broken file changes
// nothing.
func TestUsersReload(t *testing.T) {
	users, seeds := keys(t, "i-a", "i-b")
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	withoutA := strings.Replace(string(text), "i-a ", "# ", 1)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, bus.ServerOptions{Listen: "127.0.0.1:-1", Users: users})
	url := []string{"nats://" + s.Addr()}
	a := connect(t, bus.Options{URLs: url, Seed: seeds["i-a"], Instance: "i-a"})
	b := connect(t, bus.Options{URLs: url, Seed: seeds["i-b"], Instance: "i-b"})
	own := connect(t, bus.Options{Server: s})
	eventually(t, "both connected", func() bool { return a.Connected() && b.Connected() })
	write("i-a nonsense")
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "users:1") {
		t.Errorf("a broken file: %v", err)
	}
	if !a.Connected() {
		t.Error("a broken file cut a node off")
	}
	write(withoutA)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "i-a cut off", func() bool { return !a.Connected() })
	if !b.Connected() || !own.Connected() {
		t.Error("the reload cut off others")
	}
	if err := a.PublishSnapshot(t.Context(), snapshot("i-a", 1)); err == nil {
		t.Error("published while cut off")
	}
	write(string(text))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "i-a back", a.Connected)
	latest, err := own.LatestSnapshots(t.Context())
	if err != nil || len(latest) != 0 {
		t.Errorf("what was said while cut off was kept: %v, %v", latest, err)
	}
}

// TestUsersFile: all faults at once, each with its line.
func TestUsersFile(t *testing.T) {
	users, _ := keys(t, "i-a")
	good, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	text := string(good) + "i-b\ni.c UABC\n" + strings.Replace(strings.TrimPrefix(string(good), "# nodes\n\n"), "i-a", "i-d", 1)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = bus.Serve(bus.ServerOptions{Listen: "127.0.0.1:-1", Users: users, Store: filepath.Join(t.TempDir(), "bus")})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"users:4: want an instance id and a public key", `users:5: instance id "i.c"`, "users:5: \"UABC\" is no public",
		"users:6: the key of line 3 again"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

// TestBadOptions are errors at once, not a connection that never comes.
func TestBadOptions(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	users, _ := keys(t, "i-a")
	url := []string{"nats://127.0.0.1:1"}
	for name, try := range map[string]struct {
		err  func() error
		want string
	}{
		"nothing": {func() error { _, err := bus.Connect(t.Context(), bus.Options{}); return err }, "neither"},
		"seed missing": {func() error {
			_, err := bus.Connect(t.Context(), bus.Options{URLs: url, Seed: dir + "/none"})
			return err
		}, "key of this node"},
		"seed open": {func() error {
			_, err := bus.Connect(t.Context(), bus.Options{URLs: url, Seed: file("open", "x", 0o644)})
			return err
		}, "0600"},
		"seed nonsense": {func() error {
			_, err := bus.Connect(t.Context(), bus.Options{URLs: url, Seed: file("bad", "x", 0o600)})
			return err
		}, "no nkey seed"},
		"instance":       {func() error { _, err := bus.Connect(t.Context(), bus.Options{URLs: url, Instance: "a.b"}); return err }, `"a.b"`},
		"store relative": {func() error { _, err := bus.Serve(bus.ServerOptions{Store: "x"}); return err }, "absolute"},
		"no users": {func() error {
			_, err := bus.Serve(bus.ServerOptions{Store: dir + "/s", Listen: "127.0.0.1:-1"})
			return err
		}, "users"},
		"port": {func() error {
			_, err := bus.Serve(bus.ServerOptions{Store: dir + "/s", Listen: "127.0.0.1:x", Users: users})
			return err
		}, "port"},
		"port taken": {func() error {
			_, err := bus.Serve(bus.ServerOptions{Store: dir + "/s", Listen: taken.Addr().String(), Users: users})
			return err
		}, "in use"},
	} {
		if err := try.err(); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q in it", name, err, try.want)
		}
	}
	if _, err := os.Stat(dir + "/s.damaged"); err == nil {
		t.Error("a store was moved aside for a fault of the options")
	}
}

// told says whether the connection has told of a change that nobody has taken.
func told(c *bus.Conn) func() bool {
	return func() bool {
		select {
		case <-c.Changed():
			return true
		default:
			return false
		}
	}
}

// TestHubRestart: a node without its hub fails at once, keeps nothing back, and is there again when the hub is.
func TestHubRestart(t *testing.T) {
	users, seeds := keys(t, "i-a")
	store := filepath.Join(t.TempDir(), "bus")
	hub, err := bus.Serve(bus.ServerOptions{Listen: "127.0.0.1:-1", Users: users, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	addr := hub.Addr()
	var changes box[bool]
	a := connect(t, bus.Options{URLs: []string{"nats://" + addr}, Seed: seeds["i-a"], Instance: "i-a", Changed: changes.add})
	eventually(t, "connected", a.Connected)
	eventually(t, "told of it", told(a))
	var supplies box[ipam.Supply]
	listen(t, func(ctx context.Context) error { return a.Supplies(ctx, "i-a", supplies.add) })
	if err := hub.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "hub gone", func() bool { return !a.Connected() })
	eventually(t, "told of it", told(a))
	// Both fail at once; who waited for the bus would say so by another error.
	if err := a.PublishSnapshot(t.Context(), snapshot("i-a", 1)); !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("published into nothing: %v", err)
	}
	if err := a.PublishEvent(t.Context(), "i-a", "inc", record(1, ipam.PodAdded)); err == nil {
		t.Error("told an event to nothing")
	}
	hub = serve(t, bus.ServerOptions{Listen: addr, Users: users, Store: store})
	eventually(t, "connected again", a.Connected)
	eventually(t, "told of it", told(a))
	if got := changes.wait(t, 3); !got[0] || got[1] || !got[2] {
		t.Errorf("heard %v", got)
	}
	r := connect(t, bus.Options{Server: hub})
	eventually(t, "supply after the restart", func() bool {
		if err := r.PublishSupply(t.Context(), ipam.Supply{Instance: "i-a", Rev: 1}); err != nil {
			t.Fatal(err)
		}
		return len(supplies.list()) > 0
	})
	if latest, err := r.LatestSnapshots(t.Context()); err != nil || len(latest) != 0 {
		t.Errorf("a stale snapshot arrived: %v, %v", latest, err)
	}
}
