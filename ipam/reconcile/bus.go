package reconcile

import (
	"context"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
)

var _ Bus = (*bus.Conn)(nil)

// Bus is what the shell needs of the message bus.
type Bus interface {
	// Snapshots hands over every snapshot, those at rest first, until ctx ends or the subscription breaks.
	Snapshots(ctx context.Context, each func(ipam.Snapshot)) error
	// LatestSnapshots reads the newest snapshot of every node from the stream's leader, never from a replica.
	LatestSnapshots(ctx context.Context) (map[ipam.InstanceID]ipam.Snapshot, error)
	// PublishSupply sends a supply to its node once; nil does not mean that the node has it.
	PublishSupply(ctx context.Context, supply ipam.Supply) error
	// PublishEvent sends an edge for people; it may be lost.
	PublishEvent(ctx context.Context, node ipam.InstanceID, inc ipam.Inc, record ipam.Record) error
	// Lead takes part in the election until ctx ends. It calls change on winning and on each renewal with the term's
	// revision and the end of the lease on this machine's clock, and with revision 0 when leadership is lost.
	Lead(ctx context.Context, name string, ttl time.Duration, change func(revision uint64, until time.Time)) error
	// Purge forgets the snapshot of an instance that does not exist any more.
	Purge(ctx context.Context, node ipam.InstanceID) error
}
