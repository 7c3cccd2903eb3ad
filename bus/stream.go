package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enichain/enichain/ipam"
)

const (
	// snapshotAge: a node that has been silent for so long is told anew by its next heartbeat, and a dead one ends.
	snapshotAge = time.Hour
	// dedupeWindow is how long a repeated Nats-Msg-Id is known; NATS's default.
	dedupeWindow = 2 * time.Minute
	// readerLife is how long the server keeps what a reader that died has left there; NATS's default is 5 min.
	readerLife = 30 * time.Second
	// eventsPerSubject bounds one node's events of one verb: a noisy node must not evict the fleet's history.
	eventsPerSubject = 2_000
)

func (r Retention) orDefault() Retention {
	if r.Age == 0 {
		r.Age = 24 * time.Hour
	}
	if r.Bytes == 0 {
		r.Bytes = 128 << 20
	}
	return r
}

// EnsureStreams makes the streams what they must be. Serve does it for an embedded server; a reconciler does it where
// the bus is somebody else's.
//
// Snapshots live in the server's memory. A disk may bring back an older one than the stream had acknowledged (a sync that
// was none, a block cut short, a machine set back to an image), and an address that it calls fenced may be a pod's by now
// (docs/protocol.md, A4); memory brings back the newest or none. Every node tells its own again when it connects.
func (c *Conn) EnsureStreams(ctx context.Context, r Retention) error {
	r = r.orDefault()
	for _, cfg := range []jetstream.StreamConfig{{
		Name: StreamState, Subjects: []string{allSnapshots}, Description: "each node's newest snapshot of its pool",
		MaxMsgsPerSubject: 1, MaxAge: snapshotAge, Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardOld,
		Duplicates: dedupeWindow, AllowDirect: false, // reads go to the leader: a replica may show an old fence
	}, {
		Name: StreamEvents, Subjects: []string{allEvents}, Description: "what happened on the nodes",
		MaxAge: r.Age, MaxBytes: r.Bytes, MaxMsgsPerSubject: eventsPerSubject,
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld, Duplicates: min(dedupeWindow, r.Age),
	}} {
		if _, err := c.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("cannot make the stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// LatestSnapshots reads the newest snapshot of every node from the stream's leader. One that cannot be decoded is left
// out and counted in Rejected.
func (c *Conn) LatestSnapshots(ctx context.Context) (map[ipam.InstanceID]ipam.Snapshot, error) {
	found := map[ipam.InstanceID]ipam.Snapshot{}
	err := c.readLast(ctx, StreamState, allSnapshots, func(subject string, data []byte) {
		if s, ok := c.snapshot(subject, data); ok {
			found[s.Instance] = s
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the snapshots: %w", err)
	}
	return found, nil
}

// LatestSnapshot reads one node's newest snapshot from the stream's leader; false when the stream has none.
func (c *Conn) LatestSnapshot(ctx context.Context, node ipam.InstanceID) (ipam.Snapshot, bool, error) {
	if err := checkInstance(node); err != nil {
		return ipam.Snapshot{}, false, fmt.Errorf("cannot read a snapshot: %w", err)
	}
	stream, err := c.js.Stream(ctx, StreamState)
	if err != nil {
		return ipam.Snapshot{}, false, fmt.Errorf("cannot read the snapshot of %s: %w", node, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, SnapshotSubject(node))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ipam.Snapshot{}, false, nil
	}
	if err != nil {
		return ipam.Snapshot{}, false, fmt.Errorf("cannot read the snapshot of %s: %w", node, err)
	}
	s, ok := c.snapshot(msg.Subject, msg.Data)
	return s, ok, nil
}

// readLast reads the last message of every subject that matches, and returns.
func (c *Conn) readLast(ctx context.Context, stream, filter string, each func(subject string, data []byte)) error {
	consumer, err := c.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		InactiveThreshold: readerLife,
	})
	if err != nil {
		return err
	}
	defer func() { _ = c.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name) }() // else it ends by itself
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		each(msg.Subject(), msg.Data())
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// Purge removes a terminated instance's snapshot: otherwise it would stand for an hour.
func (c *Conn) Purge(ctx context.Context, node ipam.InstanceID) error {
	if err := checkInstance(node); err != nil {
		return fmt.Errorf("cannot forget a node: %w", err)
	}
	stream, err := c.js.Stream(ctx, StreamState)
	if err != nil {
		return fmt.Errorf("cannot forget %s: %w", node, err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(SnapshotSubject(node))); err != nil {
		return fmt.Errorf("cannot forget %s: %w", node, err)
	}
	return nil
}
