package nft

// steeringText is how nft 1.0.6 prints the table of steering.
const steeringText = `table inet enichain-test {
	comment "made by a test"
	map eniaddr {
		type ipv4_addr : verdict
		elements = { 10.0.0.20 : jump eni-1 }
	}

	map eniaddr6 {
		type ipv6_addr : verdict
	}

	map pods {
		type devgroup : verdict
		size 1024
		elements = { 7001 : jump eni-1 }
	}

	set inside {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/15, 192.168.0.0/24,
			     255.255.255.0/24 }
	}

	set inside6 {
		type ipv6_addr
		flags interval
		elements = { fd00::/56 }
	}

	set addresses {
		type ipv4_addr
		comment "behind other plugins"
		elements = { 10.0.0.11 comment "net/c1/eth0" }
	}

	map ports {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 comment "net/c1/eth0" : 10.0.0.21 . 80 }
	}

	map ports6 {
		type inet_proto . inet_service : ipv6_addr . inet_service
		elements = { udp . 53 comment "net/c1/eth0" : fd00::21 . 5353 }
	}

	map addrports {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
	}

	map addrports6 {
		type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
		elements = { fd00::10 . udp . 53 : fd00::21 . 5353 }
	}

	set hairpin {
		type ipv4_addr . ipv4_addr
		elements = { 127.0.0.1 . 10.0.0.21 }
	}

	set hairpin6 {
		type ipv6_addr . ipv6_addr
	}

	chain eni-1 {
		meta mark set meta mark & 0xffffff81 | 0x00000001
	}

	chain steer {
		comment "form 1"
		type filter hook prerouting priority dstnat + 10; policy accept;
		iifname "eth1" jump eni-1 comment "came in by it"
		ct direction reply ct status dnat ct original ip daddr vmap @eniaddr
		ct direction reply ct status dnat ct original ip6 daddr vmap @eniaddr6
		ct direction reply ct status dnat goto eni-1
		ct state established,related accept
		iifgroup vmap @pods
	}

	chain unsteer {
		type filter hook prerouting priority -89; policy accept;
		iifgroup 7128-7255 ct direction original ip daddr != @inside meta mark set meta mark & 0xffffff80
		iifgroup 7128-7255 ct direction original ip6 daddr != @inside6 meta mark set meta mark & 0xffffff80
	}

	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth0" snat ip to 10.0.0.10 fully-random
		oif "lo" ip saddr @addresses snat ip to 10.0.0.10
		oif "lo" ip6 daddr @inside6 snat ip6 to fd00::10 random
		ct status dnat ip saddr . ip daddr @hairpin masquerade
		ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade fully-random
	}

	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @addrports
		fib daddr type local dnat ip to meta l4proto . th dport map @ports
		fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @addrports6
		fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
		drop
	}
}
`
