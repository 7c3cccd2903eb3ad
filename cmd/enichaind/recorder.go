package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/record"
)

const (
	mostRecords   = 2        // at a time
	recordRoom    = 64 << 20 // bytes that a slow reader may lag behind; a full list of 5,000 nodes has 20 MB
	recordFor     = time.Minute
	recordLongest = time.Hour
)

// recorder hands the steps of this daemon's cores to those who asked for a record. While nobody does it costs nothing.
type recorder struct {
	mu   sync.Mutex // guards open
	open []*recording
}

// recording is one record that is being written.
type recording struct {
	cores  []string
	writer *record.Writer
	spool  *spool
	ended  atomic.Bool // its reader has gone
}

// life is one core from its first step on, as far as somebody records it; nil = nobody does.
type life struct {
	core, node string
	into       []*recording
}

// begin is the life of a core that is about to be made of this configuration.
func (r *recorder) begin(core, node string, seed *[2]uint64, config any) *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &life{core: core, node: node}
	for _, one := range r.open {
		if slices.Contains(one.cores, core) && one.writer.Begin(core, node, seed, config) == nil {
			l.into = append(l.into, one)
		}
	}
	if len(l.into) == 0 {
		return nil
	}
	return l
}

// step writes one step down. A record that cannot be written any more has said why itself.
func (l *life) step(now, in, out any) {
	for _, one := range l.into {
		if !one.ended.Load() {
			_ = one.writer.Step(l.core, l.node, now, in, out)
		}
	}
}

// start makes room for one more record.
func (r *recorder) start(cores []string) (*recording, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= mostRecords {
		return nil, fmt.Errorf("%d records are being written; wait for one to end", len(r.open))
	}
	s := &spool{some: make(chan struct{}, 1)}
	one := &recording{cores: cores, spool: s, writer: record.NewWriter(s)}
	r.open = append(r.open, one)
	return one, nil
}

func (r *recorder) stop(one *recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.ended.Store(true)
	r.open = slices.DeleteFunc(r.open, func(o *recording) bool { return o == one })
}

// spool keeps what a reader has not taken yet, so that no core ever waits for one.
type spool struct {
	some chan struct{} // something is there, or the spool has overflowed

	mu   sync.Mutex // guards all below
	text []byte
	over bool
}

var errSlow = errors.New("the reader is too slow")

// Write takes whole lines.
func (s *spool) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.some <- struct{}{}:
		default:
		}
	}()
	if s.over || len(s.text)+len(line) > recordRoom {
		s.over = true
		return 0, errSlow
	}
	s.text = append(s.text, line...)
	return len(line), nil
}

func (s *spool) take() (text []byte, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, s.text = s.text, nil
	return text, s.over
}

// streamRecord sends a record of the cores as it is written, for ?for= (default 60s, up to 1h): of ?core= or of all that
// run here. They begin anew for it, as after a crash, since a record can be run again only from a core's first step.
func (d *daemon) streamRecord(w http.ResponseWriter, r *http.Request) {
	how, cores, err := d.wantedRecord(r.URL.Query().Get("for"), r.URL.Query().Get("core"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	one, err := d.recorder.start(cores)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer d.recorder.stop(one)
	d.log.Info("a record is being written: its cores begin anew", "cores", cores, "for", how.String())
	if slices.Contains(cores, record.Agent) {
		d.agentRounds.anew()
	}
	if slices.Contains(cores, record.Reconcile) {
		d.reconcilerRounds.anew()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}
	send := func() (more bool) {
		text, over := one.spool.take()
		if over {
			end, _ := json.Marshal(record.End{Enichain: "end", Reason: errSlow.Error()})
			text = append(append(text, end...), '\n')
		}
		_, err := w.Write(text)
		return err == nil && out.Flush() == nil && !over
	}
	over := time.NewTimer(how)
	defer over.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-one.spool.some:
			if !send() {
				return
			}
		case <-over.C:
			d.recorder.stop(one)
			_ = one.writer.Close(how.String() + " are over") // a spool that overflowed says so itself
			send()
			return
		}
	}
}

// wantedRecord reads what is asked for.
func (d *daemon) wantedRecord(how, core string) (time.Duration, []string, error) {
	long, err := time.ParseDuration(cmp.Or(how, recordFor.String()))
	if err != nil || long < time.Second || long > recordLongest {
		return 0, nil, fmt.Errorf("for=%q: want a duration of 1s..%s, such as 60s", how, recordLongest)
	}
	var here []string
	if d.config.Has(RoleAgent) {
		here = append(here, record.Agent)
	}
	if d.config.Has(RoleReconciler) {
		here = append(here, record.Reconcile)
	}
	switch {
	case len(here) == 0:
		return 0, nil, errors.New("nothing to record: this daemon has neither the role agent nor the role reconciler")
	case core == "":
		return long, here, nil
	case !slices.Contains(here, core):
		return 0, nil, fmt.Errorf("core=%q: want one that runs here: %q", core, here)
	}
	return long, []string{core}, nil
}

// turns takes an agent's steps, one JSON line each. A second first step is of another core, which the agent makes by
// itself when its pool file is lost: its random source is not where a new one would begin, so it begins anew for us.
type turns struct {
	life  *life
	anew  func()
	begun bool
	over  bool
}

// Write implements io.Writer for agent.Config.Record.
func (t *turns) Write(line []byte) (int, error) {
	var turn struct{ Now, In, Out json.RawMessage }
	if t.over || json.Unmarshal(line, &turn) != nil {
		return len(line), nil
	}
	if first := bytes.HasPrefix(turn.In, []byte(`{"start":`)); first && t.begun {
		t.over = true
		t.anew()
		return len(line), nil
	}
	t.begun = true
	t.life.step(turn.Now, turn.In, turn.Out)
	return len(line), nil
}

// recordAgent lets the agent's next life be recorded, if somebody wants that.
func (d *daemon) recordAgent(c *agent.Config) {
	seed := [2]uint64{rand.Uint64(), rand.Uint64()}
	c.Options.Instance = c.Instance
	if l := d.recorder.begin(record.Agent, string(c.Instance), &seed, c.Options); l != nil {
		c.Random = rand.New(rand.NewPCG(seed[0], seed[1]))
		c.Record = &turns{life: l, anew: d.agentRounds.anew}
	}
}

// steps follows the reconciler's next life: for the metrics, and for those who record it.
func (d *daemon) steps(c reconcile.Config) func(reconcile.Now, reconcile.Input, []reconcile.Effect) {
	times, l := newDemandTimes(d.numbers.Served), d.recorder.begin(record.Reconcile, "", nil, c)
	return func(now reconcile.Now, in reconcile.Input, out []reconcile.Effect) {
		times.step(now, in, out)
		if l != nil {
			l.step(now, in, out)
		}
	}
}
