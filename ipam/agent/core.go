// Package agent is the node's agent: it moves supply in the pool file, says what the node has, prepares network
// interfaces, and puts back what others took from the kernel. Pods do not need it: eni-ipam takes leases by itself.
//
// Core decides and does nothing; Shell does and decides nothing.
package agent

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Options are the core's numbers; the zero value of each means its default.
type Options struct {
	Instance   ipam.InstanceID // whose agent this is; supplies for others are refused
	Heartbeat  time.Duration   // default 60 s, ± 20 % (protocol a4)
	PublishGap time.Duration   // least time between two snapshots; default 200 ms (protocol a4)
	Resync     time.Duration   // how often links, leases and kernel are compared with nothing happening; default 30 s
	Settle     time.Duration   // how long the kernel must be quiet before it is repaired; default 20 ms
	Grace      time.Duration   // how long a lease's network namespace is gone before the lease ends; default 2 min (as i4)
	Bus        string          // the bus's name for people; "" where it is in this process
	NoRepair   bool            // leave the kernel's state to others
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Heartbeat, 60 * time.Second}, {&o.PublishGap, 200 * time.Millisecond}, {&o.Resync, 30 * time.Second},
		{&o.Settle, 20 * time.Millisecond}, {&o.Grace, 2 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return o
}

// Core is the agent's step machine: no goroutine, no clock, no file. The same inputs at the same times with the same
// random source give the same effects.
type Core struct {
	options Options
	random  *rand.Rand
	now     Now
	out     []Effect

	pool      Pool // after the newest transaction that succeeded
	hint      *Hint
	looks     look
	supply    *ipam.Supply // not yet accepted; the newest wins
	accepting *ipam.Supply // on its way into the pool file
	ticked    ipam.Instant
	stored    retry // after a transaction that failed
	ledger    ledgerState
	publish   publishState
	mute      muteState
	floors    floors
	links     linkState
	fences    fenceState
	mend      mendState
	survey    surveyState
}

// look is when the pool file is read because others wrote to it.
type look struct {
	at   ipam.Instant // 0 = no reason to
	last ipam.Instant
	busy bool // the answer is under way
}

// lookGap is the least time between two looks at the pool file on account of the bell: 50 pods at once are one look.
const lookGap = 50 * time.Millisecond

// retry holds back what failed, twice as long each time.
type retry struct {
	until ipam.Instant
	step  time.Duration
}

const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
)

func (r *retry) failed(now Now) {
	r.step = min(max(2*r.step, retryFirst), retryMost)
	r.until = after(now, r.step)
}

func (r *retry) succeeded() { *r = retry{} }

func (r *retry) holds(now Now) bool { return now.Boot < r.until }

// next is the end of a pause that is not over; 0 = there is none.
func (r *retry) next(now Now) ipam.Instant {
	if r.holds(now) {
		return r.until
	}
	return 0
}

func after(now Now, d time.Duration) ipam.Instant { return now.Boot + ipam.Instant(d) }

// New makes a core. Randomness is only for the jitter of heartbeats.
func New(options Options, random *rand.Rand) *Core {
	return &Core{options: options.withDefaults(), random: random, links: newLinkState(), survey: newSurveyState()}
}

// Step takes one input and says what to do. The first input is Start.
func (c *Core) Step(now Now, in Input) []Effect {
	c.now, c.out = now, nil
	c.take(in)
	c.decide()
	return c.out
}

