package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// mark is what is known of a subnet that could not give what was asked of it. While it stands, nobody fills warm
// pools there, and one node at a time may try, for no more than EC2 says is free.
type mark struct {
	code     string
	since    time.Time
	until    time.Duration // nothing is asked before
	lookedAt time.Duration // when EC2 was last asked how much is free
	free     int
	fails    int
	probe    ipam.InstanceID // who is trying now
}

const (
	optOut     = "kubernetes.io/role/cni" // tag of a subnet; "0" keeps us out of it (amazon-vpc-cni-k8s, subnet discovery)
	plenty     = 32                       // free addresses at which a mark is lifted
	markLeast  = 15 * time.Second
	markMost   = 2 * time.Minute // amazon-vpc-cni-k8s waits as long, for the whole node
	codeNoFree = "InsufficientFreeAddressesInSubnet"
)

// refused marks a subnet after an answer of class SubnetFull.
func (c *Core) refused(now Now, id ipam.SubnetID, code string) {
	m := c.marks[id]
	if m == nil {
		m = &mark{since: now.Wall, lookedAt: never}
		c.marks[id] = m
	}
	m.code, m.probe = code, ""
	m.fails++
	m.until = now.At
	if m.fails > 1 {
		m.until += backoff(m.fails-1, markLeast, markMost)
	}
	m.lookedAt = never
	c.network = true
}

// looked takes in how much EC2 says is free.
func (m *mark) looked(now Now, free int) {
	m.free = free
	if now.At < m.until {
		return
	}
	m.lookedAt = now.At
	if free == 0 {
		m.fails++
		m.until = now.At + backoff(m.fails, markLeast, markMost)
	}
}

// gave takes in that a call got count addresses from a subnet.
func (c *Core) gave(now Now, id ipam.SubnetID, count int) {
	if s, ok := c.subnets[id]; ok {
		s.Free = max(s.Free-count, 0)
		c.subnets[id] = s
	}
	m := c.marks[id]
	if m == nil {
		return
	}
	m.probe, m.fails = "", 0
	m.free = max(m.free-count, 0)
	switch {
	case m.free >= plenty:
		delete(c.marks, id)
	case m.free == 0:
		m.until, m.lookedAt = now.At+markLeast, never
	}
}

// open says how many addresses a node may ask for in a subnet now; most = no known bound. Where the answer is not
// known any more, EC2 is asked.
func (c *Core) open(now Now, n *node, id ipam.SubnetID) (most int, ok bool) {
	m := c.marks[id]
	switch {
	case m == nil:
		return 1 << 30, true
	case now.At < m.until:
		return 0, false
	case m.lookedAt < m.until:
		c.network = true
		return 0, false
	case m.probe != "" && m.probe != n.id:
		return 0, false
	}
	return m.free, m.free > 0
}

// choose finds the subnet for a new interface of a node: in its zone and VPC, open, with the most free addresses.
// blocked is one that would do if it were not marked.
func (c *Core) choose(now Now, n *node) (id ipam.SubnetID, most int, blocked ipam.SubnetID) {
	found := false
	for _, s := range c.candidates(n) {
		room, ok := c.open(now, n, s.ID)
		if !ok {
			if blocked == "" {
				blocked = s.ID
			}
			continue
		}
		if !found {
			id, most, found = s.ID, room, true
		}
	}
	return id, most, blocked
}

func (c *Core) candidates(n *node) []Subnet {
	var fit []Subnet
	want := c.cfg.Pool.Subnets
	for _, s := range c.subnets {
		chosen := slices.Contains(want.IDs, s.ID)
		for key, value := range want.Tags {
			chosen = chosen || s.Tags[key] == value
		}
		if chosen && s.Zone == n.row.Zone && s.VPC == n.row.VPC && s.Tags[optOut] != "0" {
			fit = append(fit, s)
		}
	}
	if own, ok := c.subnets[n.row.Subnet]; ok && len(fit) == 0 && len(want.IDs) == 0 {
		fit = append(fit, own) // the node's own, where tags choose none in its zone
	}
	slices.SortFunc(fit, func(a, b Subnet) int {
		switch {
		case a.Free != b.Free:
			return b.Free - a.Free
		case a.ID < b.ID:
			return -1
		}
		return 1
	})
	return fit
}

// tight says whether a marked subnet is still known to have little or nothing.
func (m *mark) tight(now Now) bool {
	return m != nil && (now.At < m.until || m.lookedAt < m.until || m.free < plenty)
}

// scarce says whether everything a node could grow in has little or nothing left: then its warm pool is not filled.
func (c *Core) scarce(now Now, n *node) bool {
	fit := c.candidates(n)
	for _, s := range fit {
		if !c.marks[s.ID].tight(now) {
			return false
		}
	}
	return len(fit) > 0
}

// hunger notes whether a node's pods wait for room in a subnet.
func (c *Core) hunger(n *node, v ipam.Node) {
	if v.Waiting > 0 && v.Grow && n.why != nil && n.why.Subnet != "" {
		c.hungry[n.id] = n.why.Subnet
		return
	}
	delete(c.hungry, n.id)
}

// pressed says whether other nodes' pods wait for room in a subnet that this one has addresses of, while there is
// nowhere else to grow: then it keeps none that it does not use.
func (c *Core) pressed(now Now, n *node) bool {
	if len(c.hungry) == 0 || !c.scarce(now, n) {
		return false
	}
	for id, subnet := range c.hungry {
		other := c.nodes[id]
		if other == nil || other == n || now.At-other.heard >= silence {
			continue
		}
		for _, t := range n.enis {
			if t.Subnet == subnet && t.Instance == n.id {
				return true
			}
		}
	}
	return false
}

// whySubnet says what a mark means for people.
func (c *Core) whySubnet(now Now, id ipam.SubnetID) *ipam.Why {
	m := c.marks[id]
	if !m.tight(now) {
		return nil
	}
	text := fmt.Sprintf("%s (%s) has %d free addresses", id, c.subnets[id].CIDR, m.free)
	if m.code != codeNoFree {
		text = fmt.Sprintf("%s (%s) refused with %s; EC2 counts %d free addresses", id, c.subnets[id].CIDR, m.code, m.free)
	}
	return &ipam.Why{Code: m.code, Text: text, Subnet: id, Since: m.since, RetryIn: seconds(m.until - now.At)}
}

// seconds rounds up.
func seconds(d time.Duration) int { return max(int((d+time.Second-1)/time.Second), 0) }
