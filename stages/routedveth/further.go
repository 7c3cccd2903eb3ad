package routedveth

import (
	"net/netip"
	"slices"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// A container's further interfaces (net1 beside eth0) answer by themselves: what has such an interface's address as
// source leaves by it, by a rule and a table inside the container. Else it would leave by eth0, the node would route it
// by eth0's network interface, and the VPC drop it.

// further says whether an interface is not the one that a container is reached by in the first place.
func further(ifName string) bool { return ifName != "eth0" }

// ownWay are the rule of each address and the table of the interface.
func ownWay(index int, addrs []netip.Addr) []link.Message {
	var out []link.Message
	seen := map[bool]bool{}
	for _, a := range addrs {
		if !seen[a.Is4()] {
			seen[a.Is4()] = true
			for _, route := range wayRoutes(index, a) {
				out = append(out, link.AddRoute(route))
			}
		}
		out = append(out, link.AddRule(ownRule(index, a)))
	}
	return out
}

func wayRoutes(index int, a netip.Addr) []link.Route {
	hop := nextHop(a)
	return []link.Route{{
		Dst: everywhere(a), Gateway: hop, Link: index, Table: numbers.InsideTable(index), Protocol: numbers.Protocol, OnLink: true,
	}}
}

func ownRule(index int, a netip.Addr) link.Rule {
	return link.Rule{
		Family: familyOf(a), Priority: numbers.RuleInside, From: netip.PrefixFrom(a, a.BitLen()),
		Table: numbers.InsideTable(index), Protocol: numbers.Protocol,
	}
}

// unruly takes rules of ours out of a container: those of the addresses, those of the interface with that index, and
// those whose interface is gone; a rule does not end with its link.
func unruly(pod *link.Conn, addrs []netip.Addr, index int) error {
	var stale []link.Message
	for _, family := range families {
		rules, err := pod.Rules(family)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Protocol != numbers.Protocol || r.Priority != numbers.RuleInside || !r.From.IsValid() {
				continue
			}
			of := r.Table - numbers.InsideTable(0)
			mine := index != 0 && of == index || slices.Contains(addrs, r.From.Addr())
			if _, err := pod.LinkByIndex(of); mine || absent(err) {
				stale = append(stale, link.DelRule(r))
			}
		}
	}
	return pod.Do(stale...)
}

// forgetInside takes out what an attachment has in its container beside the wire. The name of its interface may be
// another network's by now: what is its own is the other end of its own host end.
func forgetInside(r *stages.Request, outer link.Link) error {
	ns, err := link.OpenNetns(r.Netns)
	if err != nil {
		return gone(err)
	}
	defer ns.Close()
	pod, err := link.OpenIn(ns)
	if err != nil {
		return gone(err)
	}
	defer pod.Close()
	own := 0
	if outer.Peer != 0 {
		switch inner, err := pod.LinkByIndex(outer.Peer); {
		case err == nil && inner.Peer == outer.Index:
			own = inner.Index
		case err != nil && !absent(err):
			return err
		}
	}
	return unruly(pod, nil, own)
}

// ownWayOut is CHECK of ownWay.
func (k *check) ownWayOut(a netip.Addr, rules []link.Rule, routes []link.Route) error {
	where, want := "in "+k.r.Netns+" ", ownRule(k.inner.Index, a)
	if !slices.Contains(rules, want) {
		return k.drift(where+`the rule "`+want.String()+`" is missing`, k.inPod("ip "+flag(a)+" rule"))
	}
	if !slices.ContainsFunc(routes, func(is link.Route) bool { return is.Table == want.Table }) {
		return k.drift(where+`the route "`+wayRoutes(k.inner.Index, a)[0].String()+`" is missing`,
			k.inPod("ip "+flag(a)+" route show table all"))
	}
	return nil
}
