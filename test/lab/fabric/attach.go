package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MTU of links inside a VPC, and of the way to the internet (EC2 user guide, "Network MTU for your instance"). A link that
// appears in a running machine has its driver's, until somebody asks DHCP or sets it.
const (
	mtu         = 9001
	driverMTU   = 1500
	internetMTU = 1500
)

// firstIndex keeps the indices of the router's links apart from those of the nodes'. The two ends of a veth pair with
// the same index in their namespaces are taken for one plain link by the kernel (linkwatch_urgent_event), which then
// lets them wait up to a second for their carrier, and drops what they send meanwhile.
const firstIndex = 1 << 20

// nodad: the address is not probed for before use; nobody else can have it.
const nodad = unix.IFA_F_NODAD

// Interface is a network interface attached to an instance.
type Interface struct {
	ID     string // "eni-…"; unique in the fabric
	Device int
	Name   string // of the link; eth<Device> when empty
	MAC    net.HardwareAddr
	// Addresses may be sources of packets from it, and packets to them are delivered to it. The first of each family
	// is the primary one.
	Addresses []netip.Addr
	Prefixes  []netip.Prefix // delegated; all of their addresses are the interface's, too
	Unchecked bool           // any source address may leave by it (EC2's source/destination check is off); its MAC must be right
	// Public are the addresses that the internet knows, by the interface's own.
	Public map[netip.Addr]netip.Addr
	// Boot configures the link as an image's DHCP client does for its first interface: up, the primary address with
	// the subnet's length, the default route, the VPC's MTU. Without it the link appears down and bare, with the
	// driver's MTU: longer packets to it are lost.
	Boot bool
}

// port is the router's end of an interface.
type port struct {
	Interface
	node  *Node
	link  netlink.Link
	index int // of link
}

func (p *port) name() string { return p.link.Attrs().Name }

// link is the name of the node's end.
func (i Interface) link() string {
	if i.Name != "" {
		return i.Name
	}
	return fmt.Sprintf("eth%d", i.Device)
}

// Attach makes the interface's link appear in the node.
func (f *Fabric) Attach(ctx context.Context, node string, i Interface) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.nodes[node]
	if err := f.check(n, node, i); err != nil {
		return err
	}
	f.serial++
	inside, size := i.link(), driverMTU
	if i.Boot {
		size = mtu
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Index: firstIndex + f.serial, Name: fmt.Sprintf("eni%d", f.serial), MTU: mtu,
			HardwareAddr: routerMAC(f.serial), TxQLen: -1, Alias: i.ID + " " + node + " " + inside},
		PeerName: inside, PeerHardwareAddr: i.MAC, PeerMTU: uint32(size), PeerNamespace: netlink.NsFd(int(n.machine.Load().ns)),
	}
	if err := f.router.handle().LinkAdd(veth); err != nil {
		return fmt.Errorf("fabric: cannot make %s of %s for %s: %w", inside, node, i.ID, err)
	}
	p := &port{Interface: i, node: n, link: veth}
	p.Interface.Addresses, p.Interface.Prefixes, p.Interface.Public = nil, nil, nil
	err := f.plug(p)
	if err == nil {
		err = f.change(ctx, p, i)
	}
	if err == nil && i.Boot {
		err = f.boot(n, i)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("fabric: cannot attach %s to %s: %w", i.ID, node, err), f.router.handle().LinkDel(veth))
	}
	f.ports[i.ID], f.byIndex[p.index] = p, p
	if len(f.loss) > 0 {
		return f.lose(ctx)
	}
	return nil
}

func (f *Fabric) check(n *Node, node string, i Interface) error {
	switch {
	case n == nil:
		return fmt.Errorf("fabric: cannot attach %s: there is no node %q", i.ID, node)
	case f.ports[i.ID] != nil:
		return fmt.Errorf("fabric: cannot attach %s to %s: it is attached to %s", i.ID, node, f.ports[i.ID].node.Name)
	case len(i.MAC) != 6:
		return fmt.Errorf("fabric: cannot attach %s: its MAC %q is not of 6 bytes", i.ID, i.MAC)
	case len(i.Addresses) == 0:
		return fmt.Errorf("fabric: cannot attach %s: it has no address", i.ID)
	}
	return f.free(i.ID, i.Addresses)
}

