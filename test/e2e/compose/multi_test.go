package compose

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/test/kernel"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

// scene is a node on which one pod after the other gets several interfaces.
type scene struct {
	*testing.T
	node *node.Node
	call caller
	pods int
}

func each(t *testing.T, test func(*scene)) {
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	path := bins(t)
	for name, call := range map[string]caller{"libcni": newLibrary(path), "cnitool": tool{path}} {
		t.Run(name, func(t *testing.T) {
			s := &scene{T: t, node: begin(t), call: call}
			if err := s.node.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.networks()
			test(s)
		})
	}
}

// networks are two of ours, and a bridge of somebody else's.
func (s *scene) networks() {
	byName := map[string]Variant{}
	for _, v := range Variants() {
		byName[v.Name] = v
	}
	of := func(names ...string) []Variant {
		var all []Variant
		for _, n := range names {
			all = append(all, byName[n])
		}
		return all
	}
	chain := of("eni-ipam", "routed-veth", "snat", "portmap-compat nftables")
	write(s.T, "alpha", List("alpha", "1.1.0", false, chain...))
	write(s.T, "beta", List("beta", "1.1.0", false, chain...))
	bridge := Variant{Type: "bridge", Single: `"bridge": "br7", "isGateway": true, "ipam": { "type": "host-local", "subnet": "192.168.70.0/24" }`}
	write(s.T, "bridged", List("bridged", "1.1.0", false, bridge, byName["portmap-compat nftables"]))
}

// pod makes a pod with a server on port 80.
func (s *scene) pod() *node.Pod {
	s.Helper()
	s.pods++
	p, err := s.node.Pod(fmt.Sprintf("pod%d", s.pods))
	if err != nil {
		s.Fatal(err)
	}
	server, err := s.node.Listen(s.Context(), p.Place, "tcp", netip.MustParseAddrPort("[::]:80"))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { server.Close(); _ = p.Delete() })
	return p
}

// add attaches, and returns the address.
func (s *scene) add(a attachment) netip.Addr {
	s.Helper()
	result, err := s.call.add(s.Context(), a)
	if err != nil {
		s.Fatalf("ADD %s %s: %v", a.network, a.ifname, err)
	}
	return s.addressOf(result, a)
}

func (s *scene) addressOf(r *types100.Result, a attachment) netip.Addr {
	s.Helper()
	if len(r.IPs) != 1 || r.IPs[0].Interface == nil || r.Interfaces[*r.IPs[0].Interface].Name != a.ifname ||
		!strings.HasPrefix(r.Interfaces[*r.IPs[0].Interface].Sandbox, "/run/netns/") {
		s.Fatalf("the address of %s is not on it: %v", a.ifname, r)
	}
	address, ok := netip.AddrFromSlice(r.IPs[0].Address.IP)
	if !ok {
		s.Fatalf("no address: %v", r.IPs[0])
	}
	return address.Unmap()
}

func (s *scene) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Errorf("%s: %v", what, err)
	}
}

// hears wants an answer of the pod at an address, or none.
func (s *scene) hears(from node.Place, to netip.AddrPort, who string) {
	s.Helper()
	ctx := s.Context()
	if who == "" { // nobody: what is there answers in well under a millisecond
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		ctx = short
	}
	got, err := s.node.Dial(ctx, from, "tcp", to)
	if got.Who != who {
		s.Errorf("%s → %s: %q answers (%v), want %q", from.Name, to, got.Who, err, who)
	}
}

func port(a netip.Addr, p int) netip.AddrPort { return netip.AddrPortFrom(a, uint16(p)) }

// works wants everything of one attachment: the way in, by its address and its host port, and the way out.
func (s *scene) works(p *node.Pod, a attachment, address netip.Addr) {
	s.Helper()
	s.hears(s.node.Host, port(address, 80), p.Name)
	if a.port != 0 {
		s.hears(s.node.Host, port(s.node.Self.Addr, a.port), p.Name)
	}
	own := node.Place{Name: p.Name + "'s " + a.ifname, Netns: p.Netns, Addr: address}
	s.out(own, s.node.Host, address)
	s.out(own, s.node.Outside, s.node.Self.Addr)
	s.must("CHECK "+a.network+" "+a.ifname, s.call.check(s.Context(), a))
}

// out wants the pod to reach somebody from one of its addresses, as whom it should be seen.
func (s *scene) out(own, to node.Place, seen netip.Addr) {
	s.Helper()
	server, err := s.node.Listen(s.Context(), to, "tcp", port(to.Addr, 0))
	if err != nil {
		s.Fatal(err)
	}
	defer server.Close()
	got, err := s.node.Dial(s.Context(), own, "tcp", server.At)
	if err != nil || got.Saw != seen {
		s.Errorf("%s (%s) → %s: seen as %s (%v), want %s", own.Name, own.Addr, to.Name, got.Saw, err, seen)
	}
}

