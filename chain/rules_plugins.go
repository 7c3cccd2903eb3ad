package chain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// ruleDelegate: a delegate can serve its caller, with the keys that it has there.
func ruleDelegate(j *judge, s *step) {
	if s.delegate == nil {
		return
	}
	if why, not := s.delegate.NotUnder[s.Type]; not {
		j.stage(s, "ipam.type", Problem{Code: "C109", Severity: Error, Text: fmt.Sprintf("%s cannot serve %s: %s",
			s.Delegate(), s.Type, why),
			Why: "it refuses ADD, and no pod starts", Fixes: []string{j.swap(s.Type, "routed-veth")}})
		return
	}
	if s.Delegate() == "eni-ipam" {
		j.eniUnder(s)
	}
}

// eniUnder: what eni-ipam's gateway and scope may be depends on who calls it (its own settle says the same at ADD); as a
// stage of its own it is called by the runtime.
func (j *judge) eniUnder(s *step) {
	ipam, caller, path := s.Config, s.Type, ""
	if s.delegate != nil {
		ipam, _ = s.Member("ipam")
		path = "ipam."
	}
	refuse := func(key, want, why string) {
		raw, _ := memberOf(ipam, key)
		if given, _ := text(raw); given != want && slices.Contains([]string{"none", "reserve", "any", "primary",
			"prefix"}, given) {
			j.stage(s, path+key, Problem{Code: "C109", Severity: Error, Text: fmt.Sprintf("want %q here, got %q", want,
				given), Why: why,
				Fixes: []string{fmt.Sprintf("%q: %q", key, want)}})
		}
	}
	switch caller {
	case "eni-ipam", "routed-veth":
		refuse("gateway", "none", "behind routed-veth the next hop is 169.254.1.1, and no address has to be reserved")
	case "ptp":
		refuse("gateway", "reserve",
			"ptp gives the gateway's address to its own end of the wire: without one it fails, and with the subnet's own it would cut the VPC's router off")
	case "bridge":
		refuse("gateway", "reserve", "the bridge bears the first address of the prefix")
		refuse("scope", "prefix", "with the subnet's own length the node has two routes to a pod, and takes eth0's")
		return
	}
	raw, _ := memberOf(ipam, "scope")
	switch given, _ := text(raw); {
	case given == "prefix":
		refuse("scope", "primary", "a prefix of its own is what a bridge needs as its subnet; nobody else does")
	case given == "any" && caller != "eni-ipam" && caller != "routed-veth":
		refuse("scope", "primary",
			caller+" knows one routing table: a pod of another network interface would send by the wrong one, and the VPC drops that")
	}
}

// ruleSingleKeys: what keys of one stage say together.
func ruleSingleKeys(j *judge, s *step) {
	switch s.Type {
	case "eni-ipam":
		j.eniUnder(s)
	case "portmap", "portmap-compat":
		j.portmapKeys(s)
	case "bandwidth":
		j.bandwidthKeys(s)
	case "snat":
		j.snatInside(s)
	}
	j.addresses(s)
}

// portmapKeys: keys of one backend beside the other (R14).
func (j *judge) portmapKeys(s *step) {
	if s.any("externalSetMarkChain") && s.any("markMasqBit") {
		j.stage(s, "externalSetMarkChain", Problem{Code: "C110", Severity: Error,
			Text: "cannot be given together with markMasqBit",
			Why:  s.Type + " refuses both at once, and no pod starts", Fixes: []string{"take one of the two out"}})
	}
	raw, _ := s.Member("backend")
	backend, _ := text(raw)
	language := func(key string) string {
		raw, _ := s.Member(key)
		var words []string
		if json.Unmarshal(raw, &words) != nil || len(words) == 0 || words[0] == "" {
			return ""
		}
		if strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "!") {
			return "iptables"
		}
		return "nftables"
	}
	of := map[string]string{"conditionsV4": language("conditionsV4"), "conditionsV6": language("conditionsV6")}
	if s.any("externalSetMarkChain") {
		of["externalSetMarkChain"] = "iptables"
	}
	if backend == "" { // the one whose words stand there; two of them cannot both be right
		backend = of["externalSetMarkChain"]
		for _, key := range []string{"conditionsV4", "conditionsV6"} {
			if backend == "" {
				backend = of[key]
			}
		}
	}
	for _, key := range keysOf(of) {
		if of[key] == "" || of[key] == backend {
			continue
		}
		j.stage(s, key, Problem{Code: "C110", Severity: Error,
			Text: fmt.Sprintf("is in the words of %s, and the backend is %s", of[key], backend),
			Why:  s.Type + " refuses it, and no pod starts", Fixes: []string{fmt.Sprintf(`"backend": %q`, of[key]),
				"or take it out"}})
	}
}

