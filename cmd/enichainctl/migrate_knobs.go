package main

import (
	"cmp"
	"fmt"
	"strings"
)

// fate is what becomes of a setting.
type fate string

const (
	carried  fate = "carried"  // it has a key of ours
	needless fate = "needless" // ours does it always, or has nothing to set
	lost     fate = "lost"     // it does something there, and ours has nothing for it
	notSet   fate = "notSet"
	unknown  fate = "unknown" // its value, or it itself
)

// outcome is what becomes of one setting, in words.
type outcome struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Fate  fate   `json:"fate"`
	To    string `json:"to,omitempty"`   // key of ours and its value
	Text  string `json:"text,omitempty"` // why, or what to do
}

// knob is one environment variable of amazon-vpc-cni-k8s.
type knob struct {
	name  string
	unset string // what theirs does without it, and what ours does
	judge func(n awsNode, value string) outcome
}

func to(key string, a ...any) outcome { return outcome{Fate: carried, To: fmt.Sprintf(key, a...)} }

func needs(text string) func(awsNode, string) outcome {
	return func(awsNode, string) outcome { return outcome{Fate: needless, Text: text} }
}

// losing is lost where it is on, and the same as with us where it is off.
func losing(name, text string) func(awsNode, string) outcome {
	return func(n awsNode, _ string) outcome {
		if n.on(name, false) {
			return outcome{Fate: lost, Text: text}
		}
		return outcome{Fate: needless, Text: "off there, and not with us"}
	}
}

func (o outcome) and(text string) outcome {
	o.Text = text
	return o
}

// knobs are all that amazon-vpc-cni-k8s v1.23 reads, by what they are about.
func knobs() []knob {
	all := poolKnobs()
	all = append(all, networkKnobs()...)
	all = append(all, pathKnobs()...)
	all = append(all, familyKnobs()...)
	return append(all, runningKnobs()...)
}

// poolKnobs size the pool.
func poolKnobs() []knob {
	return []knob{
		{"WARM_ENI_TARGET", "1 interface's worth of addresses; pools[].warm.enis: 1, unless another target counts", func(n awsNode, v string) outcome {
			return n.warmOutcome("WARM_ENI_TARGET", v, "enis", !n.byAddresses() && !n.prefixes())
		}},
		{"WARM_IP_TARGET", "none; none", func(n awsNode, v string) outcome {
			return n.warmOutcome("WARM_IP_TARGET", v, "free", n.byAddresses())
		}},
		{"MINIMUM_IP_TARGET", "none; none", func(n awsNode, v string) outcome {
			return n.warmOutcome("MINIMUM_IP_TARGET", v, "minimum", n.byAddresses())
		}},
		{"WARM_PREFIX_TARGET", "0; the same", func(n awsNode, v string) outcome {
			return n.warmOutcome("WARM_PREFIX_TARGET", v, "prefixes", n.prefixes() && !n.byAddresses())
		}},
		{"MAX_ENI", "the type's limit; the same", func(n awsNode, v string) outcome {
			if m := n.number("MAX_ENI", 0); m > 0 {
				return to("pools[].enis.max: %d", m)
			}
			return outcome{Fate: needless, Text: "no limit but the type's, as without it"}
		}},
		{"ENABLE_PREFIX_DELEGATION", "false; pools[].mode: secondary", func(n awsNode, v string) outcome {
			if n.prefixes() {
				return to("pools[].mode: auto").and("prefixes where type and subnet have them, single addresses in a fragmented subnet; " +
					"mode: prefix would rather have none")
			}
			return to("pools[].mode: secondary")
		}},
		{"IP_COOLDOWN_PERIOD", "30 s; 30 s", func(n awsNode, v string) outcome {
			return to("pools[].cooldown: %ds", n.cooldown()).and("and ours outlives a restart of the agent")
		}},
		{"DISABLE_NETWORK_RESOURCE_PROVISIONING", "false; pool.supply: reconciler", supplyOutcome("DISABLE_NETWORK_RESOURCE_PROVISIONING")},
		{"ENABLE_IMDS_ONLY_MODE", "false; pool.supply: reconciler", supplyOutcome("ENABLE_IMDS_ONLY_MODE")},
		{"DISABLE_LEAKED_ENI_CLEANUP", "false; reconciler.cleanup, 25 a round", func(n awsNode, v string) outcome {
			if n.on("DISABLE_LEAKED_ENI_CLEANUP", false) {
				return to("reconciler.cleanup.perRound: 0")
			}
			return to("reconciler.cleanup").and("its defaults")
		}},
		{"AWS_MANAGE_ENIS_NON_SCHEDULABLE", "false: a cordoned node's pool stands still; ours is kept as any other",
			needs("a cordon changes nothing about a pool")},
		{"ENABLE_MULTI_NIC", "false; pools[].cards: [0]", losing("ENABLE_MULTI_NIC",
			"one interface of a pod on each network card: put the cards into pools[].cards to use their addresses; "+
				"the annotation k8s.amazonaws.com/nicConfig is not read")},
		{"MANAGE_UNTAGGED_ENI", "true; an interface without our tag is never touched, but for the primary one (usePrimary)",
			needs("an interface without our tag is never touched, but for the primary one (usePrimary)")},
	}
}

