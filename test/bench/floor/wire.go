package floor

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// PodTable is the routing table of the second network interface, which the rule of each pod leads to.
const PodTable = 2

var gateway = netip.AddrFrom4([4]byte{169, 254, 1, 1})

// hostMAC and podMAC are the same for all: each wire is a network of its own.
var hostMAC, podMAC = []byte{2, 0, 0, 0, 1, 1}, []byte{2, 0, 0, 0, 1, 2}

// Wire lays the wire, or takes away what outlives it: the pod's rule. Its links go with the pod's namespace, and the
// route with them.
func (p *Pod) Wire() error {
	if !p.Add {
		if !p.Address.IsValid() {
			return nil
		}
		b := &batch{}
		b.rule(syscall.RTM_DELRULE, 0, p.Address)
		return b.send(syscall.NETLINK_ROUTE)
	}
	runtime.LockOSThread()
	netns, err := syscall.Open(p.Netns, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the pod's namespace: %w", err)
	}
	// Both indexes are chosen here, so that routes can ride in the same send as the links: the pod's is 2, behind its
	// loopback, and the node's is one that is hardly taken.
	host := 1<<20 + p.key%(1<<30)
	b := &batch{}
	b.veth(p, host, netns)
	b.route(syscall.RT_SCOPE_LINK, netip.PrefixFrom(p.Address, 32), netip.Addr{}, host)
	b.rule(syscall.RTM_NEWRULE, syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, p.Address)
	if err := b.send(syscall.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("cannot lay the node's end: %w", err)
	}
	if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter the pod: %w", err)
	}
	const pod = 2
	b = &batch{}
	b.up(pod)
	b.address(pod, p.Address)
	b.route(syscall.RT_SCOPE_LINK, netip.PrefixFrom(gateway, 32), netip.Addr{}, pod)
	b.route(syscall.RT_SCOPE_UNIVERSE, netip.Prefix{}, gateway, pod)
	b.neighbour(pod)
	if err := b.send(syscall.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("cannot lay the pod's end: %w", err)
	}
	return nil
}

func (b *batch) link(index, flags uint32) {
	b.raw(syscall.AF_UNSPEC, 0, 0, 0)
	b.u32(index)
	b.u32(flags)
	b.u32(flags) // of which these are meant
}

func (b *batch) veth(p *Pod, host uint32, netns int) {
	b.message(syscall.RTM_NEWLINK, syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, func() {
		b.link(host, syscall.IFF_UP)
		b.text(syscall.IFLA_IFNAME, p.HostLink())
		b.number(syscall.IFLA_MTU, 9001)
		b.attribute(syscall.IFLA_ADDRESS, hostMAC...)
		b.nest(unix.IFLA_LINKINFO, func() {
			b.attribute(unix.IFLA_INFO_KIND, []byte("veth")...)
			b.nest(unix.IFLA_INFO_DATA, func() {
				b.nest(1, func() { // VETH_INFO_PEER
					b.link(2, 0)
					b.text(syscall.IFLA_IFNAME, p.IfName)
					b.number(syscall.IFLA_MTU, 9001)
					b.attribute(syscall.IFLA_ADDRESS, podMAC...)
					b.number(unix.IFLA_NET_NS_FD, uint32(netns))
				})
			})
		})
	})
}

func (b *batch) up(index uint32) {
	b.message(syscall.RTM_NEWLINK, syscall.NLM_F_ACK, func() { b.link(index, syscall.IFF_UP) })
}

func (b *batch) address(index uint32, a netip.Addr) {
	b.message(syscall.RTM_NEWADDR, syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL, func() {
		b.raw(syscall.AF_INET, 32, 0, syscall.RT_SCOPE_UNIVERSE)
		b.u32(index)
		b.attribute(syscall.IFA_LOCAL, four(a)...)
	})
}

func (b *batch) route(scope byte, to netip.Prefix, via netip.Addr, index uint32) {
	b.message(syscall.RTM_NEWROUTE, syscall.NLM_F_ACK|syscall.NLM_F_CREATE, func() {
		b.raw(syscall.AF_INET, byte(max(0, to.Bits())), 0, 0, syscall.RT_TABLE_MAIN, syscall.RTPROT_STATIC, scope, syscall.RTN_UNICAST)
		b.u32(0)
		if to.IsValid() {
			b.attribute(syscall.RTA_DST, four(to.Addr())...)
		}
		if via.IsValid() {
			b.attribute(syscall.RTA_GATEWAY, four(via)...)
		}
		b.number(syscall.RTA_OIF, index)
	})
}

func (b *batch) neighbour(index uint32) {
	b.message(syscall.RTM_NEWNEIGH, syscall.NLM_F_ACK|syscall.NLM_F_CREATE, func() {
		b.raw(syscall.AF_INET, 0, 0, 0)
		b.u32(index)
		b.raw(0x80, 0, 0, 0)             // NUD_PERMANENT
		b.attribute(1, four(gateway)...) // NDA_DST
		b.attribute(2, hostMAC...)       // NDA_LLADDR
	})
}

// rule is that of amazon-vpc-cni-k8s: what the pod sends goes by the table of its network interface.
func (b *batch) rule(kind, flags uint16, a netip.Addr) {
	b.message(kind, syscall.NLM_F_ACK|flags, func() {
		b.raw(syscall.AF_INET, 0, 32, 0, PodTable, 0, 0, 1) // FR_ACT_TO_TBL
		b.u32(0)
		b.attribute(2, four(a)...) // FRA_SRC
		b.number(6, 1536)          // FRA_PRIORITY
	})
}
