package fastpath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/node"
)

// udp is a flow of datagrams of 64 bytes that go both ways.
type udp struct {
	client, server *net.UDPConn
	back           netip.AddrPort // the client, as the server sees it
	fd             int            // the client's, once it only sends
	headers        []message
	keep           []any // what headers point to
}

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	sent uint32
	_    [4]byte
}

// patience is how long an answer may take.
const patience = 3 * time.Second

// talk opens a flow from a place to a server, which may be reached by another address than its own.
func talk(from node.Place, source netip.Addr, to node.Place, at, by netip.AddrPort) (*udp, error) {
	u := &udp{}
	err := node.Within(to.Netns, func() (err error) { u.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); return err })
	if err == nil {
		if by.Port() == 0 {
			by = netip.AddrPortFrom(by.Addr(), u.server.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		}
		err = node.Within(from.Netns, func() (err error) {
			u.client, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.UDPAddrFromAddrPort(by))
			return err
		})
	}
	if err == nil {
		err = u.exchange()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot talk from %s to %s: %w", from.Name, by, err)
	}
	return u, nil
}

// exchange is a question and its answer.
func (u *udp) exchange() error {
	b := make([]byte, payload)
	if _, err := u.client.Write(b); err != nil {
		return err
	}
	until := time.Now().Add(patience)
	if err := errors.Join(u.client.SetReadDeadline(until), u.server.SetReadDeadline(until)); err != nil {
		return err
	}
	_, back, err := u.server.ReadFromUDPAddrPort(b)
	if err != nil {
		return err
	}
	u.back = back
	if _, err := u.server.WriteToUDPAddrPort(b, back); err != nil {
		return err
	}
	_, err = u.client.Read(b)
	return err
}

// payload is what each datagram carries, bytes; burst is how many go in one system call.
const (
	payload = 64
	burst   = 250
)

// onlySend lets the server drop whatever comes, always in the same way (a filter that takes nothing): a full buffer would
// cost one thing before it is full and another after.
func (u *udp) onlySend() error {
	raw, err := u.server.SyscallConn()
	if err == nil {
		nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
		inner := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
		})
		err = errors.Join(err, inner)
	}
	if err != nil {
		return err
	}
	file, err := u.client.File()
	if err != nil {
		return err
	}
	text := make([]byte, payload)
	vector := &unix.Iovec{Base: &text[0], Len: payload}
	u.headers = make([]message, burst)
	for i := range u.headers {
		u.headers[i].Iov, u.headers[i].Iovlen = vector, 1
	}
	u.keep, u.fd = []any{text, vector, file}, int(file.Fd())
	return nil
}

// send is what one datagram of a burst takes, in nanoseconds: a veth hands a packet on within the sender's system call, so
// that is its whole way to the receiver's socket.
func (u *udp) send() (float64, error) {
	began := time.Now()
	for sent := 0; sent < burst; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(u.fd), uintptr(unsafe.Pointer(&u.headers[sent])), uintptr(burst-sent), 0, 0, 0)
		if errno != 0 {
			return 0, fmt.Errorf("sendmmsg: %w", errno)
		}
		sent += int(n)
	}
	took := time.Since(began)
	runtime.KeepAlive(u.keep)
	return float64(took.Nanoseconds()) / burst, nil
}

// tcp is a connection whose server sends every single byte back and swallows everything larger.
type tcp struct{ client *net.TCPConn }

// connect opens a connection from a place to a server, which may be reached by another address than its own.
func connect(ctx context.Context, from node.Place, source netip.Addr, to node.Place, at, by netip.AddrPort) (*tcp, error) {
	var l net.Listener
	var c net.Conn
	err := node.Within(to.Netns, func() (err error) { l, err = net.Listen("tcp", at.String()); return err })
	if err == nil {
		go serve(l)
		if by.Port() == 0 {
			by = netip.AddrPortFrom(by.Addr(), uint16(l.Addr().(*net.TCPAddr).Port))
		}
		err = node.Within(from.Netns, func() (err error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Timeout: patience}
			c, err = d.DialContext(ctx, "tcp", by.String())
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect %s to %s: %w", from.Name, by, err)
	}
	return &tcp{c.(*net.TCPConn)}, nil
}

// chunk is how much is written at a time.
const chunk = 256 << 10

func serve(l net.Listener) {
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	b := make([]byte, chunk)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if n == 1 {
			if _, err := c.Write(b[:1]); err != nil {
				return
			}
		}
	}
}

// ask is what a byte there and back takes, in nanoseconds.
func (t *tcp) ask(times int) (float64, error) {
	b := []byte{0}
	began := time.Now()
	for range times {
		if _, err := t.client.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(t.client, b); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()) / float64(times), nil
}

// pour is what a KiB takes, in nanoseconds, when many go one way.
func (t *tcp) pour(chunks int) (float64, error) {
	b := make([]byte, chunk)
	began := time.Now()
	for range chunks {
		if _, err := t.client.Write(b); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()) / float64(chunks*chunk>>10), nil
}

// ends says between whom a flow is: by is the address that the client asks, which is another than the server's own where
// it is translated.
type ends struct {
	from, to     node.Place
	by           netip.Addr
	port, byPort uint16 // 0: a free one
}

func (e ends) source() netip.Addr { return e.of(e.from) }
func (e ends) target() netip.Addr { return e.of(e.to) }

// of is a place's address of the flow's family.
func (e ends) of(p node.Place) netip.Addr {
	if e.by.Is6() {
		return p.Addr6
	}
	return p.Addr
}

// alone runs work on a thread of its own that stays on one core and, where that is allowed, before all others there.
func alone(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var cores, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &cores); err != nil {
			done <- err
			return
		}
		for i := range 1024 {
			if cores.IsSet(i) {
				one.Zero()
				one.Set(i)
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			done <- err
			return
		}
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		done <- work()
	}()
	return <-done
}
