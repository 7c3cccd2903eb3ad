package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Our own codes of ipam.Why, beside those of package ipam.
const (
	WhyNoSubnet  = "NoSubnet"    // no subnet in the node's zone is the pool's
	WhyNoGroup   = "NoGroup"     // no security group bears the pool's tags
	WhyNoPool    = "NoPool"      // the node has no pool of the name that pods ask for
	WhyNoIPv6    = "NoIPv6"      // the subnet has no IPv6
	WhyTakenAway = "TakenAway"   // others detach the pool's interface again and again
	WhyNoLimits  = "UnknownType" // EC2 does not say what the instance's type allows
	WhyEnding    = "Ending"      // the instance does not run
)

// explain finds out what keeps each pool from growing, and in which subnets the node's pods wait for room.
func (c *Core) explain(now Now, n *node, v ipam.Node, l ipam.Limits) {
	for i := range v.Pools {
		v.Pools[i].Warm = !n.snap.Unschedulable // what a scarce subnet keeps it from is missing all the same
	}
	needs := ipam.NeedsOf(v, l)
	old := n.whys
	n.whys = map[string]*ipam.Why{}
	var where []ipam.SubnetID
	for i, q := range v.Pools {
		why := c.whyOf(now, n, v, i, needs[i], l)
		if why == nil {
			continue
		}
		if before := old[q.Name]; before != nil && before.Code == why.Code {
			why.Since = before.Since
		}
		n.whys[q.Name] = why
		if q.Pods() > 0 && v.Grow && why.Subnet != "" && !slices.Contains(where, why.Subnet) {
			where = append(where, why.Subnet)
		}
	}
	c.hunger(n, where)
}

// explainInstance says to all pools of an instance why it gets nothing at all, if that is so.
func (c *Core) explainInstance(now Now, n *node, known bool) {
	var why *ipam.Why
	switch {
	case n.row.State != "" && !n.running():
		why = say(now, WhyEnding, "the instance is %s, and gets nothing more; run pods on another one", n.row.State)
	case n.row.Type != "" && !known:
		why = say(now, WhyNoLimits, "EC2 does not describe the instance type %q, so that its limits are not known; "+
			"see that DescribeInstanceTypes has it in this region", n.row.Type)
	default:
		return
	}
	old := n.whys
	n.whys = map[string]*ipam.Why{}
	for _, p := range c.poolsOf(n) {
		one := *why
		if before := old[p.Name]; before != nil && before.Code == why.Code {
			one.Since = before.Since
		}
		n.whys[p.Name] = &one
	}
	c.hunger(n, nil) // room in a subnet would not help it
}

// say makes a Why of our own.
func say(now Now, code, format string, args ...any) *ipam.Why {
	return &ipam.Why{Code: code, Text: shorten(fmt.Sprintf(format, args...)), Since: now.Wall}
}

// whyOf says what keeps a pool below its target: what the configuration, the type and the subnets have not, then what EC2
// refused, for this node or for others.
func (c *Core) whyOf(now Now, n *node, v ipam.Node, i int, need ipam.Need, l ipam.Limits) *ipam.Why {
	q := v.Pools[i]
	p, _ := c.pool(n, q.Name)
	for _, t := range n.sorted() {
		if t.alarmed && c.poolName(n, t) == q.Name {
			return say(now, WhyTakenAway, "%s", takenText(t))
		}
	}
	waiting := q.Pods() > 0
	short := need.Deficit() > 0
	if (short || waiting) && p.needsPrefixes() && !l.Prefixes {
		return say(now, ipam.WhyNoPrefixes, "%s instances have no delegated prefixes (not Nitro), which pool %s needs; "+
			"use another type, or mode secondary with ipv4", n.row.Type, p.Name)
	}
	if !short {
		if waiting && len(n.creations)+len(n.unknown) > 0 {
			return n.refusals[q.Name] // what is counted on does not come
		}
		if need.Ceiling && waiting {
			return c.whyCeiling(now, n, p, need)
		}
		if waiting && p.has6() {
			return c.whySix(now, n, p)
		}
		return nil
	}
	if ipam.Room(v, i, l) == 0 {
		if why := n.refusals[q.Name]; why != nil && n.unanswered() {
			return why // what takes the last places may not be there
		}
		return c.whyRoom(now, n, v, p, l)
	}
	return c.whyRefused(now, n, v, p, l)
}

