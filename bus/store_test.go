package bus_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
)

// TestStoreDamage: whatever happened to the folder, the bus comes up and takes messages.
func TestStoreDamage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(path string, d fs.DirEntry) error
	}{
		{"garbage in every file", func(path string, _ fs.DirEntry) error { return os.WriteFile(path, []byte("garbage"), 0o600) }},
		{"every file empty", func(path string, _ fs.DirEntry) error { return os.Truncate(path, 0) }},
		{"stream definitions gone", func(path string, d fs.DirEntry) error {
			if d.Name() == "meta.inf" {
				return os.Remove(path)
			}
			return nil
		}},
		{"garbage definitions", func(path string, d fs.DirEntry) error {
			if d.Name() == "meta.inf" {
				return os.WriteFile(path, []byte("{"), 0o600)
			}
			return nil
		}},
		{"blocks cut short", func(path string, d fs.DirEntry) error {
			if filepath.Ext(path) == ".blk" {
				return os.Truncate(path, 7)
			}
			return nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := filepath.Join(t.TempDir(), "bus")
			first, err := bus.Serve(bus.ServerOptions{Store: store})
			if err != nil {
				t.Fatal(err)
			}
			c := connect(t, bus.Options{Server: first})
			for i := range uint64(20) {
				if err := c.PublishSnapshot(t.Context(), snapshot("i-a", i)); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			err = filepath.WalkDir(store, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				return tc.damage(path, d)
			})
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, bus.ServerOptions{Store: store})
			c = connect(t, bus.Options{Server: s})
			if err := c.PublishSnapshot(t.Context(), snapshot("i-a", 99)); err != nil {
				t.Fatal(err)
			}
			latest, err := c.LatestSnapshots(t.Context())
			if err != nil || latest["i-a"].Seq != 99 {
				t.Errorf("%v, %v", latest, err)
			}
			if err := c.PublishEvent(t.Context(), "i-a", "inc", record(1, ipam.PodAdded)); err != nil {
				t.Error(err)
			}
			t.Logf("moved aside: %q", s.Rebuilt)
		})
	}
}

// TestStoreRebuilt: a store that the server cannot open is moved aside and kept.
func TestStoreRebuilt(t *testing.T) {
	store := filepath.Join(t.TempDir(), "bus")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store, "jetstream"), []byte("a file in the folder's place"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, bus.ServerOptions{Store: store})
	if s.Rebuilt != store+".damaged" {
		t.Errorf("rebuilt %q", s.Rebuilt)
	}
	if text, err := os.ReadFile(filepath.Join(s.Rebuilt, "jetstream")); err != nil || len(text) == 0 {
		t.Errorf("what was damaged is lost: %v", err)
	}
	if err := connect(t, bus.Options{Server: s}).PublishSnapshot(t.Context(), snapshot("i-a", 1)); err != nil {
		t.Error(err)
	}
}

// TestSnapshotsNotOnDisk: on a bus that is not ours, a stream on disk is refused.
func TestSnapshotsNotOnDisk(t *testing.T) {
	s := serve(t, bus.ServerOptions{})
	js := jet(t, s)
	stream, err := js.Stream(t.Context(), bus.StreamState)
	if err != nil {
		t.Fatal(err)
	}
	onDisk := stream.CachedInfo().Config
	onDisk.Storage = jetstream.FileStorage
	if err := js.DeleteStream(t.Context(), bus.StreamState); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), onDisk); err != nil {
		t.Fatal(err)
	}
	err = connect(t, bus.Options{Server: s}).EnsureStreams(t.Context(), bus.Retention{})
	if err == nil || !strings.Contains(err.Error(), bus.StreamState) || !strings.Contains(err.Error(), "storage") {
		t.Errorf("taken as it is: %v", err)
	}
}

// TestServerStartsAgain: events outlive a server, snapshots do not, however it ended: what a disk brings back may be
// older than what the stream had acknowledged. A second server on the same store is refused.
func TestServerStartsAgain(t *testing.T) {
	store := filepath.Join(t.TempDir(), "bus")
	first, err := bus.Serve(bus.ServerOptions{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, bus.Options{Server: first})
	if err := c.PublishEvent(t.Context(), "i-a", "inc", record(1, ipam.PodAdded)); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishSnapshot(t.Context(), snapshot("i-a", 5)); err != nil {
		t.Fatal(err)
	}
	var stored box[bus.Event]
	stop := listen(t, func(ctx context.Context) error {
		return c.Events(ctx, bus.EventFilter{Since: time.Unix(0, 0)}, stored.add)
	})
	stored.wait(t, 1) // nobody acknowledges an event
	stop()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishSnapshot(t.Context(), snapshot("i-a", 6)); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Serve(bus.ServerOptions{Store: store}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server: %v", err)
	}
	c.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]string{"stopped in order": store, "set back to an image": old} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, bus.ServerOptions{Store: store})
			r := connect(t, bus.Options{Server: s})
			latest, err := r.LatestSnapshots(t.Context())
			if err != nil || len(latest) != 0 || s.Rebuilt != "" {
				t.Errorf("%v, %v, rebuilt %q", latest, err, s.Rebuilt)
			}
			var events box[bus.Event]
			listen(t, func(ctx context.Context) error {
				return r.Events(ctx, bus.EventFilter{Since: time.Unix(0, 0)}, events.add)
			})
			events.wait(t, 1)
		})
	}
}
