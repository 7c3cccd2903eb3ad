package eniipam

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/conntrack"
	"github.com/enichain/enichain/stages/internal/nfnl"
)

// Add leases addresses, or gives those that the attachment holds already. Where the pool is empty it takes a ticket and
// waits its turn, without any lock in hand.
func (s Stage) Add(ctx context.Context, r *stages.Request) (*stages.Result, error) {
	conf, err := decode(r)
	if err != nil {
		return nil, err
	}
	if !conf.delegate && r.Prev != nil {
		return nil, stages.Errorf(stages.Config, "eni-ipam stands behind another stage of network %s: it gives the first address and must be first in the list", r.Network)
	}
	want, err := wanted(r)
	if err != nil {
		return nil, err
	}
	pool, err := conf.pool(r)
	if err != nil {
		return nil, err
	}
	file, err := s.open(conf, 0)
	if err != nil {
		return nil, err
	}
	must, may := conf.families()
	look, done := s.inUse()
	defer done()
	q := &queue{stage: s, r: r, conf: conf, file: file, began: time.Now(), request: store.LeaseRequest{
		Attachment: ipam.Attachment(r.Attachment), Pool: pool, Families: must, Optional: may, Want: want,
		Primary: conf.Scope == scopePrimary, Prefix: conf.Scope == scopePrefix,
		Gateway: conf.Gateway == gatewayReserve && conf.Scope != scopePrefix, // a prefix has its own
		Netns:   r.Netns, Pod: r.Pod.String(), InUse: look,
	}}
	lease, err := q.lease(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range want {
		if !slices.Contains(lease.Addresses, a) {
			return nil, stages.Errorf(stages.Config, "%s holds %s already, and asks for %s; delete it first", r.Attachment, lease.Addresses[0], a)
		}
	}
	result, err := conf.result(r, lease)
	if err != nil && !lease.Repeated {
		err = errors.Join(err, s.Del(ctx, r))
	}
	return result, err
}

// queue is one ADD on its way to an address.
type queue struct {
	stage   Stage
	r       *stages.Request
	conf    *config
	file    *store.Store
	request store.LeaseRequest
	began   time.Time
	last    *store.EmptyError // how the pool stood when it was looked at last
	chance  uint64            // Meta.Chance of that look
}

// lease tries at once, and waits if it must and may.
func (q *queue) lease(ctx context.Context) (store.Lease, error) {
	l, err := q.try(ctx, 0)
	if err != nil || q.last == nil {
		return l, err
	}
	if q.conf.Wait == 0 {
		return l, q.emptyHanded()
	}
	if q.elsewhere() || hopeless(agentLock(q.conf.PoolFile)) {
		return l, q.emptyHanded()
	}
	bell, err := q.file.Bell() // before the second look: what comes after that is heard
	if err != nil {
		return l, stages.Errorf(stages.Kernel, "no address for %s: %w", whom(q.r), err)
	}
	defer bell.Close()
	deadline := q.stage.now().After(q.conf.Wait)
	waiting := time.Now()
	defer func() { q.r.Waited.Pool += time.Since(waiting) }()
	for {
		l, err = q.try(ctx, deadline)
		if err != nil || q.last == nil {
			return l, err
		}
		now := q.stage.now()
		if now.Boot >= deadline || ctx.Err() != nil || hopeless(agentLock(q.conf.PoolFile)) {
			return l, q.giveUp()
		}
		until := min(deadline, now.After(liveness))
		if q.last.NextCool != 0 {
			until = min(until, q.last.NextCool)
		}
		if err := q.listen(ctx, bell, time.Duration(until-now.Boot)); err != nil {
			return l, stages.Errorf(stages.Kernel, "no address for %s: %w", whom(q.r), err)
		}
	}
}

// try is one transaction; with a deadline it takes a ticket when there is nothing.
func (q *queue) try(ctx context.Context, deadline ipam.Instant) (l store.Lease, err error) {
	err = q.stage.update(ctx, q.r, q.file, func(t *store.Tx) error {
		now := q.stage.now()
		q.last, q.request.Took = nil, time.Since(q.began)
		var err error
		l, err = t.Lease(now, q.request)
		var empty *store.EmptyError
		if !errors.As(err, &empty) {
			return err
		}
		q.last = empty
		if deadline > now.Boot {
			t.Ticket(now, q.request, deadline)
		}
		q.chance = t.Meta().Chance
		return nil
	})
	var taken *store.UnavailableError
	var family *store.FamilyError
	switch {
	case errors.As(err, &family):
		return l, q.wrongFamily(family)
	case errors.As(err, &taken):
		return l, stages.Errorf(stages.PoolEmpty, "%s asks for %s: %s", whom(q.r), taken.Address, taken.Why)
	case err != nil:
		return l, fault(err, "no address for "+whom(q.r))
	}
	q.forgetFlows(l)
	return l, nil
}

// forgetFlows does for addresses fresh out of their cooling what the agent does where it lives: whoever still sends to
// the old pod by a translation that the kernel remembers must not reach the new one. It fails without a word: a pod
// with an address is better than none.
func (q *queue) forgetFlows(l store.Lease) {
	if len(l.Cooled) == 0 {
		return
	}
	c, err := nfnl.Open()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = conntrack.ForgetAddresses(c, l.Cooled)
}

// listen returns when the pool has changed in a way that may matter here, or when the time is over.
func (q *queue) listen(ctx context.Context, bell *store.Bell, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, max(d, time.Millisecond))
	defer cancel()
	for {
		if chance, ok := bell.Chance(); !ok || chance != q.chance {
			return nil
		}
		switch err := bell.Wait(limited); {
		case limited.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// giveUp hands the ticket back and says how it stands.
func (q *queue) giveUp() error {
	failed := q.emptyHanded()
	// The runtime may have given up on us already; the ticket is handed back all the same.
	ctx, cancel := context.WithTimeout(context.Background(), store.DefaultLockWait)
	defer cancel()
	q.request.Took = time.Since(q.began)
	_ = q.stage.update(ctx, q.r, q.file, func(t *store.Tx) error { // else it ends by its deadline
		t.Drop(q.stage.now(), q.request, failed.Error())
		return nil
	})
	return failed
}
