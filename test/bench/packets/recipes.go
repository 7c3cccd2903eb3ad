package packets

import (
	"fmt"
	"strings"
)

// The lists under test, behind eni-ipam and routed-veth.
const (
	ours     = `, {"type": "snat"}, {"type": "portmap-compat", "capabilities": {"portMappings": true}}`
	upstream = `, {"type": "portmap", "backend": "nftables", "snat": true, "capabilities": {"portMappings": true}}`
	// iptablesPorts writes the chains and rules that upstream's portmap writes, letter by letter
	// (stages/portmapcompat), and does so for 1,000 ports in a second where that takes a minute.
	iptablesPorts = `, {"type": "portmap-compat", "backend": "iptables", "snat": true, "capabilities": {"portMappings": true}}`
)

// conntracked is what any node has that runs kube-proxy or translates anything: connections are tracked, and translation
// is hooked in. It has no rule for an established packet.
const conntracked = `nft -f - <<'END'
table inet conntracked {
	chain unused { ct state new accept; }
	chain prerouting { type nat hook prerouting priority dstnat; }
	chain output { type nat hook output priority -100; }
	chain postrouting { type nat hook postrouting priority srcnat; }
}
END
`

// crowd is a line for each of n pods that are not there, in one ip -batch.
func crowd(n int, line func(address string) string) string {
	var b strings.Builder
	b.WriteString("ip -batch - <<'END'\n")
	for i := range n {
		b.WriteString(line(fmt.Sprintf("10.111.%d.%d", i/250, 1+i%250)))
	}
	b.WriteString("END\n")
	return b.String()
}

// routes are those of a plain node's pods.
func routes(pods int) string {
	return crowd(pods-2, func(a string) string { return "route add " + a + " dev crowd scope link\n" })
}

// awsRules are what amazon-vpc-cni-k8s makes of pods on a secondary network interface: a route and two rules each, one
// by destination and one by source, and for the node its marks and its chain of SNAT.
func awsRules(pods int) string {
	each := func(a string) string {
		return "rule add pref 512 to " + a + " lookup main\nrule add pref 1536 from " + a + " lookup 1001\n"
	}
	return routes(pods) + crowd(pods-2, each) + "ip -batch - <<'END'\n" + each("PEER") + each("POD") +
		"rule add pref 1024 fwmark 0x80/0x80 lookup main\nEND\n" + awsChains([]string{"10.110.0.0/16"})
}

// awsChains are its chains in iptables, with networks that are left out of SNAT.
func awsChains(inside []string) string {
	var b strings.Builder
	b.WriteString(`iptables-restore <<'END'
*mangle
-A PREROUTING -i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
COMMIT
*nat
:AWS-SNAT-CHAIN-0 - [0:0]
:AWS-CONNMARK-CHAIN-0 - [0:0]
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0
-A PREROUTING -m comment --comment "AWS, CONNMARK" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
`)
	for _, network := range inside {
		fmt.Fprintf(&b, "-A AWS-CONNMARK-CHAIN-0 -d %s -m comment --comment \"AWS CONNMARK CHAIN, VPC CIDR\" -j RETURN\n", network)
		fmt.Fprintf(&b, "-A AWS-SNAT-CHAIN-0 -d %s -m comment --comment \"AWS SNAT CHAIN\" -j RETURN\n", network)
	}
	b.WriteString(`-A AWS-CONNMARK-CHAIN-0 -m comment --comment "AWS, CONNMARK" -j CONNMARK --set-xmark 0x80/0x80
-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.110.10.5 --random-fully
COMMIT
END
`)
	return b.String()
}

// excluded are n networks, none of which is what anybody here talks to.
func excluded(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("100.%d.%d.0/24", 64+2*(i/250), i%250))
	}
	return all
}

// oursExcluding is our list with networks left out of SNAT.
func oursExcluding(n int) string {
	return `, {"type": "snat", "exclude": ["` + strings.Join(excluded(n), `", "`) + `"]}`
}

// awsExcluding is a plain node with one route into the VPC by the pod's network interface, and amazon-vpc-cni-k8s's chains.
func awsExcluding(n int) string {
	return conntracked + awsChains(append(excluded(n), "10.110.0.0/16"))
}

// kubeProxyIPTables are kube-proxy's rules in its mode "iptables", for services with two endpoints each, none of which
// anybody here asks: what they cost others.
func kubeProxyIPTables(services int) string {
	var chains, rules strings.Builder
	for i := range services {
		fmt.Fprintf(&chains, ":KUBE-SVC-%d - [0:0]\n:KUBE-SEP-%d-A - [0:0]\n:KUBE-SEP-%d-B - [0:0]\n", i, i, i)
		fmt.Fprintf(&rules, "-A KUBE-SERVICES -d 10.96.%d.%d/32 -p tcp -m comment --comment \"default/s%d cluster IP\" -m tcp --dport 80 -j KUBE-SVC-%d\n",
			i/250, 1+i%250, i, i)
		fmt.Fprintf(&rules, "-A KUBE-SVC-%d -m statistic --mode random --probability 0.5 -j KUBE-SEP-%d-A\n-A KUBE-SVC-%d -j KUBE-SEP-%d-B\n", i, i, i, i)
		for k, end := range []string{"A", "B"} {
			at := fmt.Sprintf("10.112.%d.%d", i/250+4*k, 1+i%250)
			fmt.Fprintf(&rules, "-A KUBE-SEP-%d-%s -s %s/32 -j KUBE-MARK-MASQ\n-A KUBE-SEP-%d-%s -p tcp -m tcp -j DNAT --to-destination %s:80\n",
				i, end, at, i, end, at)
		}
	}
	return `iptables-restore --noflush <<'END'
*filter
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
` + chains.String() + `-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
` + rules.String() + `-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
END
`
}

// kubeProxyNFTables are the same in its mode "nftables": a map of services, and its hooks as it has them.
func kubeProxyNFTables(services int) string {
	var chains, elements strings.Builder
	for i := range services {
		for k, end := range []string{"A", "B"} {
			at := fmt.Sprintf("10.112.%d.%d", i/250+4*k, 1+i%250)
			fmt.Fprintf(&chains, "chain endpoint-%d-%s { ip saddr %s jump mark-for-masquerade; meta l4proto tcp dnat to %s:80; }\n", i, end, at, at)
		}
		fmt.Fprintf(&chains, "chain service-%d { numgen random mod 2 vmap { 0 : goto endpoint-%d-A, 1 : goto endpoint-%d-B }\n}\n", i, i, i)
		fmt.Fprintf(&elements, "10.96.%d.%d . tcp . 80 : goto service-%d, ", i/250, 1+i%250, i)
	}
	return `nft -f - <<'END'
table ip kube-proxy {
	chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
` + chains.String() + `
	map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { ` + elements.String() + ` }
	}
	map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
	map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
	map service-nodeports { type inet_proto . inet_service : verdict; }
	set nodeport-ips { type ipv4_addr; elements = { 10.110.10.5 }
	}
	set cluster-ips { type ipv4_addr; }
	chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports; }
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
	chain cluster-ips-check { ip daddr @cluster-ips drop; }
	chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
	chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	chain filter-prerouting { type filter hook prerouting priority -110; ct state new jump firewall-check; }
	chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain masquerading { meta mark and 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }
	chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
END
`
}
