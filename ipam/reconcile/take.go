package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

func (c *Core) takeInstance(now Now, n *node, row *Instance, begun time.Duration) {
	if row != nil {
		if n.row.ID != "" && n.row.Type != row.Type {
			n.published = nil
		}
		if n.row.Type != row.Type || n.row.Zone != row.Zone || !maps.Equal(n.row.Tags, row.Tags) {
			n.poolsOf = 0
		}
		n.row, n.missing, n.gone = *row, never, row.State == "terminated"
		return
	}
	switch {
	case n.missing == never:
		n.missing = begun
		n.wantList(now, Visibility)
	case begun-n.missing >= Visibility:
		n.gone = true
	default:
		n.wantList(now, Visibility)
	}
}

// takeENIs replaces what is known of a node's interfaces by what is listed, with the overlay of our own calls on top.
// What is not listed any more is kept until a second list, later by V, does not have it either (protocol r4).
func (c *Core) takeENIs(now Now, n *node, rows []*ENI, l Listed) {
	if len(n.overlay) > 0 {
		n.overlay = slices.DeleteFunc(n.overlay, func(o overlay) bool { return l.Begun >= o.at+Visibility || n.pulled(o, rows, l) })
	}
	old := n.enis
	n.enis, n.order = make(map[ipam.ENIID]*tracked, len(rows)), nil
	for _, row := range rows {
		t := old[row.ID]
		if t == nil {
			t = &tracked{available: never}
		}
		t.read(*row, c.cfg.Cluster)
		t.missing, t.heldUp, t.ghost = never, false, false
		n.enis[row.ID] = t
	}
	deleted := n.relay(old)
	for id, t := range old {
		if n.enis[id] != nil || deleted[id] {
			continue
		}
		if t.missing == never {
			t.missing = l.Begun
		} else if l.Begun-t.missing >= Visibility {
			n.end(id)
			continue
		}
		n.enis[id] = t
		n.wantList(now, Visibility)
	}
	n.order = nil
	n.ghosts(now, l)
	for _, t := range n.enis {
		switch {
		case t.Instance != "" || t.ghost:
			t.available = never
		case t.available == never:
			t.available = l.Begun
		}
		t.named = t.named || n.summary(t.ID) != nil
	}
	for id := range n.unknown {
		if n.enis[id] == nil && n.inflight == nil {
			delete(n.unknown, id)
		}
	}
	for key, b := range n.bars {
		if now.At >= b.until+time.Hour {
			delete(n.bars, key)
		}
	}
}

// relay lays the overlay over what was just listed; it returns the interfaces that were deleted.
func (n *node) relay(old map[ipam.ENIID]*tracked) map[ipam.ENIID]bool {
	deleted := map[ipam.ENIID]bool{}
	for _, o := range n.overlay {
		if o.action == Create && old[o.row.ID] != nil && n.enis[o.row.ID] == nil {
			t := *old[o.row.ID]
			t.read(o.row, n.core.cfg.Cluster)
			n.keep(&t)
		}
		o.apply(n)
		deleted[o.eni] = o.action == Delete
	}
	return deleted
}

// pulled says whether somebody has undone our Attach already: EC2 lists the interface without an attachment, and the
// node has lost the link that it had. Neither alone would do: lists lag, and the node's word is a hint.
func (n *node) pulled(o overlay, rows []*ENI, l Listed) bool {
	if o.action != Attach || l.Begun < o.at+settle {
		return false
	}
	i := slices.IndexFunc(rows, func(e *ENI) bool { return e.ID == o.eni })
	s := n.summary(o.eni)
	return i >= 0 && rows[i].Attachment == "" && s != nil && s.Attachment == o.attachment && !s.Link &&
		s.Lost+s.Held+s.IPv6.Lost+s.IPv6.Held > 0
}

// ghosts are interfaces that the node names and no list has shown yet: made by the leader before us, maybe. They count
// against the limits until two lists, V apart, do not have them. The node's word does nothing else.
func (n *node) ghosts(now Now, l Listed) {
	if n.snap == nil {
		return
	}
	maps.DeleteFunc(n.ended, func(id ipam.ENIID, _ bool) bool { return n.summary(id) == nil })
	for _, s := range n.snap.ENIs[:min(len(n.snap.ENIs), 64)] {
		if n.enis[s.ENI] == nil && !n.ended[s.ENI] {
			n.keep(&tracked{ENI: ENI{ID: s.ENI}, ghost: true, missing: l.Begun, available: never})
			n.wantList(now, settle)
		}
	}
}

