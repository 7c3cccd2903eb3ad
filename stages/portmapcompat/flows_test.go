package portmapcompat

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/test/need"
)

// bothBackends runs a test on each, the default without naming it.
func bothBackends(t *testing.T, test func(t *testing.T, config string)) {
	for name, config := range map[string]string{"nftables": "", "iptables": byIptables} {
		t.Run(name, func(t *testing.T) { test(t, config) })
	}
}

// flows are the tracked connections of the node that were opened to ports of 8000 and more, as PROTOCOL TO PORT.
func (w *world) flows() []string {
	w.t.Helper()
	var all []string
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(w.node.Run("conntrack", "-L", "-f", family)) {
			fields := strings.Fields(line)
			var to, port string
			for _, f := range fields {
				if v, is := strings.CutPrefix(f, "dst="); is && to == "" {
					to = v
				}
				if v, is := strings.CutPrefix(f, "dport="); is && port == "" {
					port = v
				}
			}
			if len(port) == 4 && port[0] >= '7' {
				all = append(all, fields[0]+" "+to+" "+port)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestDELForgetsConnections: those of UDP that came by the container's ports, and no others.
func TestDELForgetsConnections(t *testing.T) {
	need.Tool(t, "conntrack", "conntrack")
	bothBackends(t, func(t *testing.T, config string) {
		w := newWorld(t)
		a := request("a", config, web+","+dns+`,{"hostPort":7000,"containerPort":80,"protocol":"udp","hostIP":"10.0.0.20"}`)
		w.add(a)
		w.add(request("b", config, `{"hostPort":7001,"containerPort":80,"protocol":"tcp"},{"hostPort":7000,"containerPort":80,"protocol":"udp","hostIP":"10.0.0.10"}`))
		for _, f := range []struct{ network, source, to string }{
			{"tcp", "198.51.100.1", "10.0.0.10:8080"}, {"udp", "198.51.100.1", "10.0.0.10:8053"},
			{"tcp", "2001:db8::1", "[fd00::10]:8080"}, {"udp", "2001:db8::1", "[fd00::10]:8053"},
			{"udp", "198.51.100.1", "10.0.0.20:7000"}, {"udp", "198.51.100.1", "10.0.0.10:7000"},
			{"tcp", "198.51.100.1", "10.0.0.10:7001"}, {"tcp", "2001:db8::1", "[fd00::10]:7001"},
		} {
			if got := ask(t, w.outside, f.network, f.source, f.to); got == "nothing" {
				t.Fatalf("%s %s does not answer", f.network, f.to)
			}
		}
		want := []string{"tcp 10.0.0.10 7001", "tcp 10.0.0.10 8080", "tcp fd00::10 7001", "tcp fd00::10 8080",
			"udp 10.0.0.10 7000", "udp 10.0.0.10 8053", "udp 10.0.0.20 7000", "udp fd00::10 8053"}
		if diff := cmp.Diff(want, w.flows()); diff != "" {
			t.Fatalf("before (-want +got):\n%s", diff)
		}
		w.must(Stage{}.Del, bare("a"))
		want = []string{"tcp 10.0.0.10 7001", "tcp 10.0.0.10 8080", "tcp fd00::10 7001", "tcp fd00::10 8080", "udp 10.0.0.10 7000"}
		if diff := cmp.Diff(want, w.flows()); diff != "" {
			t.Errorf("after (-want +got):\n%s", diff)
		}
	})
}

// TestSenderReachesTheNewPod keeps sending from one socket while the port changes hands, by DEL and ADD, and by ADD alone.
func TestSenderReachesTheNewPod(t *testing.T) {
	bothBackends(t, func(t *testing.T, config string) {
		w := newWorld(t)
		w.add(request("a", config, dns))
		var c net.Conn
		var err error
		w.outside.Do(func(*link.Conn) { c, err = net.Dial("udp", "10.0.0.10:8053") })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, step := range []struct {
			name string
			do   func()
			want string
		}{
			{"as it was", func() {}, "a"},
			{"taken over", func() { w.add(request("b", config, dns)) }, "b"},
			{"ended and begun", func() { w.must(Stage{}.Del, bare("b")); w.add(request("a", config, dns)) }, "a"},
			{"another pod's end", func() { w.add(request("b", config, web)); w.must(Stage{}.Del, bare("b")) }, "a"},
		} {
			step.do()
			if got := exchange(t, c); !strings.HasPrefix(got, step.want+" sees") {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
	})
}
