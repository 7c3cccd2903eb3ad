package try

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/test/node"
)

// vpcNetworks are where an address is the node's to receive: others the VPC does not know.
var vpcNetworks = []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16"), netip.MustParsePrefix("2001:db8:110::/48")}

func fromVPC(a netip.Addr) bool { return vpcNetworks[0].Contains(a) || vpcNetworks[1].Contains(a) }

// of is a place's address of the same family as a.
func of(p node.Place, a netip.Addr) netip.Addr {
	if a.Is6() {
		return p.Addr6
	}
	return p.Addr
}

// protocols of hellos.
var protocols = []string{"tcp", "udp"}

// helloPort is where everybody but the pod's own service answers.
const helloPort = 7777

// flows sends hellos to the pod and from it, family by family.
func (t *trial) flows(p *pod) {
	for _, prefix := range p.addresses {
		if a := prefix.Addr(); of(t.node.Self, a).IsValid() {
			t.say("packets to and from %s", a)
			t.inward(p, a)
			t.outward(p, a)
			t.hostPorts(p, a)
		}
	}
	t.silence()
}

// silence says in one reason which hellos were not answered.
func (t *trial) silence() {
	if n := len(t.unheard); n > 0 {
		more := ""
		if n > 3 {
			more = fmt.Sprintf(", and %d more", n-3)
		}
		t.deaf = true
		t.report.broken("no answer: %s%s", strings.Join(t.unheard[:min(n, 3)], ", "), more)
	}
	t.unheard = nil
}

// serve answers in a place while work runs.
func (t *trial) serve(p node.Place, protocol string, at netip.AddrPort, work func()) {
	s, err := t.node.Listen(t.ctx, p, protocol, at)
	if err != nil {
		t.report.broken("%v", err)
		return
	}
	defer s.Close()
	work()
}

// inward are hellos to the pod's address.
func (t *trial) inward(p *pod, a netip.Addr) {
	routed := t.facts.facts[contract.Routed]
	for _, protocol := range protocols {
		to := netip.AddrPortFrom(a, helloPort)
		t.serve(p.Place, protocol, to, func() {
			t.hello(t.node.Self, p.Name, protocol, to, expect{promised: routed, who: p.Name})
			if fromVPC(a) {
				t.hello(t.node.Host, p.Name, protocol, to, expect{promised: routed, who: p.Name, saw: []netip.Addr{of(t.node.Host, a)}})
			}
		})
	}
}

// outward are hellos from the pod: to the node, into the VPC, and out of it.
func (t *trial) outward(p *pod, a netip.Addr) {
	routed, masqueraded := t.facts.facts[contract.Routed], t.facts.facts[contract.Masquerade]
	own, nodes := []netip.Addr{a}, []netip.Addr{of(t.node.Self, a)}
	from := t.from(p, a)
	for _, protocol := range protocols {
		for _, to := range []struct {
			place node.Place
			want  expect
		}{
			{t.node.Self, expect{promised: routed, saw: append(own, nodes...)}},
			{t.node.Host, expect{promised: routed && fromVPC(a) || masqueraded && a.Is4(), saw: append(own, nodes...)}},
			{t.node.Outside, t.outside(a, routed, masqueraded)},
		} {
			at := netip.AddrPortFrom(of(to.place, a), helloPort)
			to.want.who = to.place.Name
			t.serve(to.place, protocol, at, func() { t.hello(from, to.place.Name, protocol, at, to.want) })
		}
	}
}

// from is the pod as one who says hello, in a's family: without a source, as most programs do, unless a stage makes
// the way depend on it.
func (t *trial) from(p *pod, a netip.Addr) node.Place {
	place := p.Place
	if !t.facts.changes[contract.Routes] {
		return place
	}
	for _, own := range p.addresses {
		switch {
		case own.Addr().Is4() && a.Is4():
			place.Addr = own.Addr()
		case own.Addr().Is6() && a.Is6():
			place.Addr6 = own.Addr()
		}
	}
	return place
}

// outside is what a host outside the VPC must see of a pod. IPv6 has no translation unless a plugin brings one.
func (t *trial) outside(a netip.Addr, routed, masqueraded bool) expect {
	switch nodes := of(t.node.Self, a); {
	case masqueraded && a.Is4():
		return expect{promised: true, saw: []netip.Addr{nodes}}
	case routed && fromVPC(a):
		return expect{promised: true, saw: []netip.Addr{a, nodes}}
	}
	return expect{}
}

