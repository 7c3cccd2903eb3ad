package store

import (
	"time"

	"github.com/enichain/enichain/ipam"
)

// Snapshot is what the node says of its pool. Floor is not known here: it is the agent's to keep.
func (t *Tx) Snapshot(now Now) ipam.Snapshot {
	m := t.meta
	s := ipam.Snapshot{Instance: m.Instance, Boot: m.Boot, Inc: m.Inc, Seq: m.Seq, Gen: m.Gen, Seen: m.Seen, Type: m.Type,
		MaxPods: m.MaxPods, PolicyRev: m.Policy.Rev, Pools: t.pools(now), Unschedulable: m.Unschedulable}
	at := map[ipam.ENIID]int{}
	for _, e := range t.ranked() {
		at[e.ENI] = len(s.ENIs)
		s.ENIs = append(s.ENIs, t.summary(now, e))
	}
	for _, l := range t.Fenced() {
		i, ok := at[l.ENI]
		switch {
		case !ok:
		case l.Prefix.IsValid():
			s.ENIs[i].Prefixes = append(s.ENIs[i].Prefixes, ipam.PrefixSummary{Prefix: l.Prefix, Fenced: true})
		default:
			s.ENIs[i].Fenced = append(s.ENIs[i].Fenced, l.Address)
		}
	}
	return s
}

// summary is what a snapshot says of an interface, but for what is fenced.
func (t *Tx) summary(now Now, e *ENI) ipam.ENISummary {
	c, c6 := e.Counts, e.Counts6
	sum := ipam.ENISummary{ENI: e.ENI, Attachment: e.Attachment, N: e.N, Pool: e.Pool, Link: e.Ready,
		Pending: c.Pending - c6.Pending, Free: c.Free - c6.Free, Leased: c.Leased - c6.Leased, Lost: c.Lost - c6.Lost,
		Cooling: c.Cooling - c6.Cooling, Held: c.Held - c6.Held, Kept: e.Prefixed.Kept,
		IPv6: ipam.Counts{Pending: c6.Pending, Free: c6.Free, Kept: e.Prefixed6.Kept, Leased: c6.Leased, Lost: c6.Lost, Cooling: c6.Cooling, Held: c6.Held},
		Age:  time.Duration(now.Boot - e.Since)}
	sum.Single = sum.Free - e.Prefixed.Free
	for _, f := range []Family{IPv4, IPv6} {
		if f == IPv6 && t.loneBlock(e) {
			continue // it goes with the interface
		}
		if d := t.lastWhole(e, f); d != nil {
			sum.Prefixes = append(sum.Prefixes, ipam.PrefixSummary{Prefix: d.Prefix, Free: d.Counts.Free})
		}
	}
	return sum
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
	s.ENIs = t.ENIs()
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

// ENIs are the network interfaces, in rank order.
func (t *Tx) ENIs() (all []ENI) {
	for _, e := range t.ranked() {
		full := *e
		l, _ := t.listing(e.ENI)
		full.Prefixes = l.Prefixes
		all = append(all, full)
	}
	return all
}

// Pending counts the records of the outbox that nobody has acknowledged.
func (t *Tx) Pending() int {
	k, _ := t.b.Bucket(bucketOutbox).Cursor().First()
	if k == nil {
		return 0
	}
	return int(t.meta.LastRecord - be(k) + 1)
}
