package reconcile

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Options is what a Shell is made of.
type Options struct {
	Config Config
	Bus    Bus
	Cloud  Cloud
	Lease  string       // name of the leader's lease; default "reconciler"
	Log    *slog.Logger // default: discards
	Watch  Watch        // default: nobody watches
	// Record, if set, gets every step's time, input and effects in order: a new Core of the same Config, fed the same
	// times and inputs, has the same effects. It must not keep what it is given.
	Record func(Now, Input, []Effect)
}

// Watch gets numbers for metrics. Its methods are called from several goroutines.
type Watch interface {
	// Called is told of every EC2 call that changes something: code is "ok", EC2's error code, or our Class for an
	// answer without one; not-sent are calls whose turn did not come, or whose leadership was lost.
	Called(action Action, code string, took time.Duration)
	// Listed is told how long a list took; outcome is "ok" or "error".
	Listed(outcome string, took time.Duration)
	// Leading is told when leadership is won or lost.
	Leading(leading bool)
}

// Shell runs a Core against a bus and a cloud.
type Shell struct {
	o     Options
	base  time.Time
	inbox chan Input
	asks  chan func(*Core, Now)
	calls sync.WaitGroup

	mu    sync.Mutex // guards until
	until time.Time  // the end of our lease; zero = we do not lead
}

// NewShell checks the configuration.
func NewShell(o Options) (*Shell, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	o.Lease = cmp.Or(o.Lease, "reconciler")
	return &Shell{o: o, base: time.Now(), inbox: make(chan Input, 64), asks: make(chan func(*Core, Now))}, nil
}

// Run works until ctx ends; then calls that EC2 has already been sent are waited for, up to Deadline.
func (s *Shell) Run(ctx context.Context) error {
	var feeds sync.WaitGroup
	feeds.Go(func() { s.campaign(ctx) })
	feeds.Go(func() { s.hear(ctx) })
	s.loop(ctx)
	feeds.Wait()
	s.calls.Wait()
	return nil
}

func (s *Shell) now() Now { return Now{At: time.Since(s.base), Wall: time.Now().UTC()} }

// send hands an input to the loop; at the end of the run it is dropped.
func (s *Shell) send(ctx context.Context, in Input) {
	select {
	case s.inbox <- in:
	case <-ctx.Done():
	}
}

// campaign takes part in the election until ctx ends.
func (s *Shell) campaign(ctx context.Context) {
	s.persist(ctx, "lead", func() error {
		var last uint64
		change := func(revision uint64, until time.Time) {
			if revision == 0 {
				until = time.Time{}
			}
			s.mu.Lock()
			s.until = until
			s.mu.Unlock()
			if revision != last {
				last = revision
				s.o.Watch.Leading(revision != 0)
				s.send(ctx, Input{Lead: &Lead{Revision: revision}})
			}
		}
		defer change(0, time.Time{})
		return s.o.Bus.Lead(ctx, s.o.Lease, LeaseTTL, change)
	})
}

// hear follows the nodes' snapshots until ctx ends.
func (s *Shell) hear(ctx context.Context) {
	s.persist(ctx, "hear snapshots", func() error {
		return s.o.Bus.Snapshots(ctx, func(snap ipam.Snapshot) { s.send(ctx, Input{Snapshots: []ipam.Snapshot{snap}}) })
	})
}

// persist tries again what failed, a few seconds later, until ctx ends.
func (s *Shell) persist(ctx context.Context, what string, try func() error) {
	for ctx.Err() == nil {
		err := try()
		if ctx.Err() != nil {
			return
		}
		s.o.Log.Warn("cannot "+what+"; trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

// loop is the only goroutine that touches the core.
func (s *Shell) loop(ctx context.Context) {
	core := New(s.o.Config)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var in Input
		select {
		case <-ctx.Done():
			return
		case ask := <-s.asks:
			ask(core, s.now())
			continue
		case <-tick.C:
		case in = <-s.inbox:
			in = s.more(in)
		}
		now := s.now()
		effects := core.Step(now, in)
		if s.o.Record != nil {
			s.o.Record(now, in, effects)
		}
		for _, e := range effects {
			s.do(ctx, e)
		}
	}
}

// more joins inputs that are waiting, as long as they are of kinds that add up.
func (s *Shell) more(in Input) Input {
	for range cap(s.inbox) {
		if in.Lead != nil || in.Listed != nil || in.Pools != nil || in.Pods != nil {
			return in
		}
		select {
		case next := <-s.inbox:
			next.Snapshots = append(in.Snapshots, next.Snapshots...)
			next.Answers = append(in.Answers, next.Answers...)
			in = next
		default:
			return in
		}
	}
	return in
}

// do carries out one effect; what takes time goes on beside the loop.
func (s *Shell) do(ctx context.Context, e Effect) {
	switch {
	case e.List != nil:
		s.calls.Go(func() { l := s.list(ctx, *e.List); s.send(ctx, Input{Listed: &l}) })
	case e.Call != nil:
		s.calls.Go(func() { a := s.call(ctx, *e.Call); s.send(ctx, Input{Answers: []Answer{a}}) })
	case e.Would != nil:
		s.o.Log.Info("would call", "action", e.Would.Action, "node", e.Would.Instance, "eni", e.Would.ENI, "count", e.Would.Count)
	case e.Supply != nil:
		if err := s.o.Bus.PublishSupply(ctx, *e.Supply); err != nil {
			s.o.Log.Debug("a supply waits", "node", e.Supply.Instance, "error", err) // the core sends it again
		}
	case e.Event != nil:
		if err := s.o.Bus.PublishEvent(ctx, e.Event.Instance, e.Event.Inc, e.Event.Record); err != nil {
			s.o.Log.Debug("an event is lost", "node", e.Event.Instance, "error", err)
		}
	case e.Purge != "":
		s.calls.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, Deadline)
			defer cancel()
			if err := s.o.Bus.Purge(ctx, e.Purge); err != nil {
				s.o.Log.Warn("a terminated instance's snapshot stays", "node", e.Purge, "error", err)
			}
		})
	}
}

