package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// leader is one reconciler's process: it may believe that it leads.
type leader struct {
	f        *fleet
	name     string
	core     *reconcile.Core
	pace     *pace
	limits   map[string]ipam.Limits // asked for once
	until    time.Duration          // of its lease
	dead     bool
	died     time.Duration
	inflight map[ipam.InstanceID]int
	stalled  time.Duration // its subscription delivers nothing before
	steps    stopwatch
}

// addLeader starts a reconciler: it reads the stream, and does not lead yet.
func (f *fleet) addLeader(name string) *leader {
	l := &leader{f: f, name: name, core: reconcile.New(f.cfg), pace: newPace(f), limits: map[string]ipam.Limits{},
		inflight: map[ipam.InstanceID]int{}}
	f.leaders = append(f.leaders, l)
	f.beginReconcileRecord(l)
	l.step(reconcile.Input{Snapshots: f.bus.latest(nil)})
	l.tick()
	return l
}

func (l *leader) tick() {
	if l.dead {
		return
	}
	l.step(reconcile.Input{})
	l.f.after(time.Second, l.tick)
}

// lead gives a reconciler a term: it believes in it until it is told otherwise, and calls until the lease ends.
func (l *leader) lead(revision uint64, until time.Duration) {
	l.f.term = max(l.f.term, revision)
	l.until = until
	l.step(reconcile.Input{Lead: &reconcile.Lead{Revision: revision}})
}

// die ends the process; calls that have reached EC2 go on there.
func (l *leader) die() { l.dead, l.died = true, l.f.now }

func (l *leader) step(in reconcile.Input) {
	if l.dead || len(l.f.faults) > 0 {
		return
	}
	now := reconcile.Now{At: l.f.now, Wall: l.f.wall()}
	l.steps.start()
	effects := l.core.Step(now, in)
	l.steps.stop()
	l.f.recordReconcile(l, now, in, effects)
	for _, e := range effects {
		l.do(e)
	}
}

func (l *leader) do(e reconcile.Effect) {
	f := l.f
	switch {
	case e.List != nil:
		l.list(*e.List)
	case e.Call != nil:
		l.call(*e.Call)
	case e.Supply != nil:
		s := *e.Supply
		if f.bugs.supply != nil {
			f.bugs.supply(&s)
		}
		if !f.quiet {
			f.say("%s supply %s %d/%d basis %d: %d interfaces, release %v, %s", l.name, s.Instance, s.Epoch, s.Rev, s.Basis.Seq, len(s.ENIs), s.Release, whyOf(s.Pools))
		}
		f.bus.supply(s)
	case e.Event != nil:
		f.bus.count("event", e.Event)
	case e.Purge != "":
		delete(f.bus.stream, e.Purge)
	}
}

// call waits for the action's turn, looks whether the lease still holds (protocol r1), and makes one attempt.
func (l *leader) call(c reconcile.Call) {
	f := l.f
	if l.inflight[c.Instance]++; l.inflight[c.Instance] > 1 {
		f.broken("r1", "%s has two calls in flight for %s", l.name, c.Instance)
	}
	answer := func(a reconcile.Answer) {
		a.ID = c.ID
		l.inflight[c.Instance]--
		l.step(reconcile.Input{Answers: []reconcile.Answer{a}})
	}
	l.pace.wait(c.Action, c.Urgency, c.NotAfter, func(came bool) {
		if !came {
			answer(reconcile.Answer{Class: reconcile.NotSent, Code: l.pace.code(c.Action), Text: "no turn"})
			return
		}
		f.after(between(f.bus.random, 0, 50*time.Millisecond), func() {
			if l.dead {
				return
			}
			if f.now > c.NotAfter || f.now >= l.until {
				answer(reconcile.Answer{Class: reconcile.NotSent, Text: "too late"})
				return
			}
			l.send(c, answer)
		})
	})
}

