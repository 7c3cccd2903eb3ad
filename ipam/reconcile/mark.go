package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// mark is what is known of a subnet that could not give a single address that was asked of it. While it stands, nobody
// fills warm pools there, and one node at a time may try, for no more than its share of what EC2 says is free.
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
	plenty    = 32 // free addresses at which a mark is lifted
	markLeast = 15 * time.Second
	markMost  = 2 * time.Minute // amazon-vpc-cni-k8s waits as long, for the whole node
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

// gave takes in that a call got count addresses from a subnet, those of prefixes included.
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
	c.wake(now, id)
}

// wake asks for a look at those whose pods wait for room in a subnet.
func (c *Core) wake(now Now, id ipam.SubnetID) {
	for other := range c.hungry[id] {
		if n := c.nodes[other]; n != nil {
			n.soon(now)
		}
	}
}

// open says how many single addresses a node may ask for in a subnet now; most = no known bound. What is left of a marked
// one is shared: one address each before anybody has a second, by turns. Where the answer is not known any more, EC2 is
// asked.
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
	case m.free == 0:
		return 0, false
	}
	sharers := len(c.hungry[id])
	if !c.hungry[id][n.id] {
		sharers++
	}
	return max(m.free/sharers, 1), true
}

// shutFor says whether nothing at all is free, as far as is known.
func (m *mark) shutFor(now Now) bool { return m != nil && (now.At < m.until || m.lookedAt < m.until) }

// tight says whether a marked subnet is still known to have little or nothing.
func (m *mark) tight(now Now) bool {
	return m != nil && (now.At < m.until || m.lookedAt < m.until || m.free < plenty)
}

// scarce says whether everything that a pool could grow in has little or nothing left: then it is not kept warm.
func (c *Core) scarce(now Now, fit []Subnet) bool {
	for _, s := range fit {
		if !c.marks[s.ID].tight(now) {
			return false
		}
	}
	return len(fit) > 0
}

// hunger notes in which subnets a node's pods wait for room.
func (c *Core) hunger(n *node, where []ipam.SubnetID) {
	for _, id := range n.hungry {
		if !slices.Contains(where, id) {
			delete(c.hungry[id], n.id)
		}
	}
	for _, id := range where {
		if c.hungry[id] == nil {
			c.hungry[id] = map[ipam.InstanceID]bool{}
		}
		c.hungry[id][n.id] = true
	}
	n.hungry = where
}

// pressed says whether other nodes' pods wait for room in a subnet that this one's pool has addresses of, while there is
// nowhere else to grow: then it keeps none that it does not use.
func (c *Core) pressed(n *node, pool string) bool {
	for _, t := range n.sorted() {
		others := len(c.hungry[t.Subnet])
		if c.hungry[t.Subnet][n.id] {
			others--
		}
		if others > 0 && t.Instance == n.id && c.poolName(n, t) == pool {
			return true
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
	if m.code != full {
		text = fmt.Sprintf("%s (%s) refused with %s; EC2 counts %d free addresses", id, c.subnets[id].CIDR, m.code, m.free)
	}
	return &ipam.Why{Code: m.code, Text: text, Subnet: id, Since: m.since, RetryIn: seconds(m.until - now.At)}
}

// seconds rounds up.
func seconds(d time.Duration) int { return max(int((d+time.Second-1)/time.Second), 0) }