// supplyOutcome is what becomes of the two settings by which somebody else gives the addresses.
func supplyOutcome(name string) func(awsNode, string) outcome {
	return func(n awsNode, _ string) outcome {
		if n.on(name, false) {
			return to("roles: [agent], pool.supply: imds").and("no reconciler and no bus; warm targets, subnets and groups are nobody's here")
		}
		return outcome{Fate: needless, Text: "off: pool.supply: reconciler"}
	}
}

// warmOutcome is what becomes of one of the four warm targets.
func (n awsNode) warmOutcome(name, value, key string, counts bool) outcome {
	keys, numbers := n.warm()
	switch {
	case n.ipv6Only():
		return outcome{Fate: needless, Text: "without effect there with IPv6; pools[].warm counts addresses of the delegated prefixes here"}
	case !counts:
		return outcome{Fate: needless, Text: "without effect there beside the others; pools[].warm." + keys[0] + " counts"}
	case n.number(name, -1) < 0:
		return outcome{Fate: needless, Text: "no number of 0 or more, so theirs takes its default; ours is " + key + " of that"}
	}
	for i := range keys {
		if keys[i] == key {
			return to("pools[].warm.%s: %d", key, numbers[i])
		}
	}
	return to("pools[].warm.%s: %d", keys[0], numbers[0]).and("theirs asks for more when none is free, and so does this")
}

// networkKnobs choose subnets, security groups and tags.
func networkKnobs() []knob {
	return []knob{
		{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "false; the node's own subnet, its primary interface included", func(n awsNode, v string) outcome {
			switch {
			case n.ipv6Only() && n.on("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", false):
				return outcome{Fate: needless, Text: "theirs does not start with this and IPv6"}
			case !n.custom():
				return to("pools[].usePrimary: true")
			}
			if len(n.configs) == 0 {
				return outcome{Fate: lost, Text: "no ENIConfig was given, and pools come from those: add 'kubectl get eniconfigs -o yaml'"}
			}
			return to("pools[]: one for each ENIConfig, usePrimary: false")
		}},
		{"ENI_CONFIG_LABEL_DEF", "k8s.amazonaws.com/eniConfig; the same key in pools[].nodes", func(n awsNode, v string) outcome {
			if !n.custom() {
				return outcome{Fate: needless, Text: "without effect there: no custom networking"}
			}
			if told(wellKnown(v)) {
				return to("pools[].nodes: {%s: …}", wellKnown(v))
			}
			return to("pools[].nodes: {%s: …}", v).and("a pool selects by EC2 tags: tag each instance as its node is labelled")
		}},
		{"ENI_CONFIG_ANNOTATION_DEF", "k8s.amazonaws.com/eniConfig; annotations of nodes are not read", func(n awsNode, v string) outcome {
			if v == "" || !n.custom() {
				return outcome{Fate: needless, Text: "without effect there: no custom networking"}
			}
			return outcome{Fate: lost, Text: "annotations of nodes are not read: tag each instance, and name the tag in pools[].nodes"}
		}},
		{"ENABLE_SUBNET_DISCOVERY", "true; pools[].subnets.tags: {kubernetes.io/role/cni: \"1\"}", func(n awsNode, v string) outcome {
			switch {
			case n.custom():
				return outcome{Fate: needless, Text: "without effect there beside ENIConfigs"}
			case n.discovers():
				return to("pools[].subnets.tags: {kubernetes.io/role/cni: \"1\"}").and("the same subnets: those with the tag, and the node's own without it")
			}
			return to("pools[].subnets").and("empty: the node's own")
		}},
		{"ADDITIONAL_ENI_TAGS", "none; none", func(n awsNode, v string) outcome {
			tags, refused, err := n.tags()
			switch {
			case err != nil:
				return outcome{Fate: needless, Text: "no JSON object of texts: theirs ignores it, and so does this"}
			case len(refused) > 0:
				return to("reconciler.tags").and("without " + strings.Join(refused, ", ") + ": reserved, too long or too many")
			case len(tags) == 0:
				return outcome{Fate: needless, Text: "none"}
			}
			return to("reconciler.tags")
		}},
		{"CLUSTER_NAME", "none; the reconciler needs one: --cluster", func(_ awsNode, v string) outcome { return to("cluster: %s", v) }},
		{"ENABLE_POD_ENI", "false; the same", losing("ENABLE_POD_ENI",
			"security groups of single pods (branch interfaces): give a team a pool of its own with securityGroups, chosen by namespace, or stay")},
		{"POD_SECURITY_GROUP_ENFORCING_MODE", "strict; nothing of the kind", func(n awsNode, _ string) outcome {
			if n.on("ENABLE_POD_ENI", false) {
				return outcome{Fate: lost, Text: "as ENABLE_POD_ENI"}
			}
			return outcome{Fate: needless, Text: "without effect there: ENABLE_POD_ENI is off"}
		}},
		{"DISABLE_TCP_EARLY_DEMUX", "false; left as the kernel has it", needs("only branch interfaces need it")},
	}
}