// needsPrefixes says whether the pool has nothing at all without delegated prefixes.
func (p Pool) needsPrefixes() bool {
	return p.Target.Mode == ipam.ModePrefix || ipam.Lead(p.Target.Families) == ipam.IPv6
}

// whyCeiling tells the policy's maximum from the node's most pods.
func (c *Core) whyCeiling(now Now, n *node, p Pool, need ipam.Need) *ipam.Why {
	if most := p.Target.Maximum; most > 0 && need.Supply+ipam.PrefixSlots > most {
		return say(now, ipam.WhyPoolLimit, "the policy allows %d addresses of pool %s on a node", most, p.Name)
	}
	if n.snap.MaxPods > 0 {
		return say(now, ipam.WhyPoolLimit, "the node takes %d pods, and all have addresses", n.snap.MaxPods)
	}
	return nil
}

// whyRoom is for a node without a free place.
func (c *Core) whyRoom(now Now, n *node, v ipam.Node, p Pool, l ipam.Limits) *ipam.Why {
	if p.Target.Maximum > 0 && p.Target.Maximum < l.Addresses(p.Target.MaxENIsOf(l)) {
		return say(now, ipam.WhyPoolLimit, "the policy allows %d addresses of pool %s on a node", p.Target.Maximum, p.Name)
	}
	if p.Target.MaxENIs > 0 && p.Target.MaxENIs < l.ENIs {
		return say(now, ipam.WhyPoolLimit, "the policy allows %d network interfaces on a node, of %d addresses for pods each; "+
			"all are in use", p.Target.MaxENIs, l.PerENI())
	}
	return say(now, ipam.WhyInstanceLimit, "%s holds %d network interfaces of %d addresses for pods; %s",
		n.row.Type, l.Total(), l.PerENI(), inUse(v, l))
}

// inUse says who has a full node's places, and names those that others have: people may want them back.
func inUse(v ipam.Node, l ipam.Limits) string {
	var foreign []string
	for _, e := range v.ENIs {
		if e.State == ipam.ENIForeign {
			foreign = append(foreign, string(e.ENI))
		}
	}
	are, some := "is", strings.Join(foreign[:min(len(foreign), 3)], ", ")
	switch {
	case len(foreign) == 0:
		return "all are in use"
	case len(foreign) > 3:
		some += ", …"
	}
	if len(foreign) > 1 {
		are = "are"
	}
	return fmt.Sprintf("%d of %d interfaces %s not ours (%s), the others are full", len(foreign), l.Total(), are, some)
}

// whySix is for pods that wait for an IPv6 address while there is enough of IPv4.
func (c *Core) whySix(now Now, n *node, p Pool) *ipam.Why {
	if l := c.limits[n.row.Type]; !l.Prefixes {
		return say(now, ipam.WhyNoPrefixes, "%s instances have no delegated prefixes (not Nitro), without which pool %s has no IPv6",
			n.row.Type, p.Name)
	}
	for _, t := range n.sorted() {
		if t.Instance != n.id || c.poolName(n, t) != p.Name || len(t.prefixes(ipam.IPv6)) > 0 {
			continue
		}
		if s, ok := c.subnets[t.Subnet]; ok && !s.CIDR6.IsValid() {
			return say(now, WhyNoIPv6, "%s (%s) has no IPv6 network, and pool %s has ipv6; give it one, or choose other subnets",
				s.ID, s.CIDR, p.Name)
		}
		if why := c.gates[gateSix+string(t.Subnet)].why(now); why != nil {
			return why
		}
	}
	return n.refusals[p.Name]
}

