package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// patience is how long a hello may take where ctx says nothing shorter: TCP sends a lost first packet again after one
// second, and after three.
const patience = 4 * time.Second

// Server answers each hello with its place's name and the source that it sees, until it is closed.
type Server struct {
	At     netip.AddrPort
	closer io.Closer
}

// Close ends it.
func (s *Server) Close() error { return s.closer.Close() }

// Listen serves at an address of a place; protocol is "tcp" or "udp". Port 0 takes a free one.
func (n *Node) Listen(ctx context.Context, p Place, protocol string, at netip.AddrPort) (*Server, error) {
	s := &Server{}
	err := Within(p.Netns, func() error {
		var config net.ListenConfig
		switch protocol {
		case "tcp":
			l, err := config.Listen(ctx, "tcp", at.String())
			if err != nil {
				return err
			}
			s.At, s.closer = l.Addr().(*net.TCPAddr).AddrPort(), l
			go answerTCP(l, p.Name)
			return nil
		case "udp":
			c, err := config.ListenPacket(ctx, "udp", at.String())
			if err != nil {
				return err
			}
			s.At, s.closer = c.LocalAddr().(*net.UDPAddr).AddrPort(), c
			go answerUDP(c.(*net.UDPConn), p.Name)
			return nil
		}
		return fmt.Errorf("no protocol %q: want tcp or udp", protocol)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s %s in %s: %w", protocol, at, p.Name, err)
	}
	return s, nil
}

func answerTCP(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		fmt.Fprintf(c, "%s %s", name, from)
		c.Close()
	}
}

func answerUDP(c *net.UDPConn, name string) {
	b := make([]byte, 64)
	for {
		_, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return // closed
		}
		_, _ = c.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %s", name, from.Addr().Unmap()), from)
	}
}

// Answer is who answered a hello, and whom it saw as its source.
type Answer struct {
	Who string     `json:"who"`
	Saw netip.Addr `json:"saw"`
}

// Dial says hello from a place to an address and returns the answer; the error says that there was none. The source
// is the place's own address where it has one of the family, else what the namespace's routes choose.
func (n *Node) Dial(ctx context.Context, p Place, protocol string, to netip.AddrPort) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	source := p.Addr
	if to.Addr().Is6() {
		source = p.Addr6
	}
	if to.Addr().IsLoopback() {
		source = netip.Addr{}
	}
	var c net.Conn
	err := Within(p.Netns, func() (err error) {
		d := net.Dialer{}
		if from := netip.AddrPortFrom(source, 0); source.IsValid() && protocol == "tcp" {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		} else if source.IsValid() {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
		c, err = d.DialContext(ctx, protocol, to.String())
		return err
	})
	if err != nil {
		return Answer{}, fmt.Errorf("cannot reach %s from %s: %w", to, p.Name, err)
	}
	defer c.Close()
	answer, err := hear(ctx, c)
	if err != nil {
		return Answer{}, fmt.Errorf("cannot hear %s from %s: %w", to, p.Name, err)
	}
	return answer, nil
}

// hear asks until somebody answers: over UDP a hello may be lost while neighbours look for each other.
func hear(ctx context.Context, c net.Conn) (Answer, error) {
	const once = 100 * time.Millisecond
	end, _ := ctx.Deadline()
	b := make([]byte, 256)
	_, isUDP := c.(*net.UDPConn)
	for {
		limit := end
		if isUDP {
			if _, err := c.Write([]byte("hello")); err != nil {
				return Answer{}, err
			}
			limit = time.Now().Add(once)
		}
		c.SetReadDeadline(limit)
		n, err := c.Read(b)
		if err == nil {
			who, saw, _ := strings.Cut(string(b[:n]), " ")
			source, err := netip.ParseAddr(saw)
			return Answer{Who: who, Saw: source}, err
		}
		if !isUDP || time.Now().After(end) || ctx.Err() != nil {
			return Answer{}, err
		}
	}
}
