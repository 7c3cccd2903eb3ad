package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
)

func (n *node) storeOptions() store.Options {
	o := store.Options{Boot: n.boot, Locker: alone{}, Keep: n.f.keep, Audit: n.pool.glance}
	if n.f.checking {
		o.Audit = n.pool.audit
	}
	return o
}

// alone is the lock of a pool file in a run of one thread.
type alone struct{}

// Lock never waits.
func (alone) Lock(context.Context) (func(), error) { return func() {}, nil }

// startAgent is the agent's process: it opens the pool file or makes it anew (protocol A6), and begins.
func (n *node) startAgent() {
	if n.off || n.core != nil {
		return
	}
	if err := n.openPool(); err != nil {
		n.f.say("%s cannot open its pool: %v", n.id, err)
		n.f.after(time.Second, n.startAgent)
		return
	}
	n.life++
	n.ringAt, n.killIn = 0, 0
	seed := [2]uint64{n.f.seed, uint64(n.life)}
	options := agent.Options{Instance: n.id}
	n.core = agent.New(options, randOf(seed))
	n.f.beginRecord(n, seed, options)
	begin := agent.Start{Pool: *n.file.Start(context.Background(), n.now())}
	if n.ledger != nil {
		begin.Ledger = *n.ledger
	}
	n.step(agent.Input{Start: &begin})
	n.step(agent.Input{Bus: &agent.BusState{Up: !n.cut}})
	if hint := (agent.Hint{MaxPods: n.maxPods, Unschedulable: n.cordon}); hint != (agent.Hint{MaxPods: begin.Pool.Snapshot.MaxPods, Unschedulable: begin.Pool.Snapshot.Unschedulable}) {
		n.step(agent.Input{Hint: &hint})
	}
	for _, p := range slices.Clone(n.pods) {
		p.retry()
	}
}

// openPool is protocol A6.
func (n *node) openPool() error {
	n.letGo()
	st, err := store.Open(context.Background(), n.path, n.storeOptions())
	missing, damaged := new(store.NotReadyError), new(store.DamagedError)
	switch {
	case err == nil:
		n.store = st
		return n.recall()
	case errors.As(err, &missing) && missing.Reason == store.Missing:
	case errors.As(err, &missing), errors.As(err, &damaged):
		n.f.say("%s moves its pool file aside: %v", n.id, err)
		if err := store.MoveAside(context.Background(), n.path, n.storeOptions()); err != nil {
			return err
		}
	default:
		return err
	}
	past := n.past()
	if n.f.bugs.past != nil {
		n.f.bugs.past(&past)
	}
	n.incs++
	inc := ipam.Inc(fmt.Sprintf("%s-%d", n.id, n.incs))
	n.f.say("%s makes its pool file, inc %s: %d leases, %d fenced, %d held, unknown %t", n.id, inc, len(past.Leases), len(past.Fenced), len(past.Held), past.Unknown)
	n.store, err = store.Create(context.Background(), n.path, n.storeOptions(), n.now(),
		store.Identity{Instance: n.id, Boot: n.boot, Inc: inc, Type: n.kind, MaxPods: n.maxPods}, past)
	if err != nil {
		return err
	}
	n.pool.renew(n)
	return n.recall()
}

// recall reads the file that was opened, so that every change from here on is seen.
func (n *node) recall() error {
	n.file = agent.NewPoolFile(n.store)
	return n.store.View(context.Background(), func(tx *store.Tx) error {
		n.changed("open", tx.State())
		n.pool.glance(tx)
		n.pool.chance = tx.Meta().Chance
		return nil
	})
}

// past is what ledger and kernel say.
func (n *node) past() store.Past {
	var leases []store.Lease
	for _, p := range n.pods {
		if p.state == running && len(p.addresses) > 0 {
			leases = append(leases, store.Lease{Attachment: p.attachment, Addresses: slices.Clone(p.addresses), Netns: p.netns()})
		}
	}
	if n.ledger == nil || n.ledger.Instance != n.id {
		return agent.PastOf(agent.Ledger{}, false, leases)
	}
	return agent.PastOf(*n.ledger, true, leases)
}

// letGo closes the pool file that a run keeps open between transactions; whoever uses it next opens it again.
func (n *node) letGo() {
	if n.store != nil {
		must(n.store.Close())
	}
}

// crash ends the agent's process; its files stay as they are.
func (n *node) crash() {
	if n.core == nil {
		return
	}
	n.core, n.died = nil, n.f.now
	n.letGo()
	n.life++
	n.ringAt = 0
}

