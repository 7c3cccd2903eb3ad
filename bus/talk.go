package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enichain/enichain/ipam"
)

// PublishSnapshot tells a node's level. nil means that the stream has it (the proof of protocol A4, step 2). It is
// tried once: a dirty bit and the next heartbeat are the caller's.
func (c *Conn) PublishSnapshot(ctx context.Context, s ipam.Snapshot) error {
	if err := checkInstance(s.Instance); err != nil {
		return fmt.Errorf("cannot publish a snapshot: %w", err)
	}
	// The count keeps a heartbeat, which repeats seq, from being dropped as a duplicate.
	id := fmt.Sprintf("%s/%s/%d/%d-%d", s.Instance, s.Inc, s.Seq, time.Now().UnixNano(), c.sent.Add(1))
	data, err := seal(envelope{ID: id, Source: nodeSource(s.Instance), Type: typeSnapshot, Time: time.Now().UTC()}, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	_, err = c.js.Publish(ctx, SnapshotSubject(s.Instance), data, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		err = nats.ErrDisconnected // we keep no buffer: people would look for a full one
	}
	if err != nil {
		return fmt.Errorf("cannot publish snapshot %d of %s: %w", s.Seq, s.Instance, err)
	}
	return nil
}

// Snapshots calls each with every node's newest snapshot, then with each new one, one at a time, until ctx ends, when
// it returns nil. It wakes; what a round decides by is read with LatestSnapshots.
func (c *Conn) Snapshots(ctx context.Context, each func(ipam.Snapshot)) error {
	return c.follow(ctx, StreamState, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{allSnapshots}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}, func(subject string, data []byte) {
		if s, ok := c.snapshot(subject, data); ok {
			each(s)
		}
	})
}

func (c *Conn) snapshot(subject string, data []byte) (s ipam.Snapshot, ok bool) {
	_, err := open(data, typeSnapshot, &s)
	if err == nil && s.Instance != nodeOf(subject) {
		err = fmt.Errorf("it speaks for %q", s.Instance)
	}
	if err != nil {
		c.reject(subject, err)
		return ipam.Snapshot{}, false
	}
	return s, true
}

func (c *Conn) reject(subject string, err error) {
	c.rejected.Add(1)
	c.log.Warn("a message is left aside", "subject", subject, "error", err)
}

// PublishSupply tells a node what it has. nil means that it left this process: the node's snapshot says whether it
// arrived.
func (c *Conn) PublishSupply(_ context.Context, s ipam.Supply) error {
	if err := checkInstance(s.Instance); err != nil {
		return fmt.Errorf("cannot publish a supply: %w", err)
	}
	id := fmt.Sprintf("%s/%d/%d", s.Instance, s.Epoch, s.Rev)
	data, err := seal(envelope{ID: id, Source: "/reconciler", Type: typeSupply, Subject: string(s.Instance), Time: time.Now().UTC()}, s)
	if err != nil {
		return err
	}
	if err := c.publish(SupplySubject(s.Instance), id, data); err != nil {
		return fmt.Errorf("cannot publish supply %d of %s: %w", s.Rev, s.Instance, err)
	}
	return nil
}

// Supplies calls each with every supply for the node, one at a time, until ctx ends, when it returns nil. It outlives
// reconnects.
func (c *Conn) Supplies(ctx context.Context, node ipam.InstanceID, each func(ipam.Supply)) error {
	if err := checkInstance(node); err != nil {
		return fmt.Errorf("cannot hear supplies: %w", err)
	}
	sub, err := c.nc.Subscribe(SupplySubject(node), func(m *nats.Msg) {
		var s ipam.Supply
		_, err := open(m.Data, typeSupply, &s)
		if err == nil && s.Instance != node {
			err = fmt.Errorf("it is for %q", s.Instance)
		}
		if err != nil {
			c.reject(m.Subject, err)
			return
		}
		each(s)
	})
	if err != nil {
		return fmt.Errorf("cannot hear the supplies of %s: %w", node, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	select {
	case <-ctx.Done():
		return nil
	case <-c.closed:
		return fmt.Errorf("cannot hear the supplies of %s: %w", node, nats.ErrConnectionClosed)
	}
}

// PublishEvent tells an event, once and without an answer: losing one is allowed. Repeated within two minutes it is
// stored once.
func (c *Conn) PublishEvent(_ context.Context, node ipam.InstanceID, inc ipam.Inc, r ipam.Record) error {
	if err := checkInstance(node); err != nil {
		return fmt.Errorf("cannot publish an event: %w", err)
	}
	e := Event{ID: EventID(inc, r.N), Instance: node, Record: r}
	data, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	if err := c.publish(EventSubject(node, r.Verb), e.ID, data); err != nil {
		return fmt.Errorf("cannot publish event %s of %s: %w", e.ID, node, err)
	}
	return nil
}

func (c *Conn) publish(subject, id string, data []byte) error {
	if !c.nc.IsConnected() {
		return nats.ErrDisconnected
	}
	return c.nc.PublishMsg(&nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: []string{id}}})
}

// EventFilter chooses events; its zero value is every event from now on.
type EventFilter struct {
	Instance ipam.InstanceID // "" = every node
	Entity   string          // pod, eni, address, kernel; "" = all
	Since    time.Time       // zero = from now on; older than the stream = all that is there
}

func (f EventFilter) subject() string {
	node, rest := "*", ">"
	if f.Instance != "" {
		node = string(f.Instance)
	}
	if f.Entity != "" {
		rest = f.Entity + ".>"
	}
	return root + "node." + node + ".evt." + rest
}

// Events calls each with the events that the filter chooses, one at a time, until ctx ends, when it returns nil.
func (c *Conn) Events(ctx context.Context, f EventFilter, each func(Event)) error {
	for _, token := range []string{string(f.Instance), f.Entity} {
		if token == "" {
			continue
		}
		if err := checkInstance(ipam.InstanceID(token)); err != nil {
			return fmt.Errorf("cannot choose events: %w", err)
		}
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subject()}, DeliverPolicy: jetstream.DeliverNewPolicy}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	return c.follow(ctx, StreamEvents, cfg, func(subject string, data []byte) {
		var e Event
		if err := e.UnmarshalJSON(data); err != nil {
			c.reject(subject, err)
			return
		}
		e.Instance = nodeOf(subject)
		each(e)
	})
}

// follow consumes a stream in order until ctx ends; the consumer makes itself anew after a reconnect.
func (c *Conn) follow(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig, each func(string, []byte)) error {
	consumer, err := c.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("cannot follow the stream %s: %w", stream, err)
	}
	running, err := consumer.Consume(func(m jetstream.Msg) {
		if ctx.Err() == nil {
			each(m.Subject(), m.Data())
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		c.log.Debug("a stream is followed anew", "stream", stream, "error", err)
	}))
	if err != nil {
		return fmt.Errorf("cannot follow the stream %s: %w", stream, err)
	}
	defer running.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-c.closed:
		return fmt.Errorf("cannot follow the stream %s: %w", stream, nats.ErrConnectionClosed)
	case <-running.Closed():
		return fmt.Errorf("cannot follow the stream %s: the consumer ended", stream)
	}
}
