package packets

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/node"
)

// path is a way for TCP connections: who asks, whom, and by which address.
type path struct {
	client, server node.Place
	at             netip.AddrPort
	ns             *os.File // the client's namespace
	listener       int
}

// newPath listens in a pod and looks once whether the way leads there.
func newPath(client, server node.Place, at netip.AddrPort) (*path, error) {
	p := &path{client: client, server: server, at: at}
	fail := func(err error) (*path, error) {
		return nil, fmt.Errorf("no TCP from %s to %s by %s: %w", client.Name, server.Name, at, err)
	}
	var err error
	if p.ns, err = os.Open(client.Netns); err != nil {
		return fail(err)
	}
	const backlog = 4096
	if err := node.Within(server.Netns, func() (err error) {
		if p.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(p.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.Bind(p.listener, &unix.SockaddrInet4{Port: int(p.port())}), unix.Listen(p.listener, backlog))
	}); err != nil {
		return fail(err)
	}
	return p, node.Within(client.Netns, func() error {
		c, err := p.connect(new(time.Duration))
		if err != nil {
			return err
		}
		return c.close()
	})
}

// port is the one that the pod listens at: host ports lead to podPort.
func (p *path) port() uint16 {
	if p.at.Addr() == p.server.Addr {
		return p.at.Port()
	}
	return podPort
}

// connection is both of its ends.
type connection struct{ client, server int }

// connect makes one from the calling thread's namespace and adds what connect(2) took.
func (p *path) connect(took *time.Duration) (c connection, err error) {
	if c.client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return c, err
	}
	patience := unix.Timeval{Sec: 3}
	if err = unix.SetsockoptTimeval(c.client, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return c, err
	}
	to := &unix.SockaddrInet4{Port: int(p.at.Port()), Addr: p.at.Addr().As4()}
	began := time.Now()
	err = unix.Connect(c.client, to)
	*took += time.Since(began)
	if err != nil {
		return c, fmt.Errorf("cannot connect %s to %s: %w", p.client.Name, p.at, err)
	}
	c.server, _, err = unix.Accept4(p.listener, unix.SOCK_CLOEXEC)
	return c, err
}

// close resets it: neither side waits for the other's last word.
func (c connection) close() error {
	now := unix.Linger{Onoff: 1}
	return errors.Join(unix.SetsockoptLinger(c.client, unix.SOL_SOCKET, unix.SO_LINGER, &now), unix.Close(c.client), unix.Close(c.server))
}

// perConnect is how many connections a sample is the mean of.
const perConnect = 20

// connects is what connect(2) takes, rates what a whole connection takes: both ends' sockets, connect, accept, close.
func (p *path) connects(id string) probe { return p.connections(id, false) }
func (p *path) rates(id string) probe    { return p.connections(id, true) }

func (p *path) connections(id string, whole bool) probe {
	return probe{id, func(int) (float64, error) {
		if err := unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET); err != nil { // the thread is the bench's own
			return 0, err
		}
		var took time.Duration
		began := time.Now()
		for range perConnect {
			c, err := p.connect(&took)
			if err == nil {
				err = c.close()
			}
			if err != nil {
				return 0, err
			}
		}
		if whole {
			took = time.Since(began)
		}
		return float64(took.Nanoseconds()) / perConnect, nil
	}}
}

// perStream is how much a sample of throughput sends, bytes.
const perStream = 32 << 20

// streams is what a byte takes over one connection, in nanoseconds, until the other side has read the last one.
func (p *path) streams(id string) (probe, error) {
	var c connection
	if err := node.Within(p.client.Netns, func() (err error) { c, err = p.connect(new(time.Duration)); return err }); err != nil {
		return probe{}, err
	}
	go func() { // it ends with the connection
		b := make([]byte, 1<<20)
		for read := 0; ; {
			n, err := unix.Read(c.server, b)
			if n <= 0 || err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			if read += n; read >= perStream {
				read -= perStream
				_, _ = unix.Write(c.server, b[:1])
			}
		}
	}()
	piece := make([]byte, 256<<10)
	return probe{id, func(int) (float64, error) {
		began := time.Now()
		for sent := 0; sent < perStream; {
			n, err := unix.Write(c.client, piece[:min(len(piece), perStream-sent)])
			if err != nil {
				return 0, fmt.Errorf("cannot send to %s: %w", p.at, err)
			}
			sent += n
		}
		if _, err := unix.Read(c.client, piece[:1]); err != nil {
			return 0, err
		}
		return float64(time.Since(began).Nanoseconds()) / perStream, nil
	}}, nil
}
