package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
)

// pace is the turn of a reconciler's calls: package ec2's buckets in virtual time, or no limit at all.
type pace struct {
	f       *fleet
	buckets *ec2.Pace // nil = no limit
	queues  map[reconcile.Action][]*turn
	seq     uint64
	alarms  map[reconcile.Action]time.Duration
}

type turn struct {
	urgency reconcile.Urgency
	seq     uint64
	until   time.Duration
	done    func(came bool)
}

func newPace(f *fleet) *pace {
	p := &pace{f: f, queues: map[reconcile.Action][]*turn{}, alarms: map[reconcile.Action]time.Duration{}}
	if f.pacing {
		p.buckets = ec2.NewPace(ec2.Options{}.Allowed(), f.wall())
	}
	return p
}

// wait calls done when it is the action's turn, or false at the time until.
func (p *pace) wait(action reconcile.Action, urgency reconcile.Urgency, until time.Duration, done func(came bool)) {
	if p.buckets == nil || p.f.unpaced {
		done(true)
		return
	}
	p.seq++
	t := &turn{urgency: urgency, seq: p.seq, until: until, done: done}
	at, _ := slices.BinarySearchFunc(p.queues[action], t, func(a, b *turn) int {
		return cmp.Or(cmp.Compare(a.urgency, b.urgency), cmp.Compare(a.seq, b.seq))
	})
	p.queues[action] = slices.Insert(p.queues[action], at, t)
	p.pump(action)
	if p.waits(action, t) {
		p.f.after(until-p.f.now, func() { p.late(action, t) })
	}
}

func (p *pace) waits(action reconcile.Action, t *turn) bool {
	return slices.Contains(p.queues[action], t)
}

// late ends a wait in vain.
func (p *pace) late(action reconcile.Action, t *turn) {
	i := slices.Index(p.queues[action], t)
	if i < 0 {
		return
	}
	p.queues[action] = slices.Delete(p.queues[action], i, i+1)
	t.done(false)
}

// pump lets those go whose turn it is.
func (p *pace) pump(action reconcile.Action) {
	for len(p.queues[action]) > 0 {
		t := p.queues[action][0]
		if wait := p.buckets.Take(action, t.urgency, p.f.wall()); wait > 0 {
			p.wake(action, wait)
			return
		}
		p.queues[action] = p.queues[action][1:]
		t.done(true)
	}
}

func (p *pace) wake(action reconcile.Action, wait time.Duration) {
	at := p.f.now + wait
	if set := p.alarms[action]; set > p.f.now && set <= at {
		return
	}
	p.alarms[action] = at
	p.f.after(wait, func() {
		if p.alarms[action] <= p.f.now {
			p.alarms[action] = 0
		}
		p.pump(action)
	})
}

// answered tells the buckets what EC2 made of a call.
func (p *pace) answered(action reconcile.Action, class reconcile.Class, code string) {
	if p.buckets == nil {
		return
	}
	switch class {
	case reconcile.Throttled:
		p.buckets.Throttled(action, code, p.f.wall())
	case reconcile.Unknown, reconcile.Away, reconcile.NotSent:
	default:
		p.buckets.Taken(action, p.f.wall())
		p.pump(action)
	}
}

// code is EC2's, while it slows an action down.
func (p *pace) code(action reconcile.Action) string {
	if p.buckets == nil {
		return ""
	}
	return p.buckets.Level(action, p.f.wall()).Code
}