// sweep gives up interfaces that no node has or wants (protocol A3, orphan), and nodes that do not exist.
func (c *Core) sweep(now Now, ids []ipam.InstanceID) {
	left := c.cfg.Orphans.PerRound
	if c.sweptAt != never && now.At-c.sweptAt < c.cfg.Orphans.Every {
		left = 0
	}
	for _, id := range ids {
		n := c.nodes[id]
		for _, t := range n.sorted() {
			if left > 0 && !c.cfg.Orphans.Keep && c.orphan(n, t) {
				t.retired = true
				left--
				c.sweptAt = now.At
			}
		}
		if !n.gone {
			continue
		}
		if n.snap != nil && !n.purged {
			n.purged = true
			c.effects = append(c.effects, Effect{Purge: id})
		}
		if len(n.enis) == 0 && n.inflight == nil {
			c.hunger(n, nil)
			delete(c.nodes, id)
		}
	}
}

// orphan says whether an unattached interface of ours has been without a node for long enough.
func (c *Core) orphan(n *node, t *tracked) bool {
	if t.retired || t.available == never || t.missing != never || n.begun-t.available < c.cfg.Orphans.MinAge {
		return false
	}
	if !t.cluster || t.left || t.shared() {
		return false
	}
	if n.gone {
		return true
	}
	return n.snap != nil && !t.named // a live node that was not given it for so long does not want it
}

// doubt asks for a list where the node's word and EC2's list do not fit, or where the node waits for a newer list
// before it takes an address back (protocol A4, step 4).
func (c *Core) doubt(now Now, n *node) {
	switch {
	case n.want != never:
		return
	case n.snap.Inc != n.basis.Inc:
		n.wantList(now, max(n.begun+settle-now.At, 0))
		return
	case n.published == nil:
		return
	}
	held, odd, leaving := false, false, false // held: the node waits for a list that began after its newest word
	for _, t := range n.enis {
		leaving = leaving || t.Detaching
	}
	for _, e := range n.published.ENIs {
		s := n.summary(e.ENI)
		odd = odd || n.seen() && (s == nil || !s.Link || s.Lost+s.IPv6.Lost > 0)
	}
	for i := range n.snap.ENIs {
		s := &n.snap.ENIs[i]
		if t := n.enis[s.ENI]; t != nil && t.Instance == n.id {
			held = held || holds(t, s) || !within(s.Fenced, t.Addresses) || !within(s.FencedPrefixes(), t.Prefixes)
		}
		odd = odd || n.enis[s.ENI] == nil && !n.ended[s.ENI]
	}
	switch {
	case !odd:
		n.oddSince = never
	case n.oddSince == never:
		n.oddSince = now.At
	}
	switch {
	case leaving:
		n.wantList(now, max(n.begun+3*time.Second-now.At, time.Second))
	case held && n.basis.Seq < n.snap.Seq:
		after := 10 * time.Second
		if slices.ContainsFunc(n.snap.Pools, func(p ipam.PoolSummary) bool { return p.Pods() > 0 }) {
			after = relist
		}
		n.wantList(now, max(n.begun+after-now.At, 0))
	case odd: // often at first, then more and more seldom
		n.wantList(now, max(n.begun+min(max(now.At-n.oddSince, 2*time.Second), time.Minute)-now.At, 0))
	}
}

// holds says whether a node holds down addresses of an interface that EC2 has there: it waits for a newer list.
func holds(t *tracked, s *ipam.ENISummary) bool {
	four, six := len(t.usable()), 0
	for _, p := range t.Prefixes {
		if p.Addr().Is4() {
			four += ipam.PrefixSize(p)
		} else {
			six += ipam.PrefixSize(p)
		}
	}
	known4, known6 := s.Pending+s.Free+s.Leased+s.Cooling, s.IPv6.Pending+s.IPv6.Free+s.IPv6.Leased+s.IPv6.Cooling
	for _, a := range s.Fenced {
		if a.Is4() {
			known4++
		} else {
			known6++
		}
	}
	for _, p := range s.Prefixes {
		switch {
		case p.Fenced && p.Prefix.Addr().Is4():
			known4 += ipam.PrefixSize(p.Prefix)
		case p.Fenced:
			known6 += ipam.PrefixSize(p.Prefix)
		}
	}
	return s.Held > 0 && four > known4 || s.IPv6.Held > 0 && six > known6
}

// inc names this leadership in events.
func (c *Core) inc() ipam.Inc { return ipam.Inc(fmt.Sprintf("lead-%d", c.revision)) }
