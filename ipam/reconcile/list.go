package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// perList is how many instances one list of some nodes may name (EC2: 200 values of a filter).
const perList = 200

// list starts the next list, if one is due and none is under way: everything at first and at each resync, else the
// nodes that something is not clear about.
func (c *Core) list(now Now) {
	if c.listing != nil || now.At < c.retryAt {
		return
	}
	ask := List{Cluster: c.cfg.Cluster, Network: c.network}
	if c.fullAt == never || now.At-c.fullAt >= c.cfg.Resync {
		ask.Full, ask.Network = true, true
		for id, n := range c.nodes {
			if !n.gone || len(n.enis) > 0 {
				ask.Instances = append(ask.Instances, id)
			}
		}
	} else {
		if now.At-c.listedAt < relist {
			return
		}
		for id, n := range c.nodes {
			if n.want != never && now.At >= n.want {
				ask.Instances = append(ask.Instances, id)
			}
		}
	}
	slices.SortFunc(ask.Instances, func(a, b ipam.InstanceID) int { return c.compareWant(a, b) })
	if !ask.Full {
		if len(ask.Instances) == 0 && !ask.Network {
			return
		}
		ask.Instances = ask.Instances[:min(len(ask.Instances), perList)]
	}
	for _, id := range ask.Instances {
		ask.Network = ask.Network || c.vpcs[c.nodes[id].row.VPC] == nil
	}
	if ask.Network {
		for _, n := range c.nodes {
			if n.row.VPC != "" && !slices.Contains(ask.VPCs, n.row.VPC) {
				ask.VPCs = append(ask.VPCs, n.row.VPC)
			}
		}
		slices.Sort(ask.VPCs)
	}
	c.ids++
	ask.ID = c.ids
	c.listing, c.network = &ask, false
	c.effects = append(c.effects, Effect{List: &ask})
}

