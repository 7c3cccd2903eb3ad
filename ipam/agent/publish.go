package agent

import (
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// publishState decides when a snapshot goes out (protocol a4). It keeps levels, not messages: what was sent last, and
// what the stream is known to hold. A snapshot that failed is never sent again; the next one says what is true then.
type publishState struct {
	up          bool
	busy        bool           // one snapshot is on its way
	sent        *ipam.Snapshot // last one handed to the bus and not known to have failed; nil = the stream may hold anything
	notBefore   ipam.Instant
	burst       burst // what has changed since
	heartbeatAt ipam.Instant
	failed      retry
	acked       uint64 // newest seq of this inc that the stream is known to hold
	proved      uint64 // what Prove was last told
	draining    bool   // the outbox is on its way
	drain       retry
}

func (c *Core) busChanged(up bool) {
	p := &c.publish
	if up && !p.up {
		p.sent, p.busy, p.draining = nil, false, false // whatever was under way when the bus went is not known to be there
		p.failed.succeeded()
		p.drain.succeeded()
	}
	p.up = up
}

func (c *Core) decidePublish() {
	p := &c.publish
	if p.heartbeatAt != 0 && c.now.Boot >= p.heartbeatAt {
		p.sent = nil
		c.nextHeartbeat()
	}
	c.watchBurst()
	if at := c.publishAt(); !p.up || p.busy || !c.wantsPublish() || c.now.Boot < at || c.pool.Snapshot.Inc == "" {
		return
	}
	s := c.snapshot()
	p.sent, p.busy, p.burst = &s, true, burst{}
	p.notBefore = after(c.now, c.options.PublishGap)
	c.nextHeartbeat()
	c.do(Effect{Publish: &s})
}

func (c *Core) nextHeartbeat() {
	jitter := 0.8 + 0.4*c.random.Float64()
	c.publish.heartbeatAt = after(c.now, time.Duration(jitter*float64(c.options.Heartbeat)))
}

func (c *Core) publishAt() ipam.Instant {
	p := &c.publish
	if !p.up || p.busy || !c.wantsPublish() {
		return p.heartbeatAt
	}
	return max(p.notBefore, p.failed.until, c.burstOver(), 1)
}

// burst is changes that come together, such as the ADDs of many pods: one snapshot tells of all of them. Its first word
// would be of one pod, and EC2 would be asked for one address first and for the others after that.
type burst struct {
	since ipam.Instant   // its first change; 0 = nothing has changed
	quiet ipam.Instant   // when it is over if nothing more changes
	last  *ipam.Snapshot // as it was seen last
}

// burstQuiet is how long nothing may change before a burst is over. It is what a single pod waits longer, beside the 0.5 s
// and more of a call to EC2; pods that a runtime starts together come 5 ms apart on one processor. A burst of any length is
// told of once each PublishGap.
const burstQuiet = 20 * time.Millisecond

func (c *Core) watchBurst() {
	b := &c.publish.burst
	if !c.wantsPublish() {
		*b = burst{}
		return
	}
	now := c.snapshot()
	if b.since == 0 {
		b.since = c.now.Boot
	}
	if b.last == nil || c.tellsMore(*b.last, now) {
		b.last, b.quiet = &now, after(c.now, burstQuiet)
	}
}

// burstOver is when what has changed is told. What the stream may not hold at all is told at once; and while a look at the
// pool file is due there is more to come.
func (c *Core) burstOver() ipam.Instant {
	b := c.publish.burst
	if c.publish.sent == nil || b.since == 0 {
		return 0
	}
	most := b.since + ipam.Instant(c.options.PublishGap)
	if c.looks.busy {
		return most
	}
	return min(max(b.quiet, c.looks.at), most)
}

// publishDone takes the stream's answer. A failure makes everything worth saying again, at the next occasion and not
// before a growing pause: a hub that is down must not be asked five times a second by every node.
func (c *Core) publishDone(done Published) {
	p := &c.publish
	p.busy = false
	if done.Err != "" {
		p.sent = nil
		p.failed.failed(c.now)
		c.note("warn", "cannot publish the snapshot with seq %d: %s", done.Seq, done.Err)
		return
	}
	p.failed.succeeded()
	if done.Inc == c.pool.Snapshot.Inc {
		p.acked = max(p.acked, done.Seq)
	}
}

// snapshot is what would be published now.
func (c *Core) snapshot() ipam.Snapshot {
	s := c.pool.Snapshot
	s.Pools = slices.Clone(s.Pools)
	for i := range s.Pools {
		s.Pools[i].Floor = c.floors.value(c.now, s.Pools[i].Name)
	}
	return s
}

// wantsPublish compares what is with what was said.
func (c *Core) wantsPublish() bool {
	if c.publish.sent == nil {
		return true
	}
	last := *c.publish.sent
	return last.Seq < max(c.pool.Unproven, c.pool.Risen) || // protocol A4, steps 1 and 3
		c.tellsMore(last, c.snapshot())
}

// tellsMore is true when a reconciler would want to know (protocol a4).
func (c *Core) tellsMore(last, now ipam.Snapshot) bool {
	switch {
	case last.Inc != now.Inc, last.Seen != now.Seen, last.Gen != now.Gen,
		last.MaxPods != now.MaxPods, last.Unschedulable != now.Unschedulable, last.Type != now.Type:
		return true
	case c.poolsDiffer(last, now):
		return true
	}
	return enisDiffer(last.ENIs, now.ENIs)
}

// enisDiffer is true when an interface came, went, got or lost its link or a fence, or became empty.
func enisDiffer(last, now []ipam.ENISummary) bool {
	return !slices.EqualFunc(last, now, func(a, b ipam.ENISummary) bool {
		emptied := a.Leased+a.Cooling+a.Lost > 0 && b.Leased+b.Cooling+b.Lost == 0
		emptied = emptied || a.IPv6.Leased+a.IPv6.Cooling+a.IPv6.Lost > 0 && b.IPv6.Leased+b.IPv6.Cooling+b.IPv6.Lost == 0
		fenced := func(p, q ipam.PrefixSummary) bool { return p.Fenced == q.Fenced && (!p.Fenced || p.Prefix == q.Prefix) }
		return a.Attachment == b.Attachment && a.Link == b.Link && !emptied && slices.Equal(a.Fenced, b.Fenced) &&
			slices.EqualFunc(a.Prefixes, b.Prefixes, fenced)
	})
}

// drainAt is when the outbox is published, 0 = not now: after what a burst is about, since pods wait for that and nobody for
// records; and once for all of its records.
func (c *Core) drainAt() ipam.Instant {
	p := &c.publish
	if !p.up || p.draining || c.pool.Outbox == 0 {
		return 0
	}
	return max(c.burstOver(), p.drain.until, 1)
}

// decideDrain publishes the outbox; records leave it only when they are out.
func (c *Core) decideDrain() {
	p := &c.publish
	if at := c.drainAt(); at == 0 || c.now.Boot < at {
		return
	}
	p.draining = true
	c.do(Effect{Drain: true})
}

func (c *Core) drained(d Drained) {
	p := &c.publish
	p.draining = false
	if d.N != 0 {
		c.do(Effect{Acknowledge: d.N})
		c.pool.Outbox = 0 // until the answer to Acknowledge says what is left
	}
	if d.Err != "" {
		p.drain.failed(c.now)
		c.note("warn", "cannot publish the outbox: %s", d.Err)
		return
	}
	p.drain.succeeded()
}
