package flows_test

import (
	"fmt"
	"testing"

	"github.com/enichain/enichain/test/need"
)

// flow is one question and the answer that it must get: who answers, and as whom the asker is seen there.
type flow struct {
	name     string
	from, to string
	port     int
	want     string
}

const web, hostNetwork, dns = 80, 9000, 53

// Host ports of the pods.
const hostPort0, hostPort1 = 8080, 8081

// everyday are the flows of reference "the data path as it was tried", each for a pod on the primary network interface
// and for one on a secondary one.
func (w *world) everyday() []flow {
	a := w.a
	sees := func(who, whom string) string { return who + " sees " + whom }
	all := []flow{
		{"the node to a hostNetwork server on the other address", "node", a.eni, hostNetwork, sees("node", a.eni)},
		{"outside to a hostNetwork server on the primary address", "client", a.node, hostNetwork, sees("node", a.client)},
		{"outside to a hostNetwork server on the ENI's address", "client", a.eni, hostNetwork, sees("node", a.client)},
		{"VPC host to a hostNetwork server on the ENI's address", "host", a.eni, hostNetwork, sees("node", a.host)},
		{"a pod to the other pod of its network interface", "p1", a.p2, web, sees("p2", a.p1)},
		{"a pod to a ClusterIP of its network interface's other pod", "p2", a.toP1, web, sees("p1", a.p2)},
		{"the node to a remote pod's ClusterIP", "node", a.toRemote, web, sees("remote", a.node)},
		{"outside to a NodePort of a remote pod by the primary address", "client", a.node, portRemote, sees("remote", a.node)},
		{"outside to a NodePort of a remote pod by the ENI's address", "client", a.eni, portRemote, sees("remote", a.eni)},
	}
	for _, p := range []struct {
		pod, address, other, otherAddress, otherIP, ownIP string
		masqueraded                                       string
		local, cluster                                    int
	}{
		{"p0", a.p0, "p1", a.p1, a.toP1, a.toP0, a.node, portP0Local, portP0Cluster},
		{"p1", a.p1, "p0", a.p0, a.toP0, a.toP1, a.towardsP1, portP1Local, portP1Cluster},
	} {
		on := func(format string, args ...any) string { return p.pod + ": " + fmt.Sprintf(format, args...) }
		all = append(all,
			flow{on("to a pod of the same node"), p.pod, p.otherAddress, web, sees(p.other, p.address)},
			flow{on("to a VPC host"), p.pod, a.host, web, sees("host", p.address)},
			flow{on("VPC host to it"), "host", p.address, web, sees(p.pod, a.host)},
			flow{on("outside to it directly"), "client", p.address, web, sees(p.pod, a.client)},
			flow{on("to the internet"), p.pod, a.web, web, sees("web", w.abroad(p.address, a.asWeb))},
			flow{on("to an outside network"), p.pod, a.client, web, sees("client", w.abroad(p.address, a.node))},
			flow{on("to a remote pod's ClusterIP"), p.pod, a.toRemote, web, sees("remote", p.address)},
			flow{on("to a local pod's ClusterIP"), p.pod, p.otherIP, web, sees(p.other, p.address)},
			flow{on("to its own ClusterIP"), p.pod, p.ownIP, web, sees(p.pod, p.masqueraded)},
			flow{on("to a hostNetwork server"), p.pod, a.node, hostNetwork, sees("node", p.address)},
			flow{on("to a hostNetwork server on the ENI's address"), p.pod, a.eni, hostNetwork, sees("node", p.address)},
			flow{on("the node to it"), "node", p.address, web, sees(p.pod, a.node)},
			flow{on("the node to its ClusterIP"), "node", p.ownIP, web, sees(p.pod, a.node)},
			flow{on("outside to its NodePort, policy Local"), "client", a.node, p.local, sees(p.pod, a.client)},
			flow{on("outside to its NodePort, policy Cluster"), "client", a.node, p.cluster, sees(p.pod, p.masqueraded)},
			flow{on("outside to its NodePort by the ENI's address, Local"), "client", a.eni, p.local, sees(p.pod, a.client)},
			flow{on("outside to its NodePort by the ENI's address, Cluster"), "client", a.eni, p.cluster, sees(p.pod, p.masqueraded)},
			flow{on("to the node-local resolver"), p.pod, a.dns, dns, sees("dns", p.address)},
		)
	}
	return all
}

// abroad is how a pod is seen outside its VPC: IPv4 as the node, IPv6 as itself.
func (w *world) abroad(pod, node string) string {
	if w.a.family == "ip6" {
		return pod
	}
	return node
}

