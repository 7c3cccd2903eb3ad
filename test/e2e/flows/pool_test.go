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
	pool, err := store.Create(w.t.Context(), w.poolFile(), store.Options{Boot: boot}, now, id, store.Past{})
	must(w.t, err)
	s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, First: true, VPC: prefixes(w.a.networks),
		Policy: ipam.NodePolicy{Rev: 1, Cooldown: 100 * time.Millisecond}}
	var links []store.Link
	for n, i := range w.fabric.Attached("node-1") {
		e := w.supplied(n, i)
		s.ENIs = append(s.ENIs, e)
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", n), N: n, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	must(w.t, pool.Update(w.t.Context(), func(t *store.Tx) error {
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

func (w *world) supplied(n int, i fabric.Interface) ipam.SuppliedENI {
	subnet := prefixes(w.a.subnets)[n]
	return ipam.SuppliedENI{
		ENI: ipam.ENIID(i.ID), Attachment: ipam.AttachmentID("attach-" + i.ID), Pool: "default", MAC: i.MAC.String(), Device: n,
		SubnetID: "subnet-1", Subnet: subnet, Primary: i.Addresses[0], Gateway: subnet.Addr().Next(), Addresses: i.Addresses[1:], PodsOK: true,
	}
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
