package portmapcompat

import (
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

// world is a node, 10.0.0.10 and 10.0.0.20, fd00::10, with the pods a (10.0.1.1, fd00:1::1) and b (10.0.1.2,
// fd00:1::2), and a client outside, 198.51.100.1 and 2001:db8::1. Each pod answers on TCP and UDP port 80 with its
// name and whom it sees.
type world struct {
	t             *testing.T
	node, outside *linktest.NS
	pods          map[string]*linktest.NS
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t, linktest.New(t), linktest.New(t), map[string]*linktest.NS{"a": linktest.New(t), "b": linktest.New(t)}}
	for _, n := range []*linktest.NS{w.node, w.outside, w.pods["a"], w.pods["b"]} {
		n.Script("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up")
	}
	w.node.Script(`
		echo 1 > /proc/sys/net/ipv4/ip_forward
		echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		ip link add eth0 type veth peer name wan netns ` + w.outside.Path() + `
		ip addr add 10.0.0.10/24 dev eth0
		ip addr add 10.0.0.20/24 dev eth0
		ip addr add fd00::10/64 dev eth0 nodad
		ip link set eth0 up`)
	w.outside.Script(`
		ip addr add 198.51.100.1/32 dev lo
		ip addr add 2001:db8::1/128 dev lo nodad
		ip addr add 10.0.0.1/24 dev wan
		ip addr add fd00::1/64 dev wan nodad
		ip link set wan up
		ip route add 10.0.1.0/24 via 10.0.0.10
		ip route add fd00:1::/64 via fd00::10`)
	w.node.Script(`
		ip route add default via 10.0.0.1
		ip route add default via fd00::1`)
	for i, name := range []string{"a", "b"} {
		w.node.Script(fmt.Sprintf(`
			ip link add pod-%[1]s type veth peer name eth0 netns %[2]s
			ip link set pod-%[1]s up
			ip addr add 169.254.1.1/32 dev pod-%[1]s scope link
			ip addr add fe80::1/64 dev pod-%[1]s nodad
			ip route add 10.0.1.%[3]d/32 dev pod-%[1]s
			ip route add fd00:1::%[3]d/128 dev pod-%[1]s`, name, w.pods[name].Path(), i+1))
		w.pods[name].Script(fmt.Sprintf(`
			ip addr add 10.0.1.%[1]d/32 dev eth0
			ip addr add fd00:1::%[1]d/128 dev eth0 nodad
			ip link set eth0 up
			ip route add 169.254.1.1 dev eth0
			ip route add default via 169.254.1.1 dev eth0
			ip route add default via fe80::1 dev eth0`, i+1))
		w.serve(name)
	}
	return w
}

func (w *world) serve(name string) {
	w.t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	var err error
	w.pods[name].Do(func(*link.Conn) {
		if tcp, err = net.Listen("tcp", ":80"); err == nil {
			udp, err = net.ListenPacket("udp", ":80")
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s sees %s", name, host(c.RemoteAddr()))
			c.Close()
		}
	}()
	go func() {
		buffer := make([]byte, 64)
		for {
			_, from, err := udp.ReadFrom(buffer)
			if err != nil {
				return
			}
			fmt.Fprintf(&answerer{udp, from}, "%s sees %s", name, host(from))
		}
	}()
}

type answerer struct {
	conn net.PacketConn
	to   net.Addr
}

func (a *answerer) Write(b []byte) (int, error) { return a.conn.WriteTo(b, a.to) }

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// ask is what answers at an address, asked from a namespace: "a sees 198.51.100.1", or "nothing".
func ask(t *testing.T, from *linktest.NS, network, source, to string) string {
	t.Helper()
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if source != "" && network == "tcp" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	} else if source != "" {
		dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(source)}
	}
	var c net.Conn
	var err error
	from.Do(func(*link.Conn) { c, err = dialer.Dial(network, to) })
	if err != nil {
		return "nothing"
	}
	defer c.Close()
	return exchange(t, c)
}

func exchange(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := c.Write([]byte("who?")); err != nil {
		return "nothing"
	}
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var b []byte
	var err error
	if _, stream := c.(*net.TCPConn); stream {
		b, err = io.ReadAll(c)
	} else {
		b = make([]byte, 64)
		var n int
		n, err = c.Read(b)
		b = b[:n]
	}
	if len(b) == 0 && err != nil {
		return "nothing"
	}
	return string(b)
}

// request is what a runtime sends for pod a or b.
func request(pod, config, ports string) *stages.Request {
	n := map[string]string{"a": "1", "b": "2"}[pod]
	capability := ""
	if ports != "" {
		capability = `,"runtimeConfig":{"portMappings":[` + ports + `]}`
	}
	return &stages.Request{
		Attachment: stages.Attachment{Network: "enichain", Container: pod, IfName: "eth0"},
		Netns:      "/somewhere", Version: "1.0.0",
		Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"portmap-compat"` + config + capability + `}`),
		Prev: &stages.Result{
			CNIVersion: "1.1.0",
			Interfaces: []*types100.Interface{{Name: "pod-" + pod}, {Name: "eth0", Sandbox: "/somewhere"}},
			IPs: []*types100.IPConfig{
				{Address: cidr("10.0.1." + n + "/32"), Interface: types100.Int(1)},
				{Address: cidr("fd00:1::" + n + "/128"), Interface: types100.Int(1)},
			},
			Routes: []*types.Route{{Dst: cidr("0.0.0.0/0")}},
			DNS:    types.DNS{Nameservers: []string{"10.0.0.2"}},
		},
	}
}

// bare is a DEL as the runtime repeats it: without result, namespace and ports.
func bare(pod string) *stages.Request {
	return &stages.Request{Command: "DEL", Attachment: request(pod, "", "").Attachment,
		Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"portmap-compat"}`)}
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
	result, err := w.tryAdd(r)
	if err != nil {
		w.t.Fatalf("Add: %v", err)
	}
	return result
}

func (w *world) tryAdd(r *stages.Request) (result *stages.Result, err error) {
	w.t.Helper()
	w.node.Do(func(*link.Conn) { result, err = Stage{}.Add(context.Background(), r) })
	return result, err
}

func (w *world) do(verb func(context.Context, *stages.Request) error, r *stages.Request) (err error) {
	w.t.Helper()
	w.node.Do(func(*link.Conn) { err = verb(context.Background(), r) })
	return err
}

func (w *world) must(verb func(context.Context, *stages.Request) error, r *stages.Request) {
	w.t.Helper()
	if err := w.do(verb, r); err != nil {
		w.t.Fatal(err)
	}
}

// table is our table as nft lists it, tabs as blanks, elements sorted and one to a line.
func (w *world) table() string {
	w.t.Helper()
	text := strings.ReplaceAll(w.node.Ruleset("inet", "enichain-portmap-compat"), "\t", "  ")
	return elements.ReplaceAllStringFunc(text, func(block string) string {
		all := strings.Split(elements.FindStringSubmatch(block)[1], ",")
		for i := range all {
			all[i] = "\n      " + strings.TrimSpace(all[i])
		}
		slices.Sort(all)
		return "elements = {" + strings.Join(all, "") + " }"
	})
}

var elements = regexp.MustCompile(`elements = \{([^}]*)\}`)