// whyRefused looks at what was refused, from the widest to the narrowest.
func (c *Core) whyRefused(now Now, n *node, v ipam.Node, p Pool, l ipam.Limits) *ipam.Why {
	inside := c.placesLeft(n, v, p, l)
	if p.sixAlone() {
		for _, key := range []string{gateDenied + string(Assign6), gateQuota + string(Assign6)} {
			if why := c.gates[key].why(now); why != nil {
				return why
			}
		}
		if why := c.whySix(now, n, p); why != nil || len(inside) > 0 {
			return why
		}
	}
	fit := c.candidates(n, p)
	if len(fit) == 0 && len(inside) == 0 {
		return c.whyNowhere(now, n, p)
	}
	if _, known := c.groups[n.row.VPC]; known && len(inside) == 0 && len(p.GroupTags) > 0 && len(c.groupsOf(n, p)) == 0 {
		return say(now, WhyNoGroup, "no security group of %s bears the tags %s of pool %s", n.row.VPC, pairs(p.GroupTags), p.Name)
	}
	for _, key := range []string{gateDenied + string(Assign), gateDenied + string(Create), gateDenied + string(Attach),
		gateQuota + string(Assign), gateQuota + string(Create), gateQuota + string(Attach), groupsGate(c.groupsOf(n, p))} {
		mine := len(inside) > 0 == strings.HasSuffix(key, string(Assign))
		if why := c.gates[key].why(now); why != nil && mine {
			return why
		}
	}
	for _, s := range fit {
		inside = append(inside, s.ID)
	}
	for _, id := range inside {
		if why := c.gates[gateSubnet+string(id)].why(now); why != nil {
			return why
		}
		if why := c.gates[gateBlocks+string(id)].why(now); why != nil && !p.singles() {
			why.Code = ipam.WhyFragmented
			return why
		}
		if s := c.subnets[id]; !p.singles() && s.Free < block {
			why := say(now, full, "%s (%s) has %d free addresses, less than a /28, and mode is prefix", id, s.CIDR, s.Free)
			why.Subnet = id
			return why
		}
		if why := c.whySubnet(now, id); why != nil {
			return why
		}
	}
	return n.refusals[p.Name]
}

// placesLeft are the subnets of the pool's attached interfaces that have places left.
func (c *Core) placesLeft(n *node, v ipam.Node, p Pool, l ipam.Limits) []ipam.SubnetID {
	var ids []ipam.SubnetID
	for _, e := range v.ENIs {
		t := n.enis[e.ENI]
		if t == nil || e.Pool != p.Name || e.State != ipam.ENIUsed || !e.PodsOK || slices.Contains(ids, t.Subnet) {
			continue
		}
		if e.Listed+len(e.Delegated)+e.Taken < l.PerENI() {
			ids = append(ids, t.Subnet)
		}
	}
	return ids
}

// whyNowhere is for a pool without a subnet in the node's zone.
func (c *Core) whyNowhere(now Now, n *node, p Pool) *ipam.Why {
	switch own := c.subnets[n.row.Subnet]; {
	case p.Subnets.empty() && own.Tags[TagRole] == "0":
		return say(now, WhyNoSubnet, "%s is kept from pods by its tag %s=0, and pool %s names no other subnet",
			own.ID, TagRole, p.Name)
	case p.Subnets.empty():
		return say(now, WhyNoSubnet, "EC2 does not list the node's subnet %s", n.row.Subnet)
	}
	var asked []string
	for _, id := range p.Subnets.IDs {
		asked = append(asked, string(id))
	}
	if len(p.Subnets.Tags) > 0 {
		asked = append(asked, "tags "+pairs(p.Subnets.Tags))
	}
	return say(now, WhyNoSubnet, "no subnet of pool %s is in zone %s of %s (it names %s)",
		p.Name, n.row.Zone, n.row.VPC, strings.Join(asked, ", "))
}

// unknownPools are the pools that the node's pods wait for and it does not have, with why.
func (c *Core) unknownPools(now Now, n *node) []ipam.SuppliedPool {
	var all []ipam.SuppliedPool
	for _, s := range n.snap.Pools {
		if _, ok := c.pool(n, s.Name); ok || s.Pods() == 0 || len(all) >= ipam.MaxPools-len(n.pools) {
			continue
		}
		why := say(now, WhyNoPool, "no pool %q is configured; %s", s.Name, ipam.PoolsHere(c.names(n)))
		for _, p := range c.cfg.Pools {
			if key := p.unlike(n.row); p.Name == s.Name && key != "" {
				why.Text = fmt.Sprintf("pool %q is for nodes with %s=%s, which this one has not", s.Name, key, p.Nodes[key])
			}
		}
		why.Since = time.Time{}
		p := Pool{}.withDefaults()
		all = append(all, ipam.SuppliedPool{
			Name: s.Name, Families: []ipam.Family{}, Cooldown: p.Cooldown, Window: p.Window, MinAge: p.MinAge, Why: why,
		})
	}
	return all
}

// names are those of a node's pools.
func (c *Core) names(n *node) []string {
	var all []string
	for _, p := range c.poolsOf(n) {
		all = append(all, p.Name)
	}
	return all
}

// pairs is tags for people.
func pairs(tags map[string]string) string {
	var all []string
	for key, value := range tags {
		all = append(all, key+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