// step feeds the agent and does what it asks for, in order; it may be killed between any two effects.
func (n *node) step(in agent.Input) {
	if n.core == nil {
		return
	}
	life := n.life
	for queue := []agent.Input{in}; len(queue) > 0; queue = queue[1:] {
		now := n.now()
		effects := n.core.Step(now, queue[0])
		n.f.recordAgent(n, now, queue[0], effects)
		for _, e := range effects {
			if n.killIn > 0 {
				if n.killIn--; n.killIn == 0 {
					n.f.say("%s: the agent is killed", n.id)
					n.crash()
					return
				}
			}
			result := n.do(e)
			if n.life != life {
				return
			}
			if result != nil {
				queue = append(queue, *result)
			}
		}
	}
	n.arm()
}

// arm sets the agent's timer.
func (n *node) arm() {
	at := n.core.Deadline()
	if at == 0 || at == n.ringAt {
		return
	}
	n.ringAt = at
	n.ring++
	ring, life := n.ring, n.life
	n.f.after(max(n.virtual(at)-n.f.now, time.Millisecond), func() {
		if n.ring == ring && n.life == life {
			n.ringAt = 0
			n.step(agent.Input{Timer: true})
		}
	})
}

// fileLost is the agent that finds its pool file gone: it starts again.
func (n *node) fileLost(err error) {
	missing, damaged := new(store.NotReadyError), new(store.DamagedError)
	if !errors.As(err, &missing) && !errors.As(err, &damaged) || n.core == nil {
		return
	}
	n.crash()
	n.f.after(250*time.Millisecond, n.startAgent)
}

// do does one effect; nil: there is no result yet, or none at all.
func (n *node) do(e agent.Effect) *agent.Input {
	switch {
	case e.Ledger != nil:
		l := *e.Ledger
		if n.f.bugs.ledger != nil {
			l = n.f.bugs.ledger(n, l)
		}
		n.ledger, n.older = &l, n.ledger
		n.ledgerWritten()
		return &agent.Input{Ledger: &agent.Written{Ledger: *e.Ledger}}
	case e.Publish != nil:
		n.publish(*e.Publish)
		return nil
	case e.Drain:
		n.drain()
		return nil
	case e.ReadLinks:
		return &agent.Input{Links: &agent.Links{Links: n.kernelLinks()}}
	case e.Prepare != nil:
		return &agent.Input{Prepared: &agent.Prepared{N: e.Prepare.N, Attachment: e.Prepare.Attachment}}
	case e.Repair != nil:
		return &agent.Input{Repaired: &agent.Repaired{}}
	case e.Survey:
		return &agent.Input{Surveyed: n.survey()}
	case e.Note != nil:
		if e.Note.Level != "info" {
			n.f.say("%s %s: %s", n.id, e.Note.Level, e.Note.Text)
		}
		return nil
	case e.Forget != nil, e.Sweep:
		return nil
	}
	if pool := n.onFile(e); pool != nil {
		return &agent.Input{Pool: pool}
	}
	panic(fmt.Sprintf("no such effect: %+v", e))
}

// publish goes by the bus; the answer finds the agent that asked, or nobody.
func (n *node) publish(s ipam.Snapshot) {
	life := n.life
	n.f.bus.publish(n, s, func(done agent.Published) {
		if n.life == life {
			n.step(agent.Input{Published: &done})
		}
	})
}

// drain says that the outbox is out; nothing is decided by its records.
func (n *node) drain() {
	var last uint64
	var failed string
	err := n.store.View(context.Background(), func(tx *store.Tx) error {
		records, _ := tx.Outbox(0, 128)
		if len(records) > 0 {
			last = records[len(records)-1].N
		}
		for _, r := range records {
			n.f.bus.count("event", r)
		}
		return nil
	})
	if err != nil {
		failed = err.Error()
		n.fileLost(err)
	}
	if n.cut {
		last, failed = 0, "no bus"
	}
	life := n.life
	n.f.after(5*time.Millisecond, func() {
		if n.life == life {
			n.step(agent.Input{Drained: &agent.Drained{N: last, Err: failed}})
		}
	})
}

// survey finds leases whose pods' network namespaces are gone.
func (n *node) survey() *agent.Surveyed {
	var out agent.Surveyed
	for _, l := range n.pool.state.Leases {
		if l.Network == "sim" && n.podOf(l.Attachment) == nil {
			out.Stale = append(out.Stale, agent.Stale{Attachment: l.Attachment, Cause: "its network namespace is gone"})
		}
	}
	if n.f.bugs.survey != nil {
		n.f.bugs.survey(n, &out)
	}
	return &out
}

func (n *node) podOf(a ipam.Attachment) *pod {
	for _, p := range n.pods {
		if p.attachment == a && p.state != ended {
			return p
		}
	}
	return nil
}
