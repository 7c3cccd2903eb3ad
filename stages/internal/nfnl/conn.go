// Package nfnl speaks nfnetlink, the kernel's way to its netfilter subsystems: one request and its answers, or a batch
// that is committed as a whole. Packages nft and conntrack say what stands in the messages.
package nfnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/handover"
)

const (
	nlHeader  = 16        // struct nlmsghdr
	nfHeader  = 4         // struct nfgenmsg
	readSize  = 128 << 10 // bytes; the kernel fills at most 32 KiB of a dump at once
	errnoSize = 4
	// usualBuffer fits the kernel's default of net.core.wmem_default with its own overhead; bytes.
	usualBuffer = 64 << 10
)

// ErrInterrupted says that the state changed under a dump, which may therefore miss or repeat entries: dump again.
var ErrInterrupted = errors.New("the netfilter state changed while it was read")

// Message is one request.
type Message struct {
	Type   uint16 // subsystem<<8 | command
	Flags  uint16 // NLM_F_…; NLM_F_REQUEST is added
	Family uint8  // NFPROTO_…
	Res    uint16 // subsystem of a batch's begin and end
	Attrs  Attrs
}

// Answer is one message from the kernel.
type Answer struct {
	Type   uint16
	Flags  uint16
	Family uint8
	Attrs  []byte
}

// Fault is the kernel's refusal of message Index of a batch; -1 is the batch as a whole (its generation).
type Fault struct {
	Index int
	Errno unix.Errno
	Text  string // what the kernel adds in words; often empty
}

// Error is the errno and the kernel's words.
func (f *Fault) Error() string {
	if f.Text != "" {
		return f.Errno.Error() + ": " + f.Text
	}
	return f.Errno.Error()
}

// Unwrap is the errno.
func (f *Fault) Unwrap() error { return f.Errno }

// Conn is a netfilter socket in the network namespace of the thread that opened it. It serves one goroutine. It never
// waits for an answer: the kernel works in the sender's time, so that all is there when a send returns, and the next piece
// of a dump when one was taken.
type Conn struct {
	fd   int
	seq  uint32
	read []byte
}

// Open opens a socket in the current thread's network namespace; use it from any thread.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netfilter socket: %w", err)
	}
	// Both only improve errors; kernels before 4.12 do without.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return &Conn{fd: fd}, nil
}

// Close closes the socket. While deletions in nf_tables are not freed yet, whoever made them, the last descriptor's close
// takes 5 to 10 ms; so the daemon gets one, where it listens, and closes that later.
func (c *Conn) Close() error {
	handover.Give(handover.Path, c.fd)
	return unix.Close(c.fd)
}

// piece is how many questions go in one: their answers must fit the socket's receive buffer (208 KiB by default; one
// takes 1 to 4 KiB of it).
const piece = 32