// hostPorts are hellos to the node's ports that lead to the pod: from outside, from the VPC, from the node and from
// the pod itself.
func (t *trial) hostPorts(p *pod, a netip.Addr) {
	if !t.facts.facts[contract.HostPorts] {
		return
	}
	for _, port := range p.ports {
		if port.Protocol != "tcp" && port.Protocol != "udp" {
			continue
		}
		name := fmt.Sprintf("%s by node:%d", p.Name, port.Host)
		to := netip.AddrPortFrom(of(t.node.Self, a), uint16(port.Host))
		t.serve(p.Place, port.Protocol, netip.AddrPortFrom(a, uint16(port.Container)), func() {
			for _, from := range []node.Place{t.node.Outside, t.node.Host, t.node.Self, t.from(p, a)} {
				promised := from.Name != p.Name || t.facts.hairpin
				t.hello(from, name, port.Protocol, to, expect{promised: promised, who: p.Name})
			}
			if !t.facts.hairpin {
				t.hairless(p, name)
			}
		})
	}
}

// hairless notes that a pod behind a bridge does not reach itself by its host port.
func (t *trial) hairless(p *pod, name string) {
	if f := t.report.Flows[len(t.report.Flows)-1]; !f.Promised && f.Err != "" {
		t.report.note("%s → %s: no answer; a bridge without hairpinMode sends nothing back (where br_netfilter is loaded)", p.Name, name)
	}
}

// between are hellos between two pods.
func (t *trial) between(a, b *pod) {
	for _, pair := range [][2]*pod{{a, b}, {b, a}} {
		for _, to := range pair[1].addresses {
			at := netip.AddrPortFrom(to.Addr(), helloPort)
			t.serve(pair[1].Place, "tcp", at, func() {
				t.hello(t.from(pair[0], to.Addr()), pair[1].Name, "tcp", at, expect{promised: t.facts.facts[contract.Routed], who: pair[1].Name})
			})
		}
	}
	t.silence()
}

// reach says hello to a pod again, after something happened that was not to disturb it.
func (t *trial) reach(p *pod, when string) {
	if t.deaf {
		return
	}
	for _, prefix := range p.addresses {
		at := netip.AddrPortFrom(prefix.Addr(), helloPort)
		if !of(t.node.Self, prefix.Addr()).IsValid() {
			continue
		}
		t.serve(p.Place, "tcp", at, func() {
			t.hello(t.node.Self, p.Name+" "+when, "tcp", at, expect{promised: t.facts.facts[contract.Routed], who: p.Name})
		})
	}
	t.silence()
}

// expect is what a hello must find.
type expect struct {
	promised bool
	who      string
	saw      []netip.Addr // any of these; nil: anything
}

// How long a hello may take: TCP sends a lost first packet again after one second, and after three. What is not
// promised is not waited for, and where one hello failed others will, too.
const (
	promisedPatience = 3500 * time.Millisecond
	shortPatience    = 300 * time.Millisecond
	slow             = 700 * time.Millisecond // a packet was lost
)

// hello says hello, files the answer, and judges it if it was promised.
func (t *trial) hello(from node.Place, to, protocol string, at netip.AddrPort, want expect) {
	if !want.promised && t.options.Promised {
		return
	}
	limit := promisedPatience
	if !want.promised || len(t.unheard) > 0 {
		limit = shortPatience
	}
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	began := time.Now()
	answer, err := t.node.Dial(ctx, from, protocol, at)
	f := Flow{From: from.Name, To: to, Protocol: protocol, Address: at, Who: answer.Who, Saw: answer.Saw,
		Took: time.Since(began), Promised: want.promised}
	if err != nil {
		f.Err = err.Error()
	}
	t.report.Flows = append(t.report.Flows, f)
	if !want.promised {
		return
	}
	what := fmt.Sprintf("%s → %s (%s %s)", from.Name, to, protocol, at)
	switch {
	case err != nil:
		t.unheard = append(t.unheard, what)
	case answer.Who != want.who:
		t.report.broken("%s: %s answers", what, answer.Who)
	case want.saw != nil && !contains(want.saw, answer.Saw):
		t.report.broken("%s: it sees %s as its source, want %s", what, answer.Saw, want.saw[0])
	case f.Took > slow:
		t.report.note("%s: the first packet was lost (answered after %s)", what, f.Took.Round(100*time.Millisecond))
	}
}

func contains(all []netip.Addr, a netip.Addr) bool {
	for _, one := range all {
		if one == a {
			return true
		}
	}
	return false
}
