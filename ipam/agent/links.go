package agent

import (
	"slices"

	"github.com/enichain/enichain/ipam"
)

// linkState joins the supplied ENIs with the links that the kernel shows: an ENI is prepared when its link is there,
// and forgotten when it is gone.
type linkState struct {
	at    ipam.Instant // when to read the links; 0 = no reason to
	busy  bool
	known bool // links were read at least once
	links []Link
	told  []LinkState // what the pool file was told; nil = to be told again
	enis  map[ipam.AttachmentID]*eniState
}

// eniState is what the core has done for one attached ENI.
type eniState struct {
	n        int
	eni      ipam.ENIID
	index    int // of the link that was prepared; 0 = there is none
	prepared bool
	busy     bool
	failed   retry
	mtu      int    // that Prepare was last asked for, in bytes
	refused  string // why the link did not take it, as the log has it
}

func newLinkState() linkState { return linkState{enis: map[ipam.AttachmentID]*eniState{}} }

func (c *Core) decideLinks() {
	l := &c.links
	if l.at != 0 && c.now.Boot >= l.at && !l.busy {
		l.at, l.busy = 0, true
		c.do(Effect{ReadLinks: true})
	}
	if !l.known {
		return
	}
	c.forgetDeparted()
	for _, e := range c.pool.ENIs {
		c.settle(e)
	}
	if state := c.linkStates(); !c.stored.holds(c.now) && (l.told == nil || !slices.EqualFunc(state, l.told, sameLink)) {
		l.told = state
		c.do(Effect{Links: &SetLinks{Links: state}})
	}
}

func sameLink(a, b LinkState) bool {
	return a.Name == b.Name && a.Index == b.Index && a.MAC == b.MAC && a.Up == b.Up && a.N == b.N && a.Ready == b.Ready &&
		slices.Equal(a.Addresses, b.Addresses)
}

// settle prepares an ENI whose link is there and forgets one whose link went.
func (c *Core) settle(e ENI) {
	s := c.links.enis[e.Attachment]
	if s == nil {
		s = &eniState{n: e.N, eni: e.SuppliedENI.ENI}
		c.links.enis[e.Attachment] = s
	}
	link := c.linkOf(e.MAC)
	switch {
	case link == nil && s.index != 0:
		c.detached(s)
	case link == nil:
	case s.index != link.Index:
		*s = eniState{n: e.N, eni: e.SuppliedENI.ENI, index: link.Index}
		c.prepare(e, s)
	case (!s.prepared || s.mtu != e.MTU) && !s.busy && !s.failed.holds(c.now):
		c.prepare(e, s)
	}
}

func (c *Core) prepare(e ENI, s *eniState) {
	s.busy, s.mtu = true, e.MTU
	c.do(Effect{Prepare: &e})
}

func (c *Core) detached(s *eniState) {
	n := s.n
	s.index, s.prepared, s.busy = 0, false, false
	if n != 0 {
		c.do(Effect{Forget: &n}) // the primary one's base is everybody's
	}
	c.record(ipam.Record{Verb: ipam.ENIDetached, ENI: s.eni})
	if leased := c.leasedOn(s.eni); leased > 0 {
		c.note("warn", "%s (number %d) is gone from the kernel; %d pods have addresses of it", s.eni, n, leased)
	} else {
		c.note("info", "%s (number %d) is gone", s.eni, n)
	}
}

func (c *Core) leasedOn(eni ipam.ENIID) int {
	for _, e := range c.pool.Snapshot.ENIs {
		if e.ENI == eni {
			return e.Leased
		}
	}
	return 0
}

// forgetDeparted drops ENIs that the supply names no more. While leases are left on one whose link is there, the store
// keeps it in the pool, so that it is not among these.
func (c *Core) forgetDeparted() {
	gone := []ipam.AttachmentID{}
	for attachment := range c.links.enis {
		if !slices.ContainsFunc(c.pool.ENIs, func(e ENI) bool { return e.Attachment == attachment }) {
			gone = append(gone, attachment)
		}
	}
	slices.Sort(gone)
	for _, attachment := range gone {
		if s := c.links.enis[attachment]; s.index != 0 {
			c.detached(s)
		}
		delete(c.links.enis, attachment)
	}
}

func (c *Core) linkOf(mac string) *Link {
	for i, l := range c.links.links {
		if l.MAC == mac {
			return &c.links.links[i]
		}
	}
	return nil
}

// linkStates is all links, by name, with what is ready among them.
func (c *Core) linkStates() []LinkState {
	states := make([]LinkState, 0, len(c.links.links))
	for _, l := range c.links.links {
		state := LinkState{Link: l}
		for _, e := range c.pool.ENIs {
			if s := c.links.enis[e.Attachment]; e.MAC == l.MAC && s != nil && s.prepared && s.index == l.Index {
				state.Ready = true
			}
		}
		states = append(states, state)
	}
	return states
}

func (c *Core) linksRead(l Links) {
	c.links.busy = false
	if l.Err != "" {
		c.note("warn", "cannot read the kernel's links: %s", l.Err)
		c.links.at = after(c.now, retryFirst)
		return
	}
	slices.SortFunc(l.Links, func(a, b Link) int { return a.Index - b.Index })
	c.links.links, c.links.known = l.Links, true
}

func (c *Core) prepared(p Prepared) {
	s := c.links.enis[p.Attachment]
	if s == nil || s.index == 0 {
		return
	}
	s.busy = false
	if p.Err != "" {
		s.failed.failed(c.now)
		c.note("warn", "cannot prepare %s (number %d): %s", s.eni, s.n, p.Err)
		return
	}
	s.failed.succeeded()
	s.prepared = true
	if p.MTU != "" && p.MTU != s.refused {
		c.note("error", "%s (number %d): %s", s.eni, s.n, p.MTU)
	}
	s.refused = p.MTU
	if !c.wasReady(p.Attachment) {
		c.record(ipam.Record{Verb: ipam.ENIAttached, ENI: s.eni})
		c.note("info", "%s (number %d) is ready", s.eni, s.n)
	}
}

// wasReady is true when the pool file already says that the ENI is ready: an agent that starts again has no news.
func (c *Core) wasReady(attachment ipam.AttachmentID) bool {
	return slices.ContainsFunc(c.pool.Snapshot.ENIs, func(e ipam.ENISummary) bool {
		return e.Attachment == attachment && e.Link
	})
}

// readLinksSoon asks for the links once the kernel has been quiet for a moment.
func (c *Core) readLinksSoon() {
	if c.links.at == 0 {
		c.links.at = after(c.now, c.options.Settle)
	}
}

func (c *Core) linksAt() ipam.Instant {
	next := c.links.at
	if c.links.busy {
		next = 0
	}
	for _, e := range c.pool.ENIs {
		if s := c.links.enis[e.Attachment]; s != nil && s.index != 0 && !s.prepared && !s.busy {
			if at := max(s.failed.until, 1); next == 0 || at < next {
				next = at
			}
		}
	}
	return next
}
