package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/ipam/store"
)

// step is one station of a packet's way.
type step struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// packet is what the kernel is asked about.
type packet struct {
	from, to netip.Addr
	in       string // link it comes in by
	mark     uint32
}

// way is the kernel's answer.
type way struct {
	Link   string
	Via    netip.Addr
	Source netip.Addr
	Table  int
	Local  bool
}

// kernelWay asks the kernel, in this process's network namespace.
func kernelWay(_ context.Context, p packet) (way, error) {
	routes, err := netlink.RouteGetWithOptions(p.to.AsSlice(),
		&netlink.RouteGetOptions{Iif: p.in, SrcAddr: p.from.AsSlice(), Mark: p.mark, FIBMatch: true})
	if err != nil {
		return way{}, fmt.Errorf("cannot look up the way from %s to %s: %w", p.from, p.to, err)
	}
	if len(routes) == 0 {
		return way{}, fmt.Errorf("cannot look up the way from %s to %s: the kernel names none", p.from, p.to)
	}
	r := routes[0]
	w := way{Table: r.Table, Local: r.Type == 2 /* RTN_LOCAL */}
	w.Via, _ = netip.AddrFromSlice(r.Gw)
	w.Via = w.Via.Unmap()
	if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
		w.Link = link.Attrs().Name
	}
	return w, nil
}

// walkPacket follows a packet of the pod through our own rules and tables, and asks the kernel where those end. What
// other tables (kube-proxy, policy engines) would do is not followed.
func (a *app) walkPacket(ctx context.Context, t trace, s store.State, to netip.Addr) ([]step, error) {
	if t.Host == nil {
		return nil, &failure{code: exitWrong, err: fmt.Errorf("cannot walk a packet: the host's end of %s is not in the kernel", t.Pod),
			do: "enichainctl why " + t.Pod}
	}
	i := slices.IndexFunc(t.Addresses, func(x netip.Addr) bool { return x.Is4() == to.Is4() })
	if i < 0 {
		return nil, &failure{code: exitWrong, err: fmt.Errorf("cannot walk a packet: %s has no address of the family of %s", t.Pod, to)}
	}
	hop, from := "169.254.1.1", t.Addresses[i]
	if to.Is6() {
		hop = "fe80::1"
	}
	steps := []step{{"pod",
		"default via " + hop + " dev " + t.At.IfName + "   (its MAC, " + t.Host.MAC + ", is the wire's other end)"}}
	mark := uint32(t.N)
	if t.N > 0 {
		steps = append(steps, step{"prerouting", fmt.Sprintf("steer: group says interface #%d → mark 0x%x   nft inet enichain-routed-veth", t.N, mark)})
	}
	inside := slices.ContainsFunc(s.Meta.VPC, func(p netip.Prefix) bool { return p.Contains(to) })
	lends := t.Host.Profile > 0 && !inside && to.Is4()
	if lends && mark != 0 {
		mark = 0
		steps = append(steps, step{"prerouting", fmt.Sprintf("unsteer: %s is outside the VPC → mark 0x0   nft inet enichain-snat", to)})
	}
	w, err := a.walk(ctx, packet{from: from, to: to, in: t.Host.Link, mark: mark})
	if err != nil {
		return nil, blind(err, "try again as root")
	}
	if w.Local {
		return append(steps, step{"routing", to.String() + " is this node's own"}), nil
	}
	via := ""
	if w.Via.IsValid() {
		via = " via " + w.Via.String()
	}
	steps = append(steps, step{"routing", fmt.Sprintf("%s%s dev %s", tableName(w.Table), via, w.Link)})
	source := from
	if lends {
		if e := primaryENI(s); e != nil && e.Link == w.Link {
			source = e.Primary
			steps = append(steps, step{"postrouting", fmt.Sprintf("source becomes %s   nft inet enichain-snat", source)})
		}
	}
	return append(steps, step{"leaves by", w.Link + " as " + source.String() + "   " + accepted(s, w.Link, source, from)}), nil
}

func tableName(n int) string {
	switch {
	case n == 254:
		return "main:"
	case n == 1000:
		return "enichain-pods:"
	case n > 1000 && n < 1128:
		return fmt.Sprintf("eni-%d:", n-1000)
	}
	return fmt.Sprintf("table %d:", n)
}

func primaryENI(s store.State) *store.ENI {
	for i := range s.ENIs {
		if s.ENIs[i].N == 0 {
			return &s.ENIs[i]
		}
	}
	return nil
}

// accepted says what the VPC makes of a source address on an interface.
func accepted(s store.State, link string, source, pod netip.Addr) string {
	for _, e := range s.ENIs {
		if e.Link != link {
			continue
		}
		if source == e.Primary || source == e.Primary6 {
			return "the VPC accepts: its own primary address"
		}
		for _, x := range s.Addresses {
			if x.Address == source {
				if x.ENI == e.ENI {
					return "the VPC accepts: an address of " + string(e.ENI)
				}
				return "the VPC DROPS: an address of " + string(x.ENI) + ", not of " + string(e.ENI)
			}
		}
		return "the VPC DROPS: not an address of " + string(e.ENI)
	}
	if source == pod {
		return "it stays on this node"
	}
	return ""
}
