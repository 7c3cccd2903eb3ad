package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/enichain/enichain/test/kernel"
)

// interfaceSuite is about plugins that make the container's interface: the result must say what the kernel shows.
func interfaceSuite() []Assertion {
	return []Assertion{
		{"F3", wires, Convention, "containerd, internal/cri/server", "At least one of ips indexes CNI_IFNAME in the container, or nothing: containerd takes a pod's address from there alone.", addressForContainerd},
		{"F6", wires, Convention, "CRI-O, server/sandbox_network.go", "Each of ips is of an interface in the container: CRI-O takes every one for the pod's.", addressesForCRIO},
		{"N1", wires, Must, "Section 2, ADD", "If an interface of the requested name already exists in the container, the plugin MUST return with an error.", nameTaken},
		{"N3", wires, Should, "Section 5, ADD Success", "For interfaces created inside the container, sandbox should be the value passed via CNI_NETNS; mac is the hardware address.", resultLinks},
		{"N4", wires, Must, "Section 2, ADD; Section 5", "A plugin that was given a prevResult must output it, with any possible modifications made by that plugin included.", keepsPrevious},
		{"N5", wires, Convention, "CONVENTIONS.md, Chained Plugins", "Where prevResult lists CNI_IFNAME in the container already, no second one is made.", nameListed},
		{"N11", wires, Must, "Section 5, ADD Success", "routes are the routes created by this attachment: each is in the container's kernel, with gw, mtu, priority, table.", resultRoutes},
		{"N12", wires, Should, "Section 5, ADD Success", "interfaces[].mtu is the MTU of the interface.", resultMTU},
		{"N13", wires, Must, "Section 5, ADD Success", "interfaces is an array of all interfaces created by the attachment, including any host-level interfaces.", resultIsComplete},
		{"N20", wires, Must, "Section 5, ADD Success", "ips are the IPs assigned by this attachment: each is on the interface that it indexes.", resultAddresses},
		{"N21", wires, Should, "Section 2, ADD", "ADD creates the interface defined by CNI_IFNAME inside the container at CNI_NETNS, and it is up.", interfaceThere},
	}
}

// link is what "ip -j link" says.
type link struct {
	Name  string   `json:"ifname"`
	MAC   string   `json:"address"`
	MTU   float64  `json:"mtu"`
	Flags []string `json:"flags"`
	Info  []struct {
		Local string `json:"local"`
		Bits  int    `json:"prefixlen"`
	} `json:"addr_info"`
}

// links are the links of a namespace; "" is the node.
func (t *trial) links(container string) []link {
	line := "ip -j addr show"
	if container != "" {
		line = "ip -n " + container + " -j addr show"
	}
	out, err := t.quiet(line)
	var all []link
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		t.skip("cannot read the links: %v: %s", err, out)
	}
	return all
}

func named(all []link, name string) (link, bool) {
	i := slices.IndexFunc(all, func(l link) bool { return l.Name == name })
	if i < 0 {
		return link{}, false
	}
	return all[i], true
}

// own are the entries of the result that this plugin added, with the kernel's links of the same name.
func (t *trial) own(a attachment, result object) (said []object, found []link) {
	given := map[string]bool{}
	for _, o := range list(t.prevResult(a), "interfaces") {
		given[text(o, "name")+text(o, "sandbox")] = true
	}
	host, inside := t.links(""), t.links(a.container)
	for _, o := range list(result, "interfaces") {
		if given[text(o, "name")+text(o, "sandbox")] {
			continue
		}
		where, all := "on the node", host
		if text(o, "sandbox") != "" {
			where, all = "in the container", inside
		}
		l, ok := named(all, text(o, "name"))
		t.expect(ok, "an interface "+text(o, "name")+" "+where, "none of that name")
		said, found = append(said, o), append(found, l)
	}
	return said, found
}