func (c *Core) compareWant(a, b ipam.InstanceID) int {
	x, y := c.nodes[a], c.nodes[b]
	switch {
	case x.want != y.want && x.want < y.want, x.want == y.want && a < b:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// take takes a list in and returns the nodes that it said something of.
func (c *Core) take(now Now, l Listed) []ipam.InstanceID {
	ask := c.listing
	if ask == nil || ask.ID != l.ID {
		return nil
	}
	c.listing, c.listedAt = nil, now.At
	if l.Err != "" {
		c.fails++
		c.retryAt = now.At + backoff(c.fails, time.Second, time.Minute)
		c.network = c.network || ask.Network
		return nil
	}
	c.fails, c.retryAt = 0, now.At
	if c.revision == 0 || l.ReadBegun < c.ledSince {
		return nil // begun under another leadership: another's calls may not be in it, nor in our overlay
	}
	basis := map[ipam.InstanceID]ipam.Basis{}
	for _, s := range l.Snapshots {
		c.hear(now, s, true)
		basis[s.Instance] = ipam.Basis{Inc: s.Inc, Seq: s.Seq}
	}
	c.takeNetwork(now, l)
	ids := c.asked(*ask, l)
	rows := c.rows(ask, l, ids)
	for _, id := range ids {
		n := c.node(id)
		n.want = never
		c.takeInstance(now, n, l)
		c.takeENIs(now, n, rows[id], l)
		n.listed, n.basis, n.readBegun, n.begun = true, basis[id], l.ReadBegun, l.Begun
		c.settleCreations(now, n, l.Begun)
		for eni, after := range n.unknown {
			if l.Begun >= after {
				delete(n.unknown, eni)
			}
		}
	}
	if ask.Full {
		c.fullAt = l.Begun
		c.sweep(now, ids)
	}
	return ids
}

func (c *Core) takeNetwork(now Now, l Listed) {
	for kind, limits := range l.Limits {
		c.limits[kind] = limits
	}
	for vpc, cidrs := range l.VPCs {
		c.vpcs[vpc] = cidrs
	}
	if len(l.Subnets) > 0 {
		for _, n := range c.nodes {
			n.soon(now)
		}
	}
	for _, s := range l.Subnets {
		c.subnets[s.ID] = s
		if m := c.marks[s.ID]; m != nil {
			m.looked(now, s.Free)
		}
	}
}

// asked are the instances that the list is complete about.
func (c *Core) asked(ask List, l Listed) []ipam.InstanceID {
	ids := slices.Clone(ask.Instances)
	if ask.Full {
		for _, e := range l.ENIs {
			if id := owner(e, c.cfg.Cluster); id != "" {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// owner is the instance that an interface belongs to: where it is attached, else the one it was made for.
func owner(e ENI, cluster string) ipam.InstanceID {
	if e.Instance != "" {
		return e.Instance
	}
	if e.Tags[TagCluster] == cluster {
		return ipam.InstanceID(e.Tags[TagNode])
	}
	return ""
}

// rows sorts the list's interfaces by node, and takes from every other node what the list shows elsewhere.
func (c *Core) rows(ask *List, l Listed, ids []ipam.InstanceID) map[ipam.InstanceID]map[ipam.ENIID]ENI {
	rows := map[ipam.InstanceID]map[ipam.ENIID]ENI{}
	for _, id := range ids {
		rows[id] = map[ipam.ENIID]ENI{}
	}
	for _, e := range l.ENIs {
		id := owner(e, c.cfg.Cluster)
		if made := ipam.InstanceID(e.Tags[TagNode]); made != id && c.nodes[made] != nil {
			delete(c.nodes[made].enis, e.ID)
			c.nodes[made].end(e.ID)
		}
		if rows[id] != nil {
			rows[id][e.ID] = e
		}
	}
	return rows
}

func (c *Core) takeInstance(now Now, n *node, l Listed) {
	for _, row := range l.Instances {
		if row.ID == n.id {
			if n.row.ID != "" && n.row.Type != row.Type {
				n.published = nil
			}
			n.row, n.missing, n.gone = row, never, row.State == "terminated"
			return
		}
	}
	switch {
	case n.missing == never:
		n.missing = l.Begun
		n.wantList(now, Visibility)
	case l.Begun-n.missing >= Visibility:
		n.gone = true
	default:
		n.wantList(now, Visibility)
	}
}

// takeENIs replaces what is known of a node's interfaces by what is listed, with the overlay of our own calls on top.
// What is not listed any more is kept until a second list, later by V, does not have it either (protocol r4).
func (c *Core) takeENIs(now Now, n *node, rows map[ipam.ENIID]ENI, l Listed) {
	n.overlay = slices.DeleteFunc(n.overlay, func(o overlay) bool { return l.Begun >= o.at+Visibility || n.pulled(o, rows, l) })
	old := n.enis
	n.enis = map[ipam.ENIID]*tracked{}
	for id, row := range rows {
		t := old[id]
		if t == nil {
			t = &tracked{available: never}
		}
		t.ENI, t.missing, t.heldUp, t.ghost = row, never, false, false
		n.enis[id] = t
	}
	deleted := map[ipam.ENIID]bool{}
	for _, o := range n.overlay {
		if o.action == Create && old[o.row.ID] != nil && n.enis[o.row.ID] == nil {
			t := *old[o.row.ID]
			t.ENI = o.row
			n.enis[o.row.ID] = &t
		}
		o.apply(n)
		deleted[o.eni] = o.action == Delete
	}
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
	c.ghosts(now, n, l)
	for _, t := range n.enis {
		switch {
		case t.Instance != "" || t.ghost:
			t.available = never
		case t.available == never:
			t.available = l.Begun
		}
		if n.snap != nil {
			t.named = t.named || slices.ContainsFunc(n.snap.ENIs, func(s ipam.ENISummary) bool { return s.ENI == t.ID })
		}
	}
	for id := range n.unknown {
		if n.enis[id] == nil && n.inflight == nil {
			delete(n.unknown, id)
		}
	}
}

// pulled says whether somebody has undone our Attach already: EC2 lists the interface without an attachment, and the
// node has lost the link that it had. Neither alone would do: lists lag, and the node's word is a hint.
func (n *node) pulled(o overlay, rows map[ipam.ENIID]ENI, l Listed) bool {
	row, ok := rows[o.eni]
	s := n.summary(o.eni)
	return o.action == Attach && ok && row.Attachment == "" && l.Begun >= o.at+settle &&
		s != nil && s.Attachment == o.attachment && !s.Link && s.Lost+s.Held > 0
}

// ghosts are interfaces that the node names and no list has shown yet: made by the leader before us, maybe. They count
// against the limits until two lists, V apart, do not have them. The node's word does nothing else.
func (c *Core) ghosts(now Now, n *node, l Listed) {
	if n.snap == nil {
		return
	}
	maps.DeleteFunc(n.ended, func(id ipam.ENIID, _ bool) bool { return n.summary(id) == nil })
	for _, s := range n.snap.ENIs[:min(len(n.snap.ENIs), 64)] {
		if n.enis[s.ENI] == nil && !n.ended[s.ENI] {
			n.enis[s.ENI] = &tracked{ENI: ENI{ID: s.ENI}, ghost: true, missing: l.Begun, available: never}
			n.wantList(now, settle)
		}
	}
}

// sweep gives up interfaces that no node has or wants (protocol A3, orphan), and nodes that do not exist.
func (c *Core) sweep(now Now, ids []ipam.InstanceID) {
	left := c.cfg.Orphans.PerRound
	for _, id := range ids {
		n := c.nodes[id]
		for _, eni := range n.sorted() {
			if left > 0 && !c.cfg.Orphans.Keep && c.orphan(n, eni) {
				eni.retired = true
				left--
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
			delete(c.nodes, id)
		}
	}
}

// orphan says whether an unattached interface of ours has been without a node for long enough.
func (c *Core) orphan(n *node, t *tracked) bool {
	if t.retired || t.available == never || t.missing != never || n.begun-t.available < c.cfg.Orphans.MinAge {
		return false
	}
	if t.Tags[TagCluster] != c.cfg.Cluster || noManage(t.ENI) {
		return false
	}
	if n.gone {
		return true
	}
	return n.snap != nil && !t.named // a live node that was not given it for so long does not want it
}

// sorted are a node's interfaces by id.
func (n *node) sorted() []*tracked {
	list := make([]*tracked, 0, len(n.enis))
	for _, t := range n.enis {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *tracked) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}

func noManage(e ENI) bool { return e.Tags[TagNoManage] == "true" }

// backoff doubles from least to most.
func backoff(fails int, least, most time.Duration) time.Duration {
	return min(least<<min(max(fails-1, 0), 16), most)
}

// inc names this leadership in events.
func (c *Core) inc() ipam.Inc { return ipam.Inc(fmt.Sprintf("lead-%d", c.revision)) }
