package fastpath

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

// patience is far beyond what any of these flows takes to be learnt: UDP is a stream after two seconds.
const patience = 10 * time.Second

// routes are the flows of a pod: who asks, whom, by which address, and whom the server sees.
func (w *world) routes() []route {
	return []route{
		{"pod to the VPC", w.pod, w.outside, "10.0.9.9:90", "10.0.9.9:90", "10.0.0.11"},
		{"pod to outside, SNAT", w.pod, w.outside, "198.51.100.1:90", "198.51.100.1:90", "10.0.0.10"},
		{"VPC to the pod", w.outside, w.pod, "10.0.0.11:90", "10.0.0.11:90", "10.0.0.1"},
		{"VPC to a host port, DNAT", w.outside, w.pod, "10.0.0.11:80", "10.0.0.10:8080", "10.0.0.1"},
		{"IPv6, pod to the VPC", w.pod, w.outside, "[fd00:9::9]:90", "[fd00:9::9]:90", "fd00::11"},
		{"IPv6, pod to outside, SNAT", w.pod, w.outside, "[2001:db8::1]:90", "[2001:db8::1]:90", "fd00::10"},
		{"IPv6, VPC to the pod", w.outside, w.pod, "[fd00::11]:90", "[fd00::11]:90", "fd00::1"},
		{"IPv6, VPC to a host port, DNAT", w.outside, w.pod, "[fd00::11]:80", "[fd00::10]:8080", "fd00::1"},
	}
}

type route struct {
	name       string
	from, to   *linktest.NS
	server, by string
	sees       string
}

// TestStreamsTakeTheFastPath sends 100 questions of several segments over an established connection: every byte comes
// back, the server sees the same address as without the stage, and hardly a packet goes through the node's forward chain.
func TestStreamsTakeTheFastPath(t *testing.T) {
	w := newWorld(t)
	w.add(request())
	for _, r := range w.routes() {
		t.Run(r.name, func(t *testing.T) {
			client, saw := r.connect(t)
			if saw != r.sees {
				t.Errorf("the server sees %s, want %s", saw, r.sees)
			}
			question := make([]byte, 20_000)
			_, _ = rand.Read(question)
			answer := make([]byte, len(question))
			ask := func() {
				if _, err := client.Write(question); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(client, answer); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(question, answer) {
					t.Fatal("the answer is not the question")
				}
			}
			least := 1 << 30
			for end := time.Now().Add(patience); time.Now().Before(end) && least > 20; {
				before := w.forwarded()
				for range 100 {
					ask()
				}
				least = min(least, w.forwarded()-before)
			}
			if least > 20 {
				t.Errorf("at best %d packets of 100 questions went the kernel's own way", least)
			}
			client.Close()
			w.ends(t, r)
		})
	}
}

// connect opens a connection to a server that sends everything back.
func (r route) connect(t *testing.T) (client net.Conn, saw string) {
	t.Helper()
	var l net.Listener
	var err error
	r.to.Do(func(*link.Conn) { l, err = net.Listen("tcp", r.server) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.from.Do(func(*link.Conn) { client, err = net.DialTimeout("tcp", r.by, patience) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(server, server)
		server.Close()
	}()
	if err := client.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return client, server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String()
}

// ends waits until conntrack has seen the connection's end, which it can only if it took the packets for the connection's.
func (w *world) ends(t *testing.T, r route) {
	t.Helper()
	_, port, _ := net.SplitHostPort(r.by)
	for end := time.Now().Add(patience); ; {
		var text []byte
		var err error
		w.node.Do(func(*link.Conn) { text, err = os.ReadFile("/proc/thread-self/net/nf_conntrack") })
		if err != nil {
			t.Fatal(err)
		}
		open := ""
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " dport="+port+" ") && !strings.Contains(line, "TIME_WAIT") && strings.Contains(line, "tcp") {
				open = line
			}
		}
		if open == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("conntrack has not seen the end of %s", open)
		}
	}
}

// datagrams is a UDP flow.
type datagrams struct {
	t      *testing.T
	w      *world
	client *net.UDPConn
	server *net.UDPConn
	back   netip.AddrPort
}

func (w *world) datagrams(t *testing.T, r route) *datagrams {
	t.Helper()
	d := &datagrams{t: t, w: w}
	var err error
	r.to.Do(func(*link.Conn) {
		d.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(r.server)))
	})
	if err == nil {
		r.from.Do(func(*link.Conn) {
			d.client, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(r.by)))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.client.Close(); d.server.Close() })
	return d
}

