package store

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// Snapshot is what the node says of its pool. Floor is not known here: it is the agent's to keep.
func (t *Tx) Snapshot(now Now) ipam.Snapshot {
	m := t.meta
	s := ipam.Snapshot{Instance: m.Instance, Boot: m.Boot, Inc: m.Inc, Seq: m.Seq, Gen: m.Gen, Seen: m.Seen, Type: m.Type,
		MaxPods: m.MaxPods, PolicyRev: m.Policy.Rev, Waiting: t.waiting(now), Unschedulable: m.Unschedulable}
	at := map[ipam.ENIID]int{}
	fenced := false
	for _, e := range t.ranked() {
		c := e.Counts
		at[e.ENI] = len(s.ENIs)
		s.ENIs = append(s.ENIs, ipam.ENISummary{ENI: e.ENI, Attachment: e.Attachment, N: e.N, Pool: e.Pool, Link: e.Ready,
			Pending: c.Pending, Free: c.Free, Leased: c.Leased, Lost: c.Lost, Cooling: c.Cooling, Held: c.Held,
			Prefixes: t.prefixSummaries(e), Age: time.Duration(now.Boot - e.Since)})
		fenced = fenced || c.Fenced > 0
	}
	if !fenced {
		return s
	}
	for _, l := range t.Fenced() {
		if i, ok := at[l.ENI]; ok {
			s.ENIs[i].Fenced = append(s.ENIs[i].Fenced, l.Address)
		}
	}
	return s
}

// SetHint writes down what the node's surroundings say; both are hints for the reconciler.
func (t *Tx) SetHint(maxPods int, unschedulable bool) {
	if t.meta.MaxPods == maxPods && t.meta.Unschedulable == unschedulable {
		return
	}
	t.meta.MaxPods, t.meta.Unschedulable = maxPods, unschedulable
	t.bump()
}

// SetMute writes down that the agent cannot reach the bus, or, with nil, that it can. It is for people only: a snapshot
// does not say it.
func (t *Tx) SetMute(m *Mute) {
	t.meta.Mute = m
	t.dirty = true
}

// State is the whole pool, for people and tests.
type State struct {
	Meta      Meta
	ENIs      []ENI // in rank order
	Links     map[string]Link
	Addresses []Address // in order of address
	Held      []Held
	Leases    []Lease // in order of network, container, ifname; reserved gateways and unknown owners too
	Tickets   []Ticket
	Outbox    int // records that nobody has acknowledged
}

// State reads everything.
func (t *Tx) State() State {
	s := State{Meta: t.meta, Links: t.links(), Held: t.Held(), Tickets: t.Tickets()}
	for _, e := range t.ranked() {
		s.ENIs = append(s.ENIs, *e)
	}
	for _, a := range t.addresses() {
		s.Addresses = append(s.Addresses, *a)
	}
	t.each(bucketLeases, nil, func(_, v []byte) bool {
		var l Lease
		if t.decode(v, &l) {
			t.complete(&l)
			s.Leases = append(s.Leases, l)
		}
		return true
	})
	s.Outbox = t.Pending()
	return s
}

// Pending counts the records of the outbox that nobody has acknowledged.
func (t *Tx) Pending() int {
	k, _ := t.b.Bucket(bucketOutbox).Cursor().First()
	if k == nil {
		return 0
	}
	return int(t.meta.LastRecord - be(k) + 1)
}