// gone wants nothing of an attachment.
func (s *scene) gone(a attachment, address netip.Addr) {
	s.Helper()
	s.hears(s.node.Host, port(address, 80), "")
	if a.port != 0 {
		s.hears(s.node.Host, port(s.node.Self.Addr, a.port), "")
	}
}

func TestTwoNetworksOnOnePod(t *testing.T) {
	each(t, func(s *scene) {
		for _, reversed := range []bool{false, true} {
			p := s.pod()
			one, two := attachment{"alpha", p.Name, "eth0", 8080}, attachment{"beta", p.Name, "net1", 8081}
			s.both(p, one, two, reversed)
		}
		s.nothingLeft("alpha", "beta")
	})
}

func TestOneNetworkTwice(t *testing.T) {
	each(t, func(s *scene) {
		for _, reversed := range []bool{false, true} {
			p := s.pod()
			one, two := attachment{"alpha", p.Name, "eth0", 8080}, attachment{"alpha", p.Name, "eth1", 8081}
			s.both(p, one, two, reversed)
		}
		s.nothingLeft("alpha")
	})
}

// TestBesideABridge has somebody else's network as the second.
func TestBesideABridge(t *testing.T) {
	each(t, func(s *scene) {
		p := s.pod()
		one, two := attachment{"alpha", p.Name, "eth0", 8080}, attachment{"bridged", p.Name, "net1", 8081}
		address := s.add(one)
		other := s.add(two)
		s.hears(node.Place{Name: "the bridge", Addr: netip.MustParseAddr("192.168.70.1")}, port(other, 80), p.Name)
		s.must("CHECK of the bridge", s.call.check(s.Context(), two))
		s.must("DEL of the bridge", s.call.del(s.Context(), two))
		s.works(p, one, address)
		again := s.add(two)
		s.must("DEL of alpha", s.call.del(s.Context(), one))
		s.gone(one, address)
		s.hears(node.Place{Name: "the bridge", Addr: netip.MustParseAddr("192.168.70.1")}, port(again, 80), p.Name)
		s.must("DEL of the bridge", s.call.del(s.Context(), two))
	})
}

// both attaches twice and deletes one after the other; what is left must go on working.
func (s *scene) both(p *node.Pod, one, two attachment, reversed bool) {
	s.Helper()
	addresses := map[attachment]netip.Addr{}
	for _, a := range []attachment{one, two} {
		addresses[a] = s.add(a)
	}
	if addresses[one] == addresses[two] {
		s.Fatalf("both have %s", addresses[one])
	}
	s.works(p, one, addresses[one])
	s.works(p, two, addresses[two])
	first, second := one, two
	if reversed {
		first, second = two, one
	}
	s.must("GC with both alive", s.call.gc(s.Context(), first.network, s.alive(first.network, one, two)...))
	s.works(p, first, addresses[first])
	s.must("DEL "+first.ifname, s.call.del(s.Context(), first))
	s.gone(first, addresses[first])
	s.works(p, second, addresses[second])
	s.must("GC with one alive", s.call.gc(s.Context(), second.network, second))
	s.works(p, second, addresses[second])
	s.must("DEL "+second.ifname, s.call.del(s.Context(), second))
	s.gone(second, addresses[second])
	s.must("DEL "+first.ifname+" again", s.call.del(s.Context(), first))
}

func (s *scene) alive(network string, all ...attachment) []attachment {
	return slices.DeleteFunc(all, func(a attachment) bool { return a.network != network })
}

// nothingLeft sends GC with nobody left, and wants no lease, no route and no rule of ours to bear a pod's address.
func (s *scene) nothingLeft(networks ...string) {
	s.Helper()
	for _, network := range networks {
		s.must("GC of "+network, s.call.gc(s.Context(), network))
	}
	leases, err := s.node.Leases(s.Context())
	if err != nil || len(leases) > 0 {
		s.Errorf("leases are left: %v, %v", leases, err)
	}
	state, err := kernel.Read(s.Context(), "")
	if err != nil {
		s.Fatal(err)
	}
	for _, line := range strings.Split(state.Text(), "\n") {
		if strings.Contains(line, "id-pod") || strings.Contains(line, "table 1000") && strings.Contains(line, "/32") {
			s.Errorf("left: %s", line)
		}
	}
}

// TestGCIsOfOneNetwork collects one of two networks of a pod and leaves the other alone.
func TestGCIsOfOneNetwork(t *testing.T) {
	each(t, func(s *scene) {
		p := s.pod()
		one, two := attachment{"alpha", p.Name, "eth0", 8080}, attachment{"beta", p.Name, "net1", 8081}
		s.add(one)
		address := s.add(two)
		s.must("GC of alpha", s.call.gc(s.Context(), "alpha"))
		s.works(p, two, address)
		s.hears(s.node.Host, port(s.node.Self.Addr, one.port), "")
		s.must("DEL of beta", s.call.del(s.Context(), two))
		s.must("DEL of alpha", s.call.del(s.Context(), one))
		s.nothingLeft("alpha", "beta")
	})
}
