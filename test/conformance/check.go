package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// checkSuite is about CHECK: what it accepts. What it has to notice is in accident.go.
func checkSuite() []Assertion {
	return []Assertion{
		{"H1", every, Must, "Section 2, CHECK", "The plugin must handle CHECK being called immediately after an ADD.", checkAfterAdd},
		{"H2", every, Should, "Section 2, CHECK", "A CHECK changes nothing: it probes the status of an existing container.", checkChangesNothing},
		{"I6", ipamOnly, Should, "Section 2, CHECK", "The plugin should return an error if IP reservations are missing.", checkMissesReservation},
		{"N9", wires, Must, "Section 2, CHECK", "The plugin must allow for a later chained plugin to have modified networking resources, e.g. routes.", checkAllowsRoutes},
		{"N19", wires, Must, "Section 2, CHECK", "It consults prevResult for what is expected: a MAC, an MTU and interfaces that a later plugin gave are right.", checkAllowsLinks},
	}
}

// checked is a CHECK as a runtime sends it; the version must have CHECK.
func (t *trial) checked(a attachment, result object) answer {
	if older(t.version, "0.4.0") {
		t.skip("the plugin speaks no version that has CHECK")
	}
	return t.call("CHECK", a).set("prevResult", result).run()
}

// sound skips where CHECK fails right after ADD, which is H1's.
func (t *trial) sound(a attachment, result object) {
	if got := t.checked(a, result); got.refused {
		t.skip("CHECK right after ADD fails (H1): %s", got.says())
	}
}

func checkAfterAdd(t *trial) {
	t.each("0.4.0", func() {
		a := t.attach()
		result := t.added(a)
		for range 2 {
			got := t.checked(a, result)
			t.expect(!got.refused, "success of CHECK at "+t.version, "%s", got.says())
		}
		t.del(a, result).run()
	})
}

func checkChangesNothing(t *trial) {
	a := t.attach()
	result := t.added(a)
	before := t.look()
	t.checked(a, result)
	t.unchanged(before, "nothing changed by CHECK")
}

func checkMissesReservation(t *trial) {
	a := t.attach()
	before := t.reserved()
	result := t.added(a)
	if slices.Equal(before, t.reserved()) {
		t.skip("the plugin reserves nothing")
	}
	t.sound(a, result)
	t.ran(t.del(a, result))
	got := t.checked(a, result)
	t.expect(got.refused, "an error of CHECK once the reservation is gone", "%s", got.says())
}

// checkAllowsRoutes moves the container's routes into another table, as sbr does; prevResult still says them.
func checkAllowsRoutes(t *trial) {
	a := t.attach()
	result := t.added(a)
	t.sound(a, result)
	moved := 0
	for _, family := range []string{"-4", "-6"} {
		routes, err := t.quiet("ip -n " + a.container + " " + family + " route show dev " + a.ifname + " table main")
		if err != nil {
			t.skip("cannot read the container's routes: %s", routes)
		}
		for line := range strings.Lines(routes) {
			route := strings.TrimSpace(line)
			if route == "" || strings.Contains(route, "fe80") || strings.HasPrefix(route, "multicast") {
				continue
			}
			route = strings.ReplaceAll(strings.ReplaceAll(route, " linkdown", ""), " pref medium", "")
			ns := "ip -n " + a.container + " " + family + " route "
			if _, err := t.shell(ns + "del " + route + " dev " + a.ifname); err == nil {
				t.sh(ns + "replace " + route + " dev " + a.ifname + " onlink table 100 2>/dev/null || " +
					ns + "replace " + route + " dev " + a.ifname + " table 100")
				moved++
			}
		}
	}
	for _, ip := range list(result, "ips") { // sbr's rule
		address, family := bare(text(ip, "address")), "-4"
		if strings.Contains(address, ":") {
			family = "-6"
		}
		t.sh(fmt.Sprintf("ip -n %s %s rule add from %s table 100", a.container, family, address))
	}
	if moved == 0 {
		t.skip("the plugin makes no routes in the container")
	}
	got := t.checked(a, result)
	t.expect(!got.refused, "success after a later plugin moved the routes to another table", "%s", got.says())
}

// checkAllowsLinks gives the container's interface another MAC and MTU, as tuning does, and says so in prevResult; and it
// puts a third interface there, as bandwidth does.
func checkAllowsLinks(t *trial) {
	a := t.attach()
	result := clone(t.added(a))
	t.sound(a, result)
	const mac = "02:58:00:00:05:05"
	for _, change := range []string{"address " + mac, "mtu 1400"} {
		if out, err := t.shell(fmt.Sprintf("ip -n %s link set %s %s", a.container, a.ifname, change)); err != nil {
			t.skip("cannot change the interface: %s", out)
		}
	}
	for _, link := range list(result, "interfaces") {
		if link["name"] == a.ifname && link["sandbox"] == a.netns {
			link["mac"] = mac
			if _, told := link["mtu"]; told {
				link["mtu"] = 1400
			}
		}
	}
	result["interfaces"] = append(values(result, "interfaces"), object{"name": "ifb0", "mac": "02:58:00:00:06:06"})
	got := t.checked(a, result)
	t.expect(!got.refused, "success after a later plugin changed MAC and MTU and added an interface", "%s", got.says())
}