// bandwidthKeys: a rate and its burst come together.
func (j *judge) bandwidthKeys(s *step) {
	for _, way := range []string{"ingress", "egress"} {
		rate, burst := s.any(way+"Rate"), s.any(way+"Burst")
		if rate == burst {
			continue
		}
		there, missing := way+"Rate", way+"Burst"
		if burst {
			there, missing = missing, there
		}
		j.stage(s, there, Problem{Code: "C110", Severity: Error, Text: "is given without " + missing,
			Why:   "bandwidth refuses one without the other, and no pod starts",
			Fixes: []string{fmt.Sprintf("%q: 1000000", missing)}})
	}
}

// snatInside: "vpc" stands for the networks that eni-ipam names; other givers of addresses name none.
func (j *judge) snatInside(s *step) {
	raw, given := s.Member("inside")
	if word, _ := text(raw); given && word != "vpc" || s.unsure {
		return
	}
	_, eni := s.before[contract.ENI]
	by := j.giver(s, contract.IPs)
	if eni || by == nil || by.delegate != nil && by.delegate.Foreign() || routesOf(by) {
		return
	}
	who := by.Type
	if by.delegate != nil {
		who = by.Delegate()
	}
	j.stage(s, "inside", Problem{Code: "C111", Severity: Error,
		Text: fmt.Sprintf(`"vpc" means the networks that eni-ipam names, and here %s gives the addresses`, who),
		Why:  "snat does not know which destinations see a pod's own address, and refuses ADD", Fixes: []string{`"inside": ["10.244.0.0/16"]`}})
}

// routesOf says whether a stage's ipam states routes beside the default one.
func routesOf(s *step) bool {
	var ipam struct {
		Routes []struct {
			Dst string `json:"dst"`
			GW  string `json:"gw"`
		} `json:"routes"`
	}
	raw, _ := s.Member("ipam")
	if json.Unmarshal(raw, &ipam) != nil {
		return true // a fault of its own
	}
	for _, r := range ipam.Routes {
		if p, err := netip.ParsePrefix(r.Dst); err == nil && p.Bits() > 0 && r.GW == "" {
			return true
		}
	}
	return false
}

// addresses: host-local and static have something to give.
func (j *judge) addresses(s *step) {
	plugin, key := s.Type, "type"
	if s.delegate != nil {
		plugin, key = s.Delegate(), "ipam"
	}
	if plugin != "host-local" && plugin != "static" {
		return
	}
	ipam, ok := s.Member("ipam")
	if !ok {
		j.stage(s, key, Problem{Code: "C111", Severity: Error,
			Text: plugin + ` reads its options from "ipam", which is not there`, Why: "it refuses ADD, and no pod starts",
			Fixes: []string{`"ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] }`}})
		return
	}
	if plugin == "host-local" {
		j.ranges(s, ipam)
	}
}

// ranges: host-local has a subnet, of its own or told by the runtime.
func (j *judge) ranges(s *step, ipam json.RawMessage) {
	var has struct {
		Subnet string              `json:"subnet"`
		Ranges [][]json.RawMessage `json:"ranges"`
	}
	if err := json.Unmarshal(ipam, &has); err != nil {
		j.stage(s, "ipam.ranges", Problem{Code: "C107", Severity: Error,
			Text: `want a list of lists of objects, such as [[{ "subnet": "10.244.1.0/24" }]]`,
			Why:  "host-local refuses ADD, and no pod starts"})
		return
	}
	if has.Subnet != "" || len(has.Ranges) > 0 || slices.Contains(s.Capabilities(),
		"ipRanges") || s.inline("ipRanges") {
		return
	}
	j.stage(s, "ipam", Problem{Code: "C111", Severity: Error, Text: "host-local has no ranges",
		Why: "it refuses ADD, and no pod starts",
		Fixes: []string{`"ranges": [[{ "subnet": "10.244.1.0/24" }]]`,
			`or "capabilities": { "ipRanges": true }, where the runtime knows them`}})
}