// exchange sends a datagram there and back; the bytes must be the same.
func (d *datagrams) exchange(size int) {
	d.t.Helper()
	text, got := make([]byte, size), make([]byte, size+1)
	_, _ = rand.Read(text)
	until := time.Now().Add(patience)
	if err := errors.Join(d.client.SetDeadline(until), d.server.SetDeadline(until)); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.client.Write(text); err != nil {
		d.t.Fatal(err)
	}
	n, back, err := d.server.ReadFromUDPAddrPort(got)
	if err != nil || !bytes.Equal(text, got[:n]) {
		d.t.Fatalf("the server got %d bytes of %d: %v", n, size, err)
	}
	d.back = back
	if _, err := d.server.WriteToUDPAddrPort(text, back); err != nil {
		d.t.Fatal(err)
	}
	if n, err = d.client.Read(got); err != nil || !bytes.Equal(text, got[:n]) {
		d.t.Fatalf("the client got %d bytes of %d: %v", n, size, err)
	}
}

// establish exchanges datagrams until they take the fast path.
func (d *datagrams) establish() {
	d.t.Helper()
	for end := time.Now().Add(patience); ; {
		before := d.w.forwarded()
		for range 50 {
			d.exchange(100)
		}
		if d.w.forwarded()-before < 10 {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("the flow did not take the fast path; %s", d.w.qdiscs())
		}
	}
}

func TestDatagramsTakeTheFastPath(t *testing.T) {
	w := newWorld(t)
	w.add(request())
	for _, r := range w.routes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			d := w.datagrams(t, r)
			d.exchange(100)
			if got := d.back.Addr().Unmap().String(); got != r.sees {
				t.Errorf("the server sees %s, want %s", got, r.sees)
			}
			_, counts := w.learnt(r, d)
			for end := time.Now().Add(patience); !counts && time.Now().Before(end); _, counts = w.learnt(r, d) {
				d.exchange(100)
			}
			if !counts {
				t.Fatal("the flow was not learnt")
			}
			for range 20 { // by the fast path, which the forward chain cannot tell here: others run beside
				d.exchange(100)
			}
			if got := d.back.Addr().Unmap().String(); got != r.sees {
				t.Errorf("by the fast path the server sees %s, want %s", got, r.sees)
			}
			d.exchange(4000) // fragments
		})
	}
}

// TestTooLargeForTheWire wants the sender told, as without the stage: a wire with a smaller MTU than the node's.
func TestTooLargeForTheWire(t *testing.T) {
	for _, r := range []route{{server: "10.0.0.11:90", by: "10.0.0.11:90"}, {server: "[fd00::11]:90", by: "[fd00::11]:90"}} {
		t.Run(r.server, func(t *testing.T) {
			w := newWorld(t)
			r.from, r.to = w.outside, w.pod
			w.node.Script("ip link set enipod mtu 1400")
			w.add(request())
			d := w.datagrams(t, r)
			d.establish()
			raw, err := d.client.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var set [2]error
			_ = raw.Control(func(fd uintptr) {
				set[0] = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
				set[1] = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
			})
			told := func() bool { // the answer comes as an error of a later call
				_, err := d.client.Write(make([]byte, 1440))
				return errors.Is(err, syscall.EMSGSIZE)
			}
			for end := time.Now().Add(patience); !told(); {
				if time.Now().After(end) {
					t.Fatalf("nobody tells the sender that its packets are too large (%v)", set)
				}
			}
		})
	}
}

// TestTimeToLive wants a packet to have lost one hop on the node, whichever way it goes.
func TestTimeToLive(t *testing.T) {
	w := newWorld(t)
	w.add(request())
	d := w.datagrams(t, route{from: w.outside, to: w.pod, server: "10.0.0.11:90", by: "10.0.0.11:90"})
	raw, err := d.server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVTTL, 1) })
	if err != nil {
		t.Fatal(err)
	}
	ttl := func() byte {
		if _, err := d.client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		b, more := make([]byte, 16), make([]byte, 64)
		_, n, _, _, err := d.server.ReadMsgUDP(b, more)
		if err != nil {
			t.Fatal(err)
		}
		told, err := unix.ParseSocketControlMessage(more[:n])
		if err != nil || len(told) == 0 {
			t.Fatalf("no TTL: %v", err)
		}
		return told[0].Data[0]
	}
	if got := ttl(); got != 63 {
		t.Errorf("TTL by the kernel's own way = %d, want 63", got)
	}
	d.establish()
	before := w.forwarded()
	for range 20 {
		if got := ttl(); got != 63 {
			t.Errorf("TTL by the fast path = %d, want 63", got)
		}
	}
	if n := w.forwarded() - before; n > 5 {
		t.Errorf("%d of 20 packets took no fast path: nothing was tried", n)
	}
}
