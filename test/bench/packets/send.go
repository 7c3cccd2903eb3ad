package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/node"
)

// socket makes a UDP socket in a place, bound to an address (port 0: a free one).
func socket(p node.Place, at netip.AddrPort) (fd int, err error) {
	err = node.Within(p.Netns, func() (err error) {
		domain := unix.AF_INET
		if at.Addr().Is6() {
			domain = unix.AF_INET6
		}
		if fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		wait := unix.Timeval{Sec: 3}
		return errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait), unix.Bind(fd, sockaddr(at)))
	})
	if err != nil {
		return fd, fmt.Errorf("cannot open a socket of %s at %s: %w", p.Name, at, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// disconnect lets a UDP socket hear everybody again (connect(2), AF_UNSPEC).
func disconnect(fd int) error {
	nobody := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nobody)), unsafe.Sizeof(nobody)); errno != 0 {
		return fmt.Errorf("cannot disconnect a socket: %w", errno)
	}
	return nil
}

func local(fd int) (netip.AddrPort, error) {
	s, err := unix.Getsockname(fd)
	return addrPort(s), err
}

// deaf lets a socket drop whatever comes, as cheaply as the kernel can and always in the same way: by a filter that
// takes nothing (BPF_RET, 0 bytes). A full buffer would cost one thing before it is full and another after.
func deaf(fd int) error {
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
}

// batch is a list of datagrams for one sendmmsg(2). A veth hands a packet on within the sender's system call: what the
// call takes is the whole way to the receiver's socket.
type batch struct {
	fd      int
	headers []message
	keep    []any // what the headers point to
}

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	sent uint32
	_    [4]byte
}

// payload is what each datagram carries, bytes.
const payload = 64

// same is a batch of n equal datagrams of a connected socket.
func same(fd, n int) *batch {
	b := &batch{fd: fd, headers: make([]message, n)}
	text := make([]byte, payload)
	vector := &unix.Iovec{Base: &text[0], Len: payload}
	for i := range b.headers {
		b.headers[i].Iov, b.headers[i].Iovlen = vector, 1
	}
	b.keep = append(b.keep, text, vector)
	return b
}

// toEach lets each datagram go to an address of its own.
func (b *batch) toEach(to func(i int) netip.AddrPort) *batch {
	for i := range b.headers {
		a := to(i)
		raw := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], a.Port())
		b.headers[i].Name, b.headers[i].Namelen = (*byte)(unsafe.Pointer(raw)), unix.SizeofSockaddrInet4
		b.keep = append(b.keep, raw)
	}
	return b
}

// fromEach lets each datagram come from an address of its own (ip(7), IP_PKTINFO).
func (b *batch) fromEach(from func(i int) netip.Addr) *batch {
	for i := range b.headers {
		control := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from(i).As4()})
		b.headers[i].Control = &control[0]
		b.headers[i].SetControllen(len(control))
		b.keep = append(b.keep, control)
	}
	return b
}

// send sends all of it and says what one datagram took, in nanoseconds.
func (b *batch) send() (float64, error) {
	began := time.Now()
	for sent := 0; sent < len(b.headers); {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.headers[sent])),
			uintptr(len(b.headers)-sent), 0, 0, 0)
		if errno != 0 {
			return 0, fmt.Errorf("sendmmsg: %w", errno)
		}
		sent += int(n)
	}
	took := time.Since(began)
	runtime.KeepAlive(b.keep)
	return float64(took.Nanoseconds()) / float64(len(b.headers)), nil
}

// pinned runs work on a thread of its own that stays on one core and, where that is allowed, before all others there.
func pinned(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := pin(); err != nil {
			done <- fmt.Errorf("cannot have a core: %w", err)
			return
		}
		done <- work()
	}()
	return <-done
}

// pin takes the last core for the calling thread. Go's runtime asks for a turn by SIGURG, which would interrupt a
// connect(2); it gets one between samples.
func pin() error {
	var cores, last unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil {
		return err
	}
	for i := range 8 * int(unsafe.Sizeof(cores)) {
		if cores.IsSet(i) {
			last.Zero()
			last.Set(i)
		}
	}
	if err := unix.SchedSetaffinity(0, &last); err != nil {
		return err
	}
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
	urgent := unix.Sigset_t{Val: [16]uint64{1 << (unix.SIGURG - 1)}}
	return unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, nil)
}
