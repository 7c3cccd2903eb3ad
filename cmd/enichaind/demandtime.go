package main

import (
	"cmp"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// demandTimes measures how long pods wait for EC2: from the first snapshot in which pods of a pool wait to the first in
// which none does, if a call to EC2 gave them what they have. It follows the reconciler's steps and touches nothing, so
// it holds no more than the waiting pools of the nodes.
type demandTimes struct {
	observe func(pool, how string, took time.Duration)
	waits   map[demandKey]*demandWait
	calls   map[uint64]demandCall // in flight, by their ids
}

type demandKey struct {
	node ipam.InstanceID
	pool string
}

// demandWait is one pool of a node whose pods wait.
type demandWait struct {
	since time.Duration
	how   string // what EC2 gave last; "" = nothing yet
}

type demandCall struct {
	demandKey
	how string
}

func newDemandTimes(observe func(pool, how string, took time.Duration)) *demandTimes {
	return &demandTimes{observe: observe, waits: map[demandKey]*demandWait{}, calls: map[uint64]demandCall{}}
}

// step follows one step of the reconciler's core.
func (t *demandTimes) step(now reconcile.Now, in reconcile.Input, out []reconcile.Effect) {
	if in.Lead != nil {
		clear(t.waits) // what was seen without leading was another's to serve
		clear(t.calls)
	}
	for _, a := range in.Answers {
		call, ours := t.calls[a.ID]
		delete(t.calls, a.ID)
		if w := t.waits[call.demandKey]; ours && w != nil && a.Class == reconcile.Done {
			w.how = call.how
		}
	}
	for _, s := range in.Snapshots {
		t.heard(now, s)
	}
	for _, e := range out {
		if e.Purge != "" {
			for key := range t.waits {
				if key.node == e.Purge {
					delete(t.waits, key)
				}
			}
		}
		if e.Call != nil {
			if how := howOf(*e.Call); how != "" {
				t.calls[e.Call.ID] = demandCall{demandKey{e.Call.Instance, e.Call.Pool}, how}
			}
		}
	}
}

func (t *demandTimes) heard(now reconcile.Now, s ipam.Snapshot) {
	for _, p := range s.Pools {
		key := demandKey{s.Instance, p.Name}
		w := t.waits[key]
		switch waiting := p.Pods(); {
		case waiting > 0 && w == nil:
			t.waits[key] = &demandWait{since: now.At}
		case waiting == 0 && w != nil:
			if w.how != "" {
				t.observe(p.Name, w.how, now.At-w.since)
			}
			delete(t.waits, key)
		}
	}
}

// howOf is by which way a call gives a pool addresses; "" = it does not.
func howOf(c reconcile.Call) string {
	switch c.Action {
	case reconcile.Attach:
		return "attach"
	case reconcile.Assign, reconcile.Assign6:
		if cmp.Or(c.Prefixes, c.Prefixes6) > 0 {
			return "prefix"
		}
		return "assign"
	}
	return ""
}
