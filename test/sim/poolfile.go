package sim

import (
	"context"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
)

// onFile does an effect on the pool file, by the agent's own hands. nil: it is none.
func (n *node) onFile(e agent.Effect) *agent.Pool {
	m, now := &n.pool, n.now()
	switch {
	case e.Accept != nil:
		m.accepting = e.Accept
	case e.Fence != nil:
		m.wish = &e.Fence.Release
	case e.Release != nil:
		for _, a := range e.Release.Attachments {
			m.ending(a)
		}
	case e.Tick && n.f.bugs.tick != nil:
		now = n.f.bugs.tick(now)
	}
	m.seen = false
	out := n.file.Do(context.Background(), now, e, n.allInUse(), "sim")
	switch {
	case out == nil:
	case out.Err != "":
		n.fileLost(n.store.View(context.Background(), func(*store.Tx) error { return nil }))
	case !e.Look && e.Choose == nil:
		n.observe(out.Done.What)
	}
	m.accepting, m.wish, m.endings = nil, nil, nil
	return out
}

// observe judges what a transaction has changed, and wakes those who wait if one of them may have become servable.
func (n *node) observe(what string) {
	m := &n.pool
	var chance uint64
	switch {
	case m.seen:
		chance = m.next.Meta.Chance
		n.changed(what, m.next)
	case n.f.checking:
		return
	default:
		chance = m.next.Meta.Chance // as glance left it
	}
	m.seen = false
	if chance != m.chance {
		m.chance = chance
		n.wake()
	}
}

// update is a transaction of eni-ipam's; what it changed is checked.
func (n *node) update(what string, f func(*store.Tx) error) error {
	if n.store == nil {
		return &store.NotReadyError{Path: n.path, Reason: store.Missing}
	}
	n.pool.seen = false
	err := n.store.Update(context.Background(), f)
	if err == nil {
		n.observe(what)
	}
	n.pool.endings = nil
	return err
}
