package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// Shell runs a Core: it feeds it with what happens and does what it says. Everything but the bus is done in one
// goroutine, in the order of the core's effects.
type Shell struct {
	config Config
	status statusBoard

	inbox   *inbox
	alive   *Alive
	core    *Core
	file    *PoolFile
	jobs    chan job // for the goroutine that talks to the bus
	touched ipam.Instant
}

// job is one thing to say on the bus; what it returns is what the core is told.
type job func(context.Context) Input

// NewShell checks the configuration and fills in what it leaves open; nothing is touched before Run.
func NewShell(c Config) (*Shell, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	return &Shell{config: c}, nil
}

// Status is what there is to say of the agent now. It may be called at any time by anyone.
func (s *Shell) Status() Status { return s.status.read() }

// Run is the agent until ctx ends, when it returns nil: it takes the agent's lock, makes or opens the pool file, and
// turns the loop. When the pool file is lost it is made anew. An error says why this node can have no agent.
func (s *Shell) Run(ctx context.Context) error {
	alive, err := TakeAlive(s.config.AliveFile)
	if err != nil {
		return err
	}
	defer alive.Close()
	s.alive = alive
	var pause retry
	for {
		began := s.config.Clock()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var schema *store.SchemaError
		if errors.As(err, &schema) {
			return err // neither used nor moved aside: a newer enichain wrote it
		}
		if time.Duration(s.config.Clock().Boot-began.Boot) > time.Minute {
			pause.succeeded()
		}
		pause.failed(s.config.Clock())
		s.say("error", fmt.Sprintf("the agent starts again in %s: %v", pause.step/4, err))
		if !s.rest(ctx, pause.step/4) {
			return nil
		}
	}
}

// rest waits without letting others think that the agent hangs; false when ctx has ended.
func (s *Shell) rest(ctx context.Context, d time.Duration) bool {
	s.touch(s.config.Clock())
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// session is one life of a core: from a usable pool file to its loss.
func (s *Shell) session(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	st, ledger, err := s.config.openPool(ctx, func(level, format string, args ...any) { s.say(level, fmt.Sprintf(format, args...)) })
	if err != nil {
		end()
		return err
	}
	if err := s.alive.Touch(); err != nil { // the pool file's whole folder may have been taken away
		end()
		return err
	}
	s.inbox, s.jobs = newInbox(), make(chan job, 8)
	s.file = NewPoolFile(st)
	s.core = New(s.config.Options, s.config.Random)
	ended := s.listen(ctx)
	defer func() { end(); ended() }()
	if err := s.watch(ctx); err != nil {
		return err
	}
	first := s.file.Start(ctx, s.config.Clock())
	if first.Err != "" {
		return errors.New(first.Err)
	}
	s.step(ctx, Input{Start: &Start{Pool: *first, Ledger: ledger}})
	if s.config.MaxPods != first.Snapshot.MaxPods {
		s.inbox.put(Input{Hint: &Hint{MaxPods: s.config.MaxPods, Unschedulable: first.Snapshot.Unschedulable}})
	}
	err = s.loop(ctx)
	if ctx.Err() != nil {
		s.farewell(context.WithoutCancel(ctx))
	}
	return err
}

// watch sets the watches that must stand before the first look.
func (s *Shell) watch(ctx context.Context) error {
	isNews := poolNews(s.config.PoolFile)
	err := s.config.WatchFolder(ctx, filepath.Dir(s.config.PoolFile), func(name string) {
		if isNews(name) {
			s.inbox.put(Input{Bell: true})
		}
	})
	if err != nil {
		return err
	}
	return s.config.Watch(ctx, func(w Wake) { s.inbox.put(Input{Wake: &w}) })
}

// loop turns until ctx ends or the pool file is lost.
func (s *Shell) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.inbox.some:
			for _, in := range s.inbox.take() {
				s.step(ctx, in)
			}
		case <-timer.C:
			s.step(ctx, Input{Timer: true})
		}
		if s.file.lost != nil {
			return s.file.lost
		}
		now := s.config.Clock()
		s.touch(now)
		timer.Reset(s.nextTurn(now))
	}
}

// shortestTurn keeps a mistaken deadline in the past from turning the loop without end.
const shortestTurn = time.Millisecond

func (s *Shell) nextTurn(now Now) time.Duration {
	turn := AliveEvery
	if at := s.core.Deadline(); at != 0 {
		turn = min(turn, time.Duration(at-now.Boot))
	}
	return max(turn, shortestTurn)
}

func (s *Shell) touch(now Now) {
	if s.touched != 0 && now.Boot < s.touched+ipam.Instant(AliveEvery) {
		return
	}
	if err := s.alive.Touch(); err != nil {
		s.say("error", err.Error())
	}
	s.touched = now.Boot
}

// step feeds the core with one input, and with the results of what it then asks for.
func (s *Shell) step(ctx context.Context, in Input) {
	for queue := []Input{in}; len(queue) > 0 && s.file.lost == nil; queue = queue[1:] {
		now := s.config.Clock()
		effects := s.core.Step(now, queue[0])
		s.record(now, queue[0], effects)
		s.status.note(now, s.config.Bus.Connected(), queue[0], effects)
		for _, e := range effects {
			if result := s.do(ctx, e); result != nil {
				queue = append(queue, *result)
			}
		}
	}
}

// Turn is one step of a recorded run.
type Turn struct {
	Now Now      `json:"now"`
	In  Input    `json:"in"`
	Out []Effect `json:"out,omitempty"`
}

func (s *Shell) record(now Now, in Input, out []Effect) {
	if s.config.Record == nil {
		return
	}
	text, err := json.Marshal(Turn{now, in, out})
	if err == nil {
		_, err = s.config.Record.Write(append(text, '\n'))
	}
	if err != nil {
		s.config.Record = nil
		s.say("warn", fmt.Sprintf("cannot record the agent's run: %v", err))
	}
}

// say writes one line of the log.
func (s *Shell) say(level, text string) {
	now := s.config.Clock()
	s.status.say(now, level, text)
	switch level {
	case "info":
		s.config.Log.Info(text)
	case "error":
		s.config.Log.Error(text)
	default:
		s.config.Log.Warn(text)
	}
}
