package ec2

import (
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
		reconcile.Create:    {100, 5},
		reconcile.Assign:    {100, 5},
		reconcile.Assign6:   {100, 5},
		reconcile.Unassign:  {100, 5},
		reconcile.Delete:    {100, 5},
		reconcile.Bind:      {100, 5},
		reconcile.Attach:    {50, 5},
		reconcile.Detach:    {50, 5},
		reconcile.Unassign6: {50, 5},
		describeENIs:        {100, 20},
		describeInstances:   {100, 20},
		describeTypes:       {100, 20},
		describeSubnets:     {100, 20},
		describeVPCs:        {100, 20},
		describeGroups:      {100, 20},
	}
}

// The calls that look.
const (
	describeENIs      reconcile.Action = "DescribeNetworkInterfaces"
	describeInstances reconcile.Action = "DescribeInstances"
	describeTypes     reconcile.Action = "DescribeInstanceTypes"
	describeSubnets   reconcile.Action = "DescribeSubnets"
	describeVPCs      reconcile.Action = "DescribeVpcs"
	describeGroups    reconcile.Action = "DescribeSecurityGroups"
)

const (
	slowest = 1.0 / 10 // calls a second that are tried however often EC2 throttles: the half-open probe
	regrow  = 0.05     // of the full rate, for each call that EC2 took
	calm    = time.Second
)

// Pace keeps one bucket per action: who is urgent may empty it, others leave a reserve. A bucket shrinks to half when
// EC2 throttles and regrows with each call that EC2 takes, so that several clusters in one account come to share its
// rates. It has no clock and no lock; times only rise.
type Pace struct {
	buckets map[reconcile.Action]*bucket
}

// NewPace begins with full buckets of these rates.
func NewPace(rates map[reconcile.Action]Rate, now time.Time) *Pace {
	p := &Pace{buckets: map[reconcile.Action]*bucket{}}
	for action, r := range rates {
		p.buckets[action] = &bucket{full: r, rate: r.PerSecond, tokens: r.Burst, at: now}
	}
	return p
}

// Take takes a turn and answers 0, or says how long until it is worth asking again. The action must have a rate.
func (p *Pace) Take(action reconcile.Action, urgency reconcile.Urgency, now time.Time) time.Duration {
	b := p.buckets[action]
	b.refill(now)
	if need := 1 + b.reserve(urgency); b.tokens < need {
		return time.Duration((need-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
	}
	b.tokens--
	return 0
}

// Throttled slows an action down after EC2 said that we ask too much.
func (p *Pace) Throttled(action reconcile.Action, code string, now time.Time) {
	b := p.buckets[action]
	b.refill(now)
	b.tokens, b.code = min(b.tokens, 0), code
	if now.Sub(b.slowed) >= calm { // calls that were in flight together are one message
		b.slowed = now
		b.rate = max(b.rate/2, min(slowest, b.full.PerSecond))
	}
}

// Taken lets an action's rate regrow after EC2 took a call.
func (p *Pace) Taken(action reconcile.Action, now time.Time) {
	b := p.buckets[action]
	b.refill(now)
	b.rate = min(b.rate+regrow*b.full.PerSecond, b.full.PerSecond)
	if b.rate == b.full.PerSecond {
		b.code = ""
	}
}

// Retune changes the rates. What a bucket holds stays, as far as it may still hold it; one that EC2 has slowed down
// stays as much below its rate as it was.
func (p *Pace) Retune(rates map[reconcile.Action]Rate, now time.Time) {
	for action, b := range p.buckets {
		r := rates[action]
		b.refill(now)
		b.rate *= r.PerSecond / b.full.PerSecond
		b.full = r
		b.tokens = min(b.tokens, b.most())
	}
}

// Level is the state of an action's bucket.
func (p *Pace) Level(action reconcile.Action, now time.Time) Level {
	b := p.buckets[action]
	b.refill(now)
	return Level{Action: action, Tokens: b.tokens, Rate: b.rate, Full: b.full.PerSecond, Code: b.code}
}

// Level is a bucket's state, for metrics.
type Level struct {
	Action  reconcile.Action
	Tokens  float64 // calls that may go now
	Rate    float64 // more each second, as slowed down by throttling
	Full    float64 // the rate without throttling
	Code    string  // EC2's, while it has slowed us down
	Waiting int     // calls that wait for their turn
}

type bucket struct {
	full   Rate
	rate   float64
	tokens float64
	at     time.Time
	code   string // EC2's, while the rate is not full
	slowed time.Time
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
