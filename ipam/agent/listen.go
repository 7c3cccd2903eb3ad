package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam"
)

// connectionLook is how often the bus is asked whether it is there though it told of no change.
const connectionLook = 30 * time.Second

// listen starts the goroutines that bring in what happens elsewhere; the returned function waits for their end, after
// that of ctx.
func (s *Shell) listen(ctx context.Context) (ended func()) {
	var all sync.WaitGroup
	for _, f := range []func(context.Context, *inbox){s.talk, s.hear, s.followConnection, s.followHints} {
		inbox := s.inbox
		all.Go(func() { f(ctx, inbox) })
	}
	return all.Wait
}

// talk does the jobs for the bus, one at a time.
func (s *Shell) talk(ctx context.Context, inbox *inbox) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-s.jobs:
			inbox.put(j(ctx))
		}
	}
}

// hear passes on supplies, and asks again when the subscription ends before its time.
func (s *Shell) hear(ctx context.Context, inbox *inbox) {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		began := time.Now()
		err := s.config.Bus.Supplies(ctx, s.config.Instance, func(supply ipam.Supply) {
			inbox.put(Input{Supply: &supply})
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		s.say("warn", fmt.Sprintf("cannot hear supplies, next try in %s: %v", pause, err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *Shell) followConnection(ctx context.Context, inbox *inbox) {
	ticker := time.NewTicker(connectionLook)
	defer ticker.Stop()
	up, times := false, s.config.Bus.Reconnects()
	for {
		now, again := s.config.Bus.Connected(), s.config.Bus.Reconnects()
		if up && now && again != times {
			inbox.put(Input{Bus: &BusState{}}) // it was away between two looks
			up = false
		}
		if times = again; now != up {
			up = now
			inbox.put(Input{Bus: &BusState{Up: up}})
		}
		select {
		case <-ctx.Done():
			return
		case <-s.config.Bus.Changed():
		case <-ticker.C:
		}
	}
}

func (s *Shell) followHints(ctx context.Context, inbox *inbox) {
	for {
		select {
		case <-ctx.Done():
			return
		case hint, open := <-s.config.Hints:
			if !open {
				return
			}
			inbox.put(Input{Hint: &hint})
		}
	}
}

// farewellTime bounds what an agent that is told to stop still does.
const farewellTime = 2 * time.Second

// farewell publishes what the outbox holds and the last state of the pool. Whether that works changes nothing: the
// records stay in the file, and the next agent begins with a snapshot.
func (s *Shell) farewell(ctx context.Context) {
	if !s.config.Bus.Connected() || s.file.lost != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellTime)
	defer cancel()
	records, err := s.file.outbox(ctx)
	if err != nil {
		return
	}
	inc := s.core.pool.Snapshot.Inc
	if done := s.drain(ctx, inc, records).Drained; done.N != 0 {
		s.file.acknowledge(ctx, s.config.Clock(), done.N)
	}
	if pool := s.file.look(ctx, s.config.Clock(), "look"); pool.Err == "" {
		s.publish(ctx, pool.Snapshot)
	}
}
