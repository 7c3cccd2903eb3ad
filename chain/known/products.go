package known

import "github.com/enichain/enichain/chain/contract"

// products are plugins of whole networks, as far as they can stand in a list beside others'.
func products() map[string]plugin {
	return map[string]plugin{
		"aws-cni":    {"0.1.0", awsCNI},
		"egress-cni": {"0.1.0", egressCNI},
		"cilium-cni": {"0.1.0", ciliumCNI},
		"calico":     {"0.1.0", calico},
		"multus":     {"0.1.0", multus},
		"flannel":    {"0.1.0", flannel},
		"istio-cni":  {"0.1.0", istioCNI},
	}
}

// whole is a network in one stage: address, interface, way. What stood before it is lost.
func whole(lines ...string) contract.Contract {
	return contract.Contract{
		Previous:  contract.Discards,
		Adds:      []contract.Fact{contract.IPs, contract.SandboxInterface, contract.HostInterface, contract.Routed},
		Exclusive: []contract.Fact{contract.IPs, contract.SandboxInterface},
		Keys:      keys(lines...),
	}
}

// none is the list of verbs of a plugin without CHECK, GC and STATUS: no list at all would mean that it has them all.
func none() []string { return []string{"ADD", "DEL"} }

// awsCNI asks a daemon on the node; SNAT is that daemon's, not the stage's. It has no CHECK and no STATUS.
func awsCNI(config) contract.Contract {
	p := whole(
		`vethPrefix: string (at most 4 bytes; default "eni")`,
		`mtu: string (a number in quotes; default "9001")`,
		"pluginLogFile: string", "pluginLogLevel: string",
		`podSGEnforcingMode: "strict" or "standard"`,
	)
	p.Verbs = none()
	return p
}

// egressCNI gives a pod of one family a way out by the other: a second wire, and SNAT.
func egressCNI(config) contract.Contract {
	p := onto([]contract.Fact{contract.IPs, contract.SandboxInterface},
		`mtu: string (a number in quotes)`,
		`enabled: "true" or "false"`,
		`randomizeSNAT: "prng", "hashrandom" or "none"`,
		"nodeIP: address",
		"ipam: object (host-local's)",
		"pluginLogFile: string", "pluginLogLevel: string",
	)
	p.Verbs = none()
	return p
}

// ciliumCNI is a whole network alone, and in chaining mode a stage that needs the interface of those before it.
func ciliumCNI(c config) contract.Contract {
	lines := []string{
		"chaining-mode: string", "chaining-target: string", "enable-debug: boolean", "log-file: string", "log-format: string",
		"mtu: integer 0..65535", "ipam: object", "eni: object", "args: object",
	}
	if mode := c.text("chaining-mode"); mode != "" && mode != "none" {
		p := onto([]contract.Fact{contract.IPs, contract.SandboxInterface, contract.HostInterface}, lines...)
		p.Verbs = []string{"CHECK", "STATUS"}
		return p
	}
	p := whole(lines...)
	p.Verbs = []string{"CHECK", "STATUS"}
	return p
}

func calico(config) contract.Contract {
	p := whole(
		"datastore_type: string", "nodename: string", "nodename_file: string", "nodename_file_optional: boolean",
		"mtu: integer 0..65535", "num_queues: integer 0..65535", "include_default_routes: boolean",
		"log_level: string", "log_file_path: string", "log_file_max_size: integer 0..2147483647",
		"log_file_max_age: integer 0..2147483647", "log_file_max_count: integer 0..2147483647",
		"etcd_endpoints: string", "etcd_discovery_srv: string", "etcd_key_file: string", "etcd_cert_file: string",
		"etcd_ca_cert_file: string", "policy: object", "kubernetes: object", "feature_control: object",
		"container_settings: object", "dataplane_options: object", "readiness_gates: list of string",
		"policy_setup_timeout_seconds: integer 0..2147483647", "endpoint_status_dir: string",
		"ipam: object (with type, the delegate)", "args: object",
	)
	p.Requires = []contract.Fact{contract.IPs}
	p.Adds = []contract.Fact{contract.SandboxInterface, contract.HostInterface, contract.Routed}
	p.Exclusive = []contract.Fact{contract.SandboxInterface}
	p.Delegates = contract.MustDelegate
	p.Verbs = []string{"CHECK"}
	return p
}

// multus runs other lists; what they add is theirs to say.
func multus(config) contract.Contract {
	p := whole(
		"confDir: string", "cniDir: string", "binDir: string", "delegates: list of object", "clusterNetwork: string",
		"defaultNetworks: list of string", "kubeconfig: string", "logFile: string", "logLevel: string", "logToStderr: boolean",
		"logOptions: object", "readinessindicatorfile: string", "namespaceIsolation: boolean", "globalNamespaces: string",
		"systemNamespaces: list of string", "multusNamespace: string", "retryDeleteOnError: boolean", "socketDir: string",
		"chrootDir: string",
	)
	p.Capabilities = []string{"portMappings", "bandwidth", "ips", "mac", "infinibandGUID", "deviceID"}
	p.Verbs = []string{"CHECK", "STATUS"}
	return p
}

// flannel writes a list for bridge, with host-local, and runs that; it keeps what it wrote for DEL. Masquerading is its
// daemon's affair but where the daemon leaves it to the delegate.
func flannel(config) contract.Contract {
	p := whole(
		"delegate: object (the bridge plugin's keys, or another's with its type; without name and ipam)",
		`subnetFile: string (default "/run/flannel/subnet.env")`,
		`dataDir: string (default "/var/lib/cni/flannel")`,
		"ipam: object (routes)",
	)
	p.Adds = append(p.Adds, contract.Gateway)
	p.Verbs = []string{"CHECK"}
	return p
}

// istioCNI redirects a pod's flows to its proxy, in the pod's namespace.
func istioCNI(config) contract.Contract {
	return contract.Contract{
		Previous: contract.Passes,
		Verbs:    []string{"CHECK"},
		Keys: keys("plugin_log_level: string", "cni_agent_run_dir: string", "ambient_enabled: boolean",
			"enablement_selectors: list of object", "exclude_namespaces: list of string", "pod_namespace: string",
			"native_nftables: boolean"),
	}
}
