package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pathKnobs shape the way of a packet.
func pathKnobs() []knob {
	return []knob{
		{"AWS_VPC_ENI_MTU", "9001; the same", mtuOutcome("AWS_VPC_ENI_MTU", "pools[].enis.mtu", "ours is 9001")},
		{"POD_MTU", "the interface's; the interface's", mtuOutcome("POD_MTU", "routed-veth mtu", "pods have their interface's")},
		{"AWS_VPC_K8S_CNI_VETHPREFIX", "eni; eni", func(n awsNode, v string) outcome {
			p, err := n.vethPrefix()
			if err != nil {
				return outcome{Fate: needless, Text: err.Error() + "; ours is eni"}
			}
			return to("routed-veth vethPrefix: %s", cmp.Or(p, "eni"))
		}},
		{"AWS_VPC_K8S_CNI_EXTERNALSNAT", "false; the stage snat is in the list", func(n awsNode, v string) outcome {
			if n.snat() {
				return to("the stage snat in the list")
			}
			return to("no stage snat in the list")
		}},
		{"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "none; none", excludeOutcome},
		{"AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng; snat random: fully", func(n awsNode, v string) outcome {
			if !n.snat() {
				return outcome{Fate: needless, Text: "without effect there: nothing is translated"}
			}
			return to("snat random: %s", map[string]string{"": "fully", "random": "random", "none": "none"}[n.random()])
		}},
		{"AWS_VPC_K8S_CNI_CONNMARK", "0x80; no mark on connections", func(n awsNode, v string) outcome {
			mark, err := strconv.ParseUint(v, 0, 32)
			if err == nil && mark&0x7f != 0 {
				return outcome{Fate: needless, Text: "connections carry no mark of ours; but packets do, in the bits 0x7f: never both on one node"}
			}
			return outcome{Fate: needless, Text: "connections carry no mark of ours"}
		}},
		{"AWS_VPC_CNI_NODE_PORT_SUPPORT", "true; always", func(n awsNode, v string) outcome {
			if n.on("AWS_VPC_CNI_NODE_PORT_SUPPORT", true) {
				return outcome{Fate: needless, Text: "always, by the connection's state"}
			}
			return outcome{Fate: needless, Text: "ours has it always; it takes nothing from others"}
		}},
		{"AWS_EXTERNAL_SERVICE_CIDRS", "none; none", func(n awsNode, v string) outcome {
			if v != "" && !n.snat() {
				return outcome{Fate: lost, Text: "without snat every packet leaves by its pod's own interface; route these networks in the VPC"}
			}
			return outcome{Fate: needless, Text: "with snat all that leaves the VPC goes by the node's main table"}
		}},
		{"AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER", "without effect; set where it is needed", needs("without effect there, too")},
		{"ENABLE_NFTABLES", "without effect; nf_tables", needs("without effect there; our stages speak nf_tables themselves")},
	}
}

// familyKnobs are about IPv4 and IPv6, and more plugins in the list.
func familyKnobs() []knob {
	both := "write families: [ipv4, ipv6] into the pool and eni-ipam: pods then have an address of each, without a second interface"
	return []knob{
		{"ENABLE_IPv4", "true without IPv6; pools[].families", func(n awsNode, v string) outcome {
			return to("pools[].families: [%s]", strings.Join(n.families(), ", "))
		}},
		{"ENABLE_IPv6", "false; pools[].families", func(n awsNode, v string) outcome {
			o := to("pools[].families: [%s]", strings.Join(n.families(), ", "))
			if len(n.families()) > 1 {
				return o.and("theirs refuses both; ours gives each pod both")
			}
			return o
		}},
		{"ENABLE_V4_EGRESS", "true with IPv6; write families: [ipv4, ipv6]", func(n awsNode, v string) outcome {
			if n.ipv6Only() && n.on("ENABLE_V4_EGRESS", true) {
				return outcome{Fate: lost, Text: "pods with IPv6 alone reach no IPv4: " + both}
			}
			return outcome{Fate: needless, Text: "off, or without effect there"}
		}},
		{"ENABLE_V6_EGRESS", "false; the same", func(n awsNode, v string) outcome {
			if n.on("ENABLE_V6_EGRESS", false) && !slices.Contains(n.families(), "ipv6") {
				return outcome{Fate: lost, Text: "pods with IPv4 alone reach no IPv6: " + both}
			}
			return outcome{Fate: needless, Text: "off, or without effect there"}
		}},
		{"DISABLE_POD_V6", "false; the same", func(n awsNode, v string) outcome {
			if n.on("DISABLE_POD_V6", false) {
				return to("the plugin tuning in the list, three sysctls")
			}
			return outcome{Fate: needless, Text: "off"}
		}},
		{"ENABLE_BANDWIDTH_PLUGIN", "false; the same", func(n awsNode, v string) outcome {
			if n.on("ENABLE_BANDWIDTH_PLUGIN", false) {
				return to("the plugin bandwidth in the list")
			}
			return outcome{Fate: needless, Text: "off"}
		}},
	}
}

func mtuOutcome(name, key, unset string) func(awsNode, string) outcome {
	return func(n awsNode, _ string) outcome {
		if m := n.mtu(name); m > 0 {
			return to(key+": %d", m)
		}
		return outcome{Fate: needless, Text: "out of range: theirs does not start with it; " + unset}
	}
}

func excludeOutcome(n awsNode, _ string) outcome {
	good, bad := n.cidrs("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS")
	switch {
	case !n.snat():
		return outcome{Fate: needless, Text: "without effect there: nothing is translated"}
	case len(good) == 0:
		return outcome{Fate: needless, Text: "no network in it: theirs ignores it, and so does this"}
	case len(bad) > 0:
		return to("snat exclude").and("without " + fmt.Sprintf("%q", bad) + ": no network")
	}
	return to("snat exclude")
}
