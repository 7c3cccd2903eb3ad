package reconcile

import (
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
		ask.Instances = slices.Sorted(maps.Keys(c.nodes))
	} else {
		if now.At-c.listedAt < relist {
			return
		}
		for _, n := range c.wants.take(now, perList, func(n *node) time.Duration { return n.want }) {
			if c.nodes[n.id] == n {
				ask.Instances = append(ask.Instances, n.id)
			}
		}
		if len(ask.Instances) == 0 && !ask.Network {
			return
		}
	}
	for _, id := range ask.Instances {
		ask.Network = ask.Network || c.vpcs[c.nodes[id].row.VPC] == nil
	}
	if ask.Network {
		c.askNetwork(&ask)
	}
	c.ids++
	ask.ID = c.ids
	c.listing, c.network = &ask, false
	c.effects = append(c.effects, Effect{List: &ask})
}

// askNetwork names the VPCs to look at, and asks for security groups if a pool looks for them by tags.
func (c *Core) askNetwork(ask *List) {
	vpcs := map[string]bool{}
	for vpc := range c.vpcs {
		vpcs[vpc] = true
	}
	for _, id := range ask.Instances {
		if vpc := c.nodes[id].row.VPC; vpc != "" {
			vpcs[vpc] = true
		}
	}
	ask.VPCs = slices.Sorted(maps.Keys(vpcs))
	ask.Groups = slices.ContainsFunc(c.cfg.Pools, func(p Pool) bool { return len(p.GroupTags) > 0 })
}

// take takes a list in and returns the nodes that it said something of.
func (c *Core) take(now Now, l Listed) []ipam.InstanceID {
	ask := c.listing
	if ask == nil || ask.ID != l.ID {
		return nil
	}
	c.listing, c.listedAt = nil, now.At
	late := c.revision == 0 || l.ReadBegun < c.ledSince // another's calls may not be in it, nor in our overlay
	if l.Err != "" || late {
		c.network = c.network || ask.Network
		for _, id := range ask.Instances { // still wanted
			if n := c.nodes[id]; n != nil && n.want != never {
				c.wants.add(n, n.want)
			}
		}
	}
	if l.Err != "" {
		c.fails++
		c.retryAt = now.At + backoff(c.fails, time.Second, time.Minute)
		return nil
	}
	c.fails, c.retryAt = 0, now.At
	if late {
		return nil
	}
	basis := map[ipam.InstanceID]ipam.Basis{}
	for _, s := range l.Snapshots {
		c.hear(now, s, true)
		basis[s.Instance] = ipam.Basis{Inc: s.Inc, Seq: s.Seq}
	}
	c.takeNetwork(now, *ask, l)
	ids := c.asked(*ask, l)
	rows := c.rows(l, ids)
	instances := map[ipam.InstanceID]*Instance{}
	for i := range l.Instances {
		instances[l.Instances[i].ID] = &l.Instances[i]
	}
	for _, id := range ids {
		n := c.node(id)
		n.want = never
		c.takeInstance(now, n, instances[id], l.Begun)
		c.takeENIs(now, n, rows[id], l)
		n.listed, n.basis, n.readBegun, n.begun = true, basis[id], l.ReadBegun, l.Begun
		c.settleCreations(now, n, l.Begun)
		for eni, d := range n.unknown {
			if l.Begun >= d.after {
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

func (c *Core) takeNetwork(now Now, ask List, l Listed) {
	maps.Copy(c.limits, l.Limits)
	maps.Copy(c.vpcs, l.VPCs)
	if ask.Groups {
		for vpc := range l.VPCs {
			c.groups[vpc] = nil
		}
		for _, g := range l.Groups {
			c.groups[g.VPC] = append(c.groups[g.VPC], g)
		}
	}
	for _, s := range l.Subnets {
		old, known := c.subnets[s.ID]
		if at := (zone{s.VPC, s.Zone}); !known || at != (zone{old.VPC, old.Zone}) {
			c.zones[at] = append(c.zones[at], s.ID)
		}
		c.subnets[s.ID] = s
		if m := c.marks[s.ID]; m != nil {
			m.looked(now, s.Free)
			c.wake(now, s.ID)
		}
	}
	if ask.Network {
		c.forget(l)
	}
}

// forget drops subnets of the listed VPCs that are not there any more.
func (c *Core) forget(l Listed) {
	listed := map[ipam.SubnetID]bool{}
	for _, s := range l.Subnets {
		listed[s.ID] = true
	}
	for id, s := range c.subnets {
		if _, asked := l.VPCs[s.VPC]; asked && !listed[id] {
			delete(c.subnets, id)
			delete(c.marks, id)
			at := zone{s.VPC, s.Zone}
			c.zones[at] = slices.DeleteFunc(c.zones[at], func(other ipam.SubnetID) bool { return other == id })
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
func (c *Core) rows(l Listed, ids []ipam.InstanceID) map[ipam.InstanceID][]*ENI {
	rows := make(map[ipam.InstanceID][]*ENI, len(ids))
	for _, id := range ids {
		rows[id] = nil
	}
	for i := range l.ENIs {
		e := &l.ENIs[i]
		id := owner(*e, c.cfg.Cluster)
		if made := c.nodes[ipam.InstanceID(e.Tags[TagNode])]; made != nil && made.id != id {
			made.drop(e.ID)
			made.end(e.ID)
		}
		if some, ok := rows[id]; ok {
			rows[id] = append(some, e)
		}
	}
	return rows
}

// backoff doubles from least to most.
func backoff(fails int, least, most time.Duration) time.Duration {
	return min(least<<min(max(fails-1, 0), 16), most)
}