// runningKnobs are about policy, watching and running.
func runningKnobs() []knob {
	same := func(name, unset, text string) knob { return knob{name, unset, needs(text)} }
	metrics := "numbers are on enichaind's socket, GET /metrics, and on a port where metrics.listen names one; the reconciler's have all nodes"
	return []knob{
		{"NETWORK_POLICY_ENFORCING_MODE", "no policies; no policies", func(n awsNode, v string) outcome {
			if n.policy {
				return outcome{Fate: lost, Text: "network policies end with aws-node: run Calico, Cilium or kube-network-policies before"}
			}
			return outcome{Fate: needless, Text: "without effect there: no container enforces policies"}
		}},
		{"ANNOTATE_POD_IP", "false; the same", losing("ANNOTATE_POD_IP", "ours writes to no API server; events on the bus carry each pod's address sooner")},
		same("DISABLE_INTROSPECTION", "false; enichaind's unix socket", "read by enichainctl on a unix socket, never on a port"),
		same("INTROSPECTION_BIND_ADDRESS", "127.0.0.1:61679; the unix socket `socket`", "read by enichainctl on a unix socket, never on a port"),
		same("DISABLE_METRICS", "false: on port 61678; on the unix socket, metrics.listen for a port", metrics),
		same("METRIC_UPDATE_INTERVAL", "30 s; when asked", metrics),
		same("USE_CLOUDWATCH", "true, of cni-metrics-helper; nothing is pushed", metrics),
		same("USE_PROMETHEUS", "false, of cni-metrics-helper; always", metrics),
		same("AWS_CLUSTER_ID", "none, of cni-metrics-helper; cluster", metrics),
		{"AWS_VPC_K8S_CNI_LOGLEVEL", "DEBUG; log.level: info", func(_ awsNode, v string) outcome {
			if level := logLevel(v); level != "debug" {
				return to("log.level: %s", level)
			}
			return outcome{Fate: needless, Text: "its default there; log.level: debug where it is wanted"}
		}},
		same("AWS_VPC_K8S_CNI_LOG_FILE", "a file; standard error", "enichaind writes to standard error"),
		same("AWS_VPC_K8S_PLUGIN_LOG_FILE", "a file; standard error and the flight record", "stages write to standard error and the flight record (enichainctl why, trace)"),
		same("AWS_VPC_K8S_PLUGIN_LOG_LEVEL", "DEBUG; no levels", "stages write one line a run to the flight record"),
		same("AWS_VPC_K8S_EGRESS_V4_PLUGIN_LOG_FILE", "a file; no such plugin", "there is no such plugin"),
		same("AWS_VPC_K8S_EGRESS_V6_PLUGIN_LOG_FILE", "a file; no such plugin", "there is no such plugin"),
		same("AWS_VPC_K8S_CNI_BACKING_STORE", "/var/run/aws-node/ipam.json; pool.file", "another format: pool.file stays at its default"),
		{"HOST_CNI_BIN_PATH", "/host/opt/cni/bin; cni.binDir", func(n awsNode, v string) outcome { return n.folder("cni.binDir", "HOST_CNI_BIN_PATH", v) }},
		{"HOST_CNI_CONFDIR_PATH", "/host/etc/cni/net.d; cni.confDir", func(n awsNode, v string) outcome { return n.folder("cni.confDir", "HOST_CNI_CONFDIR_PATH", v) }},
		same("CLUSTER_ENDPOINT", "the cluster's; none", "nodes ask no API server"),
		{"AWS_EC2_ENDPOINT", "the Region's; the Region's", func(n awsNode, v string) outcome {
			if n.endpoint() == "" {
				return outcome{Fate: unknown, Text: "no URL: see what it is for, and write one into reconciler.ec2.endpoint"}
			}
			return to("reconciler.ec2.endpoint: %s", v)
		}},
		same("HTTP_TIMEOUT", "10 s; 15 s for a call", "each call has 15 s and one attempt"),
		{"AWS_REGION", "the instance's; the instance's", func(_ awsNode, v string) outcome { return to("reconciler.ec2.region: %s", v) }},
		same("VPC_ID", "the instance's; the instance's", "the reconciler sees it by the instances"),
		same("VPC_CNI_VERSION", "of the chart; none", "the other's version"),
		same("MY_NODE_NAME", "of the manifest; none", "a node knows itself by IMDS"),
		same("MY_POD_NAME", "of the manifest; none", "a node knows itself by IMDS"),
	}
}

