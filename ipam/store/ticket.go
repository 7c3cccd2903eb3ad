package store

import (
	"slices"

	"github.com/enichain/enichain/ipam"
)

// Ticket gives the attachment a place in the queue, or the one that it has. It is void after deadline, at the latest
// MaxTicket from now: a killed ADD leaves its ticket behind, and that must not be taken for a pod that waits.
func (t *Tx) Ticket(now Now, r LeaseRequest, deadline ipam.Instant) Ticket {
	deadline = min(deadline, now.After(MaxTicket))
	for _, k := range t.queue() {
		if k.Attachment == r.Attachment && k.Deadline > now.Boot {
			return k
		}
	}
	t.endTicket(r.Attachment) // a dead one
	t.meta.LastTicket++
	k := Ticket{N: t.meta.LastTicket, Attachment: r.Attachment, Pool: r.Pool, Pod: r.Pod, Families: r.Families, Prefix: r.Prefix,
		Since: now.Boot, Deadline: deadline}
	t.put(bucketTickets, number(k.N), k)
	t.queued = nil
	t.record(now, ipam.Record{Verb: ipam.PodWaiting, Network: r.Network, Container: r.Container, IfName: r.IfName,
		Netns: r.Netns, Pod: r.Pod, Took: r.Took})
	t.bump()
	return k
}

// Drop ends a wait in vain and says so in the outbox.
func (t *Tx) Drop(now Now, r LeaseRequest, cause string) {
	if !t.endTicket(r.Attachment) {
		return
	}
	t.record(now, ipam.Record{Verb: ipam.PodGaveUp, Network: r.Network, Container: r.Container, IfName: r.IfName,
		Netns: r.Netns, Pod: r.Pod, Took: r.Took, Cause: cause})
}

// Tickets are all of them, dead ones too, in order.
func (t *Tx) Tickets() []Ticket { return append([]Ticket(nil), t.queue()...) }

// queue is Tickets, decoded once in a transaction: behind a burst each ADD, and the agent for each, looks at all of them
// several times. Who changes the bucket sets queued to nil.
func (t *Tx) queue() []Ticket {
	if t.queued == nil {
		t.queued = []Ticket{}
		t.each(bucketTickets, nil, func(_, v []byte) bool {
			var k Ticket
			if t.decode(v, &k) {
				t.queued = append(t.queued, k)
			}
			return true
		})
	}
	return t.queued
}

// ahead counts the live tickets before the requester's own, or all when it has none: a later ADD overtakes nobody.
func (t *Tx) ahead(now Now, r LeaseRequest) (n int) {
	for _, k := range t.queue() {
		if k.Attachment == r.Attachment {
			break
		}
		if k.Deadline > now.Boot && k.Pool == r.Pool && k.Prefix == r.Prefix && overlap(k.Families, r.Families) {
			n++
		}
	}
	return n
}

func overlap(a, b []Family) bool {
	return slices.ContainsFunc(a, func(f Family) bool { return slices.Contains(b, f) })
}

func (t *Tx) endTicket(a ipam.Attachment) bool {
	ended := false
	for _, k := range t.queue() {
		if k.Attachment == a {
			t.delete(bucketTickets, number(k.N))
			ended = true
		}
	}
	if ended {
		t.queued = nil
		t.bump()
		t.chance() // those behind moved up
	}
	return ended
}
