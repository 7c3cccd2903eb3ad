package conformance

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// resultSuite is about what ADD answers.
func resultSuite() []Assertion {
	return []Assertion{
		{"A1", every, Must, "Section 2, ADD", "If the CNI plugin is successful, it must output a result structure on standard out.", addWorks},
		{"C16", every, Must, "Section 5, ADD Success", "The result's cniVersion is the same version supplied on input.", sameVersion},
		{"C17", every, Should, "Section 5 of the version; 0.4.0: version (string)", "ips[].version stands in results of 0.3.0 to 0.4.0, and in none of 1.x.", shapeOfVersion},
		{"C18", every, Convention, "Section 5 of 0.2.0", "A plugin that says it speaks 0.1.0 or 0.2.0 answers with ip4 or ip6.", oldShape},
		{"C23", every, Convention, "go-cni, types.go", "Members of capability arguments are read in any case: go-cni writes HostPort.", anyCase},
		{"C26", ipamOnly, Should, "CONVENTIONS.md, CNI_ARGS", "If args.cni.ips and CNI_ARGS' IP are both given, a plugin that understands args must ignore CNI_ARGS.", argsFirst},
		{"F4", every, Must, "Section 5, ADD Success", "ips[].interface is an index into the interfaces list.", indexes},
		{"F5", every, Convention, "CRI-O, server/sandbox_network.go", "IPv4 addresses stand before IPv6 ones, and none twice: CRI-O reports them in this order.", orderOfIPs},
		{"F7", ipamOnly, Must, "Section 2, ADD", "If the plugin was supplied a prevResult, it MUST handle it by either passing it through, or modifying it appropriately.", handlesPrevious},
	}
}

// added is the result of an ADD that a trial needs.
func (t *trial) added(a attachment) object { return t.ran(t.call("ADD", a)) }

// ran is the result of a call that a trial needs.
func (t *trial) ran(c *call) object {
	got := c.run()
	if got.refused {
		t.skip("%s fails (A1): %s", c.verb, got.says())
	}
	if c.verb == "ADD" && got.out == nil {
		t.skip("ADD gives no result (A1): %s", got.says())
	}
	return got.out
}

func addWorks(t *trial) {
	t.expect(len(t.s.versions) > 0, "a plugin that speaks a version from 0.3.0 to 1.1.0", "none")
	got := t.call("ADD", t.attach()).run()
	t.expect(!got.refused && got.exit == 0, "success", "%s", got.says())
	t.expect(got.out != nil, "a result, which is a JSON object", "%s", got.says())
}

func sameVersion(t *trial) {
	t.each("0.3.0", func() {
		a := t.attach()
		result := t.added(a)
		t.expect(text(result, "cniVersion") == t.version, "cniVersion "+t.version, "cniVersion %v", result["cniVersion"])
		t.call("DEL", a).set("prevResult", result).run()
	})
}

func shapeOfVersion(t *trial) {
	t.each("0.4.0", func() {
		a := t.attach()
		result := t.added(a)
		for j, ip := range list(result, "ips") {
			want := ""
			if older(t.version, "1.0.0") {
				if want = "4"; strings.Contains(text(ip, "address"), ":") {
					want = "6"
				}
			}
			t.expect(text(ip, "version") == want, fmt.Sprintf("ips[%d].version %q at %s", j, want, t.version), "%q", text(ip, "version"))
		}
		t.call("DEL", a).set("prevResult", result).run()
	})
}

func oldShape(t *trial) {
	_, versions := t.versions(t.call("VERSION", attachment{}))
	if !slices.Contains(versions, "0.1.0") && !slices.Contains(versions, "0.2.0") {
		t.skip("the plugin speaks neither 0.1.0 nor 0.2.0")
	}
	if t.s.kind == Chained {
		t.skip("0.2.0 knows no prevResult")
	}
	got := t.call("ADD", t.attach()).set("cniVersion", "0.2.0").run()
	t.expect(!got.refused, "success at 0.2.0", "%s", got.says())
	t.expect(got.out["ip4"] != nil || got.out["ip6"] != nil, "ip4 or ip6", "%s", got.says())
}