func (n awsNode) folder(key, name, value string) outcome {
	if host := n.host(name, ""); host != "" {
		return to("%s: %s", key, host)
	}
	return outcome{Fate: unknown, Text: "no volume of the node is mounted at " + value + ": write the node's folder into " + key}
}

func logLevel(text string) string {
	switch level := strings.ToLower(text); level {
	case "info", "warn", "error":
		return level
	case "fatal", "panic":
		return "error"
	}
	return "debug"
}

// elsewhere are the things that a DaemonSet does not show.
func elsewhere() []outcome {
	return []outcome{
		{Name: "kubelet --max-pods", Fate: carried, To: "pool.maxPods", Text: "on each node, where it is not what the type can carry"},
		{Name: "interface tag node.k8s.amazonaws.com/no_manage", Fate: carried, To: "the same tag", Text: "honoured; set it to true on theirs " +
			"while both run on one node"},
		{Name: "subnet tag kubernetes.io/role/cni", Fate: carried, To: "pools[].subnets.tags", Text: "read as there: 0 keeps a subnet out"},
		{Name: "subnet tag cni.networking.k8s.aws/cluster/NAME", Fate: carried, To: "the same tag", Text: "read as there"},
		{Name: "node label vpc.amazonaws.com/externalEniConfig", Fate: carried, To: "pools[].nodes", Text: "as an EC2 tag of the instance"},
		{Name: "pod annotation k8s.amazonaws.com/nicConfig", Fate: lost, Text: "a pod has one interface for each network that the runtime asks for"},
		{Name: "pod resource vpc.amazonaws.com/pod-eni", Fate: lost, Text: "as ENABLE_POD_ENI"},
		{Name: "Windows nodes (enable-windows-ipam, warm-ip-target, minimum-ip-target)", Fate: lost, Text: "ours is Linux"},
	}
}

// described is an outcome with its setting.
func (k knob) described(n awsNode) outcome {
	s, given := n.set[k.name]
	switch {
	case given && s.look != "" && (k.name == "MY_NODE_NAME" || k.name == "MY_POD_NAME"):
		return outcome{Name: k.name, Fate: needless, Text: k.judge(n, "").Text}
	case given && s.look != "":
		return outcome{Name: k.name, Fate: unknown, Text: "its value stands elsewhere (" + s.look + "); planned as not set: " + k.unset}
	case s.value == "" && k.judge(n, "").Fate != lost: // what is lost may be its default
		theirs, ours, _ := strings.Cut(k.unset, "; ")
		return outcome{Name: k.name, Fate: notSet, To: ours, Text: theirs}
	}
	o := k.judge(n, s.value)
	o.Name, o.Value = k.name, s.value
	o.Fate = cmp.Or(o.Fate, needless)
	return o
}
