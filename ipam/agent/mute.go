package agent

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// muteState is since when nobody hears this node, for the error of a pod that waits in vain.
type muteState struct {
	since time.Time    // wall clock; zero = it can be reached
	at    ipam.Instant // the same on the clock that decides
}

// muteAfter keeps a reconnection that takes a moment out of the pool file.
const muteAfter = time.Second

// decideMute follows the connection and the answers to snapshots: a hub that is cut off looks connected for a while.
func (c *Core) decideMute() {
	m := &c.mute
	switch unheard := !c.publish.up || c.publish.failed.step != 0; {
	case !unheard:
		m.since, m.at = time.Time{}, 0
	case m.at == 0:
		m.since, m.at = c.now.Wall, c.now.Boot
	}
	if c.stored.holds(c.now) || c.pool.Mute.Equal(m.since) || c.pool.Snapshot.Inc == "" || c.now.Boot < c.muteAt() {
		return
	}
	c.pool.Mute = m.since // until the answer says so, too
	c.do(Effect{Mute: &Mute{Since: m.since}})
}

// muteAt is when the pool file is to be told; 0 = there is nothing to tell, or it is due.
func (c *Core) muteAt() ipam.Instant {
	if m := c.mute; m.at != 0 && !c.pool.Mute.Equal(m.since) {
		return max(after(Now{Boot: m.at}, muteAfter), c.stored.until)
	}
	return 0
}
