package agent

import (
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// mendState decides when the kernel's state is repaired: soon after something changed, and ever later when somebody
// else takes away what was put back (a fight), naming whom the kernel named.
type mendState struct {
	at        ipam.Instant // when to look; 0 = no reason to
	busy      bool
	who       []string // who changed things since the last repair, first come first
	notBefore ipam.Instant
	last      ipam.Instant // last time that something was missing
	row       int          // repairs in a row, none of them fightRest after the one before
	named     bool         // the log has the fight
	again     ipam.Instant // when to look again for the sake of a doubt; 0 = there is none
}

const (
	mendGap   = 100 * time.Millisecond // least time between two looks: a look dumps rules and tables
	doubtGap  = time.Second            // from a doubt to the look that ends it
	fightRest = 10 * time.Second       // a repair that lasts this long was no fight
	fightRow  = 5                      // repairs in a row that make one
	fightMost = 30 * time.Second       // longest pause in a fight
	whoMost   = 4
)

func (c *Core) woken(w Wake) {
	if w.Links {
		c.readLinksSoon()
	}
	m := &c.mend
	if w.Who != "" && len(m.who) < whoMost && !slices.Contains(m.who, w.Who) {
		m.who = append(m.who, w.Who)
	}
	c.mendSoon()
}

func (c *Core) mendSoon() {
	if c.mend.at == 0 {
		c.mend.at = max(after(c.now, c.options.Settle), c.mend.notBefore)
	}
}

func (c *Core) mendAt() ipam.Instant {
	m := &c.mend
	switch {
	case m.busy:
		return 0
	case m.at == 0 || m.again != 0 && m.again < m.at:
		return m.again
	}
	return m.at
}

func (c *Core) decideMend() {
	m := &c.mend
	if at := c.mendAt(); at == 0 || c.now.Boot < at {
		return
	}
	m.at, m.again = 0, 0
	if enis := c.presentENIs(); len(enis) > 0 && !c.options.NoRepair {
		m.busy = true
		c.do(Effect{Repair: &Repair{ENIs: enis}})
	}
}

// presentENIs are all whose links are there, those too that could not be prepared yet: Repair takes away what belongs
// to others.
func (c *Core) presentENIs() []ENI {
	var present []ENI
	for _, e := range c.pool.ENIs {
		if s := c.links.enis[e.Attachment]; s != nil && s.index != 0 {
			present = append(present, e)
		}
	}
	return present
}

func (c *Core) repaired(r Repaired) {
	m := &c.mend
	m.busy = false
	m.notBefore = after(c.now, mendGap)
	if r.Err != "" {
		c.note("warn", "cannot repair the kernel's state: %s", r.Err)
		m.notBefore = after(c.now, retryFirst)
		c.mendSoon()
	}
	if r.Again {
		m.again = after(c.now, doubtGap)
	}
	who := strings.Join(m.who, ", ")
	m.who = nil
	if len(r.What) == 0 {
		return
	}
	if c.now.Boot-m.last > ipam.Instant(max(fightRest, 2*c.pause())) {
		m.row, m.named = 0, false
	}
	m.last = c.now.Boot
	m.row++
	m.notBefore = after(c.now, c.pause())
	cause := clip("put back "+strings.Join(r.What, ", "), 300)
	if who != "" {
		cause = clip(cause, 250) + "; taken by " + who
	}
	c.note("info", "kernel: %s", cause)
	c.record(ipam.Record{Verb: ipam.KernelRepaired, Cause: cause})
	if m.row >= fightRow && !m.named {
		m.named = true
		if who == "" {
			who = "a process that the kernel does not name"
		}
		c.note("error", "%s takes the node's rules or routes away again and again (%d times in a row): repairs now wait up to %s",
			who, m.row, fightMost)
	}
}

// pause is how long to wait after the newest repair: nothing to speak of at first, twice as long each time in a fight.
func (c *Core) pause() time.Duration {
	if c.mend.row < fightRow {
		return mendGap
	}
	return min(mendGap<<min(c.mend.row-fightRow+1, 20), fightMost)
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
