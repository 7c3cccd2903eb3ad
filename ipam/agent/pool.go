package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// PoolFile does the core's effects on the pool file: one transaction each, answered with what the file said at its end.
type PoolFile struct {
	store *store.Store
	enis  []ENI // as of the last transaction of ours: nobody else changes interfaces
	lost  error // the file is gone or damaged: it has to be made anew
}

// NewPoolFile is for a file that is there.
func NewPoolFile(s *store.Store) *PoolFile { return &PoolFile{store: s} }

// Do does one effect; nil: it is none on the pool file. inUse are the addresses that the kernel has in use, bus the bus's
// name for people.
func (p *PoolFile) Do(ctx context.Context, now Now, e Effect, inUse map[netip.Addr]bool, bus string) *Pool {
	switch {
	case e.Look:
		return p.look(ctx, now, "look")
	case e.Accept != nil:
		return p.accept(ctx, now, *e.Accept)
	case e.Links != nil:
		return p.links(ctx, now, e.Links.Links)
	case e.Choose != nil:
		return p.choose(ctx, now, *e.Choose)
	case e.Fence != nil:
		return p.fence(ctx, now, *e.Fence)
	case e.Prove != 0:
		return p.prove(ctx, now, e.Prove)
	case e.Tick:
		return p.tick(ctx, now, inUse)
	case e.Release != nil:
		return p.release(ctx, now, *e.Release)
	case e.Hint != nil:
		return p.hint(ctx, now, *e.Hint)
	case e.Mute != nil:
		return p.mute(ctx, now, e.Mute.Since, bus)
	case e.Append != nil:
		return p.append(ctx, now, e.Append)
	case e.Acknowledge != 0:
		return p.acknowledge(ctx, now, e.Acknowledge)
	}
	return nil
}

// Start reads the file for a core's first input.
func (p *PoolFile) Start(ctx context.Context, now Now) *Pool { return p.look(ctx, now, "start") }

// read is the pool as a core wants to see it. The interfaces are read again only when fresh is set.
func (p *PoolFile) read(tx *store.Tx, now Now, fresh bool) Pool {
	out := Pool{Snapshot: tx.Snapshot(now), Pools: tx.Meta().Pools, Unproven: tx.Unproven(), Risen: tx.Risen(),
		Next: tx.Next(now), Outbox: tx.Pending()}
	for _, h := range tx.Held() {
		out.Held = append(out.Held, Gone(h.Life))
	}
	out.Fenced = gone(tx.Fenced())
	if hold := tx.Meta().Hold; hold != nil && hold.S1 == 0 {
		out.HoldAll = true
	}
	if m := tx.Meta().Mute; m != nil {
		out.Mute = m.Since
	}
	if fresh {
		p.enis = p.enis[:0:0]
		for _, e := range tx.ENIs() {
			if e.N >= 0 && e.MAC != "" { // else only its name is known, from before the file
				p.enis = append(p.enis, ENI{N: e.N, SuppliedENI: e.SuppliedENI})
			}
		}
	}
	out.ENIs = p.enis
	return out
}

func gone(lives []store.Life) []Gone {
	var out []Gone
	for _, l := range lives {
		out = append(out, Gone(l))
	}
	return out
}

func lives(gone []Gone) []store.Life {
	out := make([]store.Life, 0, len(gone))
	for _, g := range gone {
		out = append(out, store.Life(g))
	}
	return out
}

// run makes one transaction of what f does and answers with the pool after it.
func (p *PoolFile) run(ctx context.Context, now Now, what string, write bool, f func(*store.Tx, *Done) error) *Pool {
	var out Pool
	done := Done{What: what}
	fresh := what == "start" || what == "accept" || what == "links" || what == "tick" || what == "release"
	whole := func(tx *store.Tx) error {
		if err := f(tx, &done); err != nil {
			return err
		}
		out = p.read(tx, now, fresh)
		return nil
	}
	transact := p.store.View
	if write {
		transact = p.store.Update
	}
	if err := transact(ctx, whole); err != nil {
		p.judge(err)
		return &Pool{Done: Done{What: what}, Err: err.Error()}
	}
	out.Done = done
	return &out
}

// judge tells a file that must be made anew from one that is only busy.
func (p *PoolFile) judge(err error) {
	var missing *store.NotReadyError
	var damaged *store.DamagedError
	if errors.As(err, &missing) || errors.As(err, &damaged) {
		p.lost = err
	}
}

func (p *PoolFile) look(ctx context.Context, now Now, what string) *Pool {
	return p.run(ctx, now, what, false, func(*store.Tx, *Done) error { return nil })
}

