// Package fabric is the kernel half of a VPC on one machine. An instance is a network namespace with folders of its
// own; a router namespace is the VPC: attaching a network interface makes a link with its MAC appear in the instance,
// packets are delivered by MAC to the interface that has the address (an instance is never asked by ARP), what a VPC
// drops is dropped and recorded, and an internet behind a gateway knows only addresses with a public counterpart.
//
// It needs root, or root of a user namespace, and puts nothing into the namespaces of its caller: every namespace
// lives by an anchor process that ends with the process that called Up. It knows addresses and links, nothing of EC2.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// Config says what the VPC is made of.
type Config struct {
	Networks []netip.Prefix // of the VPC; a packet to an address in them that no interface has is dropped
	Subnets  []netip.Prefix // the router answers for the first address of each (EC2 user guide, "Subnet CIDR blocks")
	Services []netip.Addr   // addresses the router has itself, such as 169.254.169.254; see Router and Node.Listen
}

// Fabric is a running VPC.
type Fabric struct {
	config Config
	router *Node
	drops  *drops

	mu      sync.Mutex // guards what follows, and orders changes of the router
	nodes   map[string]*Node
	ports   map[string]*port // by interface id
	byIndex map[int]*port    // by the index of the router's link
	serial  int              // of router ports; never used twice
	disks   map[string]disk  // of stopped instances, by name
	stopped map[string]*Node
	loss    map[string]int // packets in ten thousand that are lost, by node
}

// Up makes the router. Close ends it and everything made on it.
func Up(ctx context.Context, c Config) (*Fabric, error) {
	if len(c.Networks) == 0 {
		return nil, errors.New("fabric: a VPC needs at least one network, for example 10.0.0.0/16")
	}
	for _, s := range c.Subnets {
		if !slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Overlaps(s) && n.Bits() <= s.Bits() }) {
			return nil, fmt.Errorf("fabric: subnet %s is not inside the VPC's networks %v", s, c.Networks)
		}
	}
	router, err := anchor(ctx, "vpc-router", bare)
	if err != nil {
		return nil, err
	}
	f := &Fabric{config: c, router: router, nodes: map[string]*Node{}, ports: map[string]*port{}, byIndex: map[int]*port{},
		disks: map[string]disk{}, stopped: map[string]*Node{}, loss: map[string]int{}}
	if err := f.setUp(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fabric) setUp(ctx context.Context) error {
	if err := f.router.sysctl(routerSysctls); err != nil {
		return err
	}
	lo, err := f.router.handle().LinkByName("lo")
	if err != nil {
		return fmt.Errorf("fabric: cannot find the router's lo: %w", err)
	}
	own := slices.Clone(f.config.Services)
	for _, s := range f.config.Subnets {
		if s.Addr().Is4() { // an IPv6 subnet's gateway is fe80::1 on every port
			own = append(own, s.Masked().Addr().Next())
		}
	}
	for _, a := range own {
		if err := f.router.handle().AddrAdd(lo, &netlink.Addr{IPNet: ipnet(host(a)), Flags: nodad}); err != nil {
			return fmt.Errorf("fabric: cannot give the router %s: %w", a, err)
		}
	}
	for _, n := range f.config.Networks { // more specific routes are the interfaces' own; see chain forwarding
		if err := f.router.handle().RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipnet(n)}); err != nil {
			return fmt.Errorf("fabric: cannot route %s to nowhere: %w", n, err)
		}
	}
	if err := f.nft(ctx, ruleset(f.config.Networks)); err != nil {
		return err
	}
	f.drops, err = watchDrops(f)
	return err
}

// routerSysctls make a router that answers ARP for every address behind it and never sends redirects.
var routerSysctls = map[string]string{
	"net/ipv4/ip_forward":                  "1",
	"net/ipv4/conf/all/rp_filter":          "0",
	"net/ipv4/conf/default/rp_filter":      "0",
	"net/ipv4/conf/all/send_redirects":     "0",
	"net/ipv4/conf/default/send_redirects": "0",
	"net/ipv4/conf/default/proxy_arp":      "1",
	"net/ipv6/conf/all/forwarding":         "1",
	"net/ipv6/conf/default/accept_ra":      "0",
}

// Router is the namespace of the router, to listen on the addresses of Config.Services.
func (f *Fabric) Router() *Node { return f.router }

// Node finds an instance or an outside host by name; nil if there is none.
func (f *Fabric) Node(name string) *Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.stopped[name]; n != nil {
		return n
	}
	return f.nodes[name]
}

// Instance makes a machine without network interfaces: a network namespace, and a mount namespace with its own
// /run, /etc and /var/lib (overlays of this machine's where the kernel allows it), so that /run/netns, /var/lib/cni,
// /etc/cni/net.d, /etc/enichain and /etc/iproute2 are its alone.
func (f *Fabric) Instance(ctx context.Context, name string) (*Node, error) {
	return f.node(ctx, name, ownFolders)
}

func (f *Fabric) node(ctx context.Context, name string, script string) (*Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes[name] != nil || f.stopped[name] != nil || name == "" {
		return nil, fmt.Errorf("fabric: a node's name must be new and not empty: %q", name)
	}
	n, err := anchor(ctx, name, script)
	if err != nil {
		return nil, err
	}
	f.nodes[name] = n
	return n, nil
}

// Terminate ends an instance and detaches its interfaces. One that is gone already is no error.
func (f *Fabric) Terminate(ctx context.Context, name string) error {
	f.mu.Lock()
	var ids []string
	for id, p := range f.ports {
		if p.node.Name == name {
			ids = append(ids, id)
		}
	}
	n := f.nodes[name]
	delete(f.nodes, name)
	delete(f.disks, name)
	delete(f.stopped, name)
	f.mu.Unlock()
	var all error
	for _, id := range ids {
		all = errors.Join(all, f.Detach(ctx, id))
	}
	if n != nil {
		all = errors.Join(all, n.close())
	}
	return all
}

// Close ends every namespace. Processes that were started in them are killed only if they are attached to a holder's
// process namespace; a test ends its own.
func (f *Fabric) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all error
	if f.drops != nil {
		all = f.drops.close()
	}
	for _, n := range f.nodes {
		all = errors.Join(all, n.close())
	}
	f.nodes = map[string]*Node{}
	return errors.Join(all, f.router.close())
}
