package flows_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages/routedveth"
)

// control breaks one thing of which the design says that it is needed. The flows named must then fail, or nothing
// that passes above proves anything; after Repair they must pass again.
type control struct {
	name, do string
	fail     []string // names of flows
	dropped  bool     // the router sees the wrong source
	undo     string   // what Repair does not answer for
}

const steering = "inet enichain-routed-veth"

var controls = []control{
	{name: "nothing is steered", do: "nft flush chain " + steering + " steer",
		fail: []string{"p1: to a VPC host", "p1: VPC host to it"}, dropped: true},
	{name: "the steering table is gone", do: "nft delete table " + steering,
		fail: []string{"p1: to a VPC host", "p1: to a remote pod's ClusterIP"}, dropped: true},
	{name: "no rule for marks", do: "ip rule del pref 1500",
		fail: []string{"p1: to a VPC host", "p1: outside to it directly"}, dropped: true},
	{name: "no rule for the ENI's primary address", do: "ip rule del pref 1499",
		fail: []string{"VPC host to a hostNetwork server on the ENI's address", "outside to a hostNetwork server on the ENI's address"}, dropped: true},
	{name: "replies of DNATed connections know no address",
		do:   "nft flush map " + steering + " eni-by-address",
		fail: []string{"p0: outside to its NodePort by the ENI's address, Local", "p1: outside to its NodePort by the ENI's address, Local"}, dropped: true},
	{name: "replies of DNATed connections leave by the pod's network interface",
		do: `nft flush chain ` + steering + ` pods-0; nft flush chain ` + steering + ` pods-1
			nft add rule ` + steering + ` pods-1 meta mark set meta mark and 0xffffff80 or 0x1`,
		fail: []string{"p1: outside to its NodePort, policy Local", "p0: outside to its NodePort by the ENI's address, Local"}, dropped: true},
	{name: "the whole mark is written",
		do:   `nft flush chain ` + steering + ` eni-1; nft add rule ` + steering + ` eni-1 meta mark set 0x1`,
		fail: []string{"p1: outside to its NodePort by the ENI's address, Cluster", "outside to a NodePort of a remote pod by the ENI's address"}},
	{name: "the table of the network interface is empty", do: "ip route flush table 1001",
		fail: []string{"p1: to a VPC host"}, dropped: true},
	{name: "the table of pods is empty", do: "ip route flush table 1000",
		fail: []string{"p0: VPC host to it", "p1: the node to it"}},
	{name: "all rules are flushed", do: "ip rule flush",
		fail: []string{"p0: to the internet", "p1: to a VPC host"}},
	{name: "no rule for pods", do: "ip rule del pref 500",
		fail: []string{"p0: VPC host to it", "p1: VPC host to it"}},
	{name: "packets of connections from outside are judged by strict reverse path",
		do:   "sysctl -qw net.ipv4.conf.eth1.rp_filter=1 net.ipv4.conf.all.rp_filter=1",
		fail: []string{"p1: VPC host to it"}, undo: "sysctl -qw net.ipv4.conf.all.rp_filter=0"},
	{name: "the node does not forward", do: "sysctl -qw net.ipv4.ip_forward=0",
		fail: []string{"p0: to a pod of the same node"}},
	{name: "pods outside the SNAT profile", do: "ip link set HOST1 group 7001", undo: "ip link set HOST1 group 7129",
		fail: []string{"p1: to the internet", "p1: to an outside network"}},
}

func TestControls(t *testing.T) {
	w := up(t, four)
	w.sh(w.node, w.nftables())
	all := w.everyday()
	host1 := strings.TrimSpace(w.sh(w.node, `ip -o link | sed -n 's/^[0-9]*: \(eni[^@:]*\).*alias enichain.p1.eth0.*/\1/p'`))
	if host1 == "" {
		t.Fatal("the host end of p1 is not there")
	}
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) {
			w.sh(w.node, strings.ReplaceAll(c.do, "HOST1", host1))
			before := w.drops()
			for _, name := range c.fail {
				f := find(t, all, name)
				if got := w.ask("tcp", f.from, f.to, f.port, impatience); got == f.want {
					t.Errorf("%s: passes nevertheless", name)
				}
			}
			if dropped := w.drops() > before; c.dropped && !dropped {
				t.Error("the router saw no wrong source")
			}
			if c.undo != "" {
				w.sh(w.node, strings.ReplaceAll(c.undo, "HOST1", host1))
			}
			mended := w.repair()
			if c.undo == "" && len(mended) == 0 {
				t.Error("Repair mended nothing")
			}
			for _, name := range c.fail {
				f := find(t, all, name)
				if got := w.ask("tcp", f.from, f.to, f.port, patience); got != f.want {
					t.Errorf("%s after Repair: %q, want %q (mended %q)", name, got, f.want, mended)
				}
			}
		})
	}
}