// free refuses addresses that another interface has.
func (f *Fabric) free(id string, addresses []netip.Addr) error {
	for _, a := range addresses {
		if owner := f.owner(a); owner != nil && owner.ID != id {
			return fmt.Errorf("fabric: %s cannot have %s: it is %s's", id, a, owner.ID)
		}
	}
	return nil
}

// owner is the port whose interface has the address; nil when none has.
func (f *Fabric) owner(a netip.Addr) *port {
	for _, p := range f.ports {
		if slices.Contains(p.Addresses, a) || slices.ContainsFunc(p.Prefixes, func(x netip.Prefix) bool { return x.Contains(a) }) {
			return p
		}
	}
	return nil
}

// Next hops on a port: whoever has the interface's MAC. No packet ever carries them.
var (
	hop4 = netip.MustParseAddr("169.254.0.2")
	hop6 = netip.MustParseAddr("fe80::2")
)

// gateway6 is the router on every link, as the EC2 router's link-local address is.
var gateway6 = netip.MustParseAddr("fe80::1")

// plug readies the router's end: permanent neighbours, so that the instance is never asked for an address.
func (f *Fabric) plug(p *port) error {
	h := f.router.handle()
	link, err := h.LinkByName(p.name())
	if err != nil {
		return err
	}
	p.link, p.index = link, link.Attrs().Index
	if err := f.router.sysctl(map[string]string{
		"net/ipv6/conf/" + p.name() + "/addr_gen_mode": "1",
		"net/ipv4/neigh/" + p.name() + "/proxy_delay":  "0", // otherwise up to 0.8 s per ARP answer
	}); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipnet(netip.PrefixFrom(gateway6, 64)), Flags: nodad}); err != nil {
		return err
	}
	for _, hop := range []netip.Addr{hop4, hop6} {
		n := &netlink.Neigh{LinkIndex: p.index, State: netlink.NUD_PERMANENT, IP: hop.AsSlice(), HardwareAddr: p.MAC}
		if err := h.NeighSet(n); err != nil {
			return err
		}
	}
	return nil
}

// Addresses changes what an attached interface has; i.ID says which, and only Addresses, Prefixes,
// Unchecked and Public count.
func (f *Fabric) Addresses(ctx context.Context, i Interface) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.ports[i.ID]
	if p == nil {
		return fmt.Errorf("fabric: cannot change the addresses of %s: it is not attached", i.ID)
	}
	if err := f.free(i.ID, i.Addresses); err != nil {
		return err
	}
	return f.change(ctx, p, i)
}

// change brings routes and the filter from what the port has to what i says.
func (f *Fabric) change(ctx context.Context, p *port, i Interface) error {
	gone, added := difference(owned(p.Interface), owned(i))
	for _, x := range gone {
		if err := f.router.handle().RouteDel(p.route(x)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot withdraw the route to %s: %w", x, err)
		}
	}
	var script strings.Builder
	silenced, allowed := difference(sources(p.Interface), sources(i))
	for _, x := range silenced {
		script.WriteString(sourceElement("delete", p, x))
	}
	script.WriteString(publicElements("delete", p.Public))
	for _, x := range allowed {
		script.WriteString(sourceElement("add", p, x))
	}
	script.WriteString(publicElements("add", i.Public))
	if err := f.nft(ctx, script.String()); err != nil {
		return err
	}
	for _, x := range added {
		if err := f.router.handle().RouteReplace(p.route(x)); err != nil {
			return fmt.Errorf("cannot route %s to it: %w", x, err)
		}
	}
	p.Interface.Addresses, p.Interface.Prefixes, p.Interface.Public = i.Addresses, i.Prefixes, i.Public
	p.Interface.Unchecked = i.Unchecked
	return nil
}

