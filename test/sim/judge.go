package sim

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// moved judges one address by the table of protocol A2.
func (n *node) moved(what string, was standing, known bool, now standing, s store.State) {
	from := was.State
	if !known {
		from = "" // absent, or held
	}
	if from == now.State && was.Attachment == now.Attachment {
		return
	}
	f := n.f
	switch {
	case from == ipam.Fenced && was.Attachment == now.Attachment && now.State != ipam.Fenced:
		f.broken("S4", "%s: %s on %s goes from fenced to %s (%s)", n.id, now.Address.Address, now.ENI, now.State, what)
	case from == "" && now.State == ipam.Pending, from == "" && now.State == ipam.Free:
		n.cameBack(now, s)
	case from == ipam.Cooling && now.State == ipam.Free || from == ipam.Cooling && now.State == ipam.Leased:
		if rested := f.now - was.since; rested < was.cool {
			f.broken("S6", "%s: %s cooled for %s of %s (%s)", n.id, now.Address.Address, rested, was.cool, what)
		}
	}
}

// stillFenced judges S4 across the loss of a file: what was given up is in the new one, or everything is held.
func (n *node) stillFenced(s store.State) {
	m := &n.pool
	known := map[store.Life]bool{}
	for _, a := range s.Addresses {
		known[lifeOf(a)] = true
	}
	for _, h := range s.Held {
		known[h.Life] = true
	}
	for l := range m.fenced {
		if m.all == nil && !known[l] {
			n.f.broken("S4", "%s: %s on %s was fenced, and the new pool file knows nothing of it", n.id, l, l.ENI)
		}
	}
	clear(m.fenced)
}

// cameBack judges protocol A4: an address that was forgotten is there again only by a list that began after the
// hold-down, which began at the proof that the stream held the forgetting.
func (n *node) cameBack(now standing, s store.State) {
	life := lifeOf(now.Address)
	d, known := n.pool.gone[life]
	if !known {
		d = n.pool.all
	}
	a := n.pool.accepting
	if d == nil || a == nil || a.First && d == n.pool.all {
		delete(n.pool.gone, life)
		return
	}
	basis := n.f.bus.said[said{n, a.Basis.Inc, a.Basis.Seq}]
	if d.proven == 0 || basis < d.proven+store.HoldDown {
		n.f.broken("S5", "%s: %s is back %s after it went; proof after %s, and the list behind it rests on a snapshot of %s",
			n.id, now.Address.Address, n.f.now-d.at, d.proven-d.at, basis-d.at)
	}
	delete(n.pool.gone, life)
}

// leasesMoved judges S1, S2 and S7.
func (n *node) leasesMoved(what string, before map[ipam.Attachment][]netip.Addr, fresh bool) {
	m := &n.pool
	for a, addresses := range m.leases {
		if _, had := before[a]; !had && a.Network == "sim" && !fresh {
			n.leased(a, addresses)
		}
	}
	for a := range before {
		if _, has := m.leases[a]; !has && !m.endings[a] && a.Network == "sim" {
			n.f.broken("S7", "%s: the lease of %s is gone, and nobody ended it (%s)", n.id, a, what)
		}
	}
	if !fresh {
		return
	}
	for _, p := range n.pods {
		for _, x := range p.addresses {
			if p.state == running && !slices.Contains(m.leases[p.attachment], x) {
				n.f.broken("S2", "%s: a new pool file does not know that %s has %s", n.id, p.name, x)
			}
		}
	}
}

