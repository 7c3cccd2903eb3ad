package reconcile

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Core holds what the reconciler knows and decides what to do: see Step. It is used by one goroutine.
type Core struct {
	cfg      Config
	policy   uint64 // rises with every change of the pools
	nodes    map[ipam.InstanceID]*node
	dues     agenda // by node.due
	wants    agenda // by node.want
	subnets  map[ipam.SubnetID]Subnet
	groups   map[string][]Group // security groups by VPC
	marks    map[ipam.SubnetID]*mark
	gates    map[string]*gate
	zones    map[zone][]ipam.SubnetID
	sweptAt  time.Duration                              // orphans were last given up
	hungry   map[ipam.SubnetID]map[ipam.InstanceID]bool // nodes whose pods wait for room in a subnet
	vpcs     map[string][]netip.Prefix
	limits   map[string]ipam.Limits
	revision uint64 // of our lease; 0 = we do not lead
	ledSince time.Duration
	listing  *List // the list in flight
	listedAt time.Duration
	fullAt   time.Duration // begin of the newest full list; never = none under this leadership
	network  bool          // subnets are to be asked for again
	fails    int           // lists that failed in a row
	retryAt  time.Duration // no list before
	ids      uint64        // of lists and calls
	events   uint64
	looks    uint64 // at nodes
	calls    map[uint64]*node
	effects  []Effect
}

// New makes a Core that knows nothing and does not lead.
func New(cfg Config) *Core {
	cfg = cfg.withDefaults()
	return &Core{
		cfg: cfg, policy: revOf(cfg.Pools, 1), nodes: map[ipam.InstanceID]*node{}, subnets: map[ipam.SubnetID]Subnet{},
		groups: map[string][]Group{}, marks: map[ipam.SubnetID]*mark{}, gates: map[string]*gate{},
		hungry: map[ipam.SubnetID]map[ipam.InstanceID]bool{}, vpcs: map[string][]netip.Prefix{}, limits: map[string]ipam.Limits{},
		calls: map[uint64]*node{}, zones: map[zone][]ipam.SubnetID{}, fullAt: never, sweptAt: never,
	}
}

// Step takes in what happened and returns what to do about it. Same inputs, same effects.
func (c *Core) Step(now Now, in Input) []Effect {
	c.effects = nil
	touched := map[ipam.InstanceID]bool{}
	if len(in.Pools) > 0 {
		c.follow(now, in.Pools)
	}
	if in.Lead != nil {
		c.lead(now, in.Lead.Revision)
	}
	for _, s := range in.Snapshots {
		if c.hear(now, s, false) {
			touched[s.Instance] = true
		}
	}
	for id, pods := range in.Pods {
		if n := c.nodes[id]; n != nil && !maps.Equal(n.bound, pods) {
			n.bound = pods
			touched[id] = true
		}
	}
	for _, a := range in.Answers {
		if n := c.answer(now, a); n != nil {
			touched[n.id] = true
		}
	}
	if in.Listed != nil {
		for _, id := range c.take(now, *in.Listed) {
			touched[id] = true
		}
	}
	if c.revision > 0 {
		c.considerAll(now, touched)
		c.list(now)
	}
	return c.effects
}

// follow takes a new policy in. Nothing that is known of nodes and interfaces changes: they are looked at anew.
func (c *Core) follow(now Now, pools []Pool) {
	c.cfg.Pools = withDefaults(pools)
	c.policy = revOf(pools, c.policy+1)
	c.network = true // subnets and groups that nobody has asked for yet
	clear(c.groups)
	for key, g := range c.gates {
		if g.configured {
			delete(c.gates, key) // what was wrong may be right now
		}
	}
	for _, n := range c.nodes {
		n.idle = 0
		n.soon(now)
	}
}

// lead starts or ends a leadership. What the leader before us did is in no overlay of ours, so nothing listed before
// counts any more.
func (c *Core) lead(now Now, revision uint64) {
	if revision == c.revision {
		return
	}
	c.revision = revision
	if revision == 0 {
		return
	}
	c.ledSince, c.fullAt, c.retryAt, c.fails = now.At, never, now.At, 0
	for _, n := range c.nodes {
		n.listed, n.published, n.rev = false, nil, 0
		n.granted(now)
		n.epoch = revision
		n.ledAt = now.At
		n.draw(revision)
		n.soon(now)
		if n.snap != nil {
			n.epoch = max(revision, n.snap.Seen.Epoch+1)
		}
	}
}

// hear takes a snapshot and says whether it was news.
func (c *Core) hear(now Now, s ipam.Snapshot, read bool) bool {
	if s.Instance == "" || s.Inc == "" {
		return false
	}
	n := c.node(s.Instance)
	switch {
	case slices.Contains(n.past, s.Inc):
		return false
	case n.snap == nil:
		n.born = c.fullAt != never && now.At-c.ledSince >= acquainted
		n.wantList(now, 0)
	case n.snap.Inc != s.Inc:
		n.past = append(n.past, n.snap.Inc)
		if len(n.past) > 8 {
			n.past = n.past[1:]
		}
		n.incAt, n.published = now.At, nil
		n.wantList(now, 0)
		n.granted(now)
	case s.Seq < n.snap.Seq:
		return false
	}
	if !read || n.snap == nil || n.snap.Inc != s.Inc || n.snap.Seq != s.Seq {
		n.heard = now.At // what is read again was not said again
	}
	n.snap = &s
	n.class = n.rank()
	c.outbid(now, n)
	if w := n.wish; w != nil && !s.Seen.Less(w.sent) {
		n.granted(now)
	}
	for _, e := range s.ENIs {
		if t := n.enis[e.ENI]; t != nil {
			t.named = true
		}
	}
	return true
}

// outbid raises a node's epoch above one that it has accepted from another leader (protocol A1). Of two who believe that
// they lead one is wrong, and knows it within the life of its lease: so long we wait.
func (c *Core) outbid(now Now, n *node) {
	switch {
	case c.revision == 0 || n.snap.Seen.Epoch <= n.epoch:
		n.outbidAt = never
	case n.outbidAt == never:
		n.outbidAt = now.At
	case now.At-n.outbidAt > LeaseTTL:
		n.epoch, n.rev, n.published, n.outbidAt = n.snap.Seen.Epoch+1, 0, nil, never
	}
}

// considerAll looks at the nodes that something happened to, and at those whose time has come; the most urgent first.
func (c *Core) considerAll(now Now, touched map[ipam.InstanceID]bool) {
	order := make([]*node, 0, len(touched))
	for id := range touched {
		if n := c.nodes[id]; n != nil {
			n.idle = 0
			order = append(order, n)
		}
	}
	for _, n := range c.dues.take(now, len(c.nodes), func(n *node) time.Duration { return n.due }) {
		if !touched[n.id] && c.nodes[n.id] == n {
			order = append(order, n)
		}
	}
	slices.SortFunc(order, before)
	for _, n := range order {
		n.lookAt(now.At + 10*time.Second)
		c.looks++
		c.consider(now, n)
	}
}

// tell emits an event.
func (c *Core) tell(now Now, n *node, r ipam.Record) {
	c.events++
	r.N, r.At = c.events, now.Wall
	if n.snap != nil {
		r.Boot = n.snap.Boot
	}
	c.effects = append(c.effects, Effect{Event: &Event{Instance: n.id, Inc: c.inc(), Record: r}})
}
