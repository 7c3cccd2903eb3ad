package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/stages/routedveth"
)

// Link groups of docs/design.md, "One table each".
const (
	groupENI     = 6872 // + n, 0..127
	groupPods    = 7000 // + 128·profile + n
	groupPodsEnd = 7000 + 128*8
)

// kernel is the node's network namespace, changed by routed-veth's own code.
type kernel struct {
	restorer *restorer // of the stages behind it; nil leaves them alone
}

var _ agent.Kernel = kernel{}

// Links lists what may be a network interface of EC2: links with an Ethernet address that are no pod's.
func (kernel) Links(context.Context) ([]agent.Link, error) {
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list links: %w", err)
	}
	addresses, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("cannot list addresses: %w", err)
	}
	var found []agent.Link
	for _, l := range links {
		a := l.Attrs()
		mac := a.HardwareAddr
		if len(a.PermHWAddr) == 6 {
			mac = a.PermHWAddr
		}
		if len(mac) != 6 || a.EncapType != "ether" || a.Group >= groupPods && a.Group < groupPodsEnd {
			continue
		}
		link := agent.Link{Name: a.Name, Index: a.Index, MAC: strings.ToLower(mac.String()), N: -1,
			Up: a.RawFlags&1 != 0} // IFF_UP
		if a.Group >= groupENI && a.Group <= groupENI+mostENIs {
			link.N = int(a.Group - groupENI)
		}
		for _, addr := range addresses {
			if ip, ok := netip.AddrFromSlice(addr.IP); ok && addr.LinkIndex == a.Index {
				link.Addresses = append(link.Addresses, ip.Unmap())
			}
		}
		found = append(found, link)
	}
	return found, nil
}

// whole repeats a dump that the kernel calls inconsistent, because pods came or went meanwhile.
func whole[T any](dump func() ([]T, error)) (list []T, err error) {
	for range 10 {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

func toENI(e agent.ENI) routedveth.ENI {
	return routedveth.ENI{N: e.N, MAC: e.MAC, Primary: e.Primary, Primary6: e.Primary6, Gateway: e.Gateway,
		Gateway6: gateway6(e), Subnet: e.Subnet, Subnet6: e.Subnet6, MTU: e.MTU}
}

// gateway6 is the VPC router's link-local address, the same in every subnet (EC2 user guide, "VPC subnets"): a supply
// has the IPv4 one.
func gateway6(e agent.ENI) netip.Addr {
	if !e.Primary6.IsValid() {
		return netip.Addr{}
	}
	return netip.MustParseAddr("fe80::1")
}

// Prepare makes one ENI ready for pods.
func (kernel) Prepare(ctx context.Context, e agent.ENI) error {
	err := routedveth.Prepare(ctx, toENI(e))
	var refused *routedveth.MTUError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", agent.ErrMTU, err)
	}
	return err
}

// Repair puts back what others took.
func (k kernel) Repair(ctx context.Context, enis []agent.ENI) ([]string, error) {
	list := make([]routedveth.ENI, 0, len(enis))
	for _, e := range enis {
		list = append(list, toENI(e))
	}
	what, err := routedveth.Repair(ctx, list)
	if k.restorer == nil {
		return what, err
	}
	more, again, failed := k.restorer.restore(ctx)
	what, err = append(what, more...), errors.Join(err, failed)
	if err == nil && again {
		err = agent.ErrLookAgain
	}
	return what, err
}

// Forget takes back what Prepare made.
func (kernel) Forget(ctx context.Context, n int) error { return routedveth.Forget(ctx, n) }

// Inspect lists what pods have, by the routes that lead to them; a route without a link of ours comes alone.
func (kernel) Inspect(ctx context.Context) (agent.View, error) {
	v, err := routedveth.Inspect(ctx)
	if err != nil {
		return agent.View{}, err
	}
	var out agent.View
	at := map[string]int{}
	for _, p := range v.Pods {
		at[p.Link] = len(out.Pods)
		out.Pods = append(out.Pods, agent.PodLink{Name: p.Link, MAC: p.MAC, Alias: p.Owner, N: p.N, Up: p.Up && !p.Severed})
	}
	for _, r := range v.Routes {
		i, ok := at[r.Link]
		if !ok {
			i = len(out.Pods)
			at[r.Link] = i
			out.Pods = append(out.Pods, agent.PodLink{N: -1})
		}
		out.Pods[i].Addresses = append(out.Pods[i].Addresses, r.Addr)
	}
	return out, nil
}

func forgetFlows(ctx context.Context, addresses []netip.Addr) error {
	_, err := routedveth.ForgetFlows(ctx, addresses)
	return err
}

// Sweep deletes what DEL left severed.
func (kernel) Sweep(ctx context.Context) (int, error) {
	removed, err := routedveth.Sweep(ctx)
	return len(removed), err
}
