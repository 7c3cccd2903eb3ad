package reconcile

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// never is a time before all others.
const never = time.Duration(-1)

// node is one instance: its word, what EC2 says of it, and what is under way.
type node struct {
	core  *Core
	id    ipam.InstanceID
	snap  *ipam.Snapshot
	heard time.Duration
	class int           // see rank
	past  []ipam.Inc    // other incarnations of its pool file
	incAt time.Duration // the inc changed; never = not while we looked
	born  bool          // we knew the fleet before it appeared
	first ipam.Inc      // the inc that was found to be the first one
	bound map[string]int

	row       Instance
	pools     []Pool        // that it has, in the configuration's order
	poolsOf   uint64        // the policy that they are of; 0 = to be looked up
	missing   time.Duration // since a list did not have the instance; never = it is there
	gone      bool          // terminated, or missing for long enough
	purged    bool
	listed    bool // there is a list of it under this leadership
	basis     ipam.Basis
	readBegun time.Duration
	begun     time.Duration
	enis      map[ipam.ENIID]*tracked
	order     []*tracked          // enis by id; nil = to be made
	ended     map[ipam.ENIID]bool // that the node still names, and EC2 does not have
	overlay   []overlay
	want      time.Duration // a list is wanted from then on; never = not
	wantFails int           // lists in a row that did not settle what they were for
	oddSince  time.Duration // since the node's word and the lists do not fit; never = they do

	inflight  *Call
	started   time.Duration
	unknown   map[ipam.ENIID]doubtful // calls whose outcome nobody knows
	creations map[ipam.Slot]*creation
	tokens    map[ipam.Slot]token
	retryAt   time.Duration  // no call before
	bars      map[string]bar // nor these
	fails     int
	idle      int           // looks in a row that led to nothing
	servedAt  time.Duration // EC2 last gave it something; never = not yet
	turn      uint32        // among those that never were
	whys      map[string]*ipam.Why
	refusals  map[string]*ipam.Why // what EC2 last said to each of its pools, until it grants something
	hungry    []ipam.SubnetID      // where its pods wait for room

	grewAt    map[string]time.Duration // by pool
	ledAt     time.Duration
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
	ENI                        // without its tags, of which the next five are what matters
	cluster    bool            // made for our cluster
	node       ipam.InstanceID // the instance it was made for
	slot       ipam.Slot       // the place it was made for; zero = it does not say
	pool       string          // "" = it does not say
	left       bool            // never to be touched, by its tag or its kind
	leave      []netip.Addr    // of Addresses, those that are somebody else's
	others     []netip.Prefix  // and the delegated prefixes, which do not stand in Prefixes
	missing    time.Duration   // since a list did not have it; never = the newest has
	available  time.Duration   // since lists show it unattached; never = attached
	retired    bool            // given up: delete it
	heldUp     bool            // EC2 refused an address here: nothing is asked before the node's next list
	reattached []time.Duration
	alarmed    bool // people were told that it is taken away again and again
	named      bool // some snapshot has named it
	ghost      bool // only the node has named it; no list has shown it yet
}

// read takes in EC2's row of the interface. Of its tags only what matters is kept: a fleet has tens of thousands of rows.
func (t *tracked) read(e ENI, cluster string) {
	t.ENI = e
	t.cluster, t.node, t.pool = e.Tags[TagCluster] == cluster, ipam.InstanceID(e.Tags[TagNode]), e.Tags[TagPool]
	t.slot = ipam.Slot{}
	if s, err := ipam.ParseSlot(e.Tags[TagSlot]); err == nil {
		t.slot = s
	}
	t.readLeave(e.Tags[TagLeave])
	switch e.Kind {
	case "", "interface", "efa":
		t.left = e.Tags[TagNoManage] == "true"
	default: // efa-only, trunk, branch, and those that services make
		t.left = true
	}
	t.Tags, t.About = nil, ""
}

// readLeave takes out what is somebody else's: addresses, and delegated prefixes that are named or have a named address.
func (t *tracked) readLeave(tag string) {
	t.leave, t.others = nil, nil
	for _, text := range strings.Fields(tag) {
		a, err := netip.ParseAddr(text)
		if err == nil && slices.Contains(t.Addresses, a) {
			t.leave = append(t.leave, a)
		}
		p, _ := netip.ParsePrefix(text)
		for _, have := range t.Prefixes {
			if have == p || err == nil && have.Contains(a) {
				t.others = plus(t.others, []netip.Prefix{have})
			}
		}
	}
	t.Prefixes = minus(t.Prefixes, t.others)
}

// shared says whether anything of the interface is somebody else's.
func (t *tracked) shared() bool { return len(t.leave)+len(t.others) > 0 }

// ours says whether the interface was made for this node of our cluster, and nobody keeps us away.
func (t *tracked) ours(n *node) bool { return t.cluster && t.node == n.id && !t.left }

// primary says whether it is its instance's first interface.
func (t *tracked) primary() bool { return t.Instance != "" && t.Device == 0 && t.Card == 0 && !t.ghost }

// usable are its addresses but for those that are somebody else's.
func (t *tracked) usable() []netip.Addr {
	if len(t.leave) == 0 {
		return t.Addresses
	}
	return slices.DeleteFunc(slices.Clone(t.Addresses), func(a netip.Addr) bool { return slices.Contains(t.leave, a) })
}

