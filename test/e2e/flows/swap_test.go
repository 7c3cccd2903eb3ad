package flows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/stages/routedveth"
)

// swap is a list in which other people's stages stand before, behind or below routed-veth. GIVEN stands for a stage
// that gives p1's address on network interface 1.
type swap struct {
	name, plugins string
	sees          string // how a VPC host sees the pod, or how that begins; "" asks nobody
	source        string // the address that the pod asks from; "" leaves it to the kernel
}

const hostLocal = `{"type":"host-local","ipam":{"type":"host-local","ranges":[[{"subnet":"192.168.77.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"/run/host-local"}}`

var swaps = []swap{
	{"two stages", `GIVEN, {"type":"routed-veth"}`, four.p1, ""},
	{"upstream portmap", `GIVEN, {"type":"routed-veth"}, {"type":"portmap","backend":"nftables","snat":true,"capabilities":{"portMappings":true}}`, four.p1, ""},
	{"upstream portmap by iptables", `GIVEN, {"type":"routed-veth"}, {"type":"portmap","backend":"iptables","capabilities":{"portMappings":true}}`, four.p1, ""},
	{"bandwidth", `GIVEN, {"type":"routed-veth"}, {"type":"bandwidth","ingressRate":80000000,"ingressBurst":8000000}`, four.p1, ""},
	{"firewall", `GIVEN, {"type":"routed-veth"}, {"type":"firewall","backend":"iptables"}`, four.p1, ""},
	{"tuning", `GIVEN, {"type":"routed-veth"}, {"type":"tuning","mtu":1400,"sysctl":{"net.core.somaxconn":"4096"}}`, four.p1, ""},
	{"tuning with a MAC", `GIVEN, {"type":"routed-veth"}, {"type":"tuning","mac":"02:11:22:33:44:55"}`, four.p1, ""},
	{"sbr", `GIVEN, {"type":"routed-veth"}, {"type":"sbr"}`, four.p1, four.p1},
	{"host-local and the main table", hostLocal + `, {"type":"routed-veth"}, {"type":"snat","inside":["192.168.77.0/24"]}, {"type":"portmap-compat","capabilities":{"portMappings":true}}`, four.node, ""},
	{"host-local as delegate", `{"type":"routed-veth","ipam":{"type":"host-local","ranges":[[{"subnet":"192.168.77.0/24"}]],"dataDir":"/run/host-local"}}, {"type":"snat","inside":["192.168.77.0/24"]}`, four.node, ""},
	{"eni-ipam as delegate", `{"type":"routed-veth","ipam":{"type":"eni-ipam"}}, {"type":"snat"}, {"type":"portmap-compat","capabilities":{"portMappings":true}}`, "10.0.", ""},
	{"seven stages", `GIVEN, {"type":"routed-veth"}, {"type":"snat"}, {"type":"portmap-compat","capabilities":{"portMappings":true}},
		{"type":"bandwidth","ingressRate":80000000,"ingressBurst":8000000}, {"type":"tuning","sysctl":{"net.core.somaxconn":"4096"}}, {"type":"firewall","backend":"iptables"}`, four.p1, ""},
}

// TestSwap runs each list through its life, by each version that it can speak: the pod reaches a VPC host as it should,
// everything can be said twice, and nothing of ours is left.
func TestSwap(t *testing.T) {
	w := newWorld(t, four)
	w.serve("host", "host", w.a.host, web)
	for _, s := range swaps {
		for _, version := range []string{"0.4.0", "1.0.0", "1.1.0"} {
			t.Run(s.name+"/"+version, func(t *testing.T) { w.live(t, s, version) })
		}
	}
}

// giveP1 writes p1's address down in the version's own form.
func (w *world) giveP1(version string) {
	ip := `"address":"` + w.a.p1 + `/32","gateway":"169.254.1.1","interface":0`
	if version == "0.4.0" {
		ip += `,"version":"4"`
	}
	w.give("p1", fmt.Appendf(nil, `{"cniVersion":%q,"interfaces":[{"name":"eth1","mac":%q}],"ips":[{%s}],`+
		`"routes":[{"dst":"10.0.0.0/16"},{"dst":"0.0.0.0/0"}]}`, version, mac1, ip))
}

func (w *world) live(t *testing.T, s swap, version string) {
	w.giveP1(version)
	plugins := strings.ReplaceAll(s.plugins, "GIVEN", `{"type":"given"}`)
	list, err := libcni.NetworkConfFromBytes([]byte(fmt.Sprintf(`{"cniVersion":%q,"name":"swap","plugins":[%s]}`, version, plugins)))
	must(t, err)
	before := w.kernel()
	w.sh(w.node, "ip netns add p1; ip -n p1 link set lo up")
	rt := w.runtime("p1", both(hostPort1)...)
	if _, err := w.cni.AddNetworkList(t.Context(), list, rt); err != nil {
		t.Errorf("ADD: %v", err)
	} else if err := w.cni.CheckNetworkList(t.Context(), list, rt); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if s.sees != "" {
		if got, want := w.askAs(s.source, "tcp", "p1", w.a.host, web, patience), "host sees "+s.sees; !strings.HasPrefix(got, want) {
			t.Errorf("p1 to the host: %q, want %q", got, want)
		}
	}
	for range 2 {
		if err := w.cni.DelNetworkList(t.Context(), list, rt); err != nil {
			t.Errorf("DEL: %v", err)
		}
	}
	if version == "1.1.0" {
		if err := w.cni.GCNetworkList(t.Context(), list, &libcni.GCArgs{}); err != nil {
			t.Errorf("GC: %v", err)
		}
		if err := w.cni.GetStatusNetworkList(t.Context(), list); err != nil {
			t.Errorf("STATUS: %v", err)
		}
	}
	w.sh(w.node, "ip netns del p1")
	must(t, w.node.Do(func() error { _, err := routedveth.Sweep(t.Context()); return err }))
	w.settled(before)
	if n := w.drops(); n > 0 {
		t.Errorf("%d wrong sources: %v", n, w.fabric.Drops())
	}
}