func nameTaken(t *trial) {
	if t.p.FreshOnly {
		t.skip("the plugin works on an interface that is there")
	}
	t.warm()
	a := t.attach()
	t.sh(fmt.Sprintf("ip link add taken0 type veth peer name %s netns %s", a.ifname, a.container))
	before := t.look()
	got := t.call("ADD", a).run()
	t.expect(got.refused, "an error, since "+a.ifname+" is there already", "%s", got.says())
	t.settled(before, "nothing kept")
	touched := slices.DeleteFunc(t.changes(before, t.look()), func(c change) bool { return c.netns != a.netns })
	t.expect(len(touched) == 0, "the interface untouched", "%s", told(touched))
}

func resultLinks(t *trial) {
	a := t.attach()
	result := t.added(a)
	said, found := t.own(a, result)
	there := false
	for i, o := range said {
		t.expect(text(o, "mac") == "" || strings.EqualFold(text(o, "mac"), found[i].MAC), text(o, "name")+" with mac "+found[i].MAC, "%v", o["mac"])
		if box := text(o, "sandbox"); box != "" {
			t.expect(box == a.netns, "sandbox "+a.netns, "%s", box)
			there = there || text(o, "name") == a.ifname
		}
	}
	t.expect(there, a.ifname+" with sandbox "+a.netns+" among the interfaces", "%v", result["interfaces"])
}

func resultMTU(t *trial) {
	a := t.attach()
	said, found := t.own(a, t.added(a))
	for i, o := range said {
		t.expect(o["mtu"] == found[i].MTU, fmt.Sprintf("%s with mtu %v", text(o, "name"), found[i].MTU), "%v", o["mtu"])
	}
}

func resultIsComplete(t *trial) {
	a := t.attach()
	before := t.look()
	result := t.added(a)
	var said []string
	for _, o := range list(result, "interfaces") {
		said = append(said, text(o, "name"))
	}
	for _, c := range t.changes(before, t.look()) {
		name, _, _ := strings.Cut(c.Line, " ")
		if _, was := linkLine(before.states[c.netns], name); c.Section == kernel.Links && c.Added && !was {
			t.expect(slices.Contains(said, name), "all new interfaces in the result", "%v; the kernel has %s, too", said, name)
		}
	}
}

func resultAddresses(t *trial) {
	a := t.attach()
	result := t.added(a)
	inside, interfaces := t.links(a.container), list(result, "interfaces")
	for i, ip := range list(result, "ips") {
		name := a.ifname
		if at, ok := ip["interface"].(float64); ok && int(at) < len(interfaces) && at >= 0 {
			name = text(interfaces[int(at)], "name")
		}
		l, _ := named(inside, name)
		ok := slices.ContainsFunc(l.Info, func(x struct {
			Local string `json:"local"`
			Bits  int    `json:"prefixlen"`
		}) bool {
			return net.ParseIP(x.Local).Equal(net.ParseIP(bare(text(ip, "address"))))
		})
		t.expect(ok, fmt.Sprintf("ips[%d], %s, on %s in the container", i, text(ip, "address"), name), "%v", l.Info)
	}
}

func interfaceThere(t *trial) {
	a := t.attach()
	t.added(a)
	l, ok := named(t.links(a.container), a.ifname)
	t.expect(ok, a.ifname+" in the container", "no such link")
	t.expect(slices.Contains(l.Flags, "UP"), a.ifname+" up", "%v", l.Flags)
}

// indexed is the interface that an entry of ips is of; nil where it indexes none.
func indexed(result, ip object) object {
	at, ok := ip["interface"].(float64)
	interfaces := list(result, "interfaces")
	if !ok || at < 0 || int(at) >= len(interfaces) {
		return nil
	}
	return interfaces[int(at)]
}

func addressForContainerd(t *trial) {
	a := t.attach()
	result := t.added(a)
	ips := list(result, "ips")
	if len(ips) == 0 {
		t.skip("the result has no address")
	}
	ok := slices.ContainsFunc(ips, func(ip object) bool { link := indexed(result, ip); return link == nil || link["name"] == a.ifname })
	t.expect(ok, "an address that indexes "+a.ifname, "%s", jsonOf(result))
}

func addressesForCRIO(t *trial) {
	result := t.added(t.attach())
	for i, ip := range list(result, "ips") {
		link := indexed(result, ip)
		t.expect(link == nil || text(link, "sandbox") != "", fmt.Sprintf("ips[%d] on an interface in the container", i), "%s", jsonOf(link))
	}
}

