package portmapcompat

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRestoreIptables: whatever CHECK complains of is back, and a second look finds nothing.
func TestRestoreIptables(t *testing.T) {
	const chain = "CNI-DN-5a77a2ffb3e3e4b3abbf1"
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		for name, damage := range map[string]string{
			"nothing":        "true",
			"everything":     "for i in iptables ip6tables; do $i -t nat -F; $i -t nat -X; done",
			"all rules":      "iptables -t nat -F",
			"the chain":      "iptables -t nat -F CNI-HOSTPORT-DNAT; iptables -t nat -F " + chain + "; iptables -t nat -X " + chain,
			"a rule":         "iptables -t nat -D " + chain + " 3",
			"another target": "iptables -t nat -R " + chain + " 3 -p tcp --dport 8080 -j DNAT --to-destination 10.0.1.2:80",
			"one too much":   "ip6tables -t nat -I " + chain + " -j RETURN",
			"a jump":         "iptables -t nat -D PREROUTING 1",
			"127.0.0.1":      "echo 0 > /proc/sys/net/ipv4/conf/pod-a/route_localnet",
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				r := request("a", byIptables, web)
				w.add(r)
				four, six := w.nat("iptables"), w.nat("ip6tables")
				w.node.Script(damage)
				x := &Restorer{}
				if what, _ := w.restore(x, 0, r); (len(what) == 0) != (damage == "true") {
					t.Errorf("after %q: %q", damage, what)
				}
				w.must(Stage{}.Check, r)
				if diff := cmp.Diff(inOrder(four), inOrder(w.nat("iptables"))); diff != "" {
					t.Errorf("iptables (-before +after)\n%s", diff)
				}
				if diff := cmp.Diff(inOrder(six), inOrder(w.nat("ip6tables"))); diff != "" {
					t.Errorf("ip6tables (-before +after)\n%s", diff)
				}
				if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "a sees 198.51.100.1" {
					t.Errorf("host port: %s", got)
				}
				for i := range 2 {
					if what, again := w.restore(x, time.Duration(i+1)*time.Minute, r); len(what) != 0 || again {
						t.Errorf("look %d after it: %q, again %t", i, what, again)
					}
				}
			})
		}
	})
}

// TestRestoreIptablesTakesNothing: a shared port stays with the last one, and goes to the first of those that live after a
// flush.
func TestRestoreIptablesTakesNothing(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := request("a", byIptables, web), request("b", byIptables, web)
		w.add(a)
		w.add(b)
		x := &Restorer{}
		w.node.Script("iptables -t nat -F CNI-DN-5a77a2ffb3e3e4b3abbf1")
		w.restore(x, 0, a, b)
		w.must(Stage{}.Check, a)
		if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); !strings.HasPrefix(got, "b ") {
			t.Errorf("the port leads to %q, want b", got)
		}
		w.node.Script("iptables -t nat -F; iptables -t nat -X")
		w.restore(x, time.Minute, b, a)
		if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); !strings.HasPrefix(got, "b ") {
			t.Errorf("after a flush the port leads to %q, want b", got)
		}
	})
}

// TestRestoreIptablesDuringDel: DEL closed the ports, and the runtime still has the attachment; then it has not.
func TestRestoreIptablesDuringDel(t *testing.T) {
	w := newWorld(t)
	be(t, "nft")
	a, b := request("a", byIptables, web), request("b", byIptables, dns)
	w.add(a)
	w.add(b)
	w.must(Stage{}.Del, bare("a"))
	before := w.nat("iptables")
	x := &Restorer{}
	if what, again := w.restore(x, 0, a, b); len(what) != 0 || !again {
		t.Errorf("right after: %q, again %t", what, again)
	}
	if diff := cmp.Diff(before, w.nat("iptables")); diff != "" {
		t.Errorf("right after (-want +got):\n%s", diff)
	}
	if what, _ := w.restore(x, 2*time.Second, a, b); len(what) != 1 { // the runtime still has it, so it was a loss
		t.Errorf("two seconds later: %q", what)
	}
	w.must(Stage{}.Check, a)
	w.restore(x, 4*time.Second, b) // it was a slow DEL after all
	if diff := cmp.Diff(before, w.nat("iptables")); diff != "" {
		t.Errorf("after its end (-want +got):\n%s", diff)
	}
}
