package link

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Message is one request to the kernel, ready to be sent by Conn.Do any number of times.
type Message struct {
	typ, flags uint16
	body       []byte
	what       func() string           // completes "cannot …"
	fine       []unix.Errno            // refusals that mean it is so already
	take       func(body []byte) error // of a question: gets the object, or each of a list
}

// String completes "cannot …" and reads like ip's own words.
func (m Message) String() string { return m.what() }

// Tolerating is the message with further refusals taken for success.
func (m Message) Tolerating(fine ...unix.Errno) Message {
	m.fine = append(slices.Clone(m.fine), fine...)
	return m
}

func (m Message) dumps() bool { return m.take != nil && m.flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP }

// encode appends the message. The kernel tells a refusal unasked, and answers a question with its object: so only a
// change that is the last of a piece has to be acknowledged.
func (m Message) encode(out []byte, seq uint32, last bool) []byte {
	flags := m.flags | unix.NLM_F_REQUEST
	if last && m.take == nil {
		flags |= unix.NLM_F_ACK
	}
	out = binary.NativeEndian.AppendUint32(out, uint32(unix.SizeofNlMsghdr+len(m.body)))
	out = binary.NativeEndian.AppendUint16(out, m.typ)
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = binary.NativeEndian.AppendUint32(out, seq)
	out = binary.NativeEndian.AppendUint32(out, 0) // the kernel knows our port
	out = append(out, m.body...)
	return pad(out)
}

// answered takes an answer in; end says that no other follows.
func (m Message) answered(a answer) (end bool, err error) {
	if a.typ == unix.NLMSG_ERROR || a.typ == unix.NLMSG_DONE {
		return true, m.refusal(a)
	}
	if m.take != nil {
		err = m.take(a.body)
	}
	return !m.dumps(), err
}

// refusal is nil where the answer says yes or what counts as yes.
func (m Message) refusal(a answer) error {
	if len(a.body) < 4 {
		if a.typ == unix.NLMSG_DONE {
			return nil
		}
		return &Error{Do: m.what(), Errno: unix.EPROTO, Reason: "the kernel's answer is cut short"}
	}
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(a.body)))
	if errno == 0 || slices.Contains(m.fine, errno) {
		return nil
	}
	return &Error{Do: m.what(), Errno: errno, Reason: reason(a)}
}

// reason is the kernel's own text in an error message (NLMSGERR_ATTR_MSG), behind the echo of the request's header.
func reason(a answer) string {
	if a.flags&unix.NLM_F_ACK_TLVS == 0 || len(a.body) < 4+unix.SizeofNlMsghdr {
		return ""
	}
	from := 4 + unix.SizeofNlMsghdr
	if a.flags&unix.NLM_F_CAPPED == 0 {
		from = 4 + align(int(binary.NativeEndian.Uint32(a.body[4:])))
	}
	if from > len(a.body) {
		return ""
	}
	text := ""
	_ = attributes(a.body[from:], func(typ uint16, value []byte) {
		if typ == unix.NLMSGERR_ATTR_MSG {
			text = text0(value)
		}
	})
	return text
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// put appends an attribute. It is called many times once each: a copy in every place would cost more than the calls.
//
//go:noinline
func put(b []byte, typ uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(b, value...))
}

func put32(b []byte, typ uint16, value uint32) []byte {
	return put(b, typ, binary.NativeEndian.AppendUint32(nil, value))
}

func put8(b []byte, typ uint16, value uint8) []byte { return put(b, typ, []byte{value}) }

func putText(b []byte, typ uint16, value string) []byte { return put(b, typ, append([]byte(value), 0)) }

// putAddress leaves the attribute out where the address is not set.
func putAddress(b []byte, typ uint16, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return put(b, typ, a.AsSlice())
}

// nest puts what fill appends into one attribute.
//
//go:noinline
func nest(b []byte, typ uint16, fill func([]byte) []byte) []byte {
	at := len(b)
	b = fill(append(b, 0, 0, 0, 0))
	binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
	binary.NativeEndian.PutUint16(b[at+2:], typ)
	return pad(b)
}

var errCut = errors.New("an attribute of the kernel's answer is cut short")

// attributes calls take for each attribute. The flags in the type (nested, byte order) are taken off.
func attributes(b []byte, take func(typ uint16, value []byte)) error {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return errCut
		}
		take(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:size])
		b = b[min(align(size), len(b)):]
	}
	return nil
}

func get32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func text0(b []byte) string {
	if i := slices.Index(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
