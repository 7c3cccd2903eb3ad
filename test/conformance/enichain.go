package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

// enichainAddresses is how many containers one network interface of the node can have.
const enichainAddresses = 30

// enichainNode makes a node of enichain in the calling thread's world: two network interfaces, prepared as the agent
// does, and the pool file that it would have written.
func enichainNode(ctx context.Context) error {
	for _, line := range []string{
		"ip netns add vpc",
		"ip link add eth0 address 02:00:00:00:00:01 type veth peer name far0 netns vpc",
		"ip link add eth1 address 02:00:00:00:00:02 type veth peer name far1 netns vpc",
		"ip -n vpc link set far0 up && ip -n vpc link set far1 up && ip -n vpc addr add 10.110.10.1/24 dev far0",
		"ip addr add 10.110.10.5/24 dev eth0 && ip link set eth0 up && ip link set eth1 up",
		"ip route add default via 10.110.10.1 dev eth0",
	} {
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Env = []string{"PATH=" + searchPath()}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot make the node: %s: %w: %s", line, err, out)
		}
	}
	return enichainPool(ctx)
}

func enichainENI(n int) ipam.SuppliedENI {
	at := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }
	e := ipam.SuppliedENI{
		ENI: ipam.ENIID(fmt.Sprintf("eni-%d", n)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%d", n)), Pool: "default",
		MAC: fmt.Sprintf("02:00:00:00:00:%02x", n+1), Device: n, SubnetID: "subnet-a",
		Subnet: netip.PrefixFrom(at(0), 24), Primary: at(5), Gateway: at(1), PodsOK: true,
	}
	for i := range enichainAddresses {
		e.Addresses = append(e.Addresses, at(10+i))
	}
	return e
}

// enichainPool prepares the interfaces and writes the pool file.
func enichainPool(ctx context.Context) error {
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	id := store.Identity{Instance: "i-conformance", Boot: boot, Inc: "000000conformance", Type: "m5.large"}
	now := store.ReadClock()
	pool, err := store.Create(ctx, store.DefaultPath, store.Options{Boot: boot}, now, id, store.Past{})
	if err != nil {
		return err
	}
	enis := []ipam.SuppliedENI{enichainENI(0), enichainENI(1)}
	var links []store.Link
	for i, e := range enis {
		err := routedveth.Prepare(ctx, routedveth.ENI{N: i, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet})
		if err != nil {
			return err
		}
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", i), N: i, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	return pool.Update(ctx, func(t *store.Tx) error {
		s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, Basis: ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}, First: true,
			VPC: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}, ENIs: enis,
			Pools: []ipam.SuppliedPool{{Name: "default", Families: []ipam.Family{ipam.IPv4, ipam.IPv6}, Cooldown: time.Millisecond}}}
		refused, _, err := t.Accept(now, s)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("the pool file refused the supply: %v", refused)
		}
		if err == nil {
			_, err = t.Links(now, links)
		}
		return err
	})
}

// enichainLeases are what the pool file says is leased.
func enichainLeases(ctx context.Context) ([]string, error) {
	var s store.State
	err := store.New(store.DefaultPath, store.Options{}).View(ctx, func(tx *store.Tx) error { s = tx.State(); return nil })
	if err != nil {
		return nil, fmt.Errorf("cannot read the pool file: %w", err)
	}
	var out []string
	for _, l := range s.Leases {
		out = append(out, fmt.Sprintf("lease %s = %s", l.Attachment, l.Addresses))
	}
	return out, nil
}