// prefixes are its delegated prefixes of a family.
func (t *tracked) prefixes(f ipam.Family) []netip.Prefix {
	var found []netip.Prefix
	for _, p := range t.Prefixes {
		if p.Addr().Is4() == (f == ipam.IPv4) {
			found = append(found, p)
		}
	}
	return found
}

// creation is a Create that is not settled: same token, same parameters until it is.
type creation struct {
	call     Call
	later6   int // prefixes of IPv6 that are asked for once it is there
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

// doubtful is a call whose outcome nobody knows: its interface is left alone until a list that began after a time, and
// what it may have got counts as got (protocol r5, B2).
type doubtful struct {
	after time.Duration
	call  Call
}

// wish is what a node was asked to give up, by the supply that said so.
type wish struct {
	ipam.Release
	sent  ipam.Seen
	count int // addresses that it may cost the budget
}

type release struct {
	at    time.Duration
	count int
}

// granted ends a wish: the node has seen it, maybe just now, or will never.
func (n *node) granted(now Now) {
	if n.wish != nil {
		n.releases = append(n.releases, release{at: now.At, count: n.wish.count})
		n.wish = nil
	}
}

func (c *Core) node(id ipam.InstanceID) *node {
	n := c.nodes[id]
	if n == nil {
		n = &node{
			core: c, id: id, incAt: never, missing: never, want: never, epoch: max(c.revision, 1), enis: map[ipam.ENIID]*tracked{},
			ended: map[ipam.ENIID]bool{}, unknown: map[ipam.ENIID]doubtful{}, creations: map[ipam.Slot]*creation{},
			tokens: map[ipam.Slot]token{}, bars: map[string]bar{}, refusals: map[string]*ipam.Why{}, whys: map[string]*ipam.Why{},
			grewAt: map[string]time.Duration{}, readBegun: never, begun: never, outbidAt: never, oddSince: never, servedAt: never,
			class: rankSilent,
		}
		n.draw(c.revision)
		c.nodes[id] = n
		n.lookAt(0)
	}
	return n
}

// draw gives the node its place among those that were not served yet: another one under each leadership.
func (n *node) draw(revision uint64) {
	h := fnv.New32a()
	fmt.Fprint(h, revision, n.id)
	n.turn = h.Sum32()
}

// keep and drop change the node's interfaces.
func (n *node) keep(t *tracked)         { n.enis[t.ID], n.order = t, nil }
func (n *node) drop(id ipam.ENIID)      { delete(n.enis, id); n.order = nil }
func byID(a, b *tracked) int            { return cmp.Compare(a.ID, b.ID) }
func (n *node) running() bool           { return n.row.State == "running" || n.row.State == "pending" }
func (n *node) heardLately(at Now) bool { return at.At-n.heard < silence }

// sorted are the node's interfaces by id. It is not to be changed, and lives until keep or drop.
func (n *node) sorted() []*tracked {
	if n.order == nil {
		n.order = make([]*tracked, 0, len(n.enis))
		for _, t := range n.enis {
			n.order = append(n.order, t)
		}
		slices.SortFunc(n.order, byID)
	}
	return n.order
}

// primary is the node's primary network interface, once it is listed.
func (n *node) primary() *tracked {
	for _, t := range n.sorted() {
		if t.primary() && t.Instance == n.id {
			return t
		}
	}
	return nil
}

// summary is what the node's snapshot says of an interface; nil = nothing.
func (n *node) summary(id ipam.ENIID) *ipam.ENISummary {
	if n.snap == nil {
		return nil
	}
	for i := range n.snap.ENIs {
		if n.snap.ENIs[i].ENI == id {
			return &n.snap.ENIs[i]
		}
	}
	return nil
}

// asks is what the node's pods ask of a pool.
func (n *node) asks(pool string) ipam.PoolSummary {
	for _, s := range n.snap.Pools {
		if s.Name == pool {
			return s
		}
	}
	return ipam.PoolSummary{Name: pool}
}

// Ranks of nodes: who is looked at first.
const (
	rankStarved = iota // pods wait and their pool is empty
	rankWaiting
	rankEmpty
	rankServed
	rankSilent
)

// rank orders nodes by their need.
func (n *node) rank() int {
	if n.snap == nil {
		return rankSilent
	}
	four, six, all := map[string]int{}, map[string]int{}, 0
	for _, e := range n.snap.ENIs {
		four[e.Pool] += e.Free
		six[e.Pool] += e.IPv6.Free
		all += e.Free + e.IPv6.Free
	}
	rank := rankServed
	if all == 0 {
		rank = rankEmpty
	}
	for _, s := range n.snap.Pools {
		switch {
		case s.Waiting+s.WaitingPrefix > 0 && four[s.Name] == 0, s.Waiting6 > 0 && six[s.Name] == 0:
			return rankStarved
		case s.Pods() > 0:
			rank = rankWaiting
		}
	}
	return rank
}

// before orders nodes for a turn: by need, then those whom EC2 gave nothing for longest.
func before(a, b *node) int {
	return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.servedAt, b.servedAt), cmp.Compare(a.turn, b.turn),
		cmp.Compare(a.id, b.id))
}