// leased judges S1 and S2 at the moment of a lease.
func (n *node) leased(a ipam.Attachment, addresses []netip.Addr) {
	f := n.f
	for _, x := range addresses {
		if p := n.wired[x]; p != nil && p.attachment != a {
			f.broken("S2", "%s leases %s to %s, and %s has it", n.id, x, a, p.name)
		}
		for _, other := range f.nodes {
			if other == n || other.dead || f.human.addresses[x] {
				continue
			}
			if o, has := other.pool.addresses[x]; has && o.State == ipam.Leased && !f.human.enis[o.ENI] {
				f.broken("S2", "%s leased by %s and by %s", x, n.id, other.id)
			}
		}
		eni := n.pool.addresses[x].ENI
		if f.human.enis[eni] || f.human.addresses[x] {
			continue
		}
		e, ok := f.world.NetworkInterface(f.wall(), string(eni))
		if !ok || e.Instance() != string(n.id) || !holds(e, x) {
			f.broken("S1", "%s leases %s on %s, which EC2 does not have there", n.id, x, eni)
		}
	}
}

// accepted judges S8 and S9.
func (n *node) accepted(s ipam.Supply, old store.Meta, fresh bool) {
	if s.Instance != n.id {
		n.f.broken("S9", "%s accepted a supply for %s", n.id, s.Instance)
	}
	if !fresh && !old.Seen.Less(ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}) {
		n.f.broken("S8", "%s accepted %d/%d after %+v", n.id, s.Epoch, s.Rev, old.Seen)
	}
}

// slow judges B4: one interface, one prefix or as many addresses as the policy says, within one window.
func (n *node) slow(g given, enis, prefixes int) {
	f, m := n.f, &n.pool
	most := 16
	for _, p := range f.policies() {
		if t := p.Target.AtOnce; t > 0 && len(f.policies()) == 1 {
			most = t
		}
	}
	if enis > 1 || !g.whole && prefixes > 1 || !g.whole && g.count > most {
		f.broken("B4", "%s fences %d addresses and %d prefixes of %d interfaces in one transaction", n.id, g.count, prefixes, enis)
	}
	window := f.window()
	m.gave = slices.DeleteFunc(m.gave, func(o given) bool { return f.now-o.at >= window })
	if f.leading() > 1 || f.now-f.policed < window {
		return // each of two keeps to it; and so does each policy
	}
	wishes, count := 0, 0
	for _, o := range m.gave {
		if o.whole || o.prefix {
			wishes++
		} else {
			count += o.count
		}
	}
	if wishes > max(1, len(f.policies())) || count > most*max(1, len(f.policies())) {
		f.broken("B4", "%s gave up %+v within %s", n.id, m.gave, window)
	}
}

// ledgerWritten judges the size of what a node keeps: B5.
func (n *node) ledgerWritten() {
	if !n.f.checking {
		return
	}
	t := typeOf(n.kind)
	most := t.Interfaces*t.IPv4PerInterface*16 + 64
	if got := len(n.ledger.Fenced) + len(n.ledger.Held); got > 2*most {
		n.f.broken("B5", "%s: the ledger has %d entries; its type has room for %d addresses", n.id, got, most)
	}
	if got := len(n.pool.state.Held); got > 2*most {
		n.f.broken("B5", "%s: the pool file has %d held records; its type has room for %d addresses", n.id, got, most)
	}
}

// sizes judges what is only worth a look now and then: B5.
func (f *fleet) sizes() {
	for _, n := range f.nodes {
		if info, err := os.Stat(n.path); err == nil && info.Size() > 4<<20 {
			f.broken("B5", "%s: the pool file has %d bytes", n.id, info.Size())
		}
		if s, ok := f.bus.stream[n.id]; ok {
			text, err := json.Marshal(s)
			must(err)
			if n.pool.most = max(n.pool.most, len(text)); len(text) > 16<<10 {
				f.broken("B5", "%s: its snapshot has %d bytes", n.id, len(text))
			}
		}
	}
}

// peak is the most that pods needed within d.
func (m *mirror) peak(now, d time.Duration) int {
	most := 0
	for i, u := range m.used {
		if i == len(m.used)-1 || now-m.used[i+1].at <= d {
			most = max(most, u.need)
		}
	}
	if len(m.used) > 512 {
		m.used = append([]usage(nil), m.used[len(m.used)-256:]...)
	}
	return most
}
