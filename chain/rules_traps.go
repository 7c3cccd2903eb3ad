package chain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// ruleTraps: lists that every plugin accepts, and whose pods then miss something. Each was seen in a trial.
func ruleTraps(j *judge, s *step) {
	j.hairpin(s)
	j.oneForAll(s)
	j.defaultRoute(s)
	j.leastMTU(s)
	j.withoutIPv6(s)
	j.limitedTwice(s)
	j.otherCHECK(s)
	j.fastPath(s)
}

// hairpin: a node that filters bridged packets (br_netfilter, as Kubernetes wants it) sends a pod's packet to its own host
// port back into the bridge's port that it came from, which a bridge does only in hairpin mode.
func (j *judge) hairpin(s *step) {
	if raw, _ := s.Member("snat"); string(raw) == "false" && !s.truth("masqAll") && slices.Contains(s.known.Adds,
		contract.HostPorts) {
		j.stage(s, "snat", Problem{Code: "C117", Severity: Warning, Text: "is off",
			Why:   "a pod does not reach its own host port: it would see its own address as the source, and answer itself",
			Fixes: []string{`"snat": true, which touches nothing else but 127.0.0.1`}})
	}
	by := j.giver(s, contract.Bridge)
	if by == nil || by.Type != "bridge" || by.truth("hairpinMode") || !slices.Contains(s.known.Adds,
		contract.HostPorts) {
		return
	}
	j.stage(by, "hairpinMode", Problem{Code: "C117", Severity: Warning,
		Text: "is off, and " + s.name() + " gives host ports",
		Why:  "where the node filters bridged packets, as Kubernetes wants it, a pod does not reach its own host port", Fixes: []string{`"hairpinMode": true`}})
}

// oneForAll: what the list says is said to every pod.
func (j *judge) oneForAll(s *step) {
	if plugin := s.ipam(); plugin == "static" && !slices.Contains(s.Capabilities(), "ips") {
		raw, _ := s.Member("ipam")
		if given, ok := memberOf(raw, "addresses"); ok && len(given) > len("[]") {
			j.stage(s, "ipam.addresses", Problem{Code: "C118", Severity: Warning, Text: "every pod gets this address",
				Why: "of two pods on one network with one address neither is reached reliably", Fixes: []string{`"capabilities": { "ips": true }, where the runtime says the address`, `or "ipam": { "type": "host-local", … }`}})
		}
	}
	if _, given := s.Member("mac"); !given || slices.Contains(s.Capabilities(), "mac") {
		return
	}
	shared := slices.Contains([]string{"bridge", "macvlan", "tap"}, s.Type)
	if wire := j.giver(s, contract.SandboxInterface); s.Type == "tuning" && wire != nil {
		shared = slices.Contains([]string{"bridge", "macvlan", "vlan"}, wire.Type)
	}
	if shared {
		j.stage(s, "mac", Problem{Code: "C118", Severity: Warning, Text: "every pod gets this MAC",
			Why:   "on one wire of layer 2 the second pod with it fails, or takes the first one's packets",
			Fixes: []string{`"capabilities": { "mac": true }, where the runtime says the MAC`, "or take it out"}})
	}
}

// ipam is the plugin that gives the stage's addresses: its delegate, or the stage itself.
func (s *step) ipam() string {
	if s.delegate != nil {
		return s.Delegate()
	}
	return s.Type
}

// defaultRoute: a pod has a way to where its own subnet ends.
func (j *judge) defaultRoute(s *step) {
	if s.Type == "sbr" {
		j.stage(s, "", Problem{Code: "C119", Severity: Warning, Text: "moves all routes into tables by source address",
			Why:   "a program that does not bind its address finds no route, unless another network of the pod has the default one",
			Fixes: []string{"use it in the list of a further network (net1), not of eth0"}})
		return
	}
	if s.delegate == nil || s.Type != "ptp" && s.Type != "bridge" || s.truth("isDefaultGateway") || s.Type == "bridge" && !s.truth("isGateway") {
		return
	}
	if plugin := s.Delegate(); plugin != "host-local" && plugin != "static" {
		return
	}
	raw, _ := s.Member("ipam")
	lack := familiesWithout(raw)
	if len(lack) == 0 {
		return
	}
	p := Problem{Code: "C119", Severity: Warning, Text: fmt.Sprintf("states no default route for %s", factList(lack)),
		Why: "a pod reaches its own subnet only: neither the node's address nor anything beyond", Fixes: []string{`"routes": [{ "dst": "0.0.0.0/0" }] in "ipam"`}}
	if lack[0] == "IPv6" {
		p.Fixes[0] = `"routes": [{ "dst": "::/0" }] in "ipam"`
	}
	if s.Type == "bridge" {
		p.Fixes = append(p.Fixes, `or "isDefaultGateway": true`)
	}
	j.stage(s, "ipam", p)
}

