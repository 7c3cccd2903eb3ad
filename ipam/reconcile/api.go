package reconcile

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// Now is the time of a step: At rises and means nothing elsewhere; Wall is for people to read.
type Now struct {
	At   time.Duration `json:"at"`
	Wall time.Time     `json:"wall"`
}

// Input is what happened since the last step; any part may be missing, and an empty one is time that passed.
type Input struct {
	Lead      *Lead           `json:"lead,omitempty"`
	Snapshots []ipam.Snapshot `json:"snapshots,omitempty"`
	// Pods are, by pool, how many pods are bound to a node for less than 5 min and have no address yet, those that wait
	// for one included. Nodes that are not named keep their numbers; of one that is, pools that are not named have none.
	Pods    map[ipam.InstanceID]map[string]int `json:"pods,omitempty"`
	Answers []Answer                           `json:"answers,omitempty"`
	Listed  *Listed                            `json:"listed,omitempty"`
	Pools   []Pool                             `json:"pools,omitempty"` // the policy is this now
}

// Lead says that this process leads, with the lease's revision, or that it does not: 0.
type Lead struct {
	Revision uint64 `json:"revision"`
}

// Effect is what the shell is to do: one of its parts is set.
type Effect struct {
	List   *List           `json:"list,omitempty"`   // read the snapshots, then list
	Call   *Call           `json:"call,omitempty"`   // one attempt; always answered
	Would  *Call           `json:"would,omitempty"`  // what would be called if this were not a dry run
	Supply *ipam.Supply    `json:"supply,omitempty"` // send to its node
	Event  *Event          `json:"event,omitempty"`  // tell people
	Purge  ipam.InstanceID `json:"purge,omitempty"`  // forget its snapshot
}

// Event is an edge about a node.
type Event struct {
	Instance ipam.InstanceID `json:"instance"`
	Inc      ipam.Inc        `json:"inc"` // of this reconciler's leadership: its events have numbers of their own
	Record   ipam.Record     `json:"record"`
}
