package snat

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

// world is a node with one pod, and everything else behind its uplink: the VPC's host 10.0.9.9 and 198.51.100.1
// outside, which both know the way to the pod.
type world struct {
	node, pod, outside *linktest.NS
	t                  *testing.T
}

var mine = stages.Attachment{Network: "enichain", Container: "c1", IfName: "eth0"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{linktest.New(t), linktest.New(t), linktest.New(t), t}
	mac, _ := link.OwnerMACs(mine.String())
	for _, n := range []*linktest.NS{w.node, w.pod, w.outside} { // nobody is to wait for duplicate address detection
		n.Script("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	}
	w.node.Script(`
		ip link set lo up
		echo 1 > /proc/sys/net/ipv4/ip_forward
		echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		ip link add eth0 type veth peer name wan netns ` + w.outside.Path() + `
		ip addr add 10.0.0.10/24 dev eth0
		ip addr add fd00::10/64 dev eth0 nodad
		ip link set eth0 up
		ip link add enipod address ` + mac.String() + ` type veth peer name eth0 netns ` + w.pod.Path() + `
		ip link set enipod group 7000 up
		ip addr add 169.254.1.1/32 dev enipod
		ip addr add fe80::1/64 dev enipod nodad
		ip route add 10.0.0.11/32 dev enipod
		ip route add fd00::11/128 dev enipod`)
	w.pod.Script(`
		ip link set lo up
		ip addr add 10.0.0.11/32 dev eth0
		ip addr add fd00::11/128 dev eth0 nodad
		ip link set eth0 up
		ip route add 169.254.1.1 dev eth0
		ip route add default via 169.254.1.1 dev eth0
		ip route add default via fe80::1 dev eth0`)
	w.outside.Script(`
		ip link set lo up
		ip addr add 10.0.9.9/32 dev lo
		ip addr add 198.51.100.1/32 dev lo
		ip addr add 2001:db8::1/128 dev lo nodad
		ip addr add 10.0.0.1/24 dev wan
		ip addr add fd00::1/64 dev wan nodad
		ip link set wan up
		ip route add 10.0.0.11/32 via 10.0.0.10
		ip route add fd00::11/128 via fd00::10`)
	w.node.Script(`
		ip route add default via 10.0.0.1
		ip route add default via fd00::1`)
	return w
}

// sees is the source that the listener on to sees when the pod sends.
func (w *world) sees(to string) string {
	w.t.Helper()
	var server net.PacketConn
	var err error
	at := net.JoinHostPort(to, "0")
	w.outside.Do(func(*link.Conn) { server, err = net.ListenPacket("udp", at) })
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	w.pod.Do(func(*link.Conn) {
		var client net.Conn
		if client, err = net.Dial("udp", server.LocalAddr().String()); err == nil {
			_, err = client.Write([]byte("hello"))
			client.Close()
		}
	})
	if err != nil {
		w.t.Fatalf("cannot send from the pod to %s: %v", to, err)
	}
	if err := server.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	_, from, err := server.ReadFrom(make([]byte, 16))
	if err != nil {
		return "nothing"
	}
	return netip.MustParseAddrPort(from.String()).Addr().Unmap().String()
}

// request is what a runtime sends behind routed-veth.
func request(config string) *stages.Request {
	return &stages.Request{
		Attachment: mine, Netns: "/somewhere", Version: "1.0.0",
		Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"snat"` + config + `}`),
		Prev:   previous("enipod"),
	}
}

func previous(host string) *stages.Result {
	mac, podMAC := link.OwnerMACs(mine.String())
	return &stages.Result{
		CNIVersion: "1.1.0",
		Interfaces: []*types100.Interface{{Name: host, Mac: mac.String()}, {Name: "eth0", Mac: podMAC.String(), Sandbox: "/somewhere"}},
		IPs: []*types100.IPConfig{
			{Address: cidr("10.0.0.11/32"), Interface: types100.Int(1), Gateway: net.IPv4(169, 254, 1, 1)},
			{Address: cidr("fd00::11/128"), Interface: types100.Int(1), Gateway: net.ParseIP("fe80::1")},
		},
		Routes: []*types.Route{{Dst: cidr("10.0.0.0/16")}, {Dst: cidr("fd00::/56")},
			{Dst: cidr("0.0.0.0/0"), GW: net.IPv4(169, 254, 1, 1)}, {Dst: cidr("::/0")}},
	}
}

func cidr(s string) net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return net.IPNet{IP: ip, Mask: n.Mask}
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

func (w *world) group(name string) (group uint32) {
	w.t.Helper()
	w.node.Do(func(c *link.Conn) {
		l, err := c.LinkByName(name)
		if err != nil {
			w.t.Fatal(err)
		}
		group = l.Group
	})
	return group
}
