package agent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

var _ Bus = (*bus.Conn)(nil)

// TestOverTheRealBus: the server in this process, a reconciler's connection and an agent's, a pool that fills.
func TestOverTheRealBus(t *testing.T) {
	dir := t.TempDir()
	server, err := bus.Serve(bus.ServerOptions{Store: filepath.Join(dir, "bus")})
	check(t, err)
	defer func() { check(t, server.Close()) }()
	reconciler, err := bus.Connect(t.Context(), bus.Options{Server: server, Name: "reconciler"})
	check(t, err)
	defer reconciler.Close()
	check(t, reconciler.EnsureStreams(t.Context(), bus.Retention{}))
	mine, err := bus.Connect(t.Context(), bus.Options{Server: server, Instance: testInstance})
	check(t, err)
	defer mine.Close()
	n := newNode(t, 1)
	n.attach(0)
	n.config.Bus, n.config.Clock = mine, store.ReadClock
	n.config.Watch = func(context.Context, func(Wake)) error { return nil }
	shell, err := NewShell(n.config)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- shell.Run(ctx) }()
	snapshot := func(what string, is func(ipam.Snapshot) bool) (s ipam.Snapshot) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			all, err := reconciler.LatestSnapshots(t.Context())
			check(t, err)
			if s = all[testInstance]; is(s) {
				return s
			}
		}
		t.Fatalf("%s: the stream has %+v", what, s)
		return s
	}
	n.bus.stream = snapshot("a first snapshot", func(s ipam.Snapshot) bool { return s.Inc == "inc-1" })
	check(t, reconciler.PublishSupply(t.Context(), n.supply(eni(0, 5))))
	snapshot("five free", func(s ipam.Snapshot) bool { return len(s.ENIs) == 1 && s.ENIs[0].Free == 5 && s.Seen.Rev == 1 })
	st := store.New(n.config.PoolFile, n.config.storeOptions())
	check(t, st.Update(t.Context(), func(tx *store.Tx) error {
		now := store.ReadClock()
		tx.Ticket(now, n.request("w"), now.After(30*time.Second))
		return nil
	}))
	snapshot("one waiting", func(s ipam.Snapshot) bool { return len(s.Pools) == 1 && s.Pools[0].Waiting == 1 })
	stop()
	check(t, <-ended)
}