func (p *PoolFile) accept(ctx context.Context, now Now, s ipam.Supply) *Pool {
	return p.run(ctx, now, "accept", true, func(tx *store.Tx, done *Done) error {
		refused, _, err := tx.Accept(now, s)
		var whole *store.RefusedError
		if errors.As(err, &whole) {
			done.Refused = []string{whole.Why}
			return nil
		}
		for _, r := range refused {
			done.Refused = append(done.Refused, r.String())
			record := ipam.Record{Verb: ipam.AddressRefused, ENI: r.ENI, Cause: r.Reason}
			if r.Address.IsValid() {
				record.Address = []netip.Addr{r.Address}
			}
			tx.Append(now, record)
		}
		done.Accepted = err == nil
		return err
	})
}

func (p *PoolFile) links(ctx context.Context, now Now, links []LinkState) *Pool {
	return p.run(ctx, now, "links", true, func(tx *store.Tx, _ *Done) error {
		states := make([]store.Link, 0, len(links))
		for _, l := range links {
			states = append(states, store.Link{MAC: l.MAC, Name: l.Name, N: l.N, Ready: l.Ready, Addresses: l.Addresses})
		}
		_, err := tx.Links(now, states)
		return err
	})
}

func (p *PoolFile) choose(ctx context.Context, now Now, r ipam.Release) *Pool {
	return p.run(ctx, now, "choose", false, func(tx *store.Tx, done *Done) error {
		done.Release = r
		chosen, err := tx.Choose(now, r)
		done.Chosen = gone(chosen)
		return wishRefused(err, done)
	})
}

func (p *PoolFile) fence(ctx context.Context, now Now, f Fence) *Pool {
	return p.run(ctx, now, "fence", true, func(tx *store.Tx, done *Done) error {
		done.Release = f.Release
		fenced, err := tx.Fence(now, f.Release, lives(f.Chosen))
		done.Chosen = gone(fenced)
		return wishRefused(err, done)
	})
}

func wishRefused(err error, done *Done) error {
	var wish *store.WishError
	if errors.As(err, &wish) {
		done.Refused = []string{wish.Error()}
		return nil
	}
	return err
}

func (p *PoolFile) prove(ctx context.Context, now Now, seq uint64) *Pool {
	return p.run(ctx, now, "prove", true, func(tx *store.Tx, _ *Done) error {
		tx.Proof(now, seq)
		return nil
	})
}

func (p *PoolFile) tick(ctx context.Context, now Now, inUse map[netip.Addr]bool) *Pool {
	return p.run(ctx, now, "tick", true, func(tx *store.Tx, _ *Done) error {
		return tx.Tick(now, func(a netip.Addr) bool { return inUse[a] })
	})
}

func (p *PoolFile) ripe(ctx context.Context, now Now) (ripe []netip.Addr, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error { ripe = tx.Ripe(now); return nil })
	p.judge(err)
	return ripe, err
}

func (p *PoolFile) release(ctx context.Context, now Now, r Release) *Pool {
	return p.run(ctx, now, "release", true, func(tx *store.Tx, _ *Done) error {
		for _, a := range r.Attachments {
			tx.Release(now, a, r.Cause)
		}
		return nil
	})
}

func (p *PoolFile) hint(ctx context.Context, now Now, h Hint) *Pool {
	return p.run(ctx, now, "hint", true, func(tx *store.Tx, _ *Done) error {
		tx.SetHint(h.MaxPods, h.Unschedulable)
		return nil
	})
}

func (p *PoolFile) mute(ctx context.Context, now Now, since time.Time, bus string) *Pool {
	return p.run(ctx, now, "mute", true, func(tx *store.Tx, _ *Done) error {
		if since.IsZero() {
			tx.SetMute(nil)
		} else {
			tx.SetMute(&store.Mute{Since: since, Bus: bus})
		}
		return nil
	})
}

func (p *PoolFile) append(ctx context.Context, now Now, records []ipam.Record) *Pool {
	return p.run(ctx, now, "append", true, func(tx *store.Tx, _ *Done) error {
		for _, r := range records {
			tx.Append(now, r)
		}
		return nil
	})
}

func (p *PoolFile) acknowledge(ctx context.Context, now Now, n uint64) *Pool {
	return p.run(ctx, now, "acknowledge", true, func(tx *store.Tx, _ *Done) error {
		tx.Acknowledge(n)
		return nil
	})
}

// drainBatch is the most records of the outbox that are published in one go.
const drainBatch = 128

func (p *PoolFile) outbox(ctx context.Context) (records []ipam.Record, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error {
		records, _ = tx.Outbox(0, drainBatch)
		return nil
	})
	p.judge(err)
	return records, err
}

func (p *PoolFile) leases(ctx context.Context) (leases []store.Lease, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error {
		leases = slices.Clone(tx.State().Leases)
		return nil
	})
	p.judge(err)
	return leases, err
}
