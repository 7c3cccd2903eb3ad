package flows_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netns"

	"github.com/enichain/enichain/test/lab/fabric"
)

// place is where a socket is opened: a node of the fabric, or a pod of the node under test.
type place struct {
	node *fabric.Node
	pod  string
}

func (w *world) at(name string) place {
	switch name {
	case "node":
		return place{node: w.node}
	case "host", "remote":
		return place{node: w.other}
	case "client":
		return place{node: w.client[w.a.family]}
	case "web":
		return place{node: w.web[w.a.family]}
	}
	return place{node: w.node, pod: name}
}

// do runs f with the thread in the place's network namespace.
func (p place) do(f func() error) error {
	if p.pod == "" {
		return p.node.Do(f)
	}
	done := make(chan error, 1)
	go func() { // the thread ends with the goroutine
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(p.node.Path("/run/netns/" + p.pod))
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// serve answers TCP and UDP on one address with "<name> sees <source>". Its sockets keep the place's network namespace
// alive until the test ends, or stop is called.
func (w *world) serve(name, at, address string, port int) (stop func()) {
	w.t.Helper()
	to := net.JoinHostPort(address, fmt.Sprint(port))
	var l net.Listener
	var u net.PacketConn
	must(w.t, w.at(at).do(func() (err error) {
		if l, err = net.Listen("tcp", to); err != nil {
			return err
		}
		u, err = net.ListenPacket("udp", to)
		return err
	}))
	stop = func() { l.Close(); u.Close() }
	w.t.Cleanup(stop)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s sees %s", name, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
	go func() {
		b := make([]byte, 64)
		for {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			fmt.Fprintf(answer{u, from}, "%s sees %s", name, from.(*net.UDPAddr).IP)
		}
	}()
	return stop
}

type answer struct {
	net.PacketConn
	to net.Addr
}

func (a answer) Write(b []byte) (int, error) { return a.WriteTo(b, a.to) }

// Patience: an answer that comes is here within microseconds, or after the retransmission of a first packet (1 s).
// Flows that must fail need not be waited for that long.
const (
	patience   = 5 * time.Second
	impatience = 400 * time.Millisecond
)

// ask sends from one place and returns what the other side said, or why it said nothing.
func (w *world) ask(protocol, from, to string, port int, wait time.Duration) string {
	return w.askAs("", protocol, from, to, port, wait)
}

// askAs asks from a source address; "" leaves it to the kernel.
func (w *world) askAs(source, protocol, from, to string, port int, wait time.Duration) string {
	said := ""
	err := w.at(from).do(func() error {
		d := net.Dialer{Timeout: wait}
		if source != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
		}
		c, err := d.Dial(protocol, net.JoinHostPort(to, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		defer c.Close()
		if protocol == "udp" {
			said, err = askUDP(c, wait)
			return err
		}
		c.SetDeadline(time.Now().Add(wait))
		b, err := io.ReadAll(c)
		said = string(b)
		return err
	})
	switch {
	case err == nil:
		return said
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	}
	return err.Error()
}

// askUDP repeats the question: UDP does not.
func askUDP(c net.Conn, wait time.Duration) (string, error) {
	b := make([]byte, 64)
	var err error
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if _, err = c.Write([]byte("who")); err != nil {
			return "", err
		}
		c.SetReadDeadline(time.Now().Add(min(wait/2, time.Second)))
		var n int
		if n, err = c.Read(b); err == nil {
			return string(b[:n]), nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return "", err
		}
	}
	return "", err
}