// keepsPrevious gives the plugin a prevResult with one more interface and name server than it had; a plugin that must be
// first may refuse it.
func keepsPrevious(t *trial) {
	a := t.attach()
	c := t.call("ADD", a)
	prev, given := c.conf["prevResult"].(object)
	if given {
		prev = clone(prev)
	} else {
		prev = object{"cniVersion": t.version, "ips": []any{}}
	}
	prev["interfaces"] = append(values(prev, "interfaces"), object{"name": "earlier0", "mac": "02:58:00:00:09:09"})
	prev["dns"] = object{"nameservers": []any{"10.88.9.9"}}
	got := c.set("prevResult", prev).run()
	if got.refused && !given {
		return
	}
	t.expect(!got.refused, "success", "%s", got.says())
	var names []string
	for _, o := range list(got.out, "interfaces") {
		names = append(names, text(o, "name"))
	}
	for _, o := range list(prev, "interfaces") {
		t.expect(slices.Contains(names, text(o, "name")), "interface "+text(o, "name")+" of prevResult in the result", "%v", names)
	}
	dns, _ := got.out["dns"].(object)
	t.expect(jsonOf(dns["nameservers"]) == `["10.88.9.9"]`, "the dns of prevResult in the result", "%s", jsonOf(dns))
}

func nameListed(t *trial) {
	if t.p.FreshOnly {
		t.skip("the plugin works on an interface that is there")
	}
	a := t.attach()
	c := t.call("ADD", a)
	prev, given := c.conf["prevResult"].(object)
	if !given {
		prev = object{"cniVersion": t.version}
	}
	prev = clone(prev)
	prev["interfaces"] = append(values(prev, "interfaces"), object{"name": a.ifname, "sandbox": a.netns})
	before := t.look()
	got := c.set("prevResult", prev).run()
	t.expect(got.refused, "an error, since prevResult has "+a.ifname+" in the container", "%s", got.says())
	t.settled(before, "no effect")
}

// resultRoutes looks for each route of the result in the container. Where an IPAM plugin gives the addresses, one of ours
// gives routes with everything that a route can have.
func resultRoutes(t *trial) {
	a := t.attach()
	c := t.call("ADD", a)
	if !older(t.version, "1.1.0") {
		full := []any{
			object{"dst": "0.0.0.0/0"},
			object{"dst": "198.51.100.0/24", "mtu": 1300.0, "advmss": 1200.0, "priority": 50.0, "table": 100.0},
		}
		switch prev, given := c.conf["prevResult"].(object); {
		case given:
			prev = clone(prev)
			prev["routes"] = append(values(prev, "routes"), full[1:]...)
			c.set("prevResult", prev)
		case t.delegating() != nil:
			t.spy().routes = full
			t.spied(c)
		}
	}
	result := t.ran(c)
	for _, route := range list(result, "routes") {
		t.routeThere(a, route)
	}
}

func (t *trial) routeThere(a attachment, route object) {
	family, dst := "-4", text(route, "dst")
	if strings.Contains(dst, ":") {
		family = "-6"
	}
	line := fmt.Sprintf("ip -n %s %s route show table all exact %s", a.container, family, dst)
	out, err := t.quiet(line)
	if err != nil {
		t.skip("cannot read the routes: %s", out)
	}
	lines := strings.Split(out, "\n")
	want := []string{}
	add := func(word string, v any) {
		if v != nil && v != 0.0 && v != "" {
			want = append(want, fmt.Sprintf("%s %v", word, v))
		}
	}
	add("via", route["gw"])
	add("mtu", route["mtu"])
	add("advmss", route["advmss"])
	add("metric", route["priority"])
	if route["table"] != 254.0 {
		add("table", route["table"])
	}
	ok := slices.ContainsFunc(lines, func(have string) bool {
		return have != "" && !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(have+" ", w+" ") })
	})
	t.expect(ok, strings.TrimSpace("a route to "+dst+" "+strings.Join(want, " ")), "%s", brief(out))
}
