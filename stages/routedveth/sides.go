package routedveth

import (
	"net/netip"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// hostSide are the node's routes to a pod, and what answers the pod where it asks for its next hop: usually it never
// does, but a stage that gives the container another MAC (tuning) costs it its neighbours, permanent ones too. For the
// same reason the node has no fixed neighbour for the pod: it asks with the first packet, some 20 µs, and so learns of
// any MAC. IPv6 asks and answers by a link-local address of the host's end.
func hostSide(index, table int, addrs []netip.Addr, source sources) []link.Message {
	var out []link.Message
	seen := map[bool]bool{}
	for _, a := range addrs {
		if !seen[a.Is4()] {
			seen[a.Is4()] = true
			out = append(out, answering(index, nextHop(a))...)
		}
		route := link.Route{
			Dst: netip.PrefixFrom(a, a.BitLen()), Link: index, Table: table, Protocol: numbers.Protocol, Source: source.six,
		}
		if a.Is4() {
			route.Scope, route.Source = link.ScopeLink, source.four
		}
		out = append(out, link.AddRoute(route))
	}
	return out
}

func answering(index int, hop netip.Addr) []link.Message {
	if hop.Is4() {
		return []link.Message{link.AddProxy(index, hop), link.AnswerAtOnce(index)}
	}
	return []link.Message{link.AddAddress(hopAddress(index))}
}

func hopAddress(index int) link.Address {
	return link.Address{
		Link: index, Prefix: netip.PrefixFrom(nextHop6, nextHop6.BitLen()), Flags: link.NoDAD | link.NoPrefixRoute,
	}
}

// metric is the rank of the pod's routes: those of eth0 come first, whatever is attached beside it and in which order
// (runtimes attach a pod's networks at the same time); each further interface has its own, so that none takes another's
// place.
func (w *wire) metric() uint32 {
	if further(w.r.IfName) {
		return uint32(1024 + w.podIndex)
	}
	return 0
}

// podSide are the pod's addresses, next hops and routes.
func podSide(index int, metric uint32, hostMAC link.MAC, g given) []link.Message {
	var out []link.Message
	seen := map[bool]bool{}
	for _, a := range g.addrs {
		flags := uint32(0)
		if !a.Is4() {
			flags = link.NoDAD
		}
		out = append(out, link.AddAddress(link.Address{Link: index, Prefix: netip.PrefixFrom(a, a.BitLen()), Flags: flags}))
		if seen[a.Is4()] {
			continue
		}
		seen[a.Is4()] = true
		hop := nextHop(a)
		out = append(out, link.AddNeighbour(link.Neighbour{Link: index, Addr: hop, MAC: hostMAC}))
		if a.Is4() {
			out = append(out, link.AddRoute(link.Route{
				Dst: netip.PrefixFrom(hop, 32), Link: index, Protocol: numbers.Protocol, Scope: link.ScopeLink, Metric: metric,
			}))
		}
	}
	for _, route := range g.podRoutes(index, metric) {
		out = append(out, link.AddRoute(route))
	}
	return out
}
