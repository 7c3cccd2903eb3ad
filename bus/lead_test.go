package bus_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/test/transcript"
)

// term is what a candidate was told.
type term struct {
	revision uint64
	until    time.Time
}

// TestLead: one leads at a time; its successor has a higher revision; a leader that resigns is followed at once.
func TestLead(t *testing.T) {
	t.Parallel()
	s := serve(t, bus.ServerOptions{})
	const ttl = 5 * time.Second // on a busy machine a renewal, of which there are three in it, is late by a second or two
	type candidate struct {
		terms box[term]
		stop  context.CancelFunc
		done  chan error
	}
	start := func(name string) *candidate {
		c := connect(t, bus.Options{Server: s, Name: name})
		ctx, stop := context.WithCancel(t.Context())
		k := &candidate{stop: stop, done: make(chan error, 1)}
		go func() {
			k.done <- c.Lead(ctx, "reconciler", ttl, func(revision uint64, until time.Time) { k.terms.add(term{revision, until}) })
		}()
		return k
	}
	a := start("a")
	first := a.terms.wait(t, 1)[0]
	if first.revision == 0 || time.Until(first.until) > ttl {
		t.Fatalf("term %+v", first)
	}
	b := start("b")
	renewed := a.terms.wait(t, 5)[4] // four renewals, more than one life of the lease
	if renewed.revision != first.revision || !renewed.until.After(first.until) {
		t.Errorf("renewed %+v after %+v", renewed, first)
	}
	if got := b.terms.list(); len(got) != 0 {
		t.Errorf("b leads beside a: %+v", got)
	}
	a.stop()
	if err := <-a.done; err != nil {
		t.Error(err)
	}
	if last := a.terms.list(); last[len(last)-1].revision != 0 {
		t.Error("a still believes that it leads")
	}
	second := b.terms.wait(t, 1)[0]
	if second.revision <= first.revision {
		t.Errorf("b's term %+v after %+v", second, first)
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
}

// TestLeadAfterALostAnswer: a renewal that the server took and whose answer never came is still ours.
func TestLeadAfterALostAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, bus.ServerOptions{})
	c := connect(t, bus.Options{Server: s, Name: "a"})
	var terms box[term]
	listen(t, func(ctx context.Context) error {
		return c.Lead(ctx, "reconciler", 5*time.Second, func(revision uint64, until time.Time) { terms.add(term{revision, until}) })
	})
	terms.wait(t, 1)
	kv, err := jet(t, s).KeyValue(t.Context(), bus.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "reconciler")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "reconciler", entry.Value()); err != nil { // the renewal without an answer
		t.Fatal(err)
	}
	for _, got := range terms.wait(t, 4) {
		if got.revision != 1 {
			t.Fatalf("leadership was lost: %+v", terms.list())
		}
	}
}

// TestLeadWithoutBus: leadership ends by itself, at its deadline and not before, when the bus is gone.
func TestLeadWithoutBus(t *testing.T) {
	t.Parallel()
	s, err := bus.Serve(bus.ServerOptions{Store: t.TempDir() + "/bus"})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, bus.Options{Server: s, Name: "a"})
	var terms box[term]
	ended := make(chan time.Time, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go c.Lead(ctx, "reconciler", 2*time.Second, func(revision uint64, until time.Time) {
		terms.add(term{revision, until})
		if revision == 0 {
			ended <- time.Now()
		}
	})
	terms.wait(t, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-ended:
		list := terms.list()
		if deadline := list[len(list)-2].until; at.Before(deadline) {
			t.Errorf("ended %s early", deadline.Sub(at))
		}
	case <-time.After(patience):
		t.Error("leads for ever")
	}
	if err := c.Lead(ctx, "reconciler", time.Millisecond, nil); err == nil {
		t.Error("a lease of a millisecond was accepted")
	}
}

// TestLeadSaysWhyNot: a candidate that cannot write the lease says so with the cause, and says it once.
func TestLeadSaysWhyNot(t *testing.T) {
	t.Parallel()
	s := serve(t, bus.ServerOptions{})
	taken := jetstream.StreamConfig{Name: "KV_" + bus.BucketLeases, Subjects: []string{"elsewhere"}, Storage: jetstream.MemoryStorage}
	if _, err := jet(t, s).CreateStream(t.Context(), taken); err != nil { // its storage cannot be changed
		t.Fatal(err)
	}
	var text transcript.Log
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := bus.Connect(t.Context(), bus.Options{Server: s, Name: "a", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.Lead(ctx, "reconciler", time.Second, func(uint64, time.Time) { t.Error("leads") }) }()
	eventually(t, "it is said", func() bool { return strings.Contains(text.String(), "cannot take or renew the lease") })
	<-time.After(2 * time.Second) // for more tries, which say nothing
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	got := text.String()
	if strings.Count(got, "cannot take or renew the lease") != 1 || !strings.Contains(got, "error=") {
		t.Errorf("log:\n%s", got)
	}
}
