package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/vpc"
)

const boot = "boot-1"

// real is a node with the agent's own core and the pool file's own transactions. The kernel is what the VPC says of
// links, and the addresses of pods.
type real struct {
	f      *fleet
	n      *node
	path   string
	store  *store.Store
	core   *agent.Core
	ledger agent.Ledger
	incs   int
	links  []agent.Link
	wrote  bool                  // to the pool file, since the last beat
	pods   map[string]netip.Addr // wired in the kernel
}

// addReal starts an instance whose agent and pool are the real ones.
func (f *fleet) addReal(kind string, maxPods int, dir string) *node {
	n := f.addNode(kind, maxPods)
	n.real = &real{f: f, n: n, path: filepath.Join(dir, string(n.id), "pool.db"), pods: map[string]netip.Addr{}}
	n.real.make(store.Past{Unknown: true})
	return n
}

func (r *real) now() store.Now {
	return store.Now{Boot: ipam.Instant(time.Hour + r.f.now), Wall: r.f.wall()}
}

// make creates the pool file, and starts an agent on it.
func (r *real) make(past store.Past) {
	r.incs++
	var err error
	r.store, err = store.Create(context.Background(), r.path, store.Options{Boot: boot, NoSync: true}, r.now(), store.Identity{
		Instance: r.n.id, Boot: boot, Inc: ipam.Inc(fmt.Sprintf("%s-%d", r.n.id, r.incs)), MaxPods: r.n.maxPods,
	}, past)
	if err != nil {
		panic(err)
	}
	r.start()
}

// start is an agent that comes up, or comes up again.
func (r *real) start() {
	r.core = agent.New(agent.Options{Instance: r.n.id}, rand.New(rand.NewPCG(uint64(r.incs), 3)))
	first := r.transact("start", false, func(*store.Tx, *agent.Done) error { return nil })
	r.step(agent.Input{Start: &agent.Start{Pool: *first.Pool, Ledger: r.ledger}})
	r.step(agent.Input{Bus: &agent.BusState{Up: true}})
}

// lose loses the pool file in a running boot: it is rebuilt from the ledger and the kernel (protocol A6).
func (r *real) lose() {
	r.f.say("%s loses its pool file", r.n.id)
	if err := os.Remove(r.path); err != nil {
		panic(err)
	}
	life := func(all []agent.Gone) (lives []store.Life) {
		for _, g := range all {
			lives = append(lives, store.Life(g))
		}
		return lives
	}
	nameless := func(g agent.Gone) bool { return g.ENI == "" } // held before any supply said on which interface it is
	past := store.Past{Seen: r.ledger.Seen, Gen: r.ledger.Gen, Fenced: life(r.ledger.Fenced),
		Held:    life(slices.DeleteFunc(slices.Clone(r.ledger.Held), nameless)),
		Unknown: r.ledger.HoldAll || r.ledger.Inc == "" || slices.ContainsFunc(r.ledger.Held, nameless)}
	for _, name := range r.names() {
		past.Leases = append(past.Leases, store.Lease{Attachment: attachment(name), Addresses: []netip.Addr{r.pods[name]}})
	}
	r.n.waiting = nil
	r.make(past)
}

