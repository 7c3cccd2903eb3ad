package main

import (
	"context"
	"sync"
)

// rounds runs a part until its context ends, and anew whenever somebody asks for it: as after a crash, which every part
// must be good for anyway.
type rounds struct {
	mu  sync.Mutex         // guards end
	end context.CancelFunc // ends the round at work; nil = there is none
}

// run runs one round after the other. An error, or an end that nobody asked for, is the last.
func (r *rounds) run(ctx context.Context, one func(context.Context) error) error {
	for {
		round, end := context.WithCancel(ctx)
		r.set(end)
		err := one(round)
		asked := round.Err() != nil && ctx.Err() == nil
		r.set(nil)
		end()
		if err != nil || !asked {
			return err
		}
	}
}

func (r *rounds) set(end context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
}

// anew ends the round at work; the next one sees everything that was done before this call.
func (r *rounds) anew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		r.end()
	}
}
