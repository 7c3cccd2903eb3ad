package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// value is what a variable is set to; "" counts as not set, as it does there. One whose value stands elsewhere is not set,
// either: the plan says so.
func (n awsNode) value(name string) (string, bool) {
	s := n.set[name]
	return s.value, s.value != ""
}

// on reads true and false as Go does, and so amazon-vpc-cni-k8s; anything else is the default.
func (n awsNode) on(name string, unset bool) bool {
	text, _ := n.value(name)
	b, err := strconv.ParseBool(text)
	if err != nil {
		return unset
	}
	return b
}

// number reads a count. Below zero and no number are the default there; ours takes 100,000 at most.
func (n awsNode) number(name string, unset int) int {
	text, _ := n.value(name)
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 {
		return unset
	}
	return min(i, 100_000)
}

// byOthers says whether somebody else gives interfaces and addresses, and the node takes what the metadata service shows.
func (n awsNode) byOthers() bool {
	return n.on("DISABLE_NETWORK_RESOURCE_PROVISIONING", false) || n.on("ENABLE_IMDS_ONLY_MODE", false)
}

// families are those that pods get addresses of. Without ENABLE_IPv4 theirs has IPv6 alone where that is on; with neither it
// does not start, whatever its README says.
func (n awsNode) families() []string {
	v6 := n.on("ENABLE_IPv6", false)
	switch v4 := n.on("ENABLE_IPv4", !v6); {
	case v4 && v6:
		return []string{"ipv4", "ipv6"}
	case v6:
		return []string{"ipv6"}
	}
	return []string{"ipv4"}
}

func (n awsNode) ipv6Only() bool { return slices.Equal(n.families(), []string{"ipv6"}) }

func (n awsNode) prefixes() bool { return n.on("ENABLE_PREFIX_DELEGATION", false) }

// snat says whether the node lends pods its address on their way out. IPv6 is not translated there, either.
func (n awsNode) snat() bool { return !n.on("AWS_VPC_K8S_CNI_EXTERNALSNAT", false) && !n.ipv6Only() }

// custom says whether ENIConfigs choose subnets; with IPv6 alone theirs does not start so.
func (n awsNode) custom() bool {
	return n.on("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", false) && !n.ipv6Only()
}

// discovers says whether subnets are chosen by tag.
func (n awsNode) discovers() bool { return n.on("ENABLE_SUBNET_DISCOVERY", true) && !n.custom() }

// byAddresses says whether warm targets are in addresses: those overrule whole interfaces and prefixes.
func (n awsNode) byAddresses() bool {
	return n.number("WARM_IP_TARGET", 0) != 0 || n.number("MINIMUM_IP_TARGET", 0) != 0
}

// warm is the pool's warm target, key and number; the first key is the one that counts.
func (n awsNode) warm() (keys []string, numbers []int) {
	switch {
	case n.ipv6Only():
		return nil, nil
	case n.byAddresses():
		return []string{"free", "minimum"}, []int{n.number("WARM_IP_TARGET", 0), n.number("MINIMUM_IP_TARGET", 0)}
	case n.prefixes():
		return n.whole("prefixes", n.number("WARM_PREFIX_TARGET", 0))
	}
	return n.whole("enis", n.number("WARM_ENI_TARGET", 1))
}

// whole is a target in interfaces or prefixes. None of them means there: more only when no address is free; that is one.
func (n awsNode) whole(key string, count int) ([]string, []int) {
	if count == 0 {
		return []string{"free"}, []int{1}
	}
	return []string{key}, []int{count}
}

// cooldown is in seconds; what their agent refuses to start with is its default.
func (n awsNode) cooldown() int {
	const unset, most = 30, 24 * 60 * 60
	return min(n.number("IP_COOLDOWN_PERIOD", unset), most)
}

// tags are the additional ones, and the keys that cannot be: reserved by either, longer than EC2's, or too many.
func (n awsNode) tags() (tags map[string]string, refused []string, err error) {
	const most, longKey, longValue = 40, 128, 256
	text, ok := n.value("ADDITIONAL_ENI_TAGS")
	if !ok {
		return nil, nil, nil
	}
	if err := json.Unmarshal([]byte(text), &tags); err != nil {
		return nil, nil, err
	}
	kept := 0
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if strings.Contains(key, "k8s.amazonaws.com") || strings.HasPrefix(key, "enichain.io/") || strings.HasPrefix(strings.ToLower(key), "aws:") ||
			key == "" || len(key) > longKey || len(tags[key]) > longValue || kept == most {
			delete(tags, key)
			refused = append(refused, key)
			continue
		}
		kept++
	}
	return tags, refused, nil
}

// cidrs is a list of networks with commas between them, in the order given, and what is none.
func (n awsNode) cidrs(name string) (good []netip.Prefix, bad []string) {
	text, _ := n.value(name)
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		p, err := netip.ParsePrefix(item)
		if err != nil {
			bad = append(bad, item)
			continue
		}
		good = append(good, p.Masked())
	}
	return good, bad
}

// mtu is POD_MTU or AWS_VPC_ENI_MTU in bytes; 0 where it is not set, or out of range: theirs does not start with that.
func (n awsNode) mtu(name string) int {
	least := ipam.LeastMTU
	if slices.Contains(n.families(), "ipv6") {
		least = ipam.LeastMTU6
	}
	if m := n.number(name, 0); m >= least && m <= ipam.MostMTU {
		return m
	}
	return 0
}

// vethPrefix is the beginning of the name of a pod's link, "" where it is the same as ours.
func (n awsNode) vethPrefix() (string, error) {
	p, _ := n.value("AWS_VPC_K8S_CNI_VETHPREFIX")
	switch {
	case p == "" || p == "eni":
		return "", nil
	case len(p) > 4 || slices.Contains([]string{"eth", "vlan", "lo"}, p) || strings.ContainsAny(p, "/: \t\n%\""):
		return "", fmt.Errorf("%q is no prefix that either of us takes", p)
	}
	return p, nil
}

// random is snat's word for how ports are chosen, "" where it is the default.
func (n awsNode) random() string {
	switch v, _ := n.value("AWS_VPC_K8S_CNI_RANDOMIZESNAT"); v {
	case "hashrandom":
		return "random"
	case "none":
		return "none"
	}
	return ""
}

// endpoint is the URL of EC2, "" for the Region's.
func (n awsNode) endpoint() string {
	text, _ := n.value("AWS_EC2_ENDPOINT")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return text
}

// host is the folder of the node behind one of a container, which a variable names.
func (n awsNode) host(name, unset string) string {
	path := unset
	if text, ok := n.value(name); ok {
		path = text
	}
	return n.paths[strings.TrimSuffix(path, "/")]
}

// selector is how a pool finds the nodes of an ENIConfig; nil for the one that serves all that have none.
func (n awsNode) selector(config string) map[string]string {
	label, ok := n.value("ENI_CONFIG_LABEL_DEF")
	if !ok {
		label = "k8s.amazonaws.com/eniConfig"
	}
	if config == "default" {
		return nil
	}
	return map[string]string{wellKnown(label): config}
}

// wellKnown is the present name of a node label that every pool can select by without a tag.
func wellKnown(label string) string {
	switch label {
	case "failure-domain.beta.kubernetes.io/zone":
		return "topology.kubernetes.io/zone"
	case "beta.kubernetes.io/instance-type":
		return "node.kubernetes.io/instance-type"
	}
	return label
}

// told says whether EC2 itself knows the label of every instance.
func told(label string) bool {
	return slices.Contains([]string{"topology.kubernetes.io/zone", "node.kubernetes.io/instance-type"}, label)
}