func (r *real) names() []string {
	var names []string
	for name := range r.pods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func attachment(pod string) ipam.Attachment {
	return ipam.Attachment{Network: "sim", Container: pod, IfName: "eth0"}
}

// beat lets the agent see what the kernel shows and what time brings.
func (r *real) beat() {
	links := r.kernel()
	if !slices.EqualFunc(links, r.links, func(a, b agent.Link) bool { return a.MAC == b.MAC }) {
		r.links = links
		r.step(agent.Input{Wake: &agent.Wake{Links: true}})
	}
	for range 100 {
		if at := r.core.Deadline(); at == 0 || at > r.now().Boot {
			break
		}
		r.step(agent.Input{Timer: true})
	}
	if !r.wrote {
		return
	}
	r.wrote = false
	var snap ipam.Snapshot
	var policy ipam.NodePolicy
	var tickets []store.Ticket
	err := r.store.View(context.Background(), func(tx *store.Tx) error {
		snap, policy, tickets = tx.Snapshot(r.now()), tx.Meta().Policy, tx.Tickets()
		return nil
	})
	if err != nil {
		panic(err)
	}
	r.n.policy, r.n.seen = policy, snap.Seen
	r.n.waiting = nil
	for _, k := range tickets {
		r.n.waiting = append(r.n.waiting, k.Container)
	}
}

// kernel lists the links of the instance's network interfaces.
func (r *real) kernel() []agent.Link {
	var links []agent.Link
	for _, e := range r.f.world.NetworkInterfaces(r.f.wall()) {
		if e.Instance() == string(r.n.id) && e.Attachment.Status() != vpc.Attaching {
			links = append(links, agent.Link{Name: fmt.Sprintf("eth%d", e.Attachment.Device), Index: 2 + e.Attachment.Device,
				MAC: strings.ToLower(e.MAC), Up: true, N: -1, Addresses: []netip.Addr{e.Primary}})
		}
	}
	slices.SortFunc(links, func(a, b agent.Link) int { return a.Index - b.Index })
	return links
}

// step feeds the agent and does at once what it asks for.
func (r *real) step(in agent.Input) {
	queue := []agent.Input{in}
	for len(queue) > 0 {
		in, queue = queue[0], queue[1:]
		for _, e := range r.core.Step(r.now(), in) {
			if result := r.do(e); result != nil {
				queue = append(queue, *result)
			}
		}
	}
}

func (r *real) do(e agent.Effect) *agent.Input {
	switch {
	case e.Ledger != nil:
		r.ledger = *e.Ledger
		return &agent.Input{Ledger: &agent.Written{Ledger: *e.Ledger}}
	case e.Publish != nil:
		answer := &agent.Published{Inc: e.Publish.Inc, Seq: e.Publish.Seq}
		if r.f.r.Float64() < r.f.loss {
			answer.Err = "lost on the way"
		} else {
			r.f.publish(*e.Publish)
		}
		return &agent.Input{Published: answer}
	case e.Drain:
		var last uint64
		r.transact("drain", true, func(tx *store.Tx, _ *agent.Done) error {
			for {
				records, _ := tx.Outbox(last, 128)
				if len(records) == 0 {
					return nil
				}
				last = records[len(records)-1].N
				tx.Acknowledge(last)
			}
		})
		return &agent.Input{Drained: &agent.Drained{N: last}}
	case e.ReadLinks:
		return &agent.Input{Links: &agent.Links{Links: slices.Clone(r.links)}}
	case e.Prepare != nil:
		return &agent.Input{Prepared: &agent.Prepared{N: e.Prepare.N, Attachment: e.Prepare.Attachment}}
	case e.Repair != nil:
		return &agent.Input{Repaired: &agent.Repaired{}}
	case e.Survey:
		return &agent.Input{Surveyed: &agent.Surveyed{}}
	case e.Note != nil:
		if e.Note.Level != "info" {
			r.f.say("%s %s: %s", r.n.id, e.Note.Level, e.Note.Text)
		}
		return nil
	}
	return r.pool(e)
}

// pool does the effects on the pool file.
func (r *real) pool(e agent.Effect) *agent.Input {
	now := r.now()
	lives := func(all []store.Life) (gone []agent.Gone) {
		for _, l := range all {
			gone = append(gone, agent.Gone(l))
		}
		return gone
	}
	wish := func(done *agent.Done, release ipam.Release, got []store.Life, err error) error {
		done.Release, done.Chosen = release, lives(got)
		if refused := new(store.WishError); errors.As(err, &refused) {
			done.Refused, err = []string{refused.Error()}, nil
		}
		return err
	}
	switch {
	case e.Look:
		return r.transact("look", false, func(*store.Tx, *agent.Done) error { return nil })
	case e.Accept != nil:
		return r.transact("accept", true, func(tx *store.Tx, done *agent.Done) error { return r.accept(tx, done, *e.Accept) })
	case e.Links != nil:
		return r.transact("links", true, func(tx *store.Tx, _ *agent.Done) error {
			var states []store.Link
			for _, l := range e.Links.Links {
				states = append(states, store.Link{MAC: l.MAC, Name: l.Name, N: l.N, Ready: l.Ready, Addresses: l.Addresses})
			}
			_, err := tx.Links(now, states)
			return err
		})
	case e.Choose != nil:
		return r.transact("choose", false, func(tx *store.Tx, done *agent.Done) error {
			got, err := tx.Choose(now, *e.Choose)
			return wish(done, *e.Choose, got, err)
		})
	case e.Fence != nil:
		return r.transact("fence", true, func(tx *store.Tx, done *agent.Done) error {
			var chosen []store.Life
			for _, g := range e.Fence.Chosen {
				chosen = append(chosen, store.Life(g))
			}
			got, err := tx.Fence(now, e.Fence.Release, chosen)
			return wish(done, e.Fence.Release, got, err)
		})
	case e.Prove != 0:
		return r.transact("prove", true, func(tx *store.Tx, _ *agent.Done) error { tx.Proof(now, e.Prove); return nil })
	case e.Tick:
		return r.transact("tick", true, func(tx *store.Tx, _ *agent.Done) error { return tx.Tick(now, r.inUse) })
	case e.Hint != nil:
		return r.transact("hint", true, func(tx *store.Tx, _ *agent.Done) error {
			tx.SetHint(e.Hint.MaxPods, e.Hint.Unschedulable)
			return nil
		})
	case e.Acknowledge != 0:
		return r.transact("acknowledge", true, func(tx *store.Tx, _ *agent.Done) error { tx.Acknowledge(e.Acknowledge); return nil })
	}
	return nil
}

func (r *real) accept(tx *store.Tx, done *agent.Done, s ipam.Supply) error {
	refused, _, err := tx.Accept(r.now(), s)
	if whole := new(store.RefusedError); errors.As(err, &whole) {
		done.Refused = []string{whole.Why}
		return nil
	}
	for _, x := range refused {
		done.Refused = append(done.Refused, x.String())
	}
	done.Accepted = err == nil
	r.n.why = s.Why
	return err
}

// transact makes one transaction, and answers with what the file says at its end.
func (r *real) transact(what string, write bool, f func(*store.Tx, *agent.Done) error) *agent.Input {
	out := agent.Pool{}
	done := agent.Done{What: what}
	do := r.store.View
	if write {
		do, r.wrote = r.store.Update, true
	}
	err := do(context.Background(), func(tx *store.Tx) error {
		if err := f(tx, &done); err != nil {
			return err
		}
		meta := tx.Meta()
		out = agent.Pool{Snapshot: tx.Snapshot(r.now()), Policy: meta.Policy, Unproven: tx.Unproven(), Risen: tx.Risen(),
			Next: tx.Next(r.now()), Outbox: tx.Pending(), HoldAll: meta.Hold != nil && meta.Hold.S1 == 0}
		for _, h := range tx.Held() {
			out.Held = append(out.Held, agent.Gone(h.Life))
		}
		for _, l := range tx.Fenced() {
			out.Fenced = append(out.Fenced, agent.Gone(l))
		}
		for _, e := range tx.State().ENIs {
			if e.N >= 0 && e.MAC != "" {
				out.ENIs = append(out.ENIs, agent.ENI{N: e.N, SuppliedENI: e.SuppliedENI})
			}
		}
		return nil
	})
	if err != nil {
		return &agent.Input{Pool: &agent.Pool{Done: agent.Done{What: what}, Err: err.Error()}}
	}
	out.Done = done
	return &agent.Input{Pool: &out}
}

func (r *real) inUse(a netip.Addr) bool {
	for _, used := range r.pods {
		if used == a {
			return true
		}
	}
	return false
}

// add is eni-ipam's ADD: a lease, or a ticket.
func (r *real) add(pod string) (eni ipam.ENIID, ip netip.Addr, ok bool) {
	r.wrote = true
	ask := store.LeaseRequest{Attachment: attachment(pod), Pool: "default", Families: []store.Family{store.IPv4}, InUse: r.inUse}
	err := r.store.Update(context.Background(), func(tx *store.Tx) error {
		l, err := tx.Lease(r.now(), ask)
		if empty := new(store.EmptyError); errors.As(err, &empty) {
			tx.Ticket(r.now(), ask, r.now().After(time.Minute))
			return nil
		}
		if err == nil {
			eni, ip, ok = l.ENIID, l.Addresses[0], true
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	if ok {
		r.pods[pod] = ip
	}
	r.step(agent.Input{Bell: true})
	return eni, ip, ok
}

// del is eni-ipam's DEL, after the kernel has let go.
func (r *real) del(pod string) {
	delete(r.pods, pod)
	r.wrote = true
	err := r.store.Update(context.Background(), func(tx *store.Tx) error {
		tx.Release(r.now(), attachment(pod), "")
		tx.Drop(r.now(), store.LeaseRequest{Attachment: attachment(pod)}, "deleted")
		return nil
	})
	if err != nil {
		panic(err)
	}
	r.step(agent.Input{Bell: true})
}

// String is the pool file in words.
func (r *real) String() string {
	var s store.State
	err := r.store.View(context.Background(), func(tx *store.Tx) error { s = tx.State(); return nil })
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%s inc %s seq %d basis %d seen %+v hold %+v waiting %v", r.n.id, s.Meta.Inc, s.Meta.Seq, s.Meta.Basis, s.Meta.Seen, s.Meta.Hold, r.n.waiting)
	for _, e := range s.ENIs {
		text += fmt.Sprintf("\n  %s #%d listed %t ready %t", e.ENI, e.Device, e.Listed, e.Ready)
	}
	for _, a := range s.Addresses {
		text += fmt.Sprintf("\n  %s on %s %s lost %t listed %t owner %s", a.Address, a.ENI, a.State, a.Lost, a.Listed, a.Owner)
	}
	for _, h := range s.Held {
		text += fmt.Sprintf("\n  %s on %s held %+v", h.Address, h.ENI, h.Hold)
	}
	return text
}

// on are the addresses of an interface by state.
func (r *real) on(eni ipam.ENIID) map[netip.Addr]*address {
	all := map[netip.Addr]*address{}
	err := r.store.View(context.Background(), func(tx *store.Tx) error {
		for _, a := range tx.State().Addresses {
			if a.ENI == eni {
				all[a.Address] = &address{state: a.State, lost: a.Lost, pod: a.Owner.Container}
			}
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return all
}
