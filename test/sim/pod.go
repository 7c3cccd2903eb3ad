package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/store"
)

type podState int

const (
	waiting podState = iota // its ADD waits, or failed and comes again
	running
	ended
)

// pod is a pod's sandbox as the runtime sees it: ADD until it succeeds, then DEL, or nothing at all.
type pod struct {
	n          *node
	name       string
	pool       string
	families   []ipam.Family
	attempt    int
	attachment ipam.Attachment
	state      podState
	ticket     bool // its ADD waits inside of eni-ipam
	asked      time.Duration
	served     time.Duration
	eni        ipam.ENIID
	addresses  []netip.Addr
	cause      string // what the last failed ADD said
	told       time.Duration
	refused    bool // its last ADD said why
}

const (
	agentSilent = 90 * time.Second // protocol i6
	kubelet     = 10 * time.Second // between a failed ADD and the next
)

// pod starts a pod on a node.
func (f *fleet) pod(n *node, name string) *pod { return f.podOf(n, name, "default", ipam.IPv4) }

// podOf starts a pod that wants a pool and families.
func (f *fleet) podOf(n *node, name, pool string, families ...ipam.Family) *pod {
	p := &pod{n: n, name: name, pool: pool, families: families, asked: f.now}
	if n.off {
		p.state = ended
		return p
	}
	n.pods = append(n.pods, p)
	p.newAttempt()
	p.add()
	return p
}

// newAttempt is another sandbox of the same pod.
func (p *pod) newAttempt() {
	p.attempt++
	p.attachment = ipam.Attachment{Network: "sim", Container: fmt.Sprintf("%s.%d", p.name, p.attempt), IfName: "eth0"}
	p.ticket = false
}

func (p *pod) netns() string { return "/run/netns/" + p.attachment.Container }

func (p *pod) request() store.LeaseRequest {
	return store.LeaseRequest{Attachment: p.attachment, Pool: p.pool, Families: slices.Clone(p.families), Netns: p.netns(), Pod: p.name, InUse: p.n.inUse}
}

// add is eni-ipam's ADD: a lease, or a ticket and a wait. It says whether those behind it may try.
func (p *pod) add() bool {
	n := p.n
	if p.state != waiting || n.off {
		return true
	}
	if n.core == nil && n.f.now-n.died > agentSilent {
		p.fail("the agent is silent")
		return true
	}
	var lease *store.Lease
	empty := new(store.EmptyError)
	err := n.update("add", func(tx *store.Tx) error {
		lease, empty = nil, nil
		l, err := tx.Lease(n.now(), p.request())
		if errors.As(err, &empty) {
			tx.Ticket(n.now(), p.request(), n.now().After(store.MaxTicket))
			return nil
		}
		if err == nil {
			lease = &l
		}
		return err
	})
	switch {
	case err != nil:
		n.fileLost(err)
		p.fail(err.Error())
		p.refused = n.core != nil
		return true
	case lease == nil:
		p.wait(empty)
	default:
		p.run(*lease)
	}
	n.step(agent.Input{Bell: true})
	return lease != nil
}

// wait is an ADD inside of eni-ipam, up to the ticket's deadline.
func (p *pod) wait(empty *store.EmptyError) {
	p.cause = empty.Error()
	if p.ticket {
		return
	}
	p.ticket = true
	attempt := p.attempt
	p.n.f.after(store.MaxTicket, func() {
		if p.state != waiting || !p.ticket || p.attempt != attempt || p.n.off {
			return
		}
		p.refused = p.n.pool.why(p.pool) != nil // which eni-ipam puts into its error
		err := p.n.update("giveup", func(tx *store.Tx) error { tx.Drop(p.n.now(), p.request(), "no address in time"); return nil })
		if err == nil {
			p.n.step(agent.Input{Bell: true})
		}
		p.fail(p.cause)
	})
}

// fail is an ADD that returned an error; kubelet comes again with another sandbox.
func (p *pod) fail(cause string) {
	p.cause, p.told = cause, p.n.f.now
	p.newAttempt()
	attempt := p.attempt
	p.n.f.after(kubelet, func() {
		if p.attempt == attempt {
			p.add()
		}
	})
}

// run is the pod with its addresses; the kernel routes them from now on.
func (p *pod) run(l store.Lease) {
	f := p.n.f
	p.state, p.served, p.eni, p.addresses, p.ticket = running, f.now, l.ENIID, slices.Clone(l.Addresses), false
	for _, a := range p.addresses {
		p.n.wired[a] = p
	}
	f.say("%s %s has %v of %s", p.n.id, p.name, p.addresses, p.eni)
}

// retry wakes an ADD that waits.
func (p *pod) retry() {
	if p.state == waiting && p.ticket {
		p.add()
	}
}

// wake is the bell of the pool file: those who wait look again, in order; where one finds nothing, none behind it does.
func (n *node) wake() {
	if !n.anyWaits() {
		return
	}
	n.f.after(5*time.Millisecond, func() {
		stuck := map[string]bool{}
		for _, p := range slices.Clone(n.pods) {
			kind := fmt.Sprint(p.pool, p.families)
			if p.state == waiting && p.ticket && !stuck[kind] {
				stuck[kind] = !p.add()
			}
		}
	})
}

// anyWaits says whether an ADD waits inside of eni-ipam.
func (n *node) anyWaits() bool {
	return slices.ContainsFunc(n.pods, func(p *pod) bool { return p.state == waiting && p.ticket })
}

// end takes the pod out of the kernel's sight; what the pool file says of it is another matter.
func (p *pod) end(cause string) {
	p.state = ended
	for _, a := range p.addresses {
		if p.n.wired[a] == p {
			delete(p.n.wired, a)
		}
	}
	p.n.pods = slices.DeleteFunc(p.n.pods, func(o *pod) bool { return o == p })
	p.cause = cause
}

// del is DEL: the kernel lets go first, then the pool.
func (p *pod) del() {
	if p.state == ended {
		return
	}
	n := p.n
	p.end("deleted")
	err := n.update("del", func(tx *store.Tx) error {
		n.pool.ending(p.attachment)
		tx.Release(n.now(), p.attachment, "")
		tx.Drop(n.now(), p.request(), "deleted")
		return nil
	})
	if err != nil {
		n.fileLost(err)
		return // no pool file of this boot: there is no lease, and the rebuild finds the address unused
	}
	n.step(agent.Input{Bell: true})
}

// vanish is a pod that is gone without DEL; GC or the agent's survey find its lease.
func (p *pod) vanish() {
	if p.state != ended {
		p.end("vanished")
	}
}

// collect is GC with the runtime's list.
func (n *node) collect() {
	if n.off {
		return
	}
	keep := []ipam.Attachment{}
	for _, p := range n.pods {
		keep = append(keep, p.attachment)
	}
	err := n.update("gc", func(tx *store.Tx) error {
		for _, l := range tx.Collect(n.now(), "sim", keep, n.now().Boot, "the runtime does not know it any more") {
			n.pool.ending(l.Attachment)
			if n.podOf(l.Attachment) != nil {
				n.f.broken("S7", "GC ended the lease of %s, which runs", l.Attachment)
			}
		}
		return nil
	})
	if err != nil {
		n.fileLost(err)
		return
	}
	n.step(agent.Input{Bell: true})
}

// waits counts the pods that have no address.
func (n *node) waits() int {
	count := 0
	for _, p := range n.pods {
		if p.state == waiting {
			count++
		}
	}
	return count
}
