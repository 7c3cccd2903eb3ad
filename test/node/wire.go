package node

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

// The VPC's networks. Network interface n lives in the n-th subnet of each.
var (
	network  = netip.MustParsePrefix("10.110.0.0/16")
	network6 = netip.MustParsePrefix("2001:db8:110::/48")
)

func at(n, host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 110, byte(10 + n), byte(host)}) }

func at6(n, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:110:%x::%x", 10+n, host))
}

func primary(n int) netip.Addr  { return at(n, 5) }
func primary6(n int) netip.Addr { return at6(n, 5) }
func mac(n int) string          { return fmt.Sprintf("02:00:00:00:00:%02x", n+1) }

// Delegated prefixes of the primary network interface, clear of its single addresses.
var (
	prefix  = netip.MustParsePrefix("10.110.10.224/28")
	prefix6 = netip.MustParsePrefix("2001:db8:110:a:1::/80")
)

// eni is network interface n as the reconciler would supply it.
func (n *Node) eni(i int) ipam.SuppliedENI {
	e := ipam.SuppliedENI{
		ENI: ipam.ENIID(fmt.Sprintf("eni-%d", i)), Attachment: ipam.AttachmentID(fmt.Sprintf("eni-attach-%d", i)), Pool: "default",
		MAC: mac(i), Device: i, SubnetID: ipam.SubnetID(fmt.Sprintf("subnet-%d", i)),
		Subnet: netip.PrefixFrom(at(i, 0), 24), Primary: primary(i), Gateway: at(i, 1), PodsOK: true,
	}
	if n.IPv6 {
		e.Subnet6, e.Primary6 = netip.PrefixFrom(at6(i, 0), 64), primary6(i)
	}
	for host := range n.Addresses {
		e.Addresses = append(e.Addresses, at(i, 10+host))
		if n.IPv6 {
			e.Addresses = append(e.Addresses, at6(i, 16+host))
		}
	}
	if n.Prefix && i == 0 {
		e.Prefixes = append(e.Prefixes, prefix)
		if n.IPv6 {
			e.Prefixes = append(e.Prefixes, prefix6)
		}
	}
	return e
}

// wire makes the links between the node and the VPC. The router delivers by MAC, as a VPC does: it never asks the
// node for a pod's address, and drops a source that is not of the network interface it came from.
func (n *Node) wire(ctx context.Context) error {
	var here, beyond, filter strings.Builder
	say := func(b *strings.Builder, format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	say(&here, "ip link set lo up\nsysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
	say(&beyond, "ip link set lo up\nsysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
	if n.IPv6 {
		// A network interface of EC2 was up long before the first pod: nothing on it is still being looked for twice.
		say(&here, "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0")
		say(&beyond, "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0")
	}
	for i := range n.ENIs {
		say(&here, "ip link add name eth%d address %s mtu 9001 type veth peer name far%d mtu 9001 netns %s\nip link set eth%d up",
			i, mac(i), i, filepath.Base(n.Host.Netns), i)
		say(&beyond, "ip link set far%d up", i)
		n.neighbours(&beyond, i)
		say(&filter, "iifname far%d ip saddr != %s drop", i, netip.PrefixFrom(at(i, 0), 24))
		say(&filter, "iifname far%d ip6 saddr != { %s, fe80::/10, :: } drop", i, netip.PrefixFrom(at6(i, 0), 64))
	}
	say(&here, "ip address add %s dev eth0\nip route add default via %s dev eth0", netip.PrefixFrom(primary(0), 24), at(0, 1))
	for _, p := range []Place{n.Host, n.Outside} {
		say(&beyond, "ip address add %s/32 dev lo", p.Addr)
	}
	if n.IPv6 {
		say(&here, "sysctl -qw net.ipv6.conf.default.accept_dad=%d", n.dad())
		say(&here, "ip address add %s/128 dev eth0 nodad\nip -6 route add default via fe80::1 dev eth0", primary6(0))
		for _, p := range []Place{n.Host, n.Outside} {
			say(&beyond, "ip address add %s/128 dev lo nodad", p.Addr6)
		}
	}
	say(&beyond, "nft -f - <<'END'\ntable inet vpc {\nchain sources {\ntype filter hook prerouting priority raw\n%s}\n}\nEND",
		filter.String())
	if err := script(ctx, "", here.String()); err != nil {
		return fmt.Errorf("cannot make the node's links: %w", err)
	}
	if err := script(ctx, n.Host.Netns, beyond.String()); err != nil {
		return fmt.Errorf("cannot make the VPC beside the node: %w", err)
	}
	return nil
}

// dad is what links that are made on the node and in pods have as accept_dad.
func (n *Node) dad() int {
	if n.NoDAD {
		return 0
	}
	return 1
}

// neighbours tells the router where network interface i and each address on it are.
func (n *Node) neighbours(b *strings.Builder, i int) {
	fmt.Fprintf(b, "ip address add %s dev far%d\n", netip.PrefixFrom(at(i, 1), 24), i)
	if n.IPv6 {
		fmt.Fprintf(b, "ip address add %s/64 dev far%d nodad\nip address add fe80::1/64 dev far%d nodad\n", at6(i, 1), i, i)
	}
	e := n.eni(i)
	fmt.Fprintln(b, "ip -batch - <<'END'")
	for _, a := range append(e.Addresses, e.Primary, e.Primary6) {
		if a.IsValid() {
			fmt.Fprintf(b, "neighbour add %s lladdr %s dev far%d nud permanent\n", a, e.MAC, i)
		}
	}
	for _, p := range e.Prefixes {
		via := e.Primary
		if p.Addr().Is6() {
			via = e.Primary6
		}
		fmt.Fprintf(b, "route add %s via %s dev far%d\n", p, via, i)
	}
	fmt.Fprintln(b, "END")
}

// supply prepares the network interfaces and makes the pool file, as the agent would. An address cools for a
// millisecond only: a few serve many pods.
func (n *Node) supply(ctx context.Context) error {
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	id := store.Identity{Instance: "i-0000000000000node", Boot: boot, Inc: "0000000000000000", Type: "m5.4xlarge"}
	now := store.ReadClock()
	pool, err := store.Create(ctx, n.Pool, store.Options{Boot: boot}, now, id, store.Past{})
	if err != nil {
		return fmt.Errorf("cannot make the node's pool file: %w", err)
	}
	var enis []ipam.SuppliedENI
	var links []store.Link
	for i := range n.ENIs {
		e := n.eni(i)
		prepared := routedveth.ENI{N: i, MAC: e.MAC, Primary: e.Primary, Gateway: e.Gateway, Subnet: e.Subnet}
		if n.IPv6 {
			prepared.Primary6, prepared.Gateway6, prepared.Subnet6 = e.Primary6, netip.MustParseAddr("fe80::1"), e.Subnet6
		}
		if err := routedveth.Prepare(ctx, prepared); err != nil {
			return err
		}
		enis = append(enis, e)
		links = append(links, store.Link{MAC: e.MAC, Name: fmt.Sprintf("eth%d", i), N: i, Ready: true, Addresses: []netip.Addr{e.Primary}})
	}
	vpc := []netip.Prefix{network}
	if n.IPv6 {
		vpc = append(vpc, network6)
	}
	return pool.Update(ctx, func(t *store.Tx) error {
		s := ipam.Supply{Instance: id.Instance, Epoch: 1, Rev: 1, Basis: ipam.Basis{Inc: id.Inc, Seq: t.Meta().Seq}, First: true,
			VPC: vpc, ENIs: enis,
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