// send is the wire to EC2 and back: either way may lose, and the client waits no longer than D.
func (l *leader) send(c reconcile.Call, answer func(reconcile.Answer)) {
	f := l.f
	unknown := reconcile.Answer{Class: reconcile.Unknown, Code: "NoAnswer"}
	if chance(f.bus.random, f.lost) {
		if f.bus.random.IntN(2) == 0 {
			f.after(between(f.bus.random, 0, reconcile.Deadline), func() { l.made(c) })
			f.unanswered(c)
		}
		f.after(reconcile.Deadline, func() { answer(unknown) })
		return
	}
	a, answered := l.made(c)
	took := answered.Sub(f.wall())
	if took > reconcile.Deadline {
		f.unanswered(c)
		f.after(reconcile.Deadline, func() { answer(unknown) })
		return
	}
	f.after(took, func() {
		l.pace.answered(c.Action, a.Class, a.Code)
		answer(a)
	})
}

// unanswered keeps what a call brought of which nobody was told: B2 allows for one.
func (f *fleet) unanswered(c reconcile.Call) {
	if n := f.byID[c.Instance]; n != nil {
		if f.now-n.lostAt > 10*time.Minute {
			n.lost = 0
		}
		n.lost, n.lostAt = max(n.lost, c.Count+16*c.Prefixes), f.now
	}
}

// made lets a call reach EC2, and checks what it must never do.
func (l *leader) made(c reconcile.Call) (reconcile.Answer, time.Time) {
	f := l.f
	if f.bugs.call != nil {
		again := f.bugs.call(f, &c)
		for range again {
			l.reach(c)
		}
		if again < 0 {
			return reconcile.Answer{Class: reconcile.Throttled, Code: "RequestLimitExceeded"}, f.wall()
		}
	}
	return l.reach(c)
}

func (l *leader) reach(c reconcile.Call) (reconcile.Answer, time.Time) {
	f := l.f
	var before vpc.NetworkInterface
	if c.ENI != "" {
		before, _ = f.world.NetworkInterface(f.wall(), string(c.ENI))
	}
	a, answered := f.do(l.name, c)
	if !f.quiet {
		id := c.ENI
		if a.ENI != nil {
			id = a.ENI.ID
		}
		f.say("%s %s %s %s #%d +%d/%d/%d -%v%v → %s %s", l.name, c.Action, c.Instance, id, c.Device, c.Count, c.Prefixes, c.Prefixes6, c.Addresses, c.Give, a.Class, a.Code)
	}
	if f.checking {
		f.judgeCall(c, before, a)
	}
	return a, answered
}

// list reads the snapshots, then EC2, page by page (protocol r3, r4).
func (l *leader) list(ask reconcile.List) {
	f := l.f
	var ids []ipam.InstanceID
	if !ask.Full {
		ids = append([]ipam.InstanceID{}, ask.Instances...)
	}
	f.spawn(func(sleep sleep) {
		readBegun := f.now
		snaps := f.bus.latest(ids)
		if !sleep(between(f.bus.random, 0, 50*time.Millisecond)) {
			return
		}
		begun := f.now
		in := &lister{f: f, l: l, sleep: sleep}
		a, err := in.everything(ask)
		if err != nil {
			a = reconcile.Listed{Err: err.Message, Code: err.Code}
		}
		a.ID, a.ReadBegun, a.Begun, a.Snapshots = ask.ID, readBegun, begun, snaps
		if err != nil {
			a.Snapshots = nil
		}
		slices.SortFunc(a.ENIs, func(x, y reconcile.ENI) int { return cmp.Compare(x.ID, y.ID) })
		l.step(reconcile.Input{Listed: &a})
	})
}

// whyOf is what keeps the pools from growing, for people.
func whyOf(pools []ipam.SuppliedPool) string {
	text := ""
	for _, p := range pools {
		if p.Why != nil {
			text += fmt.Sprintf("%s: %s %s ", p.Name, p.Why.Code, p.Why.Text)
		}
	}
	return text
}
