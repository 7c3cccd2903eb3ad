package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/stages/handover"
)

// TestKeepSockets: the daemon takes what stages hand over beside the flight record, where those of its node look.
func TestKeepSockets(t *testing.T) {
	c, err := parse([]byte("cluster: c"), func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Join(filepath.Dir(c.Flight.File), filepath.Base(handover.Path)); got != handover.Path {
		t.Errorf("by default it listens at %s, and stages hand over at %s", got, handover.Path)
	}
	c.Flight.File = filepath.Join(t.TempDir(), "flight.jsonl")
	d := &daemon{config: c, log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.keepSockets(ctx) }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for !handover.Give(filepath.Join(filepath.Dir(c.Flight.File), "handover.sock"), int(w.Fd())) {
		if t.Context().Err() != nil {
			t.Fatal("nobody listens")
		}
	}
	w.Close()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
