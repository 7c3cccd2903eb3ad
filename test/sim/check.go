package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// leased checks S1 and S2: EC2 has the address on that interface of that instance now, and no other pod has it.
func (f *fleet) leased(n *node, pod string, eni ipam.ENIID, ip netip.Addr) {
	pod = string(n.id) + "/" + pod
	if owner := f.owners[ip]; owner != "" && owner != pod {
		f.broken("S2: %s leased to %s, which %s has", ip, pod, owner)
	}
	f.owners[ip] = pod
	e, ok := f.world.NetworkInterface(f.wall(), string(eni))
	if (!ok || !slices.Contains(e.Secondary, ip) || e.Instance() != string(n.id)) && !f.human[eni] {
		f.broken("S1: %s leased %s on %s, which EC2 does not have there", n.id, ip, eni)
	}
}

// slow checks B4: what a node gives up within a window is one interface, or no more than the policy says.
func (f *fleet) slow(n *node) {
	n.given = slices.DeleteFunc(n.given, func(g given) bool { return f.now-g.at >= f.cfg.Pool.Window })
	count, whole := 0, 0
	if f.leading() > 1 {
		return // each keeps to it
	}
	for _, g := range n.given {
		if g.whole {
			whole++
		} else {
			count += g.count
		}
	}
	if most := cmp.Or(f.cfg.Pool.Target.AtOnce, 16); whole > 1 || count > most || whole > 0 && count > 0 {
		f.broken("B4: %s was asked to give up %+v within %s", n.id, n.given, f.cfg.Pool.Window)
	}
}

// leading counts the reconcilers that believe that they lead.
func (f *fleet) leading() int {
	count := 0
	for _, l := range f.leaders {
		if !l.dead {
			count++
		}
	}
	return count
}

// bound checks B1: interfaces of a node in any state.
func (f *fleet) bound(n *node) {
	count, limit, slots := 0, 0, map[string]ipam.ENIID{}
	i, _ := f.world.Instance(string(n.id))
	for _, t := range vpc.InstanceTypes() {
		if t.Name == i.Type {
			limit = t.InterfacesPerCard[0]
		}
	}
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Instance() == string(n.id) || e.Tags[reconcile.TagNode] == string(n.id) {
			count++
		}
		if slot := e.Tags[reconcile.TagSlot]; e.Tags[reconcile.TagNode] == string(n.id) && e.Attachment == nil {
			if slots[slot] != "" && len(f.leaders) == 1 { // two may know different numbers of lives, and so make different tokens
				f.broken("A3: %s and %s were both made for slot %s of %s", slots[slot], e.ID, slot, n.id)
			}
			slots[slot] = ipam.ENIID(e.ID)
		}
	}
	// Two who lead side by side for longer than their lists lag may each make the last one, for different slots: the
	// one too many cannot be attached, and is swept.
	if count > limit+f.leading()-1 {
		f.broken("B1: %s has %d network interfaces, of %d", n.id, count, limit)
	}
}
