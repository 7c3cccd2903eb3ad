package eniipam

import (
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
)

// The next hops behind routed-veth: they exist nowhere.
var (
	nextHop4 = netip.AddrFrom4([4]byte{169, 254, 1, 1})
	nextHop6 = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
)

// result says what was leased: the addresses, the networks of the VPC as routes, and for a caller that steers the
// network interface behind the addresses (a delegate of others must not name interfaces: CNI specification, section 4).
func (c *config) result(r *stages.Request, l store.Lease) (*stages.Result, error) {
	if c.steers() && l.ENI.Link == "" {
		return nil, stages.Errorf(stages.ENINotReady, "no network interface for %s: %s was found in use after the pool file was lost, "+
			"and enichaind does not know yet where it belongs; the runtime tries again", whom(r), l.Addresses[0])
	}
	out := &stages.Result{CNIVersion: r.Version}
	if c.steers() {
		out.Interfaces = []*types100.Interface{{Name: l.ENI.Link, Mac: l.ENI.MAC}}
	}
	for i, a := range l.Addresses {
		ip := &types100.IPConfig{Address: network(a, a.BitLen())}
		if c.steers() {
			ip.Interface = types100.Int(0)
			ip.Gateway = nextHop(a).AsSlice()
		} else {
			subnet := c.subnet(l, i)
			if !subnet.IsValid() {
				return nil, stages.Errorf(stages.ENINotReady, "the subnet of %s for %s is not known", a, whom(r))
			}
			ip.Address = network(a, subnet.Bits())
			ip.Gateway = c.gateway(l, i, subnet).AsSlice()
		}
		out.IPs = append(out.IPs, ip)
	}
	out.Routes = c.routes(l)
	return out, nil
}

func nextHop(a netip.Addr) netip.Addr {
	if a.Is4() {
		return nextHop4
	}
	return nextHop6
}

// subnet is what the caller shall take for the address's network: a bridge's own prefix, or the interface's subnet.
func (c *config) subnet(l store.Lease, i int) netip.Prefix {
	if i < len(l.Prefixes) {
		return l.Prefixes[i]
	}
	if l.Addresses[i].Is4() {
		return l.ENI.Subnet
	}
	return l.ENI.Subnet6
}

// gateway is the node's reserved address, or the subnet's own for a caller that puts no gateway on the node.
func (c *config) gateway(l store.Lease, i int, subnet netip.Prefix) netip.Addr {
	switch {
	case i < len(l.Gateways):
		return l.Gateways[i]
	case i < len(l.Prefixes): // the pool file was made anew since
		return store.PrefixGateway(l.Prefixes[i])
	}
	if subnet.Addr().Is6() {
		return nextHop6
	}
	if l.ENI.Gateway.IsValid() {
		return l.ENI.Gateway
	}
	return subnet.Addr().Next()
}

// routes are the VPC's networks, by which snat knows what is inside, and the way to everywhere else, of each family that
// was leased. A network that is the subnet itself is left out for callers that make the subnet's route themselves: ptp
// trips over a second one.
func (c *config) routes(l store.Lease) []*types.Route {
	var out []*types.Route
	for i, a := range l.Addresses {
		for _, n := range l.VPC {
			if n.Addr().Is4() == a.Is4() && (c.steers() || n != c.subnet(l, i)) {
				out = append(out, &types.Route{Dst: network(n.Addr(), n.Bits())})
			}
		}
	}
	for i, a := range l.Addresses {
		anywhere := netip.IPv6Unspecified()
		if a.Is4() {
			anywhere = netip.IPv4Unspecified()
		}
		route := &types.Route{Dst: network(anywhere, 0)}
		if !c.steers() { // bridge with isDefaultGateway adds a second one, and trips over it, unless this names its gateway
			route.GW = c.gateway(l, i, c.subnet(l, i)).AsSlice()
		}
		out = append(out, route)
	}
	return out
}

func network(a netip.Addr, bits int) net.IPNet {
	return net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}
