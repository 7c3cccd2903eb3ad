package known

import (
	"cmp"

	"github.com/enichain/enichain/chain/contract"
)

// interfaces are the plugins that make, or fetch, the container's interface. All but ipvlan and loopback begin a list:
// what stood before them is lost to those after them.
func interfaces() map[string]plugin {
	return map[string]plugin{
		"ptp":         {"0.1.0", ptp},
		"bridge":      {"0.1.0", bridge},
		"macvlan":     {"0.1.0", macvlan},
		"ipvlan":      {"0.1.0", ipvlan},
		"vlan":        {"0.1.0", vlan},
		"host-device": {"0.1.0", hostDevice},
		"tap":         {"0.1.0", tap},
		"dummy":       {"0.1.0", dummy},
		"loopback":    {"0.1.0", loopback},
	}
}

// made is what those have in common whose interface has an end in the container alone.
func made(delegates contract.Delegation, lines ...string) contract.Contract {
	return contract.Contract{
		Previous:  contract.Discards,
		Adds:      []contract.Fact{contract.SandboxInterface},
		Exclusive: []contract.Fact{contract.SandboxInterface},
		Delegates: delegates,
		Checks:    []contract.Aspect{contract.Routes},
		Verbs:     []string{"CHECK", "STATUS"},
		Keys: keys(append(lines,
			"ipam: object (with type, the delegate)",
			"dns: object (nameservers, domain, search, options: told in the result)")...),
	}
}

const mtuKind = "integer 0..65535 (default 0: the kernel's choice)"

// ptp gives its end of the wire the gateway's address: that must be one nobody else has.
func ptp(c config) contract.Contract {
	p := made(contract.MustDelegate,
		"ipMasq: boolean (default false)",
		`ipMasqBackend: "iptables" or "nftables" (default iptables where it works)`,
		"mtu: "+mtuKind,
	)
	p.Requires = []contract.Fact{contract.IPs, contract.Gateway}
	p.Adds = append(p.Adds, contract.HostInterface, contract.Routed)
	p.Kernel = []string{"veth", "the gateway's address and a route on it"}
	return masquerading(p, c.has("ipMasq"))
}

// bridge without ipam is a wire of layer 2, with neither address nor CHECK; without a gateway the host has no way in.
func bridge(c config) contract.Contract {
	p := made(contract.MayDelegate,
		`bridge: string (default "cni0")`,
		"isGateway: boolean (default false)",
		"isDefaultGateway: boolean (default false)",
		"forceAddress: boolean (default false)",
		"ipMasq: boolean (default false)",
		`ipMasqBackend: "iptables" or "nftables" (default iptables where it works)`,
		"mtu: "+mtuKind,
		"hairpinMode: boolean (default false)",
		"promiscMode: boolean (default false)",
		"vlan: integer 0..4094 (default 0: none)",
		"vlanTrunk: list of object ({id} or {minID, maxID})",
		"preserveDefaultVlan: boolean (default true)",
		"macspoofchk: boolean (default false)",
		"enabledad: boolean (default false)",
		"disableContainerInterface: boolean (default false)",
		"portIsolation: boolean (default false)",
	)
	p.Capabilities = []string{"mac"}
	p.Adds = append(p.Adds, contract.HostInterface, contract.Bridge)
	p.Kernel = []string{"bridge " + cmp.Or(c.text("bridge"), "cni0"), "veth"}
	if !c.delegates() {
		return p
	}
	p.Requires = []contract.Fact{contract.IPs}
	if c.has("isGateway") || c.has("isDefaultGateway") {
		p.Requires = append(p.Requires, contract.Gateway)
		p.Adds = append(p.Adds, contract.Routed)
	}
	return masquerading(p, c.has("ipMasq"))
}

// masquerading adds what ipMasq does. The rules go by the addresses that DEL finds on the interface.
func masquerading(p contract.Contract, on bool) contract.Contract {
	if on {
		p.Adds = append(p.Adds, contract.Masquerade)
		p.Exclusive = append(p.Exclusive, contract.Masquerade)
		p.DelForgets = append(p.DelForgets, contract.Netns)
		p.Kernel = append(p.Kernel, "masquerade rules (iptables CNI-… or nft inet cni_plugins_masquerade)")
	}
	return p
}

// macvlan's pods and the host's own stack do not hear one another on the master: nothing of the host routes to them.
func macvlan(config) contract.Contract {
	p := made(contract.MayDelegate,
		"master: string (default the interface of the default route)",
		`mode: "bridge", "private", "vepa" or "passthru" (default "bridge")`,
		"mtu: "+mtuKind,
		"mac: string",
		"linkInContainer: boolean (default false)",
		"bcqueuelen: integer 0..4294967295",
	)
	p.Capabilities = []string{"mac"}
	p.Kernel = []string{"nothing (a link of its master, in the container)"}
	return p
}

// ipvlan is the one interface plugin that takes addresses from prevResult; it names no interface but its own after that.
// Its pods bear the master's MAC, so that a VPC's addresses reach them.
func ipvlan(c config) contract.Contract {
	p := made(contract.MayDelegate,
		"master: string (default the one interface of prevResult, else that of the default route)",
		`mode: "l2", "l3" or "l3s" (default "l2")`,
		"mtu: "+mtuKind,
		"linkInContainer: boolean (default false)",
	)
	p.Adds = append(p.Adds, contract.Routed)
	p.Requires = []contract.Fact{contract.IPs}
	p.Kernel = []string{"nothing (a link of its master, in the container)"}
	if !c.delegates() {
		p.Previous = contract.Needs
	}
	return p
}

func vlan(config) contract.Contract {
	p := made(contract.MustDelegate,
		"master: string",
		"vlanId: integer 1..4094",
		"mtu: "+mtuKind,
		"linkInContainer: boolean (default false)",
	)
	p.Requires = []contract.Fact{contract.IPs}
	return p
}

// hostDevice opens the namespace before it asks its delegate: with no name for it the address stays, with the name of one
// that is gone DEL fails.
func hostDevice(c config) contract.Contract {
	p := made(contract.MayDelegate,
		"device: string", "hwaddr: string", "kernelpath: string", "pciBusID: string",
	)
	p.Capabilities = []string{"deviceID"}
	p.DelFails = []contract.Input{contract.Netns}
	p.Kernel = []string{"takes a link away from the node"}
	if c.delegates() {
		p.DelForgets = []contract.Input{contract.Netns}
	}
	return p
}

func tap(config) contract.Contract {
	p := made(contract.MayDelegate,
		"multiQueue: boolean (default false)",
		"mtu: "+mtuKind,
		"mac: string",
		"owner: integer 0..4294967295",
		"group: integer 0..4294967295",
		"selinuxContext: string",
		"bridge: string",
	)
	p.Capabilities = []string{"mac"}
	return p
}

func dummy(config) contract.Contract {
	p := made(contract.MustDelegate)
	p.Requires = []contract.Fact{contract.IPs}
	p.Checks = nil
	return p
}

// loopback sets lo up. First in a list it says 127.0.0.1, which is nobody's address to route to.
func loopback(config) contract.Contract {
	return contract.Contract{Previous: contract.Passes, Verbs: []string{"CHECK"}, Keys: keys()}
}
