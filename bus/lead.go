package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Lead campaigns for the lease called name until ctx ends, then gives it back if it has it, and returns nil. It calls
// change with the lease's revision and its end by this process's monotonic clock when leadership is won and at each
// renewal, and with revision 0 when it is lost; one call at a time. The revision is the key's when the lease was
// taken: it rises from term to term while the bucket lives. ttl is the lease's life, at least a second; it is renewed
// three times within. Losing touch with the bus is not an error: the lease runs out, and change hears it.
//
// A lease is not a fence: two may lead for a moment, and whatever is done must be safe when done twice.
func (c *Conn) Lead(ctx context.Context, name string, ttl time.Duration, change func(revision uint64, until time.Time)) error {
	if ttl < time.Second {
		return fmt.Errorf("cannot lead %s: a lease of %s is shorter than a second", name, ttl)
	}
	l := &lead{c: c, key: name, holder: fmt.Appendf(nil, "%s %016x", c.name, rand.Uint64()), ttl: ttl, change: change}
	tick := time.NewTicker(ttl / 3)
	defer tick.Stop()
	for {
		l.step(ctx)
		var expiry <-chan time.Time
		if l.term != 0 {
			expiry = time.After(time.Until(l.until))
		}
		select {
		case <-ctx.Done():
			l.resign()
			return nil
		case <-expiry:
			l.lose()
		case <-tick.C:
		}
	}
}

type lead struct {
	c        *Conn
	key      string
	holder   []byte
	ttl      time.Duration
	change   func(uint64, time.Time)
	kv       jetstream.KeyValue
	revision uint64    // of our newest write
	term     uint64    // of the write that took the lease; 0 while another leads, or nobody
	until    time.Time // end of the lease unless it is renewed
	fault    string    // why the newest write failed, if another holder is not the reason; "" = it did not
}

// step takes or renews the lease once.
func (l *lead) step(ctx context.Context) {
	asked := time.Now() // the lease is younger in the server than here
	if l.term != 0 && asked.After(l.until) {
		l.lose()
	}
	patience := l.ttl / 3
	if l.term != 0 {
		patience = max(patience, l.until.Sub(asked)) // a slow disk is no reason to give up before the end
	}
	try, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revision, err := l.write(try)
	if err == nil || taken(err) {
		l.fault = ""
	}
	switch {
	case err == nil:
		if l.term == 0 {
			l.term = revision
			l.c.log.Info("leading", "lease", l.key, "revision", revision)
		}
		l.revision, l.until = revision, asked.Add(l.ttl)
		l.change(l.term, l.until)
	case taken(err):
		if l.term != 0 {
			l.lose()
		}
	case ctx.Err() == nil && err.Error() != l.fault && l.c.Connected(): // else the connection has said it
		l.fault = err.Error()
		l.c.log.Warn("cannot take or renew the lease", "lease", l.key, "error", err)
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
	if l.term != 0 {
		revision, err := l.kv.Update(ctx, l.key, l.holder, l.revision)
		return l.claim(ctx, revision, err)
	}
	revision, err := l.kv.Create(ctx, l.key, l.holder)
	return l.claim(ctx, revision, err)
}

// claim looks whether the write that stands in the way is our own: one whose answer came too late for us.
func (l *lead) claim(ctx context.Context, revision uint64, err error) (uint64, error) {
	if err == nil || !taken(err) {
		return revision, err
	}
	entry, getErr := l.kv.Get(ctx, l.key)
	if getErr != nil || !bytes.Equal(entry.Value(), l.holder) {
		return 0, err
	}
	return l.kv.Update(ctx, l.key, l.holder, entry.Revision())
}

// taken says that another holds the key, or has held it since.
func taken(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

func (l *lead) lose() {
	l.c.log.Warn("not leading any more", "lease", l.key)
	l.end()
}

func (l *lead) end() {
	l.term, l.until = 0, time.Time{}
	l.change(0, time.Time{})
}

func (l *lead) resign() {
	if l.term == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.revision)) // else it runs out by itself
	l.c.log.Info("leadership is given back", "lease", l.key)
	l.end()
}
