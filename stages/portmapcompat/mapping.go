package portmapcompat

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
)

// capability is the name under which a runtime supplies the ports (CNI conventions).
const capability = "portMappings"

// given is one port as the runtime gives it.
type given struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// mapping is one port, checked.
type mapping struct {
	proto     uint8
	host      netip.AddrPort // the address is invalid when every local one is meant
	container uint16
	four, six bool // the families it is for
}

// String is how a person says it: 8080/tcp, or 10.0.0.10:8080/tcp.
func (m mapping) String() string {
	port := strconv.Itoa(int(m.host.Port()))
	if m.host.Addr().IsValid() {
		port = m.host.String()
	}
	return port + "/" + m.protocol()
}

// protocol is tcp, udp or sctp.
func (m mapping) protocol() string { return protocolName(m.proto) }

// key is what two mappings of one container cannot share.
func (m mapping) key() string {
	return m.String() + " " + strconv.FormatBool(m.four) + " " + strconv.FormatBool(m.six)
}

// forFamily says whether the mapping is for addresses of that family.
func (m mapping) forFamily(f nft.Family) bool {
	if f == nft.IPv6 {
		return m.six
	}
	return m.four
}

var protocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// mappings reads the runtime's ports; every fault of every one is told.
func mappings(r *stages.Request) ([]mapping, error) {
	var list []given
	if _, err := r.RuntimeConfig(capability, &list); err != nil {
		return nil, err
	}
	var faults []string
	var all []mapping
	first := map[string]mapping{}
	for i, g := range list {
		m, wrong := g.check()
		at := "runtimeConfig." + capability + "[" + strconv.Itoa(i) + "]"
		for _, fault := range wrong {
			faults = append(faults, at+"."+fault)
		}
		if len(wrong) > 0 {
			continue
		}
		if before, twice := first[m.key()]; twice {
			if before != m {
				faults = append(faults, at+": host port "+m.String()+" leads to "+strconv.Itoa(int(before.container))+" already")
			}
			continue
		}
		first[m.key()] = m
		all = append(all, m)
	}
	if len(faults) > 0 {
		return nil, stages.Errorf(stages.Config, "%s", strings.Join(faults, "; "))
	}
	return all, nil
}

// check turns what was given into a mapping, or says all that is wrong with it.
func (g given) check() (m mapping, faults []string) {
	if g.HostPort < 1 || g.HostPort > 65535 {
		faults = append(faults, "hostPort: want 1 to 65535, got "+strconv.Itoa(g.HostPort))
	}
	if g.ContainerPort < 1 || g.ContainerPort > 65535 {
		faults = append(faults, "containerPort: want 1 to 65535, got "+strconv.Itoa(g.ContainerPort))
	}
	proto, ok := protocols[strings.ToLower(g.Protocol)]
	if !ok {
		faults = append(faults, "protocol: want tcp, udp or sctp, got "+strconv.Quote(g.Protocol))
	}
	m = mapping{proto: proto, container: uint16(g.ContainerPort), four: true, six: true}
	var at netip.Addr
	if g.HostIP != "" {
		a, err := netip.ParseAddr(g.HostIP)
		if err != nil || a.Zone() != "" {
			faults = append(faults, "hostIP: want an IPv4 or IPv6 address or nothing, got "+strconv.Quote(g.HostIP))
		} else {
			a = a.Unmap()
			m.four, m.six = a.Is4(), a.Is6()
			if !a.IsUnspecified() { // 0.0.0.0 is every address of IPv4, as upstream has it
				at = a
			}
		}
	}
	m.host = netip.AddrPortFrom(at, uint16(g.HostPort))
	return m, faults
}

// wired says whether the container has its interface by now, as far as prevResult tells: some plugins (Calico) name the
// host's end alone.
func wired(r *stages.Request) bool {
	inside := false
	for _, i := range r.Prev.Interfaces {
		if i.Sandbox != "" && i.Name == r.IfName {
			return true
		}
		inside = inside || i.Sandbox != ""
	}
	return !inside && len(r.Prev.Interfaces) > 0
}

// targets are the container's addresses that ports lead to: the first of each family that belongs to no interface, or
// to the container's interface (upstream's rule). Their lengths are those of prevResult.
func targets(r *stages.Request) []netip.Prefix {
	var all []netip.Prefix
	seen := map[nft.Family]bool{}
	for _, ip := range r.Prev.IPs {
		if n := ip.Interface; n != nil && *n >= 0 && *n < len(r.Prev.Interfaces) {
			of := r.Prev.Interfaces[*n]
			if of.Sandbox == "" || of.Name != r.IfName {
				continue
			}
		}
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if f := nft.FamilyOf(a); ok && !seen[f] {
			seen[f] = true
			bits, _ := ip.Address.Mask.Size()
			all = append(all, netip.PrefixFrom(a.Unmap(), bits))
		}
	}
	return all
}

// want is one element that a container's ports need.
type want struct {
	set string
	nft.Element
	port *mapping // nil: the element is no port; it belongs to whoever has the address now
}

// String is how a person says it.
func (w want) String() string {
	if w.port != nil {
		return "host port " + w.port.String()
	}
	return "its element of set " + w.set
}

// elements are all that one container needs: its ports, the pairs of addresses to masquerade, that it is one of those
// with ports, and, last, that these are all.
func (c config) elements(attachment stages.Attachment, ports []mapping, pod []netip.Prefix) []want {
	owner := owner(attachment)
	var all []want // the ports first: what CHECK misses first is what a person knows
	for _, p := range pod {
		a := p.Addr()
		f, mapped := nft.FamilyOf(a), false
		for _, m := range ports {
			if !m.forFamily(f) {
				continue
			}
			mapped = true
			set, key := c.set(setPorts, f), nft.Concat(nft.Proto(m.proto), nft.Port(m.host.Port()))
			if m.host.Addr().IsValid() {
				set = c.set(setAddrPorts, f)
				key = append(nft.Concat(nft.Addr(m.host.Addr())), key...)
			}
			data := nft.Concat(nft.Addr(a), nft.Port(m.container))
			all = append(all, want{set, nft.Element{Key: key, Data: data, Comment: owner}, &m})
		}
		if !mapped || !c.SNAT {
			continue
		}
		add := func(set string, parts ...netip.Addr) {
			var key []byte
			for _, p := range parts {
				key = append(key, nft.Addr(p)...)
			}
			all = append(all, want{set: set, Element: nft.Element{Key: key, Comment: owner}})
		}
		if c.MasqAll {
			add(familyName(setMasqAll, f), a)
			continue
		}
		add(familyName(setHairpin, f), a, a)
		if f == nft.IPv4 { // IPv6 has no route_localnet: [::1] never reaches a pod
			add(familyName(setHairpin, f), loopback, a)
		}
	}
	all = append(all, want{set: setPods, Element: nft.Element{Key: podsKey(attachment), Comment: owner}})
	return append(all, made(attachment, pod, all))
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// localhost says whether 127.0.0.1 shall reach one of the ports.
func localhost(ports []mapping) bool {
	for _, m := range ports {
		if a := m.host.Addr(); m.four && (!a.IsValid() || a.IsLoopback()) {
			return true
		}
	}
	return false
}
