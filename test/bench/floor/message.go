// Package floor is what giving a pod a network costs at least: the effects of our chain in the fewest system calls, without
// checks, rollback, locks, durability or words. The programs below it are CNI plugins, good for measuring and nothing
// else: one that does everything, and four that share the work.
package floor

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"
)

// batch is netlink messages that go to the kernel in one send.
type batch struct {
	bytes []byte
	count int // of messages that are acknowledged
}

// message appends one; body writes what follows its header.
func (b *batch) message(kind, flags uint16, body func()) {
	at := len(b.bytes)
	b.bytes = append(b.bytes, make([]byte, syscall.NLMSG_HDRLEN)...)
	body()
	h := b.bytes[at:]
	binary.NativeEndian.PutUint32(h, uint32(len(h)))
	binary.NativeEndian.PutUint16(h[4:], kind)
	binary.NativeEndian.PutUint16(h[6:], flags|syscall.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(h[8:], uint32(b.count))
	if flags&syscall.NLM_F_ACK != 0 {
		b.count++
	}
}

func (b *batch) raw(bytes ...byte) { b.bytes = append(b.bytes, bytes...) }

func (b *batch) u32(v uint32) { b.bytes = binary.NativeEndian.AppendUint32(b.bytes, v) }

// attribute appends one, padded to 4 bytes.
func (b *batch) attribute(kind uint16, value ...byte) {
	b.nest(kind, func() { b.raw(value...) })
}

func (b *batch) number(kind uint16, v uint32) {
	b.attribute(kind, binary.NativeEndian.AppendUint32(nil, v)...)
}

func (b *batch) text(kind uint16, s string) { b.attribute(kind, append([]byte(s), 0)...) }

// nest appends an attribute whose value body writes.
func (b *batch) nest(kind uint16, body func()) {
	at := len(b.bytes)
	b.bytes = append(b.bytes, make([]byte, syscall.SizeofRtAttr)...)
	body()
	binary.NativeEndian.PutUint16(b.bytes[at:], uint16(len(b.bytes)-at))
	binary.NativeEndian.PutUint16(b.bytes[at+2:], kind)
	for len(b.bytes)%4 != 0 {
		b.raw(0)
	}
}

// send gives the batch to the kernel and reads its answers up to the last acknowledgement. Of several faults the first
// is told.
func (b *batch) send(protocol int) error {
	s, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, protocol)
	if err != nil {
		return fmt.Errorf("cannot open a netlink socket: %w", err)
	}
	defer syscall.Close(s)
	if err := syscall.Sendto(s, b.bytes, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	buffer := make([]byte, 16384)
	for left := b.count; left > 0; {
		n, _, err := syscall.Recvfrom(s, buffer, 0)
		if err != nil {
			return fmt.Errorf("cannot receive: %w", err)
		}
		for at := 0; at+syscall.NLMSG_HDRLEN <= n; {
			h := buffer[at:n]
			if binary.NativeEndian.Uint16(h[4:]) == syscall.NLMSG_ERROR {
				if code := int32(binary.NativeEndian.Uint32(h[16:])); code != 0 {
					return fmt.Errorf("message %d: %w", binary.NativeEndian.Uint32(h[8:]), syscall.Errno(-code))
				}
				left--
			}
			at += (int(binary.NativeEndian.Uint32(h)) + 3) &^ 3
		}
	}
	return nil
}

func four(a netip.Addr) []byte { b := a.As4(); return b[:] }