// ports are the flows of host ports; left out where portmap-compat is.
func (w *world) ports() []flow {
	a := w.a
	var all []flow
	for _, p := range []struct {
		pod, address, masqueraded string
		port                      int
	}{{"p0", a.p0, a.node, hostPort0}, {"p1", a.p1, a.towardsP1, hostPort1}} {
		all = append(all,
			flow{p.pod + ": outside to its host port", "client", a.node, p.port, p.pod + " sees " + a.client},
			flow{p.pod + ": outside to its host port by the ENI's address", "client", a.eni, p.port, p.pod + " sees " + a.client},
			flow{p.pod + ": VPC host to its host port", "host", a.node, p.port, p.pod + " sees " + a.host},
			flow{p.pod + ": to its own host port", p.pod, a.node, p.port, p.pod + " sees " + p.masqueraded},
		)
		if a.localhostToPort {
			all = append(all,
				flow{p.pod + ": the node to 127.0.0.1", "node", "127.0.0.1", p.port, p.pod + " sees " + a.node},
				flow{p.pod + ": the internet to its host port", "web", a.asWeb, p.port, p.pod + " sees " + a.web},
			)
		}
	}
	return all
}

// notrack keeps the resolver's packets out of connection tracking, as node-local-dns does.
func (w *world) notrack() string {
	ip := w.a.family
	return "nft -f - <<'EOF'\ntable " + ip + ` dns {
chain in { type filter hook prerouting priority raw; ` + ip + " daddr " + w.a.dns + ` udp dport 53 notrack; }
chain out { type filter hook output priority raw; ` + ip + " saddr " + w.a.dns + ` udp sport 53 notrack; }
}
EOF`
}

func (w *world) serveAll() {
	w.t.Helper()
	defer func(a addresses) { w.a = a }(w.a)
	for _, a := range w.all {
		w.a = a
		for _, s := range []struct {
			name, at, address string
			port              int
		}{
			{"p0", "p0", a.p0, web}, {"p1", "p1", a.p1, web}, {"p2", "p2", a.p2, web},
			{"host", "host", a.host, web}, {"remote", "remote", a.remote, web},
			{"client", "client", a.client, web}, {"web", "web", a.web, web},
			{"node", "node", a.node, hostNetwork}, {"node", "node", a.eni, hostNetwork}, {"dns", "node", a.dns, dns},
		} {
			w.serve(s.name, s.at, s.address, s.port)
		}
	}
}

// up is a world with three pods wired by the real stages, and everybody listening.
func up(t *testing.T, all ...addresses) *world { return upWith(t, nil, all...) }

// upWith is up with further stages behind the flagship's.
func upWith(t *testing.T, further []map[string]any, all ...addresses) *world {
	w := newWorld(t, all...)
	w.load(further...)
	w.add("p0", both(hostPort0)...)
	w.add("p1", both(hostPort1)...)
	w.add("p2")
	w.serveAll()
	return w
}

func both(hostPort int) []port {
	return []port{{hostPort, web, "tcp", ""}, {hostPort, web, "udp", ""}}
}

// try asks all flows over both protocols; each must get its answer, and the router must drop nothing.
func (w *world) try(t *testing.T, flows []flow) {
	for _, f := range flows {
		for _, protocol := range []string{"tcp", "udp"} {
			t.Run(f.name+"/"+protocol, func(t *testing.T) {
				before := w.drops()
				if got := w.ask(protocol, f.from, f.to, f.port, patience); got != f.want {
					t.Errorf("%s to %s port %d: %q, want %q", f.from, f.to, f.port, got, f.want)
				}
				if d := w.drops() - before; d > 0 {
					t.Errorf("the VPC dropped %d packets: %v", d, w.fabric.Drops())
				}
			})
		}
	}
}

func TestFlowsByIPTables(t *testing.T) {
	need.Tool(t, "iptables", "iptables")
	w := up(t, four)
	w.sh(w.node, w.iptables())
	w.sh(w.node, w.notrack())
	w.try(t, append(w.everyday(), w.ports()...))
}

func TestFlowsByNftables(t *testing.T) {
	w := up(t, four)
	w.sh(w.node, w.nftables())
	w.try(t, append(w.everyday(), w.ports()...))
}

func TestFlowsOfIPv6ByIPTables(t *testing.T) {
	need.Tool(t, "ip6tables", "iptables")
	w := up(t, six)
	w.sh(w.node, w.iptables())
	w.sh(w.node, w.notrack())
	w.try(t, append(w.everyday(), w.ports()...))
}

func TestFlowsOfIPv6ByNftables(t *testing.T) {
	w := up(t, six)
	w.sh(w.node, w.nftables())
	w.try(t, append(w.everyday(), w.ports()...))
}

// TestFlowsOfBothFamilies has them at once, in the same tables and on the same wires.
func TestFlowsOfBothFamilies(t *testing.T) {
	need.Tool(t, "ip6tables", "iptables")
	w := up(t, four, six)
	for _, a := range w.all {
		w.a = a
		w.sh(w.node, w.iptables())
		w.sh(w.node, w.notrack())
	}
	for _, a := range w.all {
		w.a = a
		t.Run(a.family, func(t *testing.T) { w.try(t, append(w.everyday(), w.ports()...)) })
	}
}