// Ask sends questions in pieces and gives each one's object, or a *Fault, to answer, in their order.
func (c *Conn) Ask(questions []Message, answer func(i int, a Answer, err error)) error {
	for from := 0; from < len(questions); from += piece {
		some := questions[from:min(from+piece, len(questions))]
		if err := c.ask(some, func(i int, a Answer, err error) { answer(from+i, a, err) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) ask(questions []Message, answer func(i int, a Answer, err error)) error {
	first := c.seq + 1
	out := make([]byte, 0, 128*len(questions))
	for _, m := range questions {
		c.seq++
		out = appendMessage(out, m, c.seq)
	}
	if err := c.send(out); err != nil {
		return err
	}
	for open := len(questions); open > 0; {
		buf, err := c.receive()
		if err != nil {
			return err
		}
		err = eachAnswer(buf, first, func(a Answer, seq uint32) error {
			open--
			if a.Type == unix.NLMSG_ERROR {
				answer(int(seq-first), Answer{}, faultOf(a, 0))
			} else {
				answer(int(seq-first), a, nil)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Request sends one message and calls each for every answer that carries data, until the acknowledgement or the end
// of the dump. The kernel's refusal is a *Fault.
func (c *Conn) Request(m Message, each func(Answer) error) error {
	dump := m.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	if !dump {
		m.Flags |= unix.NLM_F_ACK
	}
	c.seq++
	if err := c.send(appendMessage(nil, m, c.seq)); err != nil {
		return err
	}
	var failed error
	interrupted := false
	for done := false; !done; {
		buf, err := c.receive()
		if err != nil {
			return err
		}
		err = eachAnswer(buf, c.seq, func(a Answer, seq uint32) error {
			interrupted = interrupted || a.Flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case a.Type == unix.NLMSG_DONE:
				done = true
				return dumpEnd(a)
			case a.Type == unix.NLMSG_ERROR:
				done = true
				return faultOf(a, 0)
			case each != nil && failed == nil:
				failed = each(a) // the rest must still be read, or the next request finds it
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if interrupted && failed == nil {
		return ErrInterrupted
	}
	return failed
}

// Batch sends messages as one transaction of subsystem sub: all are done or none. With gen ≠ 0 it is refused
// (*Fault with Index -1, ERESTART) unless the ruleset is still at that generation. Every refusal is told.
func (c *Conn) Batch(sub uint16, gen uint32, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	begin := Message{Type: unix.NFNL_MSG_BATCH_BEGIN, Res: sub}
	if gen != 0 {
		begin.Attrs.Uint32(unix.NFNL_BATCH_GENID, gen)
	}
	first := c.seq + 1
	out := appendMessage(nil, begin, first)
	for i, m := range messages {
		if i == len(messages)-1 {
			m.Flags |= unix.NLM_F_ACK // one answer tells that all was read: older kernels acknowledge no batch end
		}
		out = appendMessage(out, m, first+1+uint32(i))
	}
	last := first + uint32(len(messages))
	c.seq = last + 1
	out = appendMessage(out, Message{Type: unix.NFNL_MSG_BATCH_END, Res: sub}, c.seq)
	if err := c.send(out); err != nil {
		return err
	}
	return c.verdicts(first, last)
}

// verdicts reads what the kernel said of a batch whose begin has number first and whose last message has number last: the
// answer to that one is the last of all. It is missing where the batch was refused as a whole.
func (c *Conn) verdicts(first, last uint32) error {
	var faults []error
	for answered := false; !answered; {
		buf, err := c.receive()
		if errors.Is(err, unix.EAGAIN) && len(faults) > 0 {
			break
		}
		if err != nil {
			return err
		}
		err = eachAnswer(buf, first, func(a Answer, seq uint32) error {
			if a.Type != unix.NLMSG_ERROR || seq > last {
				return nil
			}
			if fault := faultOf(a, int(seq)-int(first)-1); fault != nil {
				faults = append(faults, fault)
			}
			answered = answered || seq == last
			return nil
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// send raises the socket's buffer for a large batch first: one write carries all of it. Without the right over the
// whole machine the kernel's net.core.wmem_max is the limit, and a larger batch fails with "message too long".
func (c *Conn) send(b []byte) error {
	if len(b) > usualBuffer {
		if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(b)) != nil {
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*len(b))
		}
	}
	_, err := unix.Write(c.fd, b) // without an address a netlink socket writes to the kernel
	return os.NewSyscallError("write", err)
}

// receive takes the next piece of what the kernel said; it is an error where there is none. Nobody else says anything here
// who might not change the namespace as we do: to send to a process takes CAP_NET_ADMIN in it (netlink(7)).
func (c *Conn) receive() ([]byte, error) {
	if c.read == nil {
		c.read = make([]byte, readSize)
	}
	for {
		n, err := unix.Read(c.fd, c.read)
		if err == unix.EINTR {
			continue
		}
		return c.read[:max(n, 0)], os.NewSyscallError("read", err)
	}
}

func appendMessage(b []byte, m Message, seq uint32) []byte {
	n := nlHeader + nfHeader + len(m.Attrs)
	b = binary.NativeEndian.AppendUint32(b, uint32(n))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, m.Flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, m.Family, 0) // version 0
	b = binary.BigEndian.AppendUint16(b, m.Res)
	return append(b, m.Attrs...) // attributes are padded, so the message is
}

// eachAnswer walks the messages of one read whose number is at least from; older ones answer requests given up.
func eachAnswer(buf []byte, from uint32, f func(a Answer, seq uint32) error) error {
	for len(buf) >= nlHeader {
		n := int(binary.NativeEndian.Uint32(buf))
		if n < nlHeader || n > len(buf) {
			return ErrCut
		}
		seq := binary.NativeEndian.Uint32(buf[8:])
		a := Answer{
			Type: binary.NativeEndian.Uint16(buf[4:]), Flags: binary.NativeEndian.Uint16(buf[6:]), Attrs: buf[nlHeader:n],
		}
		if a.Type >= unix.NLMSG_MIN_TYPE && len(a.Attrs) >= nfHeader {
			a.Family, a.Attrs = a.Attrs[0], a.Attrs[nfHeader:]
		}
		if int32(seq-from) >= 0 {
			if err := f(a, seq); err != nil {
				return err
			}
		}
		buf = buf[min(n+pad(n), len(buf)):]
	}
	return nil
}

// dumpEnd is the errno that the end of a dump may carry.
func dumpEnd(a Answer) error {
	if len(a.Attrs) >= errnoSize {
		if e := int32(binary.NativeEndian.Uint32(a.Attrs)); e < 0 {
			return &Fault{Errno: unix.Errno(-e)}
		}
	}
	return nil
}

// faultOf reads an acknowledgement: nil for success.
func faultOf(a Answer, index int) error {
	if len(a.Attrs) < errnoSize+nlHeader {
		return ErrCut
	}
	e := int32(binary.NativeEndian.Uint32(a.Attrs))
	if e == 0 {
		return nil
	}
	fault := &Fault{Index: index, Errno: unix.Errno(-e)}
	if words, err := Parse(a.Attrs[errnoSize+nlHeader:]); err == nil { // NETLINK_CAP_ACK: only the header is echoed
		fault.Text = words.Text(1) // NLMSGERR_ATTR_MSG
	}
	return fault
}
