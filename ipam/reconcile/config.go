package reconcile

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// The constants of protocol A1. They bound how long an old decision can still have an effect, and the nodes' hold-down
// H rests on them: they are not policy and not configurable.
const (
	LeaseTTL   = 10 * time.Second // L: of the leader's lease, and the longest life of a decision to release
	Deadline   = 15 * time.Second // D: of one EC2 call
	Visibility = 60 * time.Second // V: how long a list may lag behind an answer
	settle     = 5 * time.Second  // r5: from the deadline of an unanswered call to a list that may be believed about it
	silence    = 5 * time.Minute  // r8: a node not heard of for longer gets nothing and gives nothing
	relist     = time.Second      // least time between two lists of some nodes
	acquainted = 2 * time.Minute  // from taking the lead until every living node has been heard of: heartbeats are 60 s ± 20 %
	reattaches = 3                // A9: an interface taken away more often than this in an hour stays away
)

// Config says what the reconciler is to keep true. The zero value of a duration or number means its default.
type Config struct {
	Cluster string            // value of TagCluster on every network interface; required
	Pools   []Pool            // in the order in which a node has them; the first one is what pods get that name none
	Tags    map[string]string // more tags for every network interface
	Resync  time.Duration     // between full lists; default 5 min
	Orphans Orphans           //
	DryRun  bool              // list and plan; change nothing and tell the nodes nothing
}

// Pool is the policy of the nodes' pools.
type Pool struct {
	Name     string        // default "default"
	Rev      uint64        // of the policy, which nodes are told: the greatest of all pools' counts; 0 = one more than before
	Target   ipam.Target   // AtOnce: default and maximum 16
	Cooldown time.Duration // least time between two leases of an address; default 30 s; negative = none
	Window   time.Duration // an address is surplus only if nothing needed it for this long; default 10 min
	MinAge   time.Duration // a network interface younger than this is not given back; default 10 min
	Subnets  Subnets       //
	Groups   []string      // security groups by id; with none by id and by tag: those of the node's primary network interface
	// Nodes selects the nodes that have this pool: every key's value must match its shell pattern. Keys are the
	// instance's EC2 tags, and node.kubernetes.io/instance-type and topology.kubernetes.io/zone. Empty = all nodes. Of
	// several pools of a name a node has the first that selects it.
	Nodes     map[string]string
	GroupTags map[string]string // and security groups of the node's VPC that bear all of these tags
	About     string            // description of network interfaces; {cluster}, {node} and {pool} are replaced
	MTU       int               // bytes, of the links of the interfaces that serve it; 0 = what the machine gives them
}

// Subnets chooses where new network interfaces are made: always in the node's zone, in that with the most free
// addresses. Empty = the node's own subnet.
type Subnets struct {
	IDs  []ipam.SubnetID
	Tags map[string]string
}

// Orphans says when network interfaces of ours that no node has are deleted.
type Orphans struct {
	Keep     bool          // never delete them
	MinAge   time.Duration // seen without a node in lists at least this far apart; default 10 min
	PerRound int           // at most this many per round; default 25
	Every    time.Duration // least time between two rounds; 0 = each full list is one
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Resync, 5*time.Minute)
	def(&c.Orphans.MinAge, 10*time.Minute)
	if c.Orphans.PerRound == 0 {
		c.Orphans.PerRound = 25
	}
	if len(c.Pools) == 0 {
		c.Pools = []Pool{{}}
	}
	c.Pools = withDefaults(c.Pools)
	return c
}

// revOf is a policy's revision, no less than least.
func revOf(pools []Pool, least uint64) uint64 {
	for _, p := range pools {
		least = max(least, p.Rev)
	}
	return least
}

func withDefaults(pools []Pool) []Pool {
	all := make([]Pool, len(pools))
	for i, p := range pools {
		all[i] = p.withDefaults()
	}
	return all
}

func (p Pool) withDefaults() Pool {
	if p.Name == "" {
		p.Name = "default"
	}
	if p.Target.AtOnce == 0 {
		p.Target.AtOnce = ipam.MostAtOnce
	}
	switch {
	case p.Cooldown == 0:
		p.Cooldown = 30 * time.Second
	case p.Cooldown < 0:
		p.Cooldown = 0
	}
	if p.Window == 0 {
		p.Window = 10 * time.Minute
	}
	if p.MinAge == 0 {
		p.MinAge = 10 * time.Minute
	}
	if p.About == "" {
		p.About = "enichain {cluster} {node} {pool}"
	}
	return p
}
