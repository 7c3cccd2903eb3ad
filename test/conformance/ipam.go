package conformance

import (
	"fmt"
	"net/netip"
	"reflect"
)

// ipamSuite is about plugins that hand out addresses.
func ipamSuite() []Assertion {
	return []Assertion{
		{"I1", ipamOnly, Must, "Section 5, Delegated plugins (IPAM)", "The result of a delegated IPAM plugin is missing the interfaces array, as well as the interface entry in ips.", abbreviated},
		{"I2", ipamOnly, Must, "Section 4, Delegated Plugin protocol", "Delegated plugins are provided the complete network configuration: the caller's own keys are none of theirs.", wholeConfig},
		{"I3", ipamOnly, Convention, "containernetworking/plugins, ptp and bridge", "The result has at least one address, in CIDR notation.", someAddress},
		{"I4", ipamOnly, Convention, "containernetworking/plugins, ptp", "Called by ptp, each address has a prefix shorter than its length and a gateway within it.", fitsPTP},
		{"I11", ipamOnly, Convention, "Section 2, ADD", "A second ADD without a DEL is an error or gives the same address; one DEL releases all.", addedTwice},
		{"I12", ipamOnly, Convention, "CONVENTIONS.md, Well-known Capabilities", "An address that is asked for is given, or the ADD fails and keeps nothing.", givesWanted},
		{"I13", ipamOnly, Convention, "containernetworking/plugins, pkg/ipam", "Each route has a gateway of its family, of its own or in ips.", routesHaveGateway},
		{"I14", ipamOnly, Should, "Section 4, Delegated plugin execution procedure", "The caller executes DEL right after an ADD that it cannot use: the address is free again, without a prevResult.", addedThenDeleted},
	}
}

// delegate is the configuration in which another plugin calls this one: with the caller's type.
func (c *call) delegate(caller string) *call { return c.set("type", caller) }

func abbreviated(t *trial) {
	result := t.added(t.attach())
	_, interfaces := result["interfaces"]
	t.expect(!interfaces, "no interfaces when first in a chain", "%v", result["interfaces"])
	result = t.ran(t.call("ADD", t.attach()).delegate("ptp"))
	_, interfaces = result["interfaces"]
	t.expect(!interfaces, "no interfaces when called by another plugin", "%v", result["interfaces"])
	for i, ip := range list(result, "ips") {
		_, index := ip["interface"]
		t.expect(!index, fmt.Sprintf("no ips[%d].interface", i), "%v", ip)
	}
}

func wholeConfig(t *trial) {
	c := t.call("ADD", t.attach()).delegate("bridge-of-others")
	if _, own := c.conf["ipam"]; !own {
		t.skip("the profile's config has no ipam member")
	}
	c.over(object{"bridge": "br0", "mtu": 1400, "master": "eth0", "isGateway": true, "ipMasq": false, "anything": []any{1}})
	t.accepted(c, "success: the caller's keys are ignored")
}

func (t *trial) prefixes(result object) []netip.Prefix {
	var out []netip.Prefix
	for i, ip := range list(result, "ips") {
		p, err := netip.ParsePrefix(text(ip, "address"))
		t.expect(err == nil, fmt.Sprintf("ips[%d].address in CIDR notation", i), "%v", ip["address"])
		out = append(out, p)
	}
	t.expect(len(out) > 0, "at least one address", "%v", result["ips"])
	return out
}

func someAddress(t *trial) { t.prefixes(t.added(t.attach())) }

func fitsPTP(t *trial) {
	result := t.ran(t.call("ADD", t.attach()).delegate("ptp"))
	for i, p := range t.prefixes(result) {
		t.expect(p.Bits() < p.Addr().BitLen(), "a prefix that holds the gateway, too", "%s", p)
		gateway, err := netip.ParseAddr(text(list(result, "ips")[i], "gateway"))
		t.expect(err == nil && p.Contains(gateway), "a gateway within "+p.Masked().String(), "%v", list(result, "ips")[i]["gateway"])
	}
}

func addedTwice(t *trial) {
	t.warm()
	a := t.attach()
	before := t.look()
	first := t.added(a)
	again := t.call("ADD", a).run()
	t.expect(again.refused || reflect.DeepEqual(first["ips"], again.out["ips"]), "an error, or the same address", "%v, then %s", first["ips"], again.says())
	t.ran(t.del(a, first))
	t.settled(before, "nothing reserved after one DEL")
}

func givesWanted(t *trial) {
	one, _ := t.wanted()
	got := t.ran(t.call("ADD", t.attach()).set("runtimeConfig", object{"ips": []string{one}}))
	t.expect(hasIP(got, one), one, "%v", got["ips"])
	a := t.attach()
	before := t.look()
	taken := t.call("ADD", a).set("runtimeConfig", object{"ips": []string{one}}).run()
	t.expect(taken.refused, "an error, since the address is taken", "%s", taken.says())
	t.unchanged(before, "nothing reserved by an ADD that failed")
}

func routesHaveGateway(t *trial) {
	result := t.added(t.attach())
	if len(list(result, "ips")) == 0 {
		t.skip("the result has no address")
	}
	for i, route := range list(result, "routes") {
		dst, err := netip.ParsePrefix(text(route, "dst"))
		t.expect(err == nil, fmt.Sprintf("routes[%d].dst in CIDR notation", i), "%v", route["dst"])
		found := text(route, "gw") != ""
		for _, ip := range list(result, "ips") {
			gateway, err := netip.ParseAddr(text(ip, "gateway"))
			found = found || err == nil && gateway.Is4() == dst.Addr().Is4()
		}
		t.expect(found, fmt.Sprintf("a gateway for routes[%d]", i), "%v", result)
	}
}

func addedThenDeleted(t *trial) {
	t.warm()
	a := t.attach()
	before := t.look()
	t.ran(t.call("ADD", a).delegate("ptp"))
	t.ran(t.call("DEL", a).delegate("ptp").set("prevResult", nil))
	t.settled(before, "nothing reserved")
}