// anyCase gives the plugin its runtimeConfig once as it is written, and once with capitals, each in a fresh container,
// and expects as much of an effect.
func anyCase(t *trial) {
	if len(t.p.RuntimeConfig) == 0 {
		t.skip("the profile gives no runtimeConfig")
	}
	effect := func(capitals bool) int {
		a := t.attach()
		c := t.call("ADD", a)
		if config := c.conf["runtimeConfig"]; capitals {
			members := object{}
			for name, value := range config.(object) { // the names of capabilities keep their case
				members[name] = capitalised(value)
			}
			c.set("runtimeConfig", members)
		}
		before := t.look()
		got := c.run()
		t.expect(!capitals || !got.refused, "success", "%s", got.says())
		return len(t.changes(before, t.look()))
	}
	effect(false) // what is made once for all
	plain, capitals := effect(false), effect(true)
	t.expect(plain == capitals, fmt.Sprintf("as many changes as with small letters: %d", plain), "%d", capitals)
}

func capitalised(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, x := range v {
			out[strings.ToUpper(k[:1])+k[1:]] = capitalised(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = capitalised(x)
		}
		return out
	}
	return v
}

func (t *trial) wanted() (string, string) {
	if len(t.p.Wanted) != 2 {
		t.skip("the profile names no addresses that one may ask for")
	}
	return t.p.Wanted[0], t.p.Wanted[1]
}

func hasIP(result object, ip string) bool {
	return slices.ContainsFunc(list(result, "ips"), func(o object) bool { return strings.HasPrefix(text(o, "address"), bare(ip)+"/") })
}

func bare(ip string) string { ip, _, _ = strings.Cut(ip, "/"); return ip }

func argsFirst(t *trial) {
	one, other := t.wanted()
	args := object{"cni": object{"ips": []string{one}}}
	a := t.attach()
	alone := t.ran(t.call("ADD", a).set("args", args))
	if !hasIP(alone, one) {
		t.skip("the plugin does not understand args.cni.ips")
	}
	t.ran(t.del(a, alone))
	got := t.call("ADD", t.attach()).set("args", args).let("CNI_ARGS", "IgnoreUnknown=1;IP="+other).run()
	t.expect(!got.refused && hasIP(got.out, one), one, "%s", got.says())
}

func indexes(t *trial) {
	result := t.added(t.attach())
	n := len(list(result, "interfaces"))
	for i, ip := range list(result, "ips") {
		at, there := ip["interface"]
		if !there {
			continue
		}
		index, ok := at.(float64)
		t.expect(ok && index >= 0 && int(index) < n && index == float64(int(index)),
			fmt.Sprintf("ips[%d].interface of 0..%d", i, n-1), "%v", at)
	}
}

func orderOfIPs(t *trial) {
	ips := list(t.added(t.attach()), "ips")
	six := false
	for i, ip := range ips {
		prefix, err := netip.ParsePrefix(text(ip, "address"))
		if err != nil {
			t.skip("no address in CIDR notation: %v", ip["address"])
		}
		t.expect(!six || !prefix.Addr().Is4(), "IPv4 first", "%v", ips)
		six = six || prefix.Addr().Is6()
		for _, earlier := range ips[:i] {
			t.expect(text(earlier, "address") != text(ip, "address"), "no address twice", "%v", ips)
		}
	}
}

// handlesPrevious gives the plugin a prevResult of one more host interface, address and name server than it had. A
// plugin that has to be first may refuse it.
func handlesPrevious(t *trial) {
	a := t.attach()
	c := t.call("ADD", a)
	prev, _ := c.conf["prevResult"].(object)
	prev = maps.Clone(prev)
	if prev == nil {
		prev = object{"cniVersion": t.version}
	}
	marker := object{"name": "earlier0", "mac": "02:58:00:00:09:09"}
	prev["interfaces"] = append(slices.Clone(values(prev, "interfaces")), marker)
	prev["dns"] = object{"nameservers": []any{"10.88.9.9"}}
	got := c.set("prevResult", prev).run()
	if got.refused {
		return
	}
	kept := slices.ContainsFunc(list(got.out, "interfaces"), func(o object) bool { return o["name"] == "earlier0" })
	dns, _ := got.out["dns"].(object)
	t.expect(kept && reflect.DeepEqual(dns["nameservers"], []any{"10.88.9.9"}),
		"an error, or a result with the interfaces and dns of prevResult", "%s", got.says())
}

func values(o object, key string) []any { v, _ := o[key].([]any); return v }
