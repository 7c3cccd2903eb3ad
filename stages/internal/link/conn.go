// Package link puts links, addresses, routes, rules and neighbours into the kernel and finds them there, by
// rtnetlink. Its encoders are its own: a stage's process lives for two milliseconds, and what it sends is a dozen
// kinds of message. Every change can be said twice and is then true once.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// receiveSize is enough for the largest part of a dump that the kernel sends in one piece (32 KiB,
// netlink_dump in net/netlink/af_netlink.c).
const receiveSize = 32 << 10

// batchSize is how many messages go in one piece: their answers must fit the socket's receive buffer (208 KiB by
// default; a refusal takes about 1 KiB of it, a link 4).
const batchSize = 64

// Conn is an rtnetlink socket in one network namespace. It is for one goroutine.
//
// It never waits for an answer: the kernel works in the sender's time, so that all that it says of a message, and the
// first piece of a list, is there when the send returns; the next piece of a list is when one was taken.
type Conn struct {
	fd      int
	seq     uint32
	strict  bool // lists are filtered by the kernel
	receive []byte
}

// socketType is that of every Conn's socket.
const socketType = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK

// Open opens a socket in the calling thread's network namespace.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, socketType, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	return over(fd), nil
}

func over(fd int) *Conn {
	// A comfort that kernels before 4.12 lack: a reason in words.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return &Conn{fd: fd}
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("cannot close a netlink socket: %w", err)
	}
	return nil
}

// Error is the kernel's refusal of one message. It unwraps to the error number.
type Error struct {
	Do     string // what was asked, as "add route 10.0.0.5/32 dev 7 table 1000"
	Errno  unix.Errno
	Reason string // the kernel's own words, often empty
}

func (e *Error) Error() string {
	text := "cannot " + e.Do + ": " + e.Errno.Error()
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Errno }

// ErrAbsent is for what was looked for and is not there.
var ErrAbsent = errors.New("absent")

// Do sends the messages in order and waits for all answers. The kernel goes on after a message that it refuses, so
// all refusals are joined.
func (c *Conn) Do(messages ...Message) error {
	var errs []error
	for len(messages) > 0 {
		part := messages[:min(batchSize, len(messages))]
		messages = messages[len(part):]
		if err := c.exchange(part); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// dumpTries bounds the repeats of a dump that a change interrupted.
const dumpTries = 10

// errInterrupted: a change came between two parts of a dump, which may have lost an entry.
var errInterrupted = errors.New("the kernel's list changed while it was read")

// dump asks for a list, from the start whenever a change came between its parts; restart empties what was taken.
func (c *Conn) dump(m Message, restart func(), take func(body []byte) error) error {
	if !c.strict { // kernels before 4.20 do not filter
		_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
		c.strict = true
	}
	m.flags |= unix.NLM_F_DUMP
	m.take = take
	var err error
	for range dumpTries {
		restart()
		if err = c.exchange([]Message{m}); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

// exchange sends messages in one piece and reads until the last is answered: the kernel answers in order.
func (c *Conn) exchange(messages []Message) error {
	first := c.seq + 1
	out := make([]byte, 0, 128*len(messages))
	for i := range messages {
		c.seq++
		out = messages[i].encode(out, c.seq, i == len(messages)-1)
	}
	if _, err := unix.Write(c.fd, out); err != nil {
		return fmt.Errorf("cannot %s: send: %w", messages[0].what(), err)
	}
	if c.receive == nil {
		c.receive = make([]byte, receiveSize)
	}
	var errs []error
	interrupted := false
	for done := false; !done; {
		n, err := unix.Read(c.fd, c.receive)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot %s: no answer of the kernel: %w", messages[0].what(), err)
		}
		for in := c.receive[:n]; len(in) >= unix.SizeofNlMsghdr; {
			a, rest, err := cut(in)
			if err != nil {
				return fmt.Errorf("cannot %s: %w", messages[0].what(), err)
			}
			in = rest
			at := int(a.seq - first)
			if at < 0 || at >= len(messages) {
				continue // an answer to something given up on
			}
			interrupted = interrupted || a.flags&unix.NLM_F_DUMP_INTR != 0
			end, err := messages[at].answered(a)
			done = done || end && at == len(messages)-1
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) == 0 && interrupted {
		return errInterrupted
	}
	return errors.Join(errs...)
}

type answer struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

// cut takes one message off what was received.
func cut(in []byte) (answer, []byte, error) {
	size := int(binary.NativeEndian.Uint32(in))
	if size < unix.SizeofNlMsghdr || size > len(in) {
		return answer{}, nil, errors.New("the kernel's answer is cut short: " + strconv.Itoa(size) + " bytes promised")
	}
	a := answer{
		typ:   binary.NativeEndian.Uint16(in[4:]),
		flags: binary.NativeEndian.Uint16(in[6:]),
		seq:   binary.NativeEndian.Uint32(in[8:]),
		body:  in[unix.SizeofNlMsghdr:size],
	}
	return a, in[min(align(size), len(in)):], nil
}

func align(n int) int { return (n + 3) &^ 3 }
