package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

// interfaces are the node's two fake network interfaces with 25 addresses each; no reconciler is asked for more.
var interfaces = []ipam.SuppliedENI{fakeENI(0), fakeENI(1)}

func fakeENI(n int) ipam.SuppliedENI {
	at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
	e := ipam.SuppliedENI{
		ENI: ipam.ENIID(fmt.Sprintf("eni-%d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%d", n)), Pool: "default",
		MAC: fmt.Sprintf("02:00:00:00:00:%02x", n+1), Device: n, SubnetID: "subnet-bench",
		Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true,
	}
	for i := range 25 {
		e.Addresses = append(e.Addresses, at(10+i))
	}
	return e
}

// supply prepares the interfaces and makes a pool file that holds their addresses, as the agent would. Addresses cool
// for a millisecond only: the same few serve every pod.
func supply(ctx context.Context, path string) error {
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	id := store.Identity{Instance: "i-bench", Boot: boot, Inc: "00000000000bench", Type: "m5.4xlarge"}
	now := store.ReadClock()
	pool, err := store.Create(ctx, path, store.Options{Boot: boot}, now, id, store.Past{})
	if err != nil {
		return err
	}
	var links []store.Link
	for i, e := range interfaces {
		err := routedveth.Prepare(ctx, routedveth.ENI{N: i, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet})
		if err != nil {
			return err
		}
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", i), N: i, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	return pool.Update(ctx, func(t *store.Tx) error {
		s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, Basis: ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}, First: true,
			VPC: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, Policy: ipam.NodePolicy{Rev: 1, Cooldown: time.Millisecond}, ENIs: interfaces}
		refused, _, err := t.Accept(now, s)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("the pool file refused the supply: %v", refused)
		}
		if err != nil {
			return err
		}
		_, err = t.Links(now, links)
		return err
	})
}
