package flows_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/lab/fabric"
)

// supply makes the node's pool file, with what the fabric says of its network interfaces, as the agent would.
func (w *world) supply() {
	w.t.Helper()
	boot, err := store.BootID()
	must(w.t, err)
	id := store.Identity{Instance: "i-1", Boot: boot, Inc: "0000000000000001", Type: "m5.4xlarge"}
	now := store.ReadClock()
	file, err := store.Create(w.t.Context(), w.poolFile(), store.Options{Boot: boot}, now, id, store.Past{})
	must(w.t, err)
	pool := ipam.SuppliedPool{Name: "default", Cooldown: 100 * time.Millisecond}
	s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, First: true}
	for _, a := range w.all {
		pool.Families = append(pool.Families, map[string]ipam.Family{"ip": ipam.IPv4, "ip6": ipam.IPv6}[a.family])
		s.VPC = append(s.VPC, prefixes(a.networks)...)
	}
	s.Pools = []ipam.SuppliedPool{pool}
	var links []store.Link
	for n, i := range w.fabric.Attached("node-1") {
		e := w.supplied(n, i)
		s.ENIs = append(s.ENIs, e)
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", n), N: n, Ready: true, Addresses: primaries(e)})
	}
	must(w.t, file.Update(w.t.Context(), func(t *store.Tx) error {
		s.Basis = ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}
		refused, _, err := t.Accept(now, s)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("the pool file refused the supply: %v", refused)
		}
		if err != nil {
			return err
		}
		_, err = t.Links(now, links)
		return err
	}))
}

// supplied is network interface n as the reconciler tells of it: its own address of each family, and what pods may have.
func (w *world) supplied(n int, i fabric.Interface) ipam.SuppliedENI {
	e := ipam.SuppliedENI{ENI: ipam.ENIID(i.ID), Attachment: ipam.AttachmentID("attach-" + i.ID), Pool: "default", MAC: i.MAC.String(),
		Device: n, SubnetID: "subnet-1", Prefixes: i.Prefixes, PodsOK: true}
	for _, a := range w.all {
		subnet := prefixes(a.subnets)[n]
		own := netip.MustParseAddr([]string{a.node, a.eni}[n])
		if own.Is4() {
			e.Subnet, e.Primary, e.Gateway = subnet, own, subnet.Addr().Next()
		} else {
			e.Subnet6, e.Primary6 = subnet, own
		}
	}
	for _, a := range i.Addresses {
		if a != e.Primary && a != e.Primary6 {
			e.Addresses = append(e.Addresses, a)
		}
	}
	return e
}

func primaries(e ipam.SuppliedENI) (all []netip.Addr) {
	for _, a := range []netip.Addr{e.Primary, e.Primary6} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

func (w *world) poolFile() string { return w.node.Path("/run/enichain/pool.db") }

// state is what the pool file has.
func (w *world) state() (s store.State) {
	w.t.Helper()
	boot, err := store.BootID()
	must(w.t, err)
	pool, err := store.Open(w.t.Context(), w.poolFile(), store.Options{Boot: boot})
	must(w.t, err)
	must(w.t, pool.View(w.t.Context(), func(t *store.Tx) error { s = t.State(); return nil }))
	return s
}
