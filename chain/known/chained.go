package known

import (
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// chained are the plugins that work on what others made.
func chained() map[string]plugin {
	return map[string]plugin{
		"portmap":   {"0.1.0", portmap},
		"bandwidth": {"0.3.0", bandwidth},
		"firewall":  {"0.4.0", firewall},
		"tuning":    {"0.1.0", tuning},
		"sbr":       {"0.1.0", sbr},
		"vrf":       {"0.3.1", vrf},
		"debug":     {"0.1.0", debug},
		"noop":      {"0.1.0", noop},
	}
}

// onto is what they have in common.
func onto(requires []contract.Fact, lines ...string) contract.Contract {
	return contract.Contract{
		Previous: contract.Needs,
		Requires: requires,
		Verbs:    []string{"CHECK"},
		Keys:     keys(lines...),
	}
}

// portmap finds its rules at DEL only if it is told the ports again. Ports lead to an address that the host can reach.
func portmap(c config) contract.Contract {
	p := onto([]contract.Fact{contract.IPs, contract.SandboxInterface, contract.Routed},
		`backend: "iptables" or "nftables" (default iptables where it works)`,
		"snat: boolean (default true)",
		"masqAll: boolean (default false)",
		"markMasqBit: integer 0..31 (default 13; iptables only)",
		"externalSetMarkChain: string (iptables only)",
		"conditionsV4: list of string (further matches in the backend's words)",
		"conditionsV6: list of string (further matches in the backend's words)",
	)
	p.Adds = []contract.Fact{contract.HostPorts}
	p.Exclusive = p.Adds
	p.Capabilities = []string{"portMappings"}
	p.Kernel = []string{"iptables nat CNI-HOSTPORT-… and CNI-DN-…", "route_localnet"}
	if c.text("backend") == "nftables" {
		p.Kernel = []string{"nft ip cni_hostport", "nft ip6 cni_hostport", "route_localnet"}
	}
	p.DelForgets = []contract.Input{contract.RuntimeConfig}
	return p
}

// bandwidth wants the host's end of a veth, without limits too: its CHECK looks for it before it looks for them.
func bandwidth(config) contract.Contract {
	p := onto([]contract.Fact{contract.SandboxInterface, contract.HostInterface},
		"ingressRate: integer 0..18446744073709551615 (bits per second)",
		"ingressBurst: integer 0..34359738359 (bits; given with ingressRate)",
		"egressRate: integer 0..18446744073709551615 (bits per second)",
		"egressBurst: integer 0..34359738359 (bits; given with egressRate)",
	)
	p.Capabilities = []string{"bandwidth"}
	p.Kernel = []string{"qdisc tbf on the host's end", "an ifb link"}
	return p
}

// firewall's rules are known by address alone. A policy takes the first interface of the result for the bridge.
func firewall(c config) contract.Contract {
	p := onto([]contract.Fact{contract.IPs},
		`backend: "iptables" or "firewalld" (default firewalld where it runs)`,
		"iptablesAdminChainName: string",
		`firewalldZone: string (default "trusted")`,
		`ingressPolicy: "open", "same-bridge" or "isolated" (default "open")`,
	)
	if policy := c.text("ingressPolicy"); policy != "" && policy != "open" {
		p.Requires = append(p.Requires, contract.Bridge)
	}
	p.DelForgets = []contract.Input{contract.PrevResult}
	p.Kernel = []string{"iptables filter CNI-FORWARD and CNI-ADMIN, or firewalld's zone"}
	return p
}

// tuning touches the interface only where it is told to.
func tuning(c config) contract.Contract {
	p := onto(nil,
		"sysctl: object (names and values)",
		"mac: string", "promisc: boolean (default false)", "mtu: "+mtuKind, "txQLen: integer 0..4294967295", "allmulti: boolean",
		`dataDir: string (default "/run/cni/tuning")`,
		"args: object (cni.sysctl, cni.mac, cni.promisc, cni.mtu, cni.txQLen, cni.allmulti)",
	)
	p.Capabilities = []string{"mac"}
	asked := c.under("args").under("cni")
	sets := func(key string) bool { return c.has(key) || asked.has(key) }
	if sets("mac") || c.capable("mac") {
		p.Changes = append(p.Changes, contract.MAC)
	}
	if sets("mtu") {
		p.Changes = append(p.Changes, contract.MTU)
	}
	link := len(p.Changes) > 0 || sets("promisc") || sets("txQLen") || sets("allmulti")
	if link || namesInterface(c) {
		p.Requires = []contract.Fact{contract.SandboxInterface}
	}
	if link {
		p.DelForgets = []contract.Input{contract.Netns} // the file with what the interface was before
	}
	return p
}

// namesInterface says whether one of the sysctls is an interface's own.
func namesInterface(c config) bool {
	for _, asked := range []config{c.under("sysctl"), c.under("args").under("cni").under("sysctl")} {
		for name := range asked {
			parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '/' })
			if len(parts) > 3 && (parts[2] == "conf" || parts[2] == "neigh") && parts[3] != "all" && parts[3] != "default" {
				return true
			}
		}
	}
	return false
}

// sbr moves the interface's routes into tables by source. An address without a gateway loses its default route. It locks
// the file that names the namespace, so that DEL cannot do without it.
func sbr(config) contract.Contract {
	p := onto([]contract.Fact{contract.IPs, contract.Gateway, contract.SandboxInterface},
		"table: integer 1..4294967295 (default from 100 on)",
	)
	p.Changes = []contract.Aspect{contract.Routes}
	p.DelFails = []contract.Input{contract.Netns}
	return p
}

func vrf(config) contract.Contract {
	p := onto([]contract.Fact{contract.SandboxInterface},
		"vrfname: string", "table: integer 0..4294967295 (default 0: the next free one)",
	)
	p.Changes = []contract.Aspect{contract.Routes}
	return p
}

// debug writes down what it was told, and runs commands in the container's namespace.
func debug(config) contract.Contract {
	return contract.Contract{
		Previous: contract.Passes,
		Verbs:    []string{"CHECK"},
		Keys: keys("cniOutput: string (a file)",
			"addHooks: list of list of string", "delHooks: list of list of string", "checkHooks: list of list of string"),
	}
}

// noop, cni's own test double, answers what its debug file says; without one it answers nothing at all, and what stood
// before it is lost.
func noop(c config) contract.Contract {
	p := contract.Contract{Previous: contract.Discards, Keys: keys("debugFile: string", "commandLog: string")}
	if c.has("debugFile") {
		p.Previous = contract.Passes
		p.DelFails = []contract.Input{contract.PrevResult}
	}
	return p
}
