package reconcile

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Core holds what the reconciler knows and decides what to do: see Step. It is used by one goroutine.
type Core struct {
	cfg      Config
	nodes    map[ipam.InstanceID]*node
	subnets  map[ipam.SubnetID]Subnet
	marks    map[ipam.SubnetID]*mark
	hungry   map[ipam.InstanceID]ipam.SubnetID // nodes whose pods wait for room in a subnet
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
	scanAt   time.Duration
	ids      uint64 // of lists and calls
	events   uint64
	calls    map[uint64]*node
	effects  []Effect
}

// never is a time before all others.
const never = time.Duration(-1)

// node is one instance: its word, what EC2 says of it, and what is under way.
type node struct {
	id    ipam.InstanceID
	snap  *ipam.Snapshot
	heard time.Duration
	past  []ipam.Inc    // other incarnations of its pool file
	incAt time.Duration // the inc changed; never = not while we looked
	born  bool          // we knew the fleet before it appeared
	first ipam.Inc      // the inc that was found to be the first one
	pods  int

	row       Instance
	missing   time.Duration // since a list did not have the instance; never = it is there
	gone      bool          // terminated, or missing for long enough
	purged    bool
	listed    bool // there is a list of it under this leadership
	basis     ipam.Basis
	readBegun time.Duration
	begun     time.Duration
	enis      map[ipam.ENIID]*tracked
	ended     map[ipam.ENIID]bool // that the node still names, and EC2 does not have
	overlay   []overlay
	want      time.Duration // a list is wanted from then on; never = not
	wantFails int           // lists in a row that did not settle what they were for
	oddSince  time.Duration // since the node's word and the lists do not fit; never = they do

	inflight  *Call
	started   time.Duration
	unknown   map[ipam.ENIID]time.Duration // no call on it before a list that began after this
	creations map[int]*creation
	tokens    map[int]token
	retryAt   time.Duration // no call before
	fails     int
	why       *ipam.Why
	refusal   *ipam.Why // what EC2 last said to this node, until it grants something

	grewAt    time.Duration
	releases  []release
	wish      *wish // on its way to the node
	epoch     uint64
	outbidAt  time.Duration // since the node has followed a higher epoch; never = it does not
	rev       uint64
	published *ipam.Supply
	sentAt    time.Duration
	resends   int
	due       time.Duration
}

// tracked is a network interface of a node and for how long it has been as it is.
type tracked struct {
	ENI
	missing    time.Duration // since a list did not have it; never = the newest has
	available  time.Duration // since lists show it unattached; never = attached
	retired    bool          // given up: delete it
	heldUp     bool          // EC2 refused an address here: nothing is asked before the node's next list
	reattached []time.Duration
	named      bool // some snapshot has named it
	ghost      bool // only the node has named it; no list has shown it yet
}

// creation is a Create that is not settled: same token, same parameters until it is.
type creation struct {
	call     Call
	t        token
	deadline time.Duration // of the newest attempt whose outcome is not known; never = none
	absent   time.Duration // begin of the first list after it that does not show what it may have made
	mismatch bool
	once     bool // some attempt may have made it
}

// token is what a Create's client token was made of, and what came of it.
type token struct {
	inc  ipam.Inc
	gen  uint64
	k    int
	made ipam.ENIID
}

// wish is what a node was asked to give up, by the supply that said so.
type wish struct {
	ipam.Release
	sent  ipam.Seen
	count int // addresses that it may cost the budget
}

// granted ends a wish: the node has seen it, maybe just now, or will never.
func (n *node) granted(now Now) {
	if n.wish != nil {
		n.releases = append(n.releases, release{at: now.At, count: n.wish.count})
		n.wish = nil
	}
}

type release struct {
	at    time.Duration
	count int
}

// New makes a Core that knows nothing and does not lead.
func New(cfg Config) *Core {
	return &Core{
		cfg: cfg.withDefaults(), nodes: map[ipam.InstanceID]*node{}, subnets: map[ipam.SubnetID]Subnet{},
		marks: map[ipam.SubnetID]*mark{}, hungry: map[ipam.InstanceID]ipam.SubnetID{}, vpcs: map[string][]netip.Prefix{}, limits: map[string]ipam.Limits{},
		calls: map[uint64]*node{}, fullAt: never,
	}
}

// Step takes in what happened and returns what to do about it. Same inputs, same effects.
func (c *Core) Step(now Now, in Input) []Effect {
	c.effects = nil
	touched := map[ipam.InstanceID]bool{}
	if in.Pool != nil {
		c.cfg.Pool = in.Pool.withDefaults()
		c.scanAt = now.At
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
		if n := c.nodes[id]; n != nil && n.pods != pods {
			n.pods = pods
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
		n.grewAt = now.At
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
		n.want = now.At
	case n.snap.Inc != s.Inc:
		n.past = append(n.past, n.snap.Inc)
		if len(n.past) > 8 {
			n.past = n.past[1:]
		}
		n.incAt, n.published, n.want = now.At, nil, now.At
		n.granted(now)
	case s.Seq < n.snap.Seq:
		return false
	}
	if !read || n.snap == nil || n.snap.Inc != s.Inc || n.snap.Seq != s.Seq {
		n.heard = now.At // what is read again was not said again
	}
	n.snap = &s
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

func (c *Core) node(id ipam.InstanceID) *node {
	n := c.nodes[id]
	if n == nil {
		n = &node{
			id: id, incAt: never, missing: never, want: never, epoch: max(c.revision, 1), enis: map[ipam.ENIID]*tracked{},
			ended:   map[ipam.ENIID]bool{},
			unknown: map[ipam.ENIID]time.Duration{}, creations: map[int]*creation{}, tokens: map[int]token{},
			readBegun: never, begun: never, outbidAt: never, oddSince: never,
		}
		c.nodes[id] = n
	}
	return n
}

// considerAll looks at the nodes that something happened to, and at those whose time has come; the most urgent first.
func (c *Core) considerAll(now Now, touched map[ipam.InstanceID]bool) {
	if now.At >= c.scanAt {
		c.scanAt = now.At + time.Second
		for id, n := range c.nodes {
			if now.At >= n.due {
				touched[id] = true
			}
		}
	}
	order := make([]*node, 0, len(touched))
	for id := range touched {
		if n := c.nodes[id]; n != nil {
			order = append(order, n)
		}
	}
	slices.SortFunc(order, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.id, b.id))
	})
	for _, n := range order {
		n.due = now.At + 10*time.Second
		c.consider(now, n)
	}
}

// rank orders nodes: pods wait and the pool is empty, pods wait, the pool is empty, the rest.
func (n *node) rank() int {
	if n.snap == nil {
		return 4
	}
	free := 0
	for _, e := range n.snap.ENIs {
		free += e.Free
	}
	switch {
	case n.snap.Waiting > 0 && free == 0:
		return 0
	case n.snap.Waiting > 0:
		return 1
	case free == 0:
		return 2
	}
	return 3
}

// soon asks for another look at a node within a second.
func (n *node) soon(now Now) { n.due = now.At }

// wantList asks for a list of a node, later each time that it did not settle what it was for.
func (n *node) wantList(now Now, after time.Duration) {
	at := now.At + after
	if n.want == never || at < n.want {
		n.want = at
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
