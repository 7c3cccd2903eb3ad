package fabric

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Outside makes a host that is not in the VPC. The one named Internet stands behind the internet gateway: it gets all
// that has no other way, under public addresses only. Any other is reached privately, by a route to network, as over
// a Direct Connect or from a peered VPC: the VPC's addresses come and go unchanged.
func (f *Fabric) Outside(ctx context.Context, name string, network netip.Prefix, address netip.Addr) (*Node, error) {
	if !network.Contains(address) || len(outside+name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("fabric: an outside host needs a name of at most %d letters and an address in its network: %q, %s, %s",
			unix.IFNAMSIZ-1-len(outside), name, network, address)
	}
	n, err := f.node(ctx, name, bare)
	if err != nil {
		return nil, err
	}
	if err := f.lead(n, name, network, address); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: cannot connect %s: %w", name, err), f.Terminate(ctx, name))
	}
	return n, nil
}

// lead makes the link and the routes on both ends. The ends have no addresses but the host's own: each is the other's
// next hop by link.
func (f *Fabric) lead(n *Node, name string, network netip.Prefix, address netip.Addr) error {
	size := mtu
	if name == Internet {
		size = internetMTU
	}
	f.mu.Lock()
	f.serial++
	index := firstIndex + f.serial
	f.mu.Unlock()
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Index: index, Name: outside + name, MTU: size, TxQLen: -1},
		PeerName:  "eth0", PeerMTU: uint32(size), PeerNamespace: netlink.NsFd(int(n.machine.Load().ns)),
	}
	if err := f.router.handle().LinkAdd(veth); err != nil {
		return err
	}
	here, err := f.router.handle().LinkByName(veth.Name)
	if err != nil {
		return err
	}
	there, err := n.handle().LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := errors.Join(f.router.handle().LinkSetUp(here), n.handle().LinkSetUp(there)); err != nil {
		return err
	}
	return f.place(n, name, here, there, network, address)
}

// AlsoAt gives a host outside an address of the other family, in a network that is reached by it.
func (f *Fabric) AlsoAt(name string, network netip.Prefix, address netip.Addr) error {
	n := f.Node(name)
	if n == nil || !network.Contains(address) {
		return fmt.Errorf("fabric: cannot place %s at %s: no such host, or not in %s", name, address, network)
	}
	here, err := f.router.handle().LinkByName(outside + name)
	if err != nil {
		return fmt.Errorf("fabric: cannot place %s at %s: it is not outside: %w", name, address, err)
	}
	there, err := n.handle().LinkByName("eth0")
	if err == nil {
		err = f.place(n, name, here, there, network, address)
	}
	if err != nil {
		return fmt.Errorf("fabric: cannot place %s at %s: %w", name, address, err)
	}
	return nil
}

// place gives the host its address, and both ends their routes.
func (f *Fabric) place(n *Node, name string, here, there netlink.Link, network netip.Prefix, address netip.Addr) error {
	if err := n.handle().AddrAdd(there, &netlink.Addr{IPNet: ipnet(host(address)), Flags: nodad}); err != nil {
		return err
	}
	hop := hop4
	all := netip.MustParsePrefix("0.0.0.0/0")
	if address.Is6() {
		hop, all = hop6, netip.MustParsePrefix("::/0")
	}
	back := &netlink.Neigh{LinkIndex: there.Attrs().Index, State: netlink.NUD_PERMANENT, IP: hop.AsSlice(), HardwareAddr: here.Attrs().HardwareAddr}
	if err := n.handle().NeighSet(back); err != nil {
		return err
	}
	out := &netlink.Route{LinkIndex: there.Attrs().Index, Dst: ipnet(all), Gw: hop.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := n.handle().RouteAdd(out); err != nil {
		return err
	}
	to := &netlink.Neigh{LinkIndex: here.Attrs().Index, State: netlink.NUD_PERMANENT, IP: hop.AsSlice(), HardwareAddr: there.Attrs().HardwareAddr}
	if err := f.router.handle().NeighSet(to); err != nil {
		return err
	}
	if name == Internet {
		network = all
	}
	in := &netlink.Route{LinkIndex: here.Attrs().Index, Dst: ipnet(network.Masked()), Gw: hop.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	return f.router.handle().RouteAdd(in)
}