// familiesWithout are the families of which host-local or static gives addresses and no default route.
func familiesWithout(ipam json.RawMessage) []string {
	var c struct {
		Subnet string `json:"subnet"`
		Ranges [][]struct {
			Subnet string `json:"subnet"`
		} `json:"ranges"`
		Addresses []struct {
			Address string `json:"address"`
		} `json:"addresses"`
		Routes []struct {
			Dst string `json:"dst"`
		} `json:"routes"`
	}
	if json.Unmarshal(ipam, &c) != nil {
		return nil
	}
	given := []string{c.Subnet}
	for _, set := range c.Ranges {
		for _, r := range set {
			given = append(given, r.Subnet)
		}
	}
	for _, a := range c.Addresses {
		given = append(given, a.Address)
	}
	routed := map[string]bool{}
	for _, r := range c.Routes {
		if p, err := netip.ParsePrefix(r.Dst); err == nil && p.Bits() == 0 {
			routed[family(p)] = true
		}
	}
	var lack []string
	for _, word := range given {
		p, err := netip.ParsePrefix(word)
		if err == nil && !routed[family(p)] && !slices.Contains(lack, family(p)) {
			lack = append(lack, family(p))
		}
	}
	return lack
}

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// leastMTU: below 1280 bytes the kernel takes IPv6 off a link (RFC 8200, section 5).
func (j *judge) leastMTU(s *step) {
	raw, _ := s.Member("mtu")
	mtu, err := strconv.Atoi(string(raw))
	if err != nil || mtu <= 0 || mtu >= 1280 || !slices.Contains(s.known.Adds, contract.SandboxInterface) {
		return
	}
	from := s
	if by := j.giver(s, contract.IPs); by != nil && s.delegate == nil {
		from = by
	}
	for _, word := range familiesOf(from) {
		if word != "ipv6" {
			continue
		}
		j.stage(s, "mtu", Problem{Code: "C110", Severity: Error,
			Text: fmt.Sprintf("%d bytes are below IPv6's least, 1280, and %s gives IPv6 addresses", mtu, from.ipam()),
			Why:  "the kernel takes IPv6 off such a link: ADD fails, and no pod starts", Fixes: []string{`"mtu": 1280`}})
	}
}

// withoutIPv6: a sysctl that takes IPv6 away takes the pod's IPv6 address with it.
func (j *judge) withoutIPv6(s *step) {
	by := j.giver(s, contract.IPs)
	raw, _ := s.Member("sysctl")
	var set map[string]any
	if s.Type != "tuning" || by == nil || json.Unmarshal(raw, &set) != nil || !slices.Contains(familiesOf(by), "ipv6") {
		return
	}
	for _, key := range keysOf(set) {
		name := strings.ReplaceAll(key, "/", ".")
		if !strings.HasPrefix(name, "net.ipv6.conf.") || !strings.HasSuffix(name,
			".disable_ipv6") || strings.Contains(name, ".lo.") || fmt.Sprint(set[key]) != "1" {
			continue
		}
		j.stage(s, "sysctl", Problem{Code: "C110", Severity: Warning,
			Text: fmt.Sprintf("%s takes away the IPv6 address that %s gives", key, by.ipam()),
			Why:  "the result says an address that the pod has not, and CHECK fails on it", Fixes: []string{"take it out, or give no IPv6 addresses"}})
	}
}

// limitedTwice: the second bandwidth finds the first one's queue on the wire.
func (j *judge) limitedTwice(s *step) {
	if s.Type != "bandwidth" {
		return
	}
	for _, other := range j.steps[:s.number-1] {
		if other.Type == s.Type {
			j.stage(s, "", Problem{Code: "C102", Severity: Error,
				Text: "limits a wire that " + other.name() + " limits already",
				Why:  "its ADD fails where the pod has a limit, and no pod starts", Fixes: []string{"take one of the two out of the list"}})
			return
		}
	}
}

// familiesOf are what eni-ipam or host-local gives, as far as the list says.
func familiesOf(s *step) []string {
	type keys struct {
		Families []string `json:"families"`
		Ranges   [][]struct {
			Subnet string `json:"subnet"`
		} `json:"ranges"`
	}
	var c struct {
		keys
		IPAM keys `json:"ipam"`
	}
	if json.Unmarshal(s.Config, &c) != nil {
		return nil
	}
	out := append(c.Families, c.IPAM.Families...)
	for _, set := range c.IPAM.Ranges {
		for _, r := range set {
			if p, err := netip.ParsePrefix(r.Subnet); err == nil && p.Addr().Is6() {
				out = append(out, "ipv6")
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// otherCHECK: CHECKs that fail on what is no fault, where no aspect of a contract says so.
func (j *judge) otherCHECK(s *step) {
	if j.l.DisableCheck || older(j.version, "0.4.0") {
		return
	}
	report := func(s *step, key, text, why string, fixes ...string) {
		p := Problem{Code: "C201", Severity: Warning, Text: text, Why: why, Fixes: append(fixes,
			`or "disableCheck": true beside "plugins"`)}
		if j.options.Runtime == CRIO {
			p.Severity = Error
		}
		j.stage(s, key, p)
	}
	if s.Type == "bridge" && !s.truth("isGateway") && !s.truth("isDefaultGateway") && s.delegate != nil {
		report(s, "isGateway", "its CHECK fails once a further pod joins the bridge",
			"without an address of its own the bridge changes its MAC with its ports, and CHECK compares it", `"isGateway": true`)
	}
	from := s
	if by := j.giver(s, contract.IPs); by != nil && s.delegate == nil {
		from = by
	}
	if s.Type == "routed-veth" && from.ipam() == "static" && from.hasGateway() {
		report(from, "ipam",
			"the CHECK of static fails: it compares the gateway, and behind routed-veth the next hop is 169.254.1.1",
			"CRI-O runs CHECK after every ADD, and no pod starts there", `take "gateway" out of the addresses`)
	}
}

// hasGateway says whether one of static's addresses names its gateway.
func (s *step) hasGateway() bool {
	var c struct {
		IPAM struct {
			Addresses []struct {
				Gateway string `json:"gateway"`
			} `json:"addresses"`
		} `json:"ipam"`
	}
	if json.Unmarshal(s.Config, &c) != nil {
		return false
	}
	for _, a := range c.IPAM.Addresses {
		if a.Gateway != "" {
			return true
		}
	}
	return false
}
