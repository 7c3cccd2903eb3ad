package reconcile

import (
	"errors"
	"fmt"
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
	Pool    Pool              //
	Tags    map[string]string // more tags for every network interface
	Resync  time.Duration     // between full lists; default 5 min
	Orphans Orphans           //
	DryRun  bool              // list and plan; change nothing and tell the nodes nothing
}

// Pool is the policy of the nodes' pools.
type Pool struct {
	Name     string        // default "default"
	Rev      uint64        // rises with every change of the policy; default 1
	Target   ipam.Target   // AtOnce: default and maximum 16
	Cooldown time.Duration // least time between two leases of an address; default 30 s; negative = none
	Window   time.Duration // an address is surplus only if nothing needed it for this long; default 10 min
	MinAge   time.Duration // a network interface younger than this is not given back; default 10 min
	Subnets  Subnets       //
	Groups   []string      // security groups; empty = those of the node's primary network interface
	About    string        // description of network interfaces; {cluster}, {node} and {pool} are replaced
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
	PerRound int           // at most this many per full list; default 25
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
	c.Pool = c.Pool.withDefaults()
	return c
}

func (p Pool) withDefaults() Pool {
	if p.Name == "" {
		p.Name = "default"
	}
	if p.Rev == 0 {
		p.Rev = 1
	}
	if p.Target.AtOnce == 0 {
		p.Target.AtOnce = 16
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

// Validate reports all faults at once, each with the field's path.
func (c Config) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Cluster == "" {
		bad("cluster: is empty; set the value that every network interface is to be tagged with")
	}
	t := c.Pool.Target
	for _, n := range []struct {
		path  string
		value int
	}{
		{"pool.warm.free", t.Warm}, {"pool.warm.enis", t.WarmENIs}, {"pool.warm.prefixes", t.WarmPrefixes},
		{"pool.warm.minimum", t.Minimum}, {"pool.warm.maximum", t.Maximum}, {"pool.enis.max", t.MaxENIs},
		{"pool.release.atOnce", t.AtOnce}, {"orphans.perRound", c.Orphans.PerRound},
	} {
		if n.value < 0 {
			bad("%s: is %d; set 0 or more", n.path, n.value)
		}
	}
	if t.WarmPrefixes > 0 {
		bad("pool.warm.prefixes: is %d; prefixes are not delegated yet, set pool.warm.free", t.WarmPrefixes)
	}
	if t.AtOnce > 16 {
		bad("pool.release.atOnce: is %d; set 1..16", t.AtOnce)
	}
	if t.Warm > 0 && t.WarmENIs > 0 {
		bad("pool.warm: free is %d and enis is %d; set one of them", t.Warm, t.WarmENIs)
	}
	if t.Maximum > 0 && t.Minimum > t.Maximum {
		bad("pool.warm.minimum: is %d, above pool.warm.maximum %d", t.Minimum, t.Maximum)
	}
	for _, d := range []struct {
		path  string
		value time.Duration
	}{
		{"resync", c.Resync}, {"pool.release.window", c.Pool.Window}, {"pool.release.minAge", c.Pool.MinAge},
		{"orphans.minAge", c.Orphans.MinAge},
	} {
		if d.value < 0 {
			bad("%s: is %s; set a positive duration", d.path, d.value)
		}
	}
	return errors.Join(faults...)
}