func find(t *testing.T, all []flow, name string) flow {
	t.Helper()
	i := slices.IndexFunc(all, func(f flow) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("there is no flow %q", name)
	}
	return all[i]
}

func (w *world) repair() (mended []string) {
	w.t.Helper()
	must(w.t, w.node.Do(func() (err error) {
		mended, err = routedveth.Repair(w.t.Context(), w.enis())
		return err
	}))
	return mended
}

// TestReset: what the node itself answers for a pod, here a policy's reset, must leave by the pod's network interface.
func TestReset(t *testing.T) {
	w := up(t, four)
	w.sh(w.node, `nft -f - <<'EOF'
table inet policies { chain forward { type filter hook forward priority 0; tcp dport 81 reject with tcp reset; }
}
EOF`)
	for _, pod := range []struct{ name, address string }{{"p0", w.a.p0}, {"p1", w.a.p1}} {
		before := w.drops()
		if got := w.ask("tcp", "host", pod.address, 81, patience); got != "refused" || w.drops() > before {
			t.Errorf("%s: %s with %d drops, want refused with none", pod.name, got, w.drops()-before)
		}
	}
	w.sh(w.node, "sysctl -qw net.ipv4.fwmark_reflect=0")
	before := w.drops()
	if got := w.ask("tcp", "host", w.a.p1, 81, impatience); got == "refused" || w.drops() == before {
		t.Errorf("without fwmark_reflect: %s with %d drops, want neither refused nor none", got, w.drops()-before)
	}
}

// TestNextOwnerElsewhere: a DEL severs at once, though the wire is deleted later. Its address may be a pod's on another
// node the next moment, and must be reached there.
func TestNextOwnerElsewhere(t *testing.T) {
	w := up(t, four)
	a := netip.MustParseAddr(w.a.p2)
	w.del("p2")
	w.move(a)
	w.serve("next", "host", w.a.p2, web)
	for _, from := range []struct{ name, address string }{{"node", w.a.node}, {"p0", w.a.p0}, {"p1", w.a.p1}} {
		if got, want := w.ask("tcp", from.name, w.a.p2, web, patience), "next sees "+from.address; got != want {
			t.Errorf("from %s: %q, want %q", from.name, got, want)
		}
	}
	if n := w.drops(); n > 0 {
		t.Errorf("%d wrong sources: %v", n, w.fabric.Drops())
	}
	left := w.sh(w.node, "ip -o link show group 6871")
	if strings.Count(left, "\n") != 1 || !strings.Contains(left, "enichain/p2/eth0") {
		t.Errorf("the severed wire: %q", left)
	}
	w.sh(w.node, "ip netns del p2")
	var swept []string
	must(t, w.node.Do(func() (err error) { swept, err = routedveth.Sweep(t.Context()); return err }))
	if left := w.sh(w.node, "ip -o link show group 6871"); left != "" {
		t.Errorf("left after the namespace's end and a sweep of %q: %q", swept, left)
	}
}

// move gives the last pod's address to the other instance.
func (w *world) move(a netip.Addr) {
	w.t.Helper()
	for _, node := range []string{"node-1", "node-2"} {
		for _, i := range w.fabric.Attached(node) {
			at := slices.Index(i.Addresses, a)
			switch {
			case at >= 0:
				i.Addresses = slices.Delete(slices.Clone(i.Addresses), at, at+1)
			case node == "node-2":
				i.Addresses = append(slices.Clone(i.Addresses), a)
			default:
				continue
			}
			must(w.t, w.fabric.Addresses(w.t.Context(), i))
		}
	}
	w.sh(w.other, "ip address add "+a.String()+" dev eth0")
}
