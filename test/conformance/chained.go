package conformance

import (
	"fmt"
	"maps"
	"reflect"
)

// chainedSuite is about plugins that come after others.
func chainedSuite() []Assertion {
	return []Assertion{
		{"M1", chainOnly, Must, "Section 5, ADD Success", "If a plugin makes no changes, it must output a result equivalent to the provided prevResult.", passesThrough},
		{"M2", chainOnly, Convention, "libcni, pkg/version", "A prevResult without a cniVersion is read as of the configuration's.", previousUnversioned},
		{"M3", chainOnly, Convention, "containernetworking/plugins", "Without prevResult ADD fails with words, or does its work; it does not crash.", noPrevious},
	}
}

// rich is a prevResult with everything that a version can carry.
func rich(prev object, a attachment, version string) object {
	prev = clone(prev)
	prev["dns"] = object{"nameservers": []any{"10.88.0.53"}, "domain": "d", "search": []any{"s"}, "options": []any{"o"}}
	prev["ips"] = append(values(prev, "ips"), expand(object{"address": "$IP6/64", "gateway": "$GATEWAY6", "interface": 1.0}, a))
	routes := values(prev, "routes")
	routes = append(routes, object{"dst": "192.0.2.0/24"})
	if !older(version, "1.1.0") {
		routes = append(routes, object{"dst": "198.51.100.0/24", "gw": expandLine("$GATEWAY", a.vars()), "mtu": 1400.0, "advmss": 1300.0, "priority": 5.0, "table": 100.0, "scope": 0.0})
		if links := list(prev, "interfaces"); len(links) > 1 {
			maps.Copy(links[1], object{"mtu": 1500.0, "socketPath": "/s", "pciID": "0000:00:1f.0"})
		}
	}
	prev["routes"] = routes
	return inShapeOf(prev, version)
}

// passesThrough compares what came out with what went in, as JSON. What the profile says that the plugin changes is its
// own matter, and not compared.
func passesThrough(t *trial) {
	t.each("0.3.0", func() {
		a := t.attach()
		c := t.call("ADD", a)
		prev, ok := c.conf["prevResult"].(object)
		if !ok {
			t.skip("the profile gives no prevResult")
		}
		prev = rich(prev, a, t.version)
		got := t.ran(c.set("prevResult", prev))
		for _, key := range []string{"cniVersion", "interfaces", "ips", "routes", "dns"} {
			if key == "interfaces" && t.p.ChangesInterfaces {
				t.keepsInterfaces(prev, got)
				continue
			}
			want, have := plain(prev[key]), plain(got[key])
			t.expect(reflect.DeepEqual(want, have), fmt.Sprintf("%s at %s as in prevResult: %s", key, t.version, jsonOf(want)), "%s", jsonOf(have))
		}
		t.del(a, got).run()
	})
}

// keepsInterfaces is for plugins that change or add some: each interface of prevResult is still there, in its place.
func (t *trial) keepsInterfaces(prev, got object) {
	was, is := list(prev, "interfaces"), list(got, "interfaces")
	t.expect(len(is) >= len(was), "the interfaces of prevResult, and more behind them", "%s", jsonOf(is))
	for i, link := range was {
		t.expect(link["name"] == is[i]["name"], fmt.Sprintf("interfaces[%d] %v", i, link["name"]), "%v", is[i]["name"])
	}
}

func previousUnversioned(t *trial) {
	c := t.call("ADD", t.attach())
	prev, ok := c.conf["prevResult"].(object)
	if !ok {
		t.skip("the profile gives no prevResult")
	}
	prev = clone(prev)
	delete(prev, "cniVersion")
	t.accepted(c.set("prevResult", prev), "success")
}

func noPrevious(t *trial) {
	got := t.call("ADD", t.attach()).set("prevResult", nil).run()
	crashed := got.signal != 0 || got.exit > 1 && got.out == nil
	t.expect(!crashed, "an error object or a result", "%s", got.says())
}