// list reads the snapshots, then EC2 (protocol r3).
func (s *Shell) list(ctx context.Context, ask List) Listed {
	started := s.now().At
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	fail := func(what string, err error) Listed {
		l := Listed{ID: ask.ID, Err: err.Error(), ReadBegun: started, Begun: started}
		if coded, ok := errors.AsType[interface {
			error
			ErrorCode() string
		}](err); ok {
			l.Code = coded.ErrorCode()
		}
		s.o.Watch.Listed("error", s.now().At-started)
		s.o.Log.Warn("cannot "+what, "error", err)
		return l
	}
	snaps, err := s.o.Bus.LatestSnapshots(ctx)
	if err != nil {
		return fail("read the snapshots", err)
	}
	begun := s.now().At
	l, err := s.o.Cloud.List(ctx, ask)
	if err != nil {
		return fail("list EC2", err)
	}
	l.ID, l.ReadBegun, l.Begun = ask.ID, started, begun
	for id, snap := range snaps {
		if ask.Full || slices.Contains(ask.Instances, id) {
			l.Snapshots = append(l.Snapshots, snap)
		}
	}
	slices.SortFunc(l.Snapshots, func(a, b ipam.Snapshot) int { return cmp.Compare(a.Instance, b.Instance) })
	s.o.Watch.Listed("ok", s.now().At-started)
	return l
}

// call waits for the action's turn, looks whether we still lead, and makes one attempt.
func (s *Shell) call(ctx context.Context, c Call) Answer {
	started := s.now().At
	wait, cancel := context.WithTimeout(ctx, c.NotAfter-started)
	defer cancel()
	if err := s.o.Cloud.Wait(wait, c.Action, c.Urgency); err != nil {
		a := Answer{ID: c.ID, Class: NotSent, Text: err.Error()}
		if paced := new(PacedError); errors.As(err, &paced) {
			a.Code = paced.Code
		}
		return s.log(c, a)
	}
	if text := s.barred(c); text != "" {
		return s.log(c, Answer{ID: c.ID, Class: NotSent, Text: text})
	}
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), Deadline)
	defer cancel()
	started = s.now().At
	a := s.o.Cloud.Do(attempt, c)
	a.ID, a.Took = c.ID, s.now().At-started
	return s.log(c, a)
}

// barred says why a call must not be begun now: the lease may have ended (protocol r1), or its round is too old. A
// call begun in time ends within D, so nothing of ours has an effect later than L + D after leadership was lost.
func (s *Shell) barred(c Call) string {
	s.mu.Lock()
	until := s.until
	s.mu.Unlock()
	switch {
	case !time.Now().Before(until):
		return "this reconciler does not lead any more"
	case s.now().At > c.NotAfter:
		return "the decision is too old"
	}
	return ""
}

func (s *Shell) log(c Call, a Answer) Answer {
	code := cmp.Or(a.Code, string(a.Class))
	level := slog.LevelInfo
	switch {
	case a.Class == Done:
		code = "ok"
	case a.Class == NotSent:
		code, level = string(NotSent), slog.LevelDebug
	default:
		level = slog.LevelWarn
	}
	s.o.Watch.Called(c.Action, code, a.Took)
	eni := c.ENI
	if a.ENI != nil {
		eni = a.ENI.ID
	}
	said := []any{"node", c.Instance, "eni", eni, "code", code, "took", a.Took.Round(time.Millisecond).String()}
	for _, of := range []struct {
		key   string
		count int
	}{{"addresses", c.Count + c.Addrs6 + len(c.Addresses)}, {"prefixes", c.Prefixes + c.Prefixes6 + len(c.Give)}} {
		if of.count > 0 {
			said = append(said, of.key, of.count)
		}
	}
	if c.Device > 0 {
		said = append(said, "device", c.place().String())
	}
	if a.Text != "" {
		said = append(said, "text", a.Text)
	}
	s.o.Log.Log(context.Background(), level, "ec2 "+string(c.Action), said...)
	return a
}

type nobody struct{}

func (nobody) Called(Action, string, time.Duration) {}
func (nobody) Listed(string, time.Duration)         {}
func (nobody) Leading(bool)                         {}
