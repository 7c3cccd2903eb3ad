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

// patience is how long the kernel may take to answer, seconds: the routing lock is held for tens of milliseconds by
// others' deletions, so this is far beyond what is normal and far below kubelet's two minutes.
const patience = 10

// receiveSize is enough for the largest part of a dump that the kernel sends in one piece (32 KiB,
// netlink_dump in net/netlink/af_netlink.c).
const receiveSize = 32 << 10

// batchSize is how many messages go in one piece: their answers must fit the socket's receive buffer (208 KiB by
// default; an answer takes about 1 KiB of it).
const batchSize = 64

// Conn is an rtnetlink socket in one network namespace. It is for one goroutine.
type Conn struct {
	fd      int
	seq     uint32
	receive []byte
}

// Open opens a socket in the calling thread's network namespace.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	if err := prepare(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot set up a netlink socket: %w", err)
	}
	return &Conn{fd: fd, receive: make([]byte, receiveSize)}, nil
}

func prepare(fd int) error {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	limit := unix.Timeval{Sec: patience}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	// Both are comforts that kernels before 4.12 and 4.20 lack: a reason in words, and dumps filtered by the kernel.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return nil
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
		if err := c.exchange(part, nil); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// get asks for one object.
func (c *Conn) get(m Message, take func(body []byte) error) error {
	var taken error
	err := c.exchange([]Message{m}, func(body []byte) {
		if taken == nil {
			taken = take(body)
		}
	})
	return errors.Join(err, taken)
}

// dumpTries bounds the repeats of a dump that a change interrupted.
const dumpTries = 10

// errInterrupted: a change came between two parts of a dump, which may have lost an entry.
var errInterrupted = errors.New("the kernel's list changed while it was read")

// dump asks for a list, from the start whenever a change came between its parts; restart empties what was taken.
func (c *Conn) dump(m Message, restart func(), take func(body []byte) error) error {
	m.flags |= unix.NLM_F_DUMP
	var err error
	for range dumpTries {
		restart()
		var taken error
		err = c.exchange([]Message{m}, func(body []byte) {
			if taken == nil {
				taken = take(body)
			}
		})
		if err == nil {
			err = taken
		}
		if !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

// exchange sends messages in one piece and reads until each is answered. take gets the bodies of objects.
func (c *Conn) exchange(messages []Message, take func([]byte)) error {
	first := c.seq + 1
	out := make([]byte, 0, 256*len(messages))
	for i := range messages {
		c.seq++
		out = messages[i].encode(out, c.seq)
	}
	if err := unix.Sendto(c.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("cannot %s: send: %w", messages[0].what(), err)
	}
	var errs []error
	interrupted := false
	for open := len(messages); open > 0; {
		n, _, err := unix.Recvfrom(c.fd, c.receive, 0)
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
			switch a.typ {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				open--
				if err := messages[at].refusal(a); err != nil {
					errs = append(errs, err)
				}
			default:
				if take != nil {
					take(a.body)
				}
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
