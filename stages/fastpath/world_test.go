package fastpath

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/test/need"
)

// world is a node with one pod behind the wire enipod, and everything else behind eth0. Outside is 198.51.100.1, which
// sees the pod as the node; 10.0.9.9 sees it as itself. The node's port 8080 leads to the pod's 80.
type world struct {
	node, pod, outside *linktest.NS
	t                  *testing.T
}

var mine = stages.Attachment{Network: "enichain", Container: "c1", IfName: "eth0"}

func newWorld(t *testing.T) *world {
	t.Helper()
	need.MachinesRoot(t, "for programs in the kernel are for nobody else")
	w := &world{node: linktest.New(t), pod: linktest.New(t), outside: linktest.New(t), t: t}
	for _, n := range []*linktest.NS{w.node, w.pod, w.outside} {
		n.Script("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up")
	}
	w.node.Script(`
		echo 1 > /proc/sys/net/ipv4/ip_forward
		echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		ip link add eth0 type veth peer name wan netns ` + w.outside.Path() + `
		ip addr add 10.0.0.10/24 dev eth0
		ip addr add fd00::10/64 dev eth0 nodad
		ip link set eth0 up`)
	w.outside.Script(`
		ip addr add 10.0.9.9/32 dev lo
		ip addr add 198.51.100.1/32 dev lo
		ip addr add 2001:db8::1/128 dev lo nodad
		ip addr add fd00:9::9/128 dev lo nodad
		ip addr add 10.0.0.1/24 dev wan
		ip addr add fd00::1/64 dev wan nodad
		ip link set wan up
		ip route add 10.0.0.11/32 via 10.0.0.10
		ip route add fd00::11/128 via fd00::10`)
	w.node.Script(`
		ip route add default via 10.0.0.1
		ip route add default via fd00::1
		nft -f - <<'END'
table inet way {
	counter forwarded {
	}
	chain count {
		type filter hook forward priority 0;
		counter name forwarded
	}
	chain in {
		type nat hook prerouting priority dstnat;
		ip daddr 10.0.0.10 meta l4proto { tcp, udp } th dport 8080 dnat ip to 10.0.0.11:80
		ip6 daddr fd00::10 meta l4proto { tcp, udp } th dport 8080 dnat ip6 to [fd00::11]:80
	}
	chain out {
		type nat hook postrouting priority srcnat;
		iifname enipod ip daddr 198.51.100.1 snat ip to 10.0.0.10 fully-random
		iifname enipod ip6 daddr 2001:db8::1 snat ip6 to fd00::10 fully-random
	}
}
END`)
	w.wire(w.pod)
	return w
}

// wire gives a pod the wire and its addresses, as routed-veth would; any pod: the addresses may have been another's.
func (w *world) wire(pod *linktest.NS) {
	w.t.Helper()
	mac, _ := link.OwnerMACs(mine.String())
	w.node.Script(`
		ip link add enipod address ` + mac.String() + ` type veth peer name eth0 netns ` + pod.Path() + `
		ip link set enipod group 7000 up
		ip addr add 169.254.1.1/32 dev enipod
		ip addr add fe80::1/64 dev enipod nodad
		ip route add 10.0.0.11/32 dev enipod
		ip route add fd00::11/128 dev enipod`)
	pod.Script(`
		ip addr add 10.0.0.11/32 dev eth0
		ip addr add fd00::11/128 dev eth0 nodad
		ip link set eth0 up
		ip route add 169.254.1.1 dev eth0
		ip route add default via 169.254.1.1 dev eth0
		ip route add default via fe80::1 dev eth0`)
}

// forwarded is how many packets have gone the kernel's own way through the node.
func (w *world) forwarded() int {
	w.t.Helper()
	text := w.node.Run("nft", "list", "counter", "inet", "way", "forwarded")
	n, err := strconv.Atoi(regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(text)[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// request is what a runtime sends behind routed-veth.
func request(interfaces ...*types100.Interface) *stages.Request {
	mac, podMAC := link.OwnerMACs(mine.String())
	if interfaces == nil {
		interfaces = []*types100.Interface{{Name: "enipod", Mac: mac.String()}, {Name: "eth0", Mac: podMAC.String(), Sandbox: "/somewhere"}}
	}
	return &stages.Request{
		Attachment: mine, Netns: "/somewhere", Version: "1.0.0",
		Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"fastpath"}`),
		Prev: &stages.Result{CNIVersion: "1.1.0", Interfaces: interfaces, IPs: []*types100.IPConfig{{
			Address: net.IPNet{IP: net.IPv4(10, 0, 0, 11), Mask: net.CIDRMask(32, 32)}, Interface: types100.Int(len(interfaces) - 1)}}},
	}
}

func (w *world) add(r *stages.Request) *stages.Result {
	w.t.Helper()
	var result *stages.Result
	var err error
	w.node.Do(func(*link.Conn) { result, err = Stage{}.Add(context.Background(), r) })
	if err != nil {
		w.t.Fatalf("Add: %v", err)
	}
	return result
}

func (w *world) do(verb func(context.Context, *stages.Request) error, r *stages.Request) error {
	w.t.Helper()
	var err error
	w.node.Do(func(*link.Conn) { err = verb(context.Background(), r) })
	return err
}

// qdiscs are the classifiers of the node's links, one per line.
func (w *world) qdiscs() string {
	w.t.Helper()
	var lines []string
	for line := range strings.Lines(w.node.Run("tc", "qdisc", "show")) {
		if f := strings.Fields(line); f[1] == "clsact" || f[1] == "ingress" {
			lines = append(lines, fmt.Sprintf("%s %s", f[4], strings.Join(f[7:], " ")))
		}
	}
	return strings.Join(lines, "\n")
}
