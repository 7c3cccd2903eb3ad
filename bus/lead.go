package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Term is what a candidate knows of its leadership. A lease is not a fence: two may lead for a moment, and whatever is
// done must be safe when done twice.
type Term struct {
	Leading  bool
	Revision uint64 // of the key when the lease was taken; rises from term to term while the bucket lives
	// Deadline is when the lease ends if it is not renewed, by this process's monotonic clock.
	Deadline time.Time
}

// Lead campaigns for the lease called name until ctx ends, then gives it back if it has it. It calls told whenever
// leadership is won or lost and at each renewal, one at a time. ttl is the lease's life, at least a second; it is
// renewed three times within. Losing touch with the bus is not an error: the lease runs out, and told hears it.
func (c *Conn) Lead(ctx context.Context, name, holder string, ttl time.Duration, told func(Term)) error {
	if ttl < time.Second {
		return fmt.Errorf("cannot lead %s: a lease of %s is shorter than a second", name, ttl)
	}
	l := &lead{c: c, key: name, holder: []byte(holder), ttl: ttl, told: told}
	tick := time.NewTicker(ttl / 3)
	defer tick.Stop()
	for {
		l.step(ctx)
		wait := tick.C
		var expiry <-chan time.Time
		if l.term.Leading {
			expiry = time.After(time.Until(l.term.Deadline))
		}
		select {
		case <-ctx.Done():
			l.resign()
			return nil
		case <-expiry:
			l.lose(time.Now())
		case <-wait:
		}
	}
}

type lead struct {
	c        *Conn
	key      string
	holder   []byte
	ttl      time.Duration
	told     func(Term)
	kv       jetstream.KeyValue
	revision uint64 // of our newest write
	term     Term
}

// step takes or renews the lease once.
func (l *lead) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	asked := time.Now() // the lease is younger in the server than here
	if l.term.Leading && asked.After(l.term.Deadline) {
		l.lose(asked)
	}
	revision, err := l.write(ctx)
	switch {
	case err == nil:
		if !l.term.Leading {
			l.term.Revision = revision
			l.c.log.Info("leading", "lease", l.key, "revision", revision)
		}
		l.revision = revision
		l.term.Leading, l.term.Deadline = true, asked.Add(l.ttl)
		l.told(l.term)
	case taken(err):
		if l.term.Leading {
			l.lose(asked)
		}
	default:
		l.c.log.Debug("cannot reach the lease", "lease", l.key, "error", err)
	}
}

func (l *lead) write(ctx context.Context) (uint64, error) {
	if l.kv == nil {
		// A per-key TTL would be dropped by Update (nats.go #1994); the bucket's is not.
		kv, err := l.c.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: BucketLeases, Description: "who leads", TTL: l.ttl, History: 1, Storage: jetstream.FileStorage,
		})
		if err != nil {
			return 0, err
		}
		l.kv = kv
	}
	if l.term.Leading {
		return l.kv.Update(ctx, l.key, l.holder, l.revision)
	}
	return l.kv.Create(ctx, l.key, l.holder)
}

// taken says that another holds the key, or has held it since.
func taken(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

func (l *lead) lose(at time.Time) {
	l.term = Term{}
	l.c.log.Warn("not leading any more", "lease", l.key, "at", at)
	l.told(l.term)
}

func (l *lead) resign() {
	if !l.term.Leading {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.revision)) // else it runs out by itself
	l.lose(time.Now())
}
