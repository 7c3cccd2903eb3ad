package generations

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/kernel"
)

// Stages of the lists here.
const (
	ipam         = `{"type":"eni-ipam"}`
	wire         = `{"type":"routed-veth"}`
	snat         = `{"type":"snat"}`
	compat       = `{"type":"portmap-compat","capabilities":{"portMappings":true}}`
	compatTables = `{"type":"portmap-compat","backend":"iptables","capabilities":{"portMappings":true}}`
	upstreamNFT  = `{"type":"portmap","backend":"nftables","snat":true,"capabilities":{"portMappings":true}}`
	upstream     = `{"type":"portmap","backend":"iptables","snat":true,"capabilities":{"portMappings":true}}`
	bandwidth    = `{"type":"bandwidth","capabilities":{"bandwidth":true}}`
	tuning       = `{"type":"tuning","sysctl":{"net.core.somaxconn":"4096"}}`
	sbr          = `{"type":"sbr"}`
)

// swap is one list taken for another, and back.
type swap struct {
	name       string
	first      []byte
	second     []byte
	leavesSome bool // without enichaind the first list's departed stage leaves something in the node's namespace
}

func swaps() []swap {
	return []swap{
		{"portmap-compat for portmap with nftables", list(ipam, wire, snat, compat), list(ipam, wire, snat, upstreamNFT), true},
		{"portmap-compat for portmap with iptables", list(ipam, wire, snat, compat), list(ipam, wire, snat, upstream), true},
		{"portmap with nftables for nothing", list(ipam, wire, snat, upstreamNFT), list(ipam, wire, snat), true},
		{"portmap with iptables for nothing", list(ipam, wire, snat, upstream), list(ipam, wire, snat), true},
		{"portmap's iptables for its nftables", list(ipam, wire, upstream), list(ipam, wire, upstreamNFT), true},
		{"snat taken out", list(ipam, wire, snat, compat), list(ipam, wire, compat), false}, // its mark is the pod's link's own
		{"bandwidth and tuning taken out", list(ipam, wire, bandwidth, tuning), list(ipam, wire), true},
	}
}

// warm runs a pod through both lists, so that what they keep for all pods together is there already.
func (m *machine) warm(s swap) {
	for i, text := range [][]byte{s.second, s.first} {
		m.apply(text)
		name := fmt.Sprintf("warm%d", i)
		m.add(name, 9000)
		m.end(name)
	}
}

// TestWithoutDaemonStagesStay shows what generations are for: with the runtime alone, a departed stage is told nothing.
func TestWithoutDaemonStagesStay(t *testing.T) {
	for _, s := range swaps() {
		t.Run(s.name, func(t *testing.T) {
			m := begin(t)
			m.warm(s)
			before := m.quiet()
			m.add("old", 8080)
			m.apply(s.second)
			m.end("old")
			left := kernel.Diff(before, m.quiet())
			if s.leavesSome != (len(left) > 0) {
				t.Errorf("left behind, and expected that: %t:\n%s", s.leavesSome, kernel.Text(left))
			}
		})
	}
}

// TestSwapUnderLivePods swaps a list for another one and back. Pods of each end under each; the daemon is killed while
// some do, and finds them when it is back.
func TestSwapUnderLivePods(t *testing.T) {
	for _, s := range swaps() {
		t.Run(s.name, func(t *testing.T) {
			m := begin(t)
			m.start()
			m.warm(s)
			m.settled(0)
			before := m.quiet()

			m.add("a1", 8081)
			m.add("a2", 8082)
			m.add("a3", 8083)
			m.apply(s.second)
			m.add("b1", 8084)
			m.add("b2", 8085)
			m.end("a1") // by a list that lacks its stage
			m.settled(4)
			m.kill()
			m.end("a2") // and nobody looks
			m.start()
			m.settled(3)
			m.apply(s.first)
			m.add("c1", 8086)
			m.end("b1")
			m.settled(3)
			m.kill()
			m.end("b2")
			m.end("a3") // by a list that has its stage again
			m.end("c1")
			m.start()
			m.settled(0)
			m.as(before)
			m.until("older generations given up", func() (bool, string) {
				found := m.births()
				return len(found) == 1, strings.Join(found, "\n")
			})
			if d := cmp.Diff("", m.sameFile(s.first)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestNamespaceTookItAlong: sbr's DEL fails without a namespace, and has nothing to do then. Nobody tries it for ever.
func TestNamespaceTookItAlong(t *testing.T) {
	m := begin(t)
	m.apply(list(ipam, wire, sbr))
	m.add("old", 8080)
	m.apply(list(ipam, wire))
	m.end("old")
	m.start()
	m.settled(0)
	if said := m.log.String(); strings.Contains(said, "cannot clean up") {
		t.Error(said)
	}
}
