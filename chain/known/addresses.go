package known

import "github.com/enichain/enichain/chain/contract"

// addresses are the plugins that people write under "ipam", and that may as well stand first in a list.
func addresses() map[string]plugin {
	return map[string]plugin{
		"host-local":  {"0.1.0", hostLocal},
		"static":      {"0.1.0", static},
		"dhcp":        {"0.1.0", dhcp},
		"calico-ipam": {"0.1.0", calicoIPAM},
	}
}

// hostLocal keeps its files under the network's name; its DEL needs nothing but the attachment.
func hostLocal(c config) contract.Contract {
	return contract.Contract{
		Previous:     contract.Discards,
		Adds:         []contract.Fact{contract.IPs, contract.Gateway},
		Exclusive:    []contract.Fact{contract.IPs},
		Capabilities: []string{"ipRanges", "ips"},
		Verbs:        []string{"CHECK"},
		Kernel:       []string{"nothing (files in /var/lib/cni/networks)"},
		Keys: keys(
			"ipam: object (type, ranges [[{subnet, rangeStart, rangeEnd, gateway}]] or subnet, rangeStart, rangeEnd, gateway; "+
				"routes, dataDir, resolvConf)",
			"args: object (cni.ips)",
		),
	}
}

// static states what its configuration, a capability or CNI_ARGS says; without any it gives no address, and no error.
func static(c config) contract.Contract {
	var adds []contract.Fact
	given := append(c.under("ipam").list("addresses"), c.list("addresses")...) // a delegate may be asked with "ipam" alone
	asked := c.capable("ips") || c.under("args").under("cni").has("ips")
	if len(given) > 0 || asked {
		adds = append(adds, contract.IPs)
	}
	gateways := len(given) > 0 && !asked // addresses that are asked for carry no gateway
	for _, address := range given {
		gateways = gateways && address.has("gateway")
	}
	if gateways {
		adds = append(adds, contract.Gateway)
	}
	return contract.Contract{
		Previous:     contract.Discards,
		Adds:         adds,
		Exclusive:    adds[:min(len(adds), 1)],
		Capabilities: []string{"ips"},
		Verbs:        []string{"CHECK"},
		Kernel:       []string{"nothing"},
		Keys: keys(
			"ipam: object (type, addresses [{address, gateway}], routes, dns)",
			"args: object (cni.ips)",
		),
	}
}

// dhcp asks a daemon of its own by a socket, and that one enters the container's namespace.
func dhcp(config) contract.Contract {
	return contract.Contract{
		Previous:  contract.Discards,
		Adds:      []contract.Fact{contract.IPs, contract.Gateway},
		Exclusive: []contract.Fact{contract.IPs},
		Verbs:     []string{"CHECK"},
		Kernel:    []string{"nothing (its daemon's lease)"},
		Keys:      keys("ipam: object (type, daemonSocketPath, provide, request, priority)"),
	}
}

// calicoIPAM knows allocations by the container alone.
func calicoIPAM(config) contract.Contract {
	return contract.Contract{
		Previous:     contract.Discards,
		Adds:         []contract.Fact{contract.IPs},
		Exclusive:    []contract.Fact{contract.IPs},
		Capabilities: []string{"ips"},
		Verbs:        []string{"CHECK"},
		Keys: keys(
			"ipam: object (type, assign_ipv4, assign_ipv6, ipv4_pools, ipv6_pools)",
			"log_level: string", "datastore_type: string", "nodename: string", "nodename_file: string", "kubernetes: object",
		),
	}
}
