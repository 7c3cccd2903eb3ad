package chain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// longestLink is how long a link's name may be (IFNAMSIZ without the end).
const longestLink = 15

// ruleValues: what the reference plugins refuse although it is of the right kind.
func ruleValues(j *judge, s *step) {
	switch s.Type {
	case "tuning":
		j.sysctls(s)
	case "bridge":
		raw, _ := s.Member("bridge")
		if name, _ := text(raw); len(name) > longestLink {
			j.stage(s, "bridge", Problem{Code: "C107", Severity: Error, Text: fmt.Sprintf("want a name of at most %d bytes, got %q", longestLink, name),
				Why: "the kernel takes no longer one, and no pod starts"})
		}
		if s.truth("hairpinMode") && s.truth("promiscMode") {
			j.stage(s, "promiscMode", Problem{Code: "C110", Severity: Error, Text: "cannot be given together with hairpinMode",
				Why: "bridge refuses both at once, and no pod starts", Fixes: []string{`take "promiscMode" out`}})
		}
	case "host-device":
		j.device(s)
	}
	if plugin := s.ipam(); complete(s.Type) && (plugin == "host-local" || plugin == "static") { // products fill words of their own in
		ipam, _ := s.Member("ipam")
		j.routes(s, plugin, ipam)
		if plugin == "host-local" {
			j.rangeValues(s, ipam)
		}
	}
}

// sysctls: tuning sets those of the network alone, and wants their values as strings.
func (j *judge) sysctls(s *step) {
	raw, _ := s.Member("sysctl")
	var set map[string]json.RawMessage
	if json.Unmarshal(raw, &set) != nil {
		return // a fault of its own
	}
	for _, name := range keysOf(set) {
		p := Problem{Code: "C107", Severity: Error, Why: "tuning refuses it, and no pod starts"}
		if _, isText := text(set[name]); !isText && !isNull(set[name]) {
			p.Text = fmt.Sprintf("want a string for %s, got %s", name, brief(set[name]))
			p.Fixes = []string{fmt.Sprintf("%q: %q", name, brief(set[name]))}
			j.stage(s, "sysctl", p)
		}
		if parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '/' }); len(parts) < 2 || parts[0] != "net" {
			p.Text, p.Fixes = fmt.Sprintf("want the network's sysctls, net.…, got %s", name), []string{"take it out; Kubernetes sets others by a pod's securityContext"}
			j.stage(s, "sysctl", p)
		}
	}
}

// device: host-device is told which of the node's links it takes.
func (j *judge) device(s *step) {
	names := []string{"device", "hwaddr", "kernelpath", "pciBusID"}
	if s.any(names...) || slices.Contains(s.Capabilities(), "deviceID") || s.inline("deviceID") {
		return
	}
	j.stage(s, "", Problem{Code: "C111", Severity: Error, Text: "is not told which link it takes",
		Why:   "host-device refuses ADD, and no pod starts",
		Fixes: []string{`"device": "eth1", or one of ` + strings.Join(names[1:], ", "), `or "capabilities": { "deviceID": true }, where the runtime says it`}})
}

// routes of an "ipam" have a prefix, and a next hop that is an address.
func (j *judge) routes(s *step, plugin string, ipam json.RawMessage) {
	var c struct {
		Routes []struct {
			Dst, GW string
		} `json:"routes"`
	}
	if json.Unmarshal(ipam, &c) != nil {
		return
	}
	for _, r := range c.Routes {
		p := Problem{Code: "C107", Severity: Error, Why: plugin + " refuses it, and no pod starts"}
		if _, err := netip.ParsePrefix(r.Dst); err != nil {
			p.Text = "want a prefix for dst, got " + strconv.Quote(r.Dst)
			if a, err := netip.ParseAddr(r.Dst); err == nil {
				bits := a.BitLen()
				if a.IsUnspecified() {
					bits = 0
				}
				p.Fixes = []string{fmt.Sprintf(`"dst": "%s/%d"`, a, bits)}
			}
			j.stage(s, "ipam.routes", p)
		}
		if _, err := netip.ParseAddr(r.GW); err != nil && r.GW != "" {
			p.Text, p.Fixes = "want an address for gw, got "+strconv.Quote(r.GW), nil
			j.stage(s, "ipam.routes", p)
		}
	}
}

// span is one range of host-local.
type span struct {
	Subnet, RangeStart, RangeEnd string
}

// rangeValues: host-local's ranges lie in their subnets, these have room, and no two share an address.
func (j *judge) rangeValues(s *step, ipam json.RawMessage) {
	var c struct {
		span
		Ranges [][]span `json:"ranges"`
	}
	if json.Unmarshal(ipam, &c) != nil {
		return
	}
	report := func(key, text string, fixes ...string) {
		j.stage(s, key, Problem{Code: "C107", Severity: Error, Text: text, Why: "host-local refuses ADD, and no pod starts", Fixes: fixes})
	}
	type limits struct{ first, last netip.Addr }
	var seen []limits
	look := func(key string, r span) {
		text, fixes := r.fault()
		if text != "" {
			report(key, text, fixes...)
			return
		}
		first, last := r.limits()
		if slices.ContainsFunc(seen, func(o limits) bool {
			return o.first.BitLen() == first.BitLen() && !last.Less(o.first) && !o.last.Less(first)
		}) {
			report(key, fmt.Sprintf("want ranges that share no address, got %s-%s beside another with some of these", first, last))
		}
		seen = append(seen, limits{first, last})
	}
	if c.Subnet != "" {
		look("ipam.subnet", c.span)
	}
	for _, r := range slices.Concat(c.Ranges...) {
		look("ipam.ranges", r)
	}
}

// fault is what host-local refuses of a range; "" for nothing.
func (r span) fault() (text string, fixes []string) {
	subnet, err := netip.ParsePrefix(r.Subnet)
	switch {
	case err != nil:
		return "want a prefix for subnet, got " + strconv.Quote(r.Subnet), nil
	case subnet != subnet.Masked():
		return fmt.Sprintf("want the first address of the subnet, got %q", r.Subnet), []string{fmt.Sprintf(`"subnet": "%s"`, subnet.Masked())}
	case subnet.Bits() > subnet.Addr().BitLen()-2:
		return fmt.Sprintf("want a subnet with room for more than two addresses, got %q", r.Subnet), nil
	case outside(subnet, r.RangeStart):
		return fmt.Sprintf("want a rangeStart in %s, got %q", subnet, r.RangeStart), nil
	case outside(subnet, r.RangeEnd):
		return fmt.Sprintf("want a rangeEnd in %s, got %q", subnet, r.RangeEnd), nil
	}
	if first, last := r.limits(); last.Less(first) {
		return fmt.Sprintf("want a rangeEnd behind rangeStart %s, got %s", first, last), nil
	}
	return "", nil
}

// limits are the first and the last address of a range without a fault in its words.
func (r span) limits() (first, last netip.Addr) {
	subnet := netip.MustParsePrefix(r.Subnet)
	first = subnet.Addr()
	bytes := first.AsSlice()
	for bit := subnet.Bits(); bit < first.BitLen(); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ = netip.AddrFromSlice(bytes)
	if a, err := netip.ParseAddr(r.RangeStart); err == nil {
		first = a
	}
	if a, err := netip.ParseAddr(r.RangeEnd); err == nil {
		last = a
	}
	return first, last
}

// outside says whether an address is given, and none of the subnet's.
func outside(subnet netip.Prefix, word string) bool {
	a, err := netip.ParseAddr(word)
	return word != "" && (err != nil || !subnet.Contains(a))
}