// Deadline is when the core wants to be woken by Timer if nothing else happens.
func (c *Core) Deadline() ipam.Instant {
	next := ipam.Instant(0)
	for _, at := range []ipam.Instant{
		c.looks.at, c.supplyAt(), c.tickAt(), c.publishAt(), c.floorAt(), c.linksAt(), c.mendAt(), c.survey.at, c.muteAt(),
		c.ledger.failed.next(c.now), c.stored.next(c.now), c.drainAt(),
	} {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

func (c *Core) take(in Input) {
	switch {
	case in.Start != nil:
		c.start(*in.Start)
	case in.Bus != nil:
		c.busChanged(in.Bus.Up)
	case in.Supply != nil:
		c.supplyCame(*in.Supply)
	case in.Bell:
		c.wantLook()
	case in.Wake != nil:
		c.woken(*in.Wake)
	case in.Hint != nil:
		c.hint = in.Hint
	case in.Pool != nil:
		c.poolChanged(*in.Pool)
	case in.Published != nil:
		c.publishDone(*in.Published)
	case in.Drained != nil:
		c.drained(*in.Drained)
	case in.Ledger != nil:
		c.ledgerWritten(*in.Ledger)
	case in.Links != nil:
		c.linksRead(*in.Links)
	case in.Prepared != nil:
		c.prepared(*in.Prepared)
	case in.Repaired != nil:
		c.repaired(*in.Repaired)
	case in.Surveyed != nil:
		c.surveyed(*in.Surveyed)
	}
}

// decide looks at what is known and asks for what is missing, in a fixed order. It may run any number of times.
func (c *Core) decide() {
	c.decideSurvey()
	c.decideLook()
	c.decideSupply()
	c.decideHint()
	c.decideMute()
	c.decideLinks()
	c.decideProof()
	c.decideTick()
	c.decideFence()
	c.decideLedger()
	c.decideMend()
	c.decidePublish()
	c.decideDrain()
}

func (c *Core) do(e Effect) { c.out = append(c.out, e) }

func (c *Core) note(level, format string, args ...any) {
	c.do(Effect{Note: &Note{Level: level, Text: fmt.Sprintf(format, args...)}})
}

// record appends one of the agent's own edges to the outbox.
func (c *Core) record(r ipam.Record) {
	r.At, r.Boot = c.now.Wall, c.pool.Snapshot.Boot
	c.do(Effect{Append: []ipam.Record{r}})
}

func (c *Core) start(s Start) {
	c.pool = s.Pool
	c.ledger.onDisk = s.Ledger
	c.sampleFloors()
	c.survey.at = c.now.Boot // at once: links, leases, kernel
	c.nextHeartbeat()
}

func (c *Core) wantLook() {
	if c.looks.at == 0 {
		c.looks.at = max(c.now.Boot, c.looks.last+ipam.Instant(lookGap))
	}
}

func (c *Core) decideLook() {
	if c.looks.at == 0 || c.now.Boot < c.looks.at {
		return
	}
	if c.stored.holds(c.now) {
		c.looks.at = c.stored.until
		return
	}
	c.looks = look{last: c.now.Boot, busy: true}
	c.do(Effect{Look: true})
}

// poolChanged takes over what the pool file says after a transaction.
func (c *Core) poolChanged(p Pool) {
	c.looks.busy = c.looks.busy && p.Done.What != "look"
	if p.Err != "" {
		c.stored.failed(c.now)
		c.note("warn", "cannot use the pool file (%s): %s", p.Done.What, p.Err)
		c.undone(p.Done)
		c.wantLook()
		return
	}
	c.stored.succeeded()
	done := p.Done
	p.Done = Done{}
	c.pool = p
	c.sampleFloors()
	switch done.What {
	case "accept":
		c.supplyTaken(done)
	case "choose", "fence":
		c.fenceAnswered(done)
	}
}

// undone lets what a failed transaction should have done be asked for again.
func (c *Core) undone(done Done) {
	switch done.What {
	case "accept":
		c.accepting = nil
	case "links":
		c.links.told = nil
	case "prove":
		c.publish.proved = 0
	case "choose", "fence":
		c.fences.drop()
	}
}

// decideHint writes a hint into the pool file when that says something else.
func (c *Core) decideHint() {
	if c.hint == nil || c.stored.holds(c.now) {
		return
	}
	if h := (Hint{c.pool.Snapshot.MaxPods, c.pool.Snapshot.Unschedulable}); h != *c.hint {
		hint := *c.hint
		c.do(Effect{Hint: &hint})
	}
	c.hint = nil
}

// decideTick lets time pass in the pool file: cooling ends, hold-downs end, dead tickets go.
func (c *Core) decideTick() {
	if at := c.tickAt(); at == 0 || c.now.Boot < at || c.stored.holds(c.now) {
		return
	}
	c.ticked = c.now.Boot
	c.do(Effect{Tick: true})
}

// tickGap keeps an address that cannot ripen, because the kernel still routes it, from being asked for all the time.
const tickGap = time.Second

func (c *Core) tickAt() ipam.Instant {
	if c.pool.Next == 0 {
		return 0
	}
	if c.ticked == 0 {
		return max(c.pool.Next, c.stored.until)
	}
	return max(c.pool.Next, c.ticked+ipam.Instant(tickGap), c.stored.until)
}
