package sim

import (
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// mirror is what a node's pool file said at the end of its last transaction, and since when: what the next transaction
// makes of it is judged by protocol A2 and A8.
type mirror struct {
	state     store.State
	addresses map[netip.Addr]standing
	leases    map[ipam.Attachment][]netip.Addr
	chance    uint64

	next      store.State   // at the end of a transaction that is not committed yet
	seen      bool          // there is one
	accepting *ipam.Supply  // by it
	wish      *ipam.Release // that it fences for
	endings   map[ipam.Attachment]bool

	gone       map[store.Life]*departure // lives that may come back only by protocol A4
	fenced     map[store.Life]bool       // in the file before this one
	departures map[uint64]*departure     // of this file, by s0
	all        *departure                // stands for every other one, after a file was made without knowledge of an earlier
	used       []usage                   // what pods needed lately
	gave       []given                   // what was fenced lately
	most       int                       // largest snapshot, bytes
	audits     int
}

// standing is an address in the pool, since a time.
type standing struct {
	store.Address
	since time.Duration
	cool  time.Duration // cooling: for how long at least
}

// departure is an address that was forgotten.
type departure struct {
	inc    ipam.Inc
	s0     uint64
	at     time.Duration
	proven time.Duration // when the stream held s0 or newer; 0 = not yet
	over   bool          // of all others: the hold-down is over, and the ledger says so
}

type usage struct {
	at   time.Duration
	need int
}

type given struct {
	at     time.Duration
	count  int
	whole  bool
	prefix bool
}

// audit reads the file at the end of a transaction. One that has not raised seq has not changed what is judged; every
// now and then it is read all the same.
func (m *mirror) audit(tx *store.Tx) {
	now, was := tx.Meta(), m.state.Meta
	m.audits++
	if now.Inc == was.Inc && now.Seq == was.Seq && now.Seen == was.Seen && now.Basis == was.Basis && m.audits%16 != 0 {
		m.next, m.seen = m.state, true
		m.next.Meta = now
		return
	}
	m.next, m.seen = tx.State(), true
}

// glance takes in the file's own word at the end of a transaction, where nothing is judged.
func (m *mirror) glance(tx *store.Tx) { m.next.Meta = tx.Meta() }

// ending says that the transaction ends a lease on purpose.
func (m *mirror) ending(a ipam.Attachment) {
	if m.endings == nil {
		m.endings = map[ipam.Attachment]bool{}
	}
	m.endings[a] = true
}

// forget is the end of a boot: leases and cooling are over.
func (m *mirror) forget(n *node) {
	for _, a := range m.addresses {
		if a.State == ipam.Fenced {
			m.fenced[lifeOf(a.Address)] = true
		}
	}
	m.state, m.addresses, m.leases = store.State{}, nil, nil
}

// renew is a pool file that was made anew: what was to stay away stays away, by new numbers.
func (m *mirror) renew(n *node) {
	m.forget(n)
	m.chance, m.departures = 0, map[uint64]*departure{}
	for a, d := range m.gone {
		if d.over {
			delete(m.gone, a)
		}
		d.inc, d.proven = "", 0
	}
}

// proven takes in that the stream held a snapshot: by itself, or by an accepted supply that rests on it (protocol A4,
// step 2).
func (n *node) proven(inc ipam.Inc, seq uint64) {
	prove := func(d *departure) {
		if d != nil && d.inc == inc && d.proven == 0 && seq >= d.s0 {
			d.proven = n.f.now
		}
	}
	for _, d := range n.pool.departures {
		prove(d)
	}
	prove(n.pool.all)
}

// changed judges what a transaction did.
func (n *node) changed(what string, s store.State) {
	m := &n.pool
	before, leases, old := m.addresses, m.leases, m.state.Meta
	fresh := old.Inc != s.Meta.Inc
	m.addresses, m.leases = make(map[netip.Addr]standing, len(s.Addresses)), make(map[ipam.Attachment][]netip.Addr, len(s.Leases))
	for _, a := range s.Addresses {
		now := standing{Address: a, since: n.f.now}
		was, known := before[a.Address]
		if known && was.State == a.State && (was.Attachment == a.Attachment || a.State == ipam.Cooling) { // what cools lives on in a new attachment
			now.since, now.cool = was.since, was.cool
		} else if a.State == ipam.Cooling {
			now.cool = cooldownOf(s, a.ENI)
		}
		m.addresses[a.Address] = now
		if !fresh {
			n.moved(what, was, known, now, s)
		}
	}
	for _, l := range s.Leases {
		m.leases[l.Attachment] = l.Addresses
	}
	m.state = s
	n.departed(s, fresh)
	if fresh {
		n.stillFenced(s)
	}
	n.fencing(before, fresh)
	n.leasesMoved(what, leases, fresh)
	if a := m.accepting; a != nil && s.Meta.Seen == (ipam.Seen{Epoch: a.Epoch, Rev: a.Rev}) && a.Basis.Inc == s.Meta.Inc {
		n.proven(s.Meta.Inc, a.Basis.Seq)
		n.accepted(*a, old, fresh)
	}
	if !fresh && s.Meta.Seen.Less(old.Seen) {
		n.f.broken("S8", "%s of %s: seen falls from %+v to %+v (%s)", n.id, s.Meta.Inc, old.Seen, s.Meta.Seen, what)
	}
	n.needs(s)
}

// departed notes what is held, from when on.
func (n *node) departed(s store.State, fresh bool) {
	m := &n.pool
	switch hold := s.Meta.Hold; {
	case hold == nil:
		m.all = nil
	case fresh: // later it is raised for records that are dropped, whose time is over
		m.all = &departure{inc: s.Meta.Inc, s0: hold.S0, at: n.f.now}
		for a := range m.gone {
			m.gone[a] = m.all
		}
	case m.all != nil:
		m.all.over = m.all.over || hold.S1 != 0
	}
	held := map[store.Life]bool{}
	for _, h := range s.Held {
		held[h.Life] = true
		d := m.gone[h.Life]
		switch {
		case m.all != nil && h.S0 == m.all.s0:
			m.gone[h.Life] = m.all
		case d == nil || d.inc != s.Meta.Inc || d.s0 != h.S0:
			m.gone[h.Life] = m.departureOf(s.Meta.Inc, h.S0, n.f.now)
		}
	}
	for a, d := range m.gone {
		if d.inc == "" { // a new file, and its ledger does not name it: fences and holds must not be forgotten
			n.f.broken("A6", "%s: %v was held, and the new pool file does not know it", n.id, a)
		}
		if !held[a] && d != m.all && !fresh {
			delete(m.gone, a) // dropped, or back: moved has judged it
		}
	}
}

// departureOf is the one that raised seq to s0: all that went in one transaction goes the same way back, and what takes
// such a record over goes on with it.
func (m *mirror) departureOf(inc ipam.Inc, s0 uint64, now time.Duration) *departure {
	if m.departures[s0] == nil {
		m.departures[s0] = &departure{inc: inc, s0: s0, at: now}
	}
	return m.departures[s0]
}

// fencing keeps what was given up, for B4, and what may come back only by A4.
func (n *node) fencing(before map[netip.Addr]standing, fresh bool) {
	if fresh {
		return
	}
	m := &n.pool
	byENI := map[ipam.ENIID]int{}
	singles, prefixes := 0, map[netip.Addr]bool{}
	for a, now := range m.addresses {
		if now.State == ipam.Fenced && before[a].State != ipam.Fenced {
			byENI[now.ENI]++
			if now.Prefix.IsValid() {
				prefixes[now.Prefix.Addr()] = true
			} else {
				singles++
			}
		}
	}
	if len(byENI) == 0 {
		return
	}
	g := given{at: n.f.now, count: singles, prefix: len(prefixes) > 0, whole: m.wish != nil && m.wish.Whole}
	m.gave = append(m.gave, g)
	n.slow(g, len(byENI), len(prefixes))
}

// needs keeps how many addresses pods needed at most, for B2.
func (n *node) needs(s store.State) {
	u := usage{at: n.f.now}
	for _, a := range s.Addresses {
		if a.Address.Is4() && a.State != ipam.Free && a.State != ipam.Pending {
			u.need++
		}
	}
	u.need += len(s.Held)
	for _, k := range s.Tickets {
		if k.Deadline > n.now().Boot {
			u.need++
		}
	}
	m := &n.pool
	if last := len(m.used) - 1; last >= 0 && m.used[last].need == u.need {
		return
	}
	m.used = append(m.used, u)
}

// why is what keeps a pool from growing, as the pool file says.
func (m *mirror) why(pool string) *ipam.Why {
	for _, p := range m.state.Meta.Pools {
		if p.Name == pool {
			return p.Why
		}
	}
	return nil
}

// lifeOf is an address in its life, or the delegated prefix that it lives and goes with.
func lifeOf(a store.Address) store.Life {
	if a.Prefix.IsValid() {
		return store.Life{ENI: a.ENI, Attachment: a.Attachment, Prefix: a.Prefix}
	}
	return store.Life{ENI: a.ENI, Attachment: a.Attachment, Address: a.Address}
}

// cooldownOf is the policy's at this moment, of the pool that an interface is of.
func cooldownOf(s store.State, eni ipam.ENIID) time.Duration {
	for _, e := range s.ENIs {
		for _, p := range s.Meta.Pools {
			if e.SuppliedENI.ENI == eni && e.Pool == p.Name {
				return p.Cooldown
			}
		}
	}
	return 0
}
