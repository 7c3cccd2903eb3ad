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

// Rate is a token bucket: so many calls at once, so many more each second.
type Rate struct {
	Burst     float64
	PerSecond float64
}

// Published are EC2's rates per account and Region ("Request throttling for the Amazon EC2 API"); actions that the page
// does not list fall in its class of other mutating calls.
func Published() map[reconcile.Action]Rate {
	return map[reconcile.Action]Rate{
		reconcile.Create:   {100, 5},
		reconcile.Assign:   {100, 5},
		reconcile.Unassign: {100, 5},
		reconcile.Delete:   {100, 5},
		reconcile.Bind:     {100, 5},
		reconcile.Attach:   {50, 5},
		reconcile.Detach:   {50, 5},
		describeENIs:       {100, 20},
		describeInstances:  {100, 20},
		describeTypes:      {100, 20},
		describeSubnets:    {100, 20},
		describeVPCs:       {100, 20},
	}
}

// The calls that look.
const (
	describeENIs      reconcile.Action = "DescribeNetworkInterfaces"
	describeInstances reconcile.Action = "DescribeInstances"
	describeTypes     reconcile.Action = "DescribeInstanceTypes"
	describeSubnets   reconcile.Action = "DescribeSubnets"
	describeVPCs      reconcile.Action = "DescribeVpcs"
)

const (
	slowest = 1.0 / 10 // calls a second that are tried however often EC2 throttles: the half-open probe
	regrow  = 0.05     // of the full rate, for each call that EC2 took
	calm    = time.Second
)

// Level is a bucket's state, for metrics.
type Level struct {
	Action  reconcile.Action
	Tokens  float64 // calls that may go now
	Rate    float64 // more each second, as slowed down by throttling
	Full    float64 // the rate without throttling
	Waiting int     // calls that wait for their turn
}

// pacer keeps one bucket per action. A bucket shrinks to half when EC2 throttles and regrows with each call that EC2
// takes, so that several clusters in one account come to share its rates.
type pacer struct {
	mu      sync.Mutex // guards all that follows, and the buckets
	buckets map[reconcile.Action]*bucket
	seq     uint64
}

type bucket struct {
	action   reconcile.Action
	full     Rate
	rate     float64
	tokens   float64
	at       time.Time
	code     string // EC2's, while the rate is not full
	slowed   time.Time
	waiting  []*waiter
	alarm    *time.Timer
	alarmFor time.Time
}

type waiter struct {
	urgency reconcile.Urgency
	seq     uint64
	ready   chan struct{}
}

func newPacer(rates map[reconcile.Action]Rate, share float64) *pacer {
	p := &pacer{buckets: map[reconcile.Action]*bucket{}}
	for action, r := range rates {
		r = Rate{Burst: max(r.Burst*share, 1), PerSecond: r.PerSecond * share}
		p.buckets[action] = &bucket{action: action, full: r, rate: r.PerSecond, tokens: r.Burst, at: time.Now()}
	}
	return p
}

// wait blocks until it is the caller's turn.
func (p *pacer) wait(ctx context.Context, action reconcile.Action, urgency reconcile.Urgency) error {
	p.mu.Lock()
	b := p.buckets[action]
	p.seq++
	w := &waiter{urgency: urgency, seq: p.seq, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	slices.SortFunc(b.waiting, func(x, y *waiter) int {
		return cmp.Or(cmp.Compare(x.urgency, y.urgency), cmp.Compare(x.seq, y.seq))
	})
	p.pump(b)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i < 0 {
		return nil // it was let go at the same moment
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return &reconcile.PacedError{Action: action, Code: b.code, Level: b.tokens, Rate: b.rate}
}

// pump lets those go whose turn it is, and sets the alarm for the next.
func (p *pacer) pump(b *bucket) {
	b.refill(time.Now())
	for len(b.waiting) > 0 {
		w := b.waiting[0]
		need := 1 + b.reserve(w.urgency)
		if b.tokens < need {
			p.wake(b, time.Duration((need-b.tokens)/b.rate*float64(time.Second))+time.Millisecond)
			return
		}
		b.tokens--
		b.waiting = b.waiting[1:]
		close(w.ready)
	}
}

// wake pumps again after d. An earlier alarm that is still set is as good.
func (p *pacer) wake(b *bucket, d time.Duration) {
	at := time.Now().Add(d)
	if b.alarm != nil && b.alarmFor.After(time.Now()) && !b.alarmFor.After(at) {
		return
	}
	if b.alarm != nil {
		b.alarm.Stop()
	}
	b.alarmFor = at
	b.alarm = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		b.alarmFor = time.Time{}
		p.pump(b)
	})
}

// most is what the bucket holds at its present rate.
func (b *bucket) most() float64 { return max(b.full.Burst*b.rate/b.full.PerSecond, 1) }

func (b *bucket) refill(now time.Time) {
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*b.rate, b.most())
	b.at = now
}

// reserve is what a class leaves in the bucket for those more urgent.
func (b *bucket) reserve(u reconcile.Urgency) float64 {
	switch u {
	case reconcile.ForWaiting:
		return 0
	case reconcile.ForWarm:
		return float64(int(0.3 * b.most()))
	}
	return float64(int(0.5 * b.most()))
}

// throttled slows an action down after EC2 said that we ask too much.
func (p *pacer) throttled(action reconcile.Action, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[action]
	now := time.Now()
	b.refill(now)
	b.tokens, b.code = min(b.tokens, 0), code
	if now.Sub(b.slowed) >= calm { // calls that were in flight together are one message
		b.slowed = now
		b.rate = max(b.rate/2, min(slowest, b.full.PerSecond))
	}
}

// taken lets an action's rate regrow after EC2 took a call.
func (p *pacer) taken(action reconcile.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[action]
	b.refill(time.Now())
	b.rate = min(b.rate+regrow*b.full.PerSecond, b.full.PerSecond)
	if b.rate == b.full.PerSecond {
		b.code = ""
	}
	p.pump(b)
}

func (p *pacer) levels() []Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Level
	for _, b := range p.buckets {
		b.refill(time.Now())
		all = append(all, Level{Action: b.action, Tokens: b.tokens, Rate: b.rate, Full: b.full.PerSecond, Waiting: len(b.waiting)})
	}
	slices.SortFunc(all, func(x, y Level) int { return cmp.Compare(x.Action, y.Action) })
	return all
}
