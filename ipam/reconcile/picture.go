package reconcile

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Picture is what the reconciler knows, for metrics and people.
type Picture struct {
	Leading bool          `json:"leading"`
	Nodes   []NodeState   `json:"nodes"`
	Subnets []SubnetState `json:"subnets"`
	Orphans int           `json:"orphans"` // unattached network interfaces of ours that no living node wants
}

// NodeState is one node. Its counts are those of its newest snapshot.
type NodeState struct {
	Instance ipam.InstanceID    `json:"instance"`
	Type     string             `json:"type"`
	State    string             `json:"state"` // EC2's
	Silent   time.Duration      `json:"silent"`
	ENIs     int                `json:"enis"`
	Counts   map[ipam.State]int `json:"counts"`
	Waiting  int                `json:"waiting"`
	Calling  Action             `json:"calling,omitempty"` // the call in flight
	Why      *ipam.Why          `json:"why,omitempty"`     // of the first of Pools that has one
	Pools    []PoolState        `json:"pools,omitempty"`
	Sent     ipam.Seen          `json:"sent"` // newest supply
	Seen     ipam.Seen          `json:"seen"` // newest supply that the node has
}

// PoolState is one pool on a node.
type PoolState struct {
	Name    string             `json:"name"`
	Waiting int                `json:"waiting"` // pods, for anything of it
	Counts  map[ipam.State]int `json:"counts"`  // addresses of its leading family
	Ceiling int                `json:"ceiling"` // most addresses that it may have there; 0 = not known
	Why     *ipam.Why          `json:"why,omitempty"`
}

// SubnetState is one subnet.
type SubnetState struct {
	ID      ipam.SubnetID `json:"id"`
	Zone    string        `json:"zone"`
	Free    int           `json:"free"`
	Refused string        `json:"refused,omitempty"` // EC2's code, while nothing is asked for there
	Blocked time.Duration `json:"blocked,omitempty"` // until it is tried again
	// Fragmented is until a free /28 is asked for again, if EC2 had none.
	Fragmented time.Duration `json:"fragmented,omitempty"`
}

// Picture waits for the loop's next turn; it fails when ctx ends first.
func (s *Shell) Picture(ctx context.Context) (Picture, error) {
	answer := make(chan Picture, 1)
	select {
	case s.asks <- func(c *Core, now Now) { answer <- c.Picture(now) }:
		return <-answer, nil
	case <-ctx.Done():
		return Picture{}, ctx.Err()
	}
}

// SetPools changes the policy while the shell runs; faults are those of Config.Validate.
func (s *Shell) SetPools(ctx context.Context, pools []Pool) error {
	cfg := s.o.Config
	cfg.Pools = pools
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.send(ctx, Input{Pools: pools})
	return nil
}

// SetPods says how many pods are bound to nodes without having an address yet, from a source that knows: see Input.Pods.
func (s *Shell) SetPods(ctx context.Context, pods map[ipam.InstanceID]map[string]int) {
	s.send(ctx, Input{Pods: pods})
}

// Picture is what the core knows now.
func (c *Core) Picture(now Now) Picture {
	p := Picture{Leading: c.revision > 0}
	for _, n := range c.nodes {
		for _, t := range n.enis {
			if t.cluster && t.Instance == "" && (t.retired || n.snap == nil || n.gone) {
				p.Orphans++
			}
		}
		if n.snap != nil {
			p.Nodes = append(p.Nodes, n.state(now))
		}
	}
	for _, s := range c.subnets {
		state := SubnetState{ID: s.ID, Zone: s.Zone, Free: s.Free}
		if m := c.marks[s.ID]; m != nil {
			state.Refused, state.Blocked = m.code, max(m.until-now.At, 0)
		}
		if g := c.gates[gateBlocks+string(s.ID)]; g != nil {
			state.Fragmented = max(g.until-now.At, 0)
		}
		p.Subnets = append(p.Subnets, state)
	}
	slices.SortFunc(p.Nodes, func(a, b NodeState) int { return cmp.Compare(a.Instance, b.Instance) })
	slices.SortFunc(p.Subnets, func(a, b SubnetState) int { return cmp.Compare(a.ID, b.ID) })
	return p
}

func (n *node) state(now Now) NodeState {
	s := NodeState{
		Instance: n.id, Type: n.row.Type, State: n.row.State, Silent: now.At - n.heard,
		Seen: n.snap.Seen, Counts: map[ipam.State]int{},
	}
	for _, t := range n.enis {
		if t.Instance == n.id {
			s.ENIs++
		}
	}
	for _, p := range n.core.poolsOf(n) {
		state := n.poolState(p)
		s.Pools, s.Waiting = append(s.Pools, state), s.Waiting+state.Waiting
		if s.Why == nil {
			s.Why = state.Why
		}
	}
	for i := range n.snap.ENIs {
		count(s.Counts, &n.snap.ENIs[i], ipam.IPv4)
	}
	if n.inflight != nil {
		s.Calling = n.inflight.Action
	}
	if n.published != nil {
		s.Sent = ipam.Seen{Epoch: n.published.Epoch, Rev: n.published.Rev}
	}
	return s
}

func (n *node) poolState(p Pool) PoolState {
	asks := n.asks(p.Name)
	s := PoolState{
		Name: p.Name, Waiting: asks.Pods(), Why: n.whys[p.Name], Counts: map[ipam.State]int{},
		Ceiling: n.core.mostOf(n, p, n.core.limits[n.row.Type]),
	}
	for i := range n.snap.ENIs {
		if n.snap.ENIs[i].Pool == p.Name {
			count(s.Counts, &n.snap.ENIs[i], ipam.Lead(p.Target.Families))
		}
	}
	return s
}

// count adds an interface's addresses of a family.
func count(counts map[ipam.State]int, e *ipam.ENISummary, f ipam.Family) {
	c := e.Counts(f)
	counts[ipam.Pending] += c.Pending
	counts[ipam.Free] += c.Free
	counts[ipam.Leased] += c.Leased
	counts[ipam.Cooling] += c.Cooling
	counts[ipam.Held] += c.Held
	counts[ipam.Fenced] += e.CountFenced(f)
}
