// Package compose puts stages together in every way that their contracts allow, and in those they forbid: the lists that
// its tests try for real, and docs/compositions.md describes. Only the stages' configurations are written down here; in
// which orders they may stand is what package chain says of their contracts.
package compose

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Variant is a stage with one configuration.
type Variant struct {
	Name   string // short, unique: "ptp+host-local"
	Type   string
	Single string // members of the configuration beside type, for IPv4 alone
	Dual   string // the same for IPv4 and IPv6 at once; "" is as Single
}

// Stage is the variant as a member of a list.
func (v Variant) Stage(dual bool) json.RawMessage {
	members := v.Single
	if dual && v.Dual != "" {
		members = v.Dual
	}
	if members != "" {
		members = ", " + members
	}
	return json.RawMessage(fmt.Sprintf("{ %q: %q%s }", "type", v.Type, members))
}

// List is a network configuration list of variants, in one CNI version.
func List(network, version string, dual bool, variants ...Variant) []byte {
	var stages []string
	for _, v := range variants {
		stages = append(stages, "    "+string(v.Stage(dual)))
	}
	return fmt.Appendf(nil, "{\n  \"cniVersion\": %q,\n  \"name\": %q,\n  \"plugins\": [\n%s\n  ]\n}\n", version, network, strings.Join(stages, ",\n"))
}

// Names are the variants' names, as one line.
func Names(variants []Variant) string {
	names := make([]string, 0, len(variants))
	for _, v := range variants {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

// hostLocal is host-local's "ipam" in a range of its own, with default routes.
func hostLocal(third int, dual bool) string {
	if dual {
		return fmt.Sprintf(`"ipam": { "type": "host-local", "ranges": [[{ "subnet": "192.168.%d.0/24" }], [{ "subnet": "fd00:192:168:%d::/64" }]], `+
			`"routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] }`, third, third)
	}
	return fmt.Sprintf(`"ipam": { "type": "host-local", "ranges": [[{ "subnet": "192.168.%d.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] }`, third)
}

// both is a variant whose two forms differ in one member, under others that they share.
func both(name, kind, shared string, member func(dual bool) string) Variant {
	join := func(dual bool) string { return strings.TrimPrefix(shared+", "+member(dual), ", ") }
	return Variant{Name: name, Type: kind, Single: join(false), Dual: join(true)}
}

// Variants are all stages that compositions are made of. A stage that is added here appears in every composition that
// its contract allows.
func Variants() []Variant {
	local := func(third int) func(bool) string { return func(dual bool) string { return hostLocal(third, dual) } }
	return append([]Variant{
		{Name: "eni-ipam", Type: "eni-ipam", Dual: `"families": ["ipv4", "ipv6"]`},
		both("host-local", "host-local", "", local(100)),
		{Name: "static", Type: "static",
			Single: `"ipam": { "type": "static", "addresses": [{ "address": "192.168.101.9/24", "gateway": "192.168.101.1" }], "routes": [{ "dst": "0.0.0.0/0" }] }`,
			Dual: `"ipam": { "type": "static", "addresses": [{ "address": "192.168.101.9/24", "gateway": "192.168.101.1" }, ` +
				`{ "address": "fd00:192:168:101::9/64", "gateway": "fd00:192:168:101::1" }], "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] }`},
		{Name: "routed-veth", Type: "routed-veth"},
		both("routed-veth+host-local", "routed-veth", "", local(102)),
		{Name: "routed-veth+eni-ipam", Type: "routed-veth", Single: `"ipam": { "type": "eni-ipam" }`,
			Dual: `"ipam": { "type": "eni-ipam", "families": ["ipv4", "ipv6"] }`},
		both("ptp+host-local", "ptp", "", local(103)),
		both("ptp+host-local masq", "ptp", `"ipMasq": true, "ipMasqBackend": "iptables"`, local(104)),
		{Name: "ptp+eni-ipam", Type: "ptp", Single: `"ipam": { "type": "eni-ipam", "gateway": "reserve", "scope": "primary" }`,
			Dual: `"ipam": { "type": "eni-ipam", "gateway": "reserve", "scope": "primary", "families": ["ipv4", "ipv6"] }`},
		both("bridge+host-local", "bridge", `"bridge": "br0", "isGateway": true, "hairpinMode": true`, local(105)),
		{Name: "bridge+eni-ipam", Type: "bridge",
			Single: `"bridge": "br1", "isDefaultGateway": true, "hairpinMode": true, "ipam": { "type": "eni-ipam", "gateway": "reserve", "scope": "prefix" }`,
			Dual: `"bridge": "br1", "isDefaultGateway": true, "hairpinMode": true, ` +
				`"ipam": { "type": "eni-ipam", "gateway": "reserve", "scope": "prefix", "families": ["ipv4", "ipv6"] }`},
		both("macvlan+host-local", "macvlan", `"master": "eth0"`, local(106)),
		{Name: "macvlan+eni-ipam", Type: "macvlan", Single: `"master": "eth0", "ipam": { "type": "eni-ipam" }`},
		{Name: "ipvlan", Type: "ipvlan", Single: `"master": "eth0"`},
	}, behind()...)
}

// behind are the variants that work on what others made.
func behind() []Variant {
	const ports = `"capabilities": { "portMappings": true }`
	return []Variant{
		{Name: "loopback", Type: "loopback"},
		{Name: "snat", Type: "snat"},
		{Name: "snat inside", Type: "snat", Single: `"inside": ["192.168.0.0/16"]`,
			Dual: `"inside": ["192.168.0.0/16", "fd00:192:168::/48"], "families": ["ipv4", "ipv6"]`},
		{Name: "portmap iptables", Type: "portmap", Single: `"backend": "iptables", ` + ports},
		{Name: "portmap nftables", Type: "portmap", Single: `"backend": "nftables", ` + ports},
		{Name: "portmap-compat nftables", Type: "portmap-compat", Single: ports},
		{Name: "portmap-compat iptables", Type: "portmap-compat", Single: `"backend": "iptables", ` + ports},
		{Name: "fastpath", Type: "fastpath"},
		{Name: "bandwidth", Type: "bandwidth",
			Single: `"ingressRate": 100000000, "ingressBurst": 10000000, "egressRate": 100000000, "egressBurst": 10000000`},
		{Name: "firewall", Type: "firewall", Single: `"backend": "iptables"`},
		{Name: "firewall same-bridge", Type: "firewall", Single: `"backend": "iptables", "ingressPolicy": "same-bridge"`},
		{Name: "tuning mac", Type: "tuning", Single: `"mac": "02:fe:00:00:00:01"`},
		{Name: "tuning mtu", Type: "tuning", Single: `"mtu": 1400`},
		{Name: "tuning sysctl", Type: "tuning", Single: `"sysctl": { "net.core.somaxconn": "4096" }`},
		{Name: "sbr", Type: "sbr"},
		{Name: "debug", Type: "debug"},
	}
}
