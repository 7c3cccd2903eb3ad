package ec2

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam/reconcile"
)

// pacer lets calls wait for their turns: the more urgent first, then who came first.
type pacer struct {
	mu     sync.Mutex // guards all that follows
	pace   *Pace
	queues map[reconcile.Action]*queue
	seq    uint64
}

type queue struct {
	action   reconcile.Action
	waiting  []*waiter
	alarm    *time.Timer
	alarmFor time.Time
}

type waiter struct {
	urgency reconcile.Urgency
	seq     uint64
	ready   chan struct{}
}

func newPacer(rates map[reconcile.Action]Rate) *pacer {
	p := &pacer{pace: NewPace(rates, time.Now()), queues: map[reconcile.Action]*queue{}}
	for action := range rates {
		p.queues[action] = &queue{action: action}
	}
	return p
}

// wait blocks until it is the caller's turn.
func (p *pacer) wait(ctx context.Context, action reconcile.Action, urgency reconcile.Urgency) error {
	if err := ctx.Err(); err != nil {
		return err // a turn would be lost on it
	}
	p.mu.Lock()
	q := p.queues[action]
	p.seq++
	w := &waiter{urgency: urgency, seq: p.seq, ready: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	slices.SortFunc(q.waiting, func(x, y *waiter) int {
		return cmp.Or(cmp.Compare(x.urgency, y.urgency), cmp.Compare(x.seq, y.seq))
	})
	p.pump(q)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return nil // it was let go at the same moment
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	l := p.pace.Level(action, time.Now())
	return &reconcile.PacedError{Action: action, Code: l.Code, Level: l.Tokens, Rate: l.Rate}
}

// pump lets those go whose turn it is, and sets the alarm for the next.
func (p *pacer) pump(q *queue) {
	for len(q.waiting) > 0 {
		w := q.waiting[0]
		if again := p.pace.Take(q.action, w.urgency, time.Now()); again > 0 {
			p.wake(q, again)
			return
		}
		q.waiting = q.waiting[1:]
		close(w.ready)
	}
}

// wake pumps again after d. An earlier alarm that is still set is as good.
func (p *pacer) wake(q *queue, d time.Duration) {
	at := time.Now().Add(d)
	if q.alarm != nil && q.alarmFor.After(time.Now()) && !q.alarmFor.After(at) {
		return
	}
	if q.alarm != nil {
		q.alarm.Stop()
	}
	q.alarmFor = at
	q.alarm = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		q.alarmFor = time.Time{}
		p.pump(q)
	})
}

func (p *pacer) throttled(action reconcile.Action, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.Throttled(action, code, time.Now())
}

func (p *pacer) taken(action reconcile.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.Taken(action, time.Now())
	p.pump(p.queues[action])
}

func (p *pacer) retune(rates map[reconcile.Action]Rate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.Retune(rates, time.Now())
	for _, q := range p.queues {
		p.pump(q) // the new turn may come before the alarm that was set for the old rate
	}
}

func (p *pacer) levels() []Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Level
	for action, q := range p.queues {
		l := p.pace.Level(action, time.Now())
		l.Waiting = len(q.waiting)
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y Level) int { return cmp.Compare(x.Action, y.Action) })
	return all
}
