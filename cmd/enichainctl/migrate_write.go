package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/enichain/enichain/chain"
)

// config writes enichaind's configuration; comments say where a line comes from.
func (n awsNode) config(cluster string) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("# Written by 'enichainctl migrate plan' from DaemonSet %s%s.", printable(n.Name), spaced(printable(n.Version)))
	if n.byOthers() {
		line("# Of each node: somebody else gives it its interfaces and addresses, and the metadata service shows them.")
	} else {
		line("# One file for the whole cluster: a node runs 'enichaind --role agent', the control plane '--role reconciler,bus'.")
	}
	line("# Keys that are not here have their defaults: 'enichaind --print-config' shows them all.")
	line("")
	line("cluster: %s", scalar(cluster))
	n.writeNode(line)
	if n.byOthers() {
		line("roles: [agent]")
		line("pool: { supply: imds }")
	} else {
		line("#bus: { urls: [\"nats://CONTROL-PLANE:4222\"], credentials: /etc/enichain/node.nk }       # of nodes")
		line("#bus: { listen: \"0.0.0.0:4222\", users: /etc/enichain/users }                           # of the control plane")
		n.writeReconciler(line)
	}
	line("")
	line("pools:")
	if !n.custom() || len(n.configs) == 0 {
		n.writePool(line, nil)
	}
	if n.custom() { // the one of all other nodes is the last
		rest := slices.DeleteFunc(slices.Clone(n.configs), func(e eniConfig) bool { return e.name == "default" })
		for _, e := range append(rest, slices.DeleteFunc(slices.Clone(n.configs), func(e eniConfig) bool { return e.name != "default" })...) {
			n.writePool(line, &e)
		}
	}
	return b.String()
}

func (n awsNode) writeNode(line func(string, ...any)) {
	line("cni:")
	line("  conflist: /etc/enichain/05-enichain.conflist")
	for _, f := range []struct{ key, name, unset, ours string }{
		{"confDir", "HOST_CNI_CONFDIR_PATH", "/host/etc/cni/net.d", "/etc/cni/net.d"},
		{"binDir", "HOST_CNI_BIN_PATH", "/host/opt/cni/bin", "/opt/cni/bin"},
	} {
		if host := n.host(f.name, f.unset); strings.HasPrefix(host, "/") && host != f.ours {
			line("  %s: %s", f.key, scalar(host))
		}
	}
	if v, ok := n.value("AWS_VPC_K8S_CNI_LOGLEVEL"); ok && logLevel(v) != "debug" {
		line("log: { level: %s }", logLevel(v))
	}
}

func (n awsNode) writeReconciler(line func(string, ...any)) {
	tags, _, _ := n.tags() // a fault is told with the setting
	region, _ := n.value("AWS_REGION")
	keep := n.on("DISABLE_LEAKED_ENI_CLEANUP", false)
	var ec2 []string
	if region != "" {
		ec2 = append(ec2, "region: "+scalar(region))
	}
	if u := n.endpoint(); u != "" {
		ec2 = append(ec2, "endpoint: "+scalar(u))
	}
	if len(tags) == 0 && len(ec2) == 0 && !keep {
		return
	}
	line("reconciler:")
	if len(ec2) > 0 {
		line("  ec2: { %s }", strings.Join(ec2, ", "))
	}
	if keep {
		line("  cleanup: { perRound: 0 } # DISABLE_LEAKED_ENI_CLEANUP")
	}
	if len(tags) > 0 {
		line("  tags: # ADDITIONAL_ENI_TAGS")
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			line("    %s: %s", scalar(key), scalar(tags[key]))
		}
	}
}

// writePool writes one pool: every ENIConfig's has the same name, for a node has only the first whose selector fits.
func (n awsNode) writePool(line func(string, ...any), from *eniConfig) {
	mode := "secondary"
	if n.prefixes() {
		mode = "auto"
	}
	line("  - name: default")
	line("    mode: %s", mode)
	line("    families: [%s]", strings.Join(n.families(), ", "))
	line("    usePrimary: %t", !n.custom())
	if from != nil {
		line("    subnets: { ids: [%s] } # ENIConfig %s", scalar(from.subnet), printable(from.name))
		var groups []string
		for _, g := range from.groups {
			groups = append(groups, scalar(g))
		}
		line("    securityGroups: { ids: [%s] }", strings.Join(groups, ", "))
		for label, value := range n.selector(from.name) {
			line("    nodes: { %s: %s }", scalar(label), scalar(value))
		}
	}
	if n.discovers() {
		line("    subnets: { tags: { kubernetes.io/role/cni: \"1\" } } # ENABLE_SUBNET_DISCOVERY")
	}
	if keys, numbers := n.warm(); len(keys) > 0 {
		var warm []string
		for i := range keys {
			warm = append(warm, fmt.Sprintf("%s: %d", keys[i], numbers[i]))
		}
		line("    warm: { %s }", strings.Join(warm, ", "))
	}
	line("    cooldown: %ds", n.cooldown())
	var enis []string
	if m := n.number("MAX_ENI", 0); m > 0 {
		enis = append(enis, fmt.Sprintf("max: %d", m))
	}
	if m := n.mtu("AWS_VPC_ENI_MTU"); m > 0 {
		enis = append(enis, fmt.Sprintf("mtu: %d", m))
	}
	if len(enis) > 0 {
		line("    enis: { %s }", strings.Join(enis, ", "))
	}
}

// spaced is text with a blank before it, if there is any.
func spaced(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// printable is a text that stays on its line.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// scalar is a text as YAML and JSON read it alike.
func scalar(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""` // cannot be: every string can be encoded
	}
	return string(quoted)
}

// list writes the list of stages.
func (n awsNode) list(ctx context.Context) ([]byte, error) {
	stages := []string{"eni-ipam", "routed-veth"}
	var set []string
	with := func(target string, value any) {
		text, err := json.Marshal(value)
		if err == nil {
			set = append(set, target+"="+string(text))
		}
	}
	if f := n.families(); !slices.Equal(f, []string{"ipv4"}) {
		with("eni-ipam.families", f)
	}
	if m := n.mtu("POD_MTU"); m > 0 {
		with("routed-veth.mtu", m)
	}
	if p, err := n.vethPrefix(); err == nil && p != "" {
		with("routed-veth.vethPrefix", p)
	}
	if n.snat() {
		stages = append(stages, "snat")
		if exclude, _ := n.cidrs("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS"); len(exclude) > 0 {
			with("snat.exclude", exclude)
		}
		if r := n.random(); r != "" {
			with("snat.random", r)
		}
	}
	stages = append(stages, "portmap-compat")
	if n.on("ENABLE_BANDWIDTH_PLUGIN", false) {
		stages = append(stages, "bandwidth")
	}
	if n.on("DISABLE_POD_V6", false) {
		stages = append(stages, "tuning")
		with("tuning.sysctl", map[string]string{"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1",
			"net.ipv6.conf.lo.disable_ipv6": "1"})
	}
	return chain.Compose(ctx, stages, chain.ComposeOptions{Set: set, Contracts: chain.Installed(nil, builtIn)})
}