// difference is what is only in before, and only in after.
func difference(before, after []netip.Prefix) (gone, added []netip.Prefix) {
	for _, x := range before {
		if !slices.Contains(after, x) {
			gone = append(gone, x)
		}
	}
	for _, x := range after {
		if !slices.Contains(before, x) {
			added = append(added, x)
		}
	}
	return gone, added
}

// sources are what an interface may send from.
func sources(i Interface) []netip.Prefix {
	if i.Unchecked && len(i.Addresses) > 0 {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	return owned(i)
}

// owned are the addresses and prefixes of an interface.
func owned(i Interface) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range i.Addresses {
		all = append(all, host(a))
	}
	return append(all, i.Prefixes...)
}

func (p *port) route(to netip.Prefix) *netlink.Route {
	hop := hop4
	if to.Addr().Is6() {
		hop = hop6
	}
	return &netlink.Route{LinkIndex: p.index, Dst: ipnet(to), Gw: hop.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
}

// boot does what the image's DHCP client does for the first interface.
func (f *Fabric) boot(n *Node, i Interface) error {
	link, err := n.handle().LinkByName(i.link())
	if err != nil {
		return err
	}
	if err := n.handle().LinkSetUp(link); err != nil {
		return err
	}
	seen := map[bool]bool{}
	for _, a := range i.Addresses {
		if seen[a.Is4()] {
			continue // secondary addresses are not configured by DHCP
		}
		seen[a.Is4()] = true
		address, gateway := host(a), gateway6
		if a.Is4() {
			subnet, ok := f.subnet(a)
			if !ok {
				return fmt.Errorf("%s is in none of the subnets %v", a, f.config.Subnets)
			}
			address, gateway = netip.PrefixFrom(a, subnet.Bits()), subnet.Masked().Addr().Next()
		}
		if err := n.handle().AddrReplace(link, &netlink.Addr{IPNet: ipnet(address), Flags: nodad}); err != nil {
			return fmt.Errorf("cannot configure %s: %w", address, err)
		}
		all := netip.PrefixFrom(gateway.Unmap(), 0).Masked()
		if err := n.handle().RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipnet(all), Gw: gateway.AsSlice()}); err != nil {
			return fmt.Errorf("cannot route by %s: %w", gateway, err)
		}
	}
	return nil
}

func (f *Fabric) subnet(a netip.Addr) (netip.Prefix, bool) {
	for _, s := range f.config.Subnets {
		if s.Contains(a) {
			return s, true
		}
	}
	return netip.Prefix{}, false
}

// Detach takes the interface away: its link vanishes from the node at once. Not attached is no error.
func (f *Fabric) Detach(ctx context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.ports[id]
	if p == nil {
		return nil
	}
	delete(f.ports, id)
	delete(f.byIndex, p.index)
	var script strings.Builder
	for _, x := range sources(p.Interface) {
		script.WriteString(sourceElement("delete", p, x))
	}
	script.WriteString(publicElements("delete", p.Public))
	err := f.router.handle().LinkDel(p.link)
	if errors.Is(err, unix.ENODEV) {
		err = nil // somebody deleted the node's end, or its namespace is gone
	}
	return errors.Join(err, f.nft(ctx, script.String()))
}

// Attached lists the interfaces of a node by device index.
func (f *Fabric) Attached(node string) []Interface {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Interface
	for _, p := range f.ports {
		if p.node.Name == node {
			all = append(all, p.Interface)
		}
	}
	slices.SortFunc(all, func(a, b Interface) int { return a.Device - b.Device })
	return all
}

// Owner says which node, by which interface, has an address now.
func (f *Fabric) Owner(a netip.Addr) (node, id string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.owner(a.Unmap()); p != nil {
		return p.node.Name, p.ID, true
	}
	return "", "", false
}

// routerMAC is locally administered, as the EC2 router's is not; nothing depends on it.
func routerMAC(serial int) net.HardwareAddr {
	return net.HardwareAddr{0x0e, 0x00, 0x00, 0x01, byte(serial >> 8), byte(serial)}
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
