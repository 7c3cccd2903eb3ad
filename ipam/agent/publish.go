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
	if at := c.publishAt(); !p.up || p.busy || !c.wantsPublish() || c.now.Boot < at || c.pool.Snapshot.Inc == "" {
		return
	}
	s := c.snapshot()
	p.sent, p.busy = &s, true
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
	return max(p.notBefore, p.failed.until, 1)
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
	s.Floor = c.floor.value(c.now)
	return s
}

// wantsPublish compares what is with what was said.
func (c *Core) wantsPublish() bool {
	if c.publish.sent == nil {
		return true
	}
	last, now := *c.publish.sent, c.snapshot()
	switch {
	case last.Inc != now.Inc, last.Seen != now.Seen, last.Gen != now.Gen, last.Waiting != now.Waiting,
		last.MaxPods != now.MaxPods, last.Unschedulable != now.Unschedulable, last.Type != now.Type:
		return true
	case c.band(free(last)) != c.band(free(now)):
		return true
	case (last.Floor > c.pool.Policy.High) != (now.Floor > c.pool.Policy.High):
		return true // only now can something be given back
	case last.Seq < max(c.pool.Unproven, c.pool.Risen):
		return true // protocol A4, steps 1 and 3
	}
	return enisDiffer(last.ENIs, now.ENIs)
}

// enisDiffer is true when an interface came, went, got or lost its link or a fence, or became empty.
func enisDiffer(last, now []ipam.ENISummary) bool {
	return !slices.EqualFunc(last, now, func(a, b ipam.ENISummary) bool {
		emptied := a.Leased+a.Cooling+a.Lost > 0 && b.Leased+b.Cooling+b.Lost == 0
		return a.Attachment == b.Attachment && a.Link == b.Link && !emptied && slices.Equal(a.Fenced, b.Fenced)
	})
}

// band says on which side of low and high a number of free addresses stands.
func (c *Core) band(free int) int {
	switch {
	case free < c.pool.Policy.Low:
		return -1
	case free > c.pool.Policy.High:
		return 1
	}
	return 0
}

func free(s ipam.Snapshot) int {
	n := 0
	for _, e := range s.ENIs {
		n += e.Free
	}
	return n
}

// decideDrain publishes the outbox; records leave it only when they are out.
func (c *Core) decideDrain() {
	p := &c.publish
	if !p.up || p.draining || c.pool.Outbox == 0 || p.drain.holds(c.now) {
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
