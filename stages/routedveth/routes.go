package routedveth

import (
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// routes keeps what the stages before said of the networks around (snat reads those without a gateway), sends what had
// a gateway or attributes by ours, and names the default route of each family, which is always there.
func (g given) routes() []*types.Route {
	var out []*types.Route
	named := map[bool]bool{}
	for _, route := range g.result.Routes {
		k := *route
		dst := destination(route)
		switch {
		case dst.Bits() > 0 && !particular(route):
		case !g.has(dst.Addr().Is4()) || dst.Bits() == 0 && named[dst.Addr().Is4()]:
			continue
		case dst.Bits() == 0:
			named[dst.Addr().Is4()] = true
			k.Priority, k.Table, k.Scope = 0, nil, nil // those of the default route are ours to choose
			k.GW = nextHop(dst.Addr()).AsSlice()
		default:
			k.Scope = nil // by a gateway it can only be the widest
			k.GW = nextHop(dst.Addr()).AsSlice()
		}
		out = append(out, &k)
	}
	for _, four := range []bool{true, false} {
		if g.has(four) && !named[four] {
			any := everywhere(nextHop6)
			if four {
				any = everywhere(nextHop4)
			}
			out = append(out, &types.Route{
				Dst: net.IPNet{IP: any.Addr().AsSlice(), Mask: net.CIDRMask(0, any.Addr().BitLen())},
				GW:  nextHop(any.Addr()).AsSlice(),
			})
		}
	}
	return out
}

func destination(route *types.Route) netip.Prefix {
	dst, _ := netip.AddrFromSlice(route.Dst.IP)
	ones, size := route.Dst.Mask.Size()
	if dst = dst.Unmap(); dst.Is4() && size == 8*net.IPv6len {
		ones -= 96
	}
	return netip.PrefixFrom(dst, ones).Masked()
}

// particular says whether a route is more than "that network, too", which the default route covers.
func particular(route *types.Route) bool {
	return route.GW != nil || route.MTU != 0 || route.AdvMSS != 0 || route.Priority != 0 || route.Table != nil || route.Scope != nil
}

// podRoutes are those to be made in the pod: the default route of each family, and the particular ones.
func (g given) podRoutes(index int, metric uint32) []link.Route {
	var out []link.Route
	for _, route := range g.routes() {
		dst := destination(route)
		if dst.Bits() > 0 && !particular(route) {
			continue
		}
		r := link.Route{
			Dst: dst, Gateway: nextHop(dst.Addr()), Link: index, Protocol: numbers.Protocol, Metric: metric,
			MTU: route.MTU, AdvMSS: route.AdvMSS,
		}
		if route.Priority != 0 {
			r.Metric = uint32(route.Priority)
		}
		if route.Table != nil && *route.Table != 0 {
			r.Table, r.OnLink = *route.Table, dst.Addr().Is4()
		}
		out = append(out, r)
	}
	return out
}

// checked are the destinations of prevResult's routes that CHECK looks for, beside the default route.
func checked(prev *stages.Result, four bool) []netip.Prefix {
	var out []netip.Prefix
	for _, route := range prev.Routes {
		dst := destination(route)
		gw, _ := netip.AddrFromSlice(route.GW)
		if dst.Bits() > 0 && dst.Addr().Is4() == four && gw.Unmap() == nextHop(dst.Addr()) {
			out = append(out, dst)
		}
	}
	return out
}
