package try

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/test/node"
)

// result is a CNI result as far as runtimes read it; 0.3.0 to 1.1.0 have the same form for that.
type result struct {
	CNIVersion string `json:"cniVersion"`
	Interfaces []struct {
		Name    string `json:"name"`
		MAC     string `json:"mac"`
		MTU     int    `json:"mtu"`
		Sandbox string `json:"sandbox"`
	} `json:"interfaces"`
	IPs []struct {
		Interface *int         `json:"interface"`
		Address   netip.Prefix `json:"address"`
		Gateway   string       `json:"gateway"`
	} `json:"ips"`
	Routes []struct {
		Dst string `json:"dst"`
	} `json:"routes"`
	DNS json.RawMessage `json:"dns"`
}

// judgeStep judges one stage's result by what it was given.
func (t *trial) judgeStep(step Step, stdin, out []byte) {
	who := step.who()
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		t.report.broken("%s: its result is no CNI result: %v", who, err)
		return
	}
	if r.CNIVersion != t.list.CNIVersion {
		t.report.brokenOnce(who+" version", "%s: its result says cniVersion %q, and was asked for %q", who, r.CNIVersion, t.list.CNIVersion)
	}
	var asked struct {
		Prev *result `json:"prevResult"`
	}
	if json.Unmarshal(stdin, &asked) != nil || asked.Prev == nil {
		return
	}
	if !emptyDNS(asked.Prev.DNS) && !jsonEqual(asked.Prev.DNS, r.DNS) {
		t.report.brokenOnce(who+" dns", "%s: it drops or changes dns of the stages before it: %s", who, asked.Prev.DNS)
	}
	for _, ip := range asked.Prev.IPs {
		if !slices.ContainsFunc(r.addresses(), func(p netip.Prefix) bool { return p.Addr() == ip.Address.Addr() }) {
			t.report.brokenOnce(who+" address", "%s: it drops the address %s of the stages before it", who, ip.Address.Addr())
		}
	}
	for _, route := range asked.Prev.Routes {
		if !slices.Contains(r.Routes, route) {
			t.report.brokenOnce(who+" route", "%s: it drops the route to %s of the stages before it", who, route.Dst)
		}
	}
}

func emptyDNS(dns json.RawMessage) bool {
	return len(dns) == 0 || jsonEqual(dns, json.RawMessage("{}")) || jsonEqual(dns, json.RawMessage("null"))
}

func (r result) addresses() (all []netip.Prefix) {
	for _, ip := range r.IPs {
		all = append(all, ip.Address)
	}
	return all
}

// judge judges the final result as runtimes read it, and compares it with the kernel.
func (t *trial) judge(p *pod) {
	var r result
	if json.Unmarshal(p.result, &r) != nil {
		return // said before
	}
	if p.Name == firstPod {
		t.report.Addresses = r.addresses()
	}
	own := t.judgeInterfaces(p, r)
	if len(r.IPs) == 0 {
		t.report.broken("the result has no address: runtimes refuse the pod")
	}
	seen := map[netip.Addr]bool{}
	for i, ip := range r.IPs {
		a := ip.Address.Addr()
		switch {
		case seen[a]:
			t.report.broken("the result has the address %s twice", a)
		case ip.Interface == nil: // runtimes take it for the pod's
		case *ip.Interface < 0 || *ip.Interface >= len(r.Interfaces):
			t.report.broken("ips[%d].interface is %d, and there are %d interfaces: containerd panics", i, *ip.Interface, len(r.Interfaces))
		case *ip.Interface != own:
			t.report.broken("ips[%d] (%s) is an address of interface %q, not of the pod's %s", i, a, r.Interfaces[*ip.Interface].Name, p.rt.IfName)
		}
		seen[a] = true
	}
	t.compare(p, r)
}

// judgeInterfaces returns the index of the pod's interface, -1 if there is none.
func (t *trial) judgeInterfaces(p *pod, r result) int {
	own := -1
	for i, f := range r.Interfaces {
		switch {
		case f.Sandbox == "":
		case f.Sandbox != p.Netns:
			t.report.broken("interfaces[%d].sandbox is %q, and CNI_NETNS was %q", i, f.Sandbox, p.Netns)
			if f.Name == p.rt.IfName {
				own = i
			}
		case f.Name == p.rt.IfName && own >= 0:
			t.report.broken("the result lists the pod's %s twice", f.Name)
		case f.Name == p.rt.IfName:
			own = i
		}
	}
	if own < 0 {
		t.report.broken("the result does not list the pod's %s", p.rt.IfName)
	}
	return own
}

// compare looks for what the result says in the kernel: in the pod, and on the node.
func (t *trial) compare(p *pod, r result) {
	for i, f := range r.Interfaces {
		netns, where := "", "on the node"
		if f.Sandbox != "" {
			netns, where = p.Netns, "in the pod"
		}
		err := node.Within(netns, func() error {
			link, err := netlink.LinkByName(f.Name)
			if err != nil {
				return fmt.Errorf("there is no %s %s", f.Name, where)
			}
			a := link.Attrs()
			if own := a.HardwareAddr.String(); f.MAC != "" && f.MAC != own && own != "" {
				return fmt.Errorf("%s %s has MAC %s, and the result says %s", f.Name, where, own, f.MAC)
			}
			if f.MTU != 0 && f.MTU != a.MTU {
				text := fmt.Sprintf("%s %s has mtu %d, and the result says %d", f.Name, where, a.MTU, f.MTU)
				if t.facts.changes[contract.MTU] { // upstream's tuning says nothing of it
					t.report.note("%s: a later stage changed it", text)
					return nil
				}
				return fmt.Errorf("%s", text)
			}
			if f.Sandbox == "" || f.Name != p.rt.IfName {
				return nil
			}
			return p.holds(link, r)
		})
		if err != nil {
			t.report.broken("interfaces[%d]: %v", i, err)
		}
	}
}

// holds looks for the result's addresses on the pod's interface; those that are there are the pod's.
func (p *pod) holds(link netlink.Link, r result) error {
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("cannot list the addresses of %s: %w", link.Attrs().Name, err)
	}
	var missing error
	for _, want := range r.IPs {
		a := want.Address.Addr()
		switch {
		case !slices.ContainsFunc(all, func(b netlink.Addr) bool { return b.IP.String() == a.String() }):
			missing = fmt.Errorf("%s has not the address %s", link.Attrs().Name, a)
		case !slices.Contains(p.addresses, want.Address):
			p.addresses = append(p.addresses, want.Address)
		}
	}
	return missing
}
