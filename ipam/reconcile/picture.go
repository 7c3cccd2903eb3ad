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
	Why      *ipam.Why          `json:"why,omitempty"`
	Sent     ipam.Seen          `json:"sent"` // newest supply
	Seen     ipam.Seen          `json:"seen"` // newest supply that the node has
}

// SubnetState is one subnet.
type SubnetState struct {
	ID      ipam.SubnetID `json:"id"`
	Zone    string        `json:"zone"`
	Free    int           `json:"free"`
	Refused string        `json:"refused,omitempty"` // EC2's code, while nothing is asked for there
	Blocked time.Duration `json:"blocked,omitempty"` // until it is tried again
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

// SetPool changes the policy while the shell runs.
func (s *Shell) SetPool(ctx context.Context, p Pool) { s.send(ctx, Input{Pool: &p}) }

// SetPods says how many pods are bound to nodes without having an address yet, from a source that knows; nodes that
// are not named keep their number.
func (s *Shell) SetPods(ctx context.Context, pods map[ipam.InstanceID]int) {
	s.send(ctx, Input{Pods: pods})
}

// Picture is what the core knows now.
func (c *Core) Picture(now Now) Picture {
	p := Picture{Leading: c.revision > 0}
	for _, n := range c.nodes {
		for _, t := range n.enis {
			if t.Instance == "" && (t.retired || n.snap == nil || n.gone) {
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
		p.Subnets = append(p.Subnets, state)
	}
	slices.SortFunc(p.Nodes, func(a, b NodeState) int { return cmp.Compare(a.Instance, b.Instance) })
	slices.SortFunc(p.Subnets, func(a, b SubnetState) int { return cmp.Compare(a.ID, b.ID) })
	return p
}

func (n *node) state(now Now) NodeState {
	s := NodeState{
		Instance: n.id, Type: n.row.Type, State: n.row.State, Silent: now.At - n.heard, Waiting: n.snap.Waiting,
		Why: n.why, Seen: n.snap.Seen, Counts: map[ipam.State]int{},
	}
	for _, t := range n.enis {
		if t.Instance == n.id {
			s.ENIs++
		}
	}
	for _, e := range n.snap.ENIs {
		s.Counts[ipam.Pending] += e.Pending
		s.Counts[ipam.Free] += e.Free
		s.Counts[ipam.Leased] += e.Leased
		s.Counts[ipam.Cooling] += e.Cooling
		s.Counts[ipam.Fenced] += len(e.Fenced)
		s.Counts[ipam.Held] += e.Held
	}
	if n.inflight != nil {
		s.Calling = n.inflight.Action
	}
	if n.published != nil {
		s.Sent = ipam.Seen{Epoch: n.published.Epoch, Rev: n.published.Rev}
	}
	return s
}
