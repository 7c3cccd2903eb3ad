package nfnl

import (
	"encoding/binary"
	"errors"
)

// Attrs is a growing list of netlink attributes, in the byte order of netfilter (big endian).
type Attrs []byte

const (
	headerLen = 4          // bytes before an attribute's value
	typeMask  = 0x3fff     // without the flags "nested" and "network byte order"
	maxValue  = 0xffff - 4 // bytes of one attribute's value; its length field has 16 bits
)

// ErrCut says that a list of attributes ends in the middle of one, or claims a length that cannot be.
var ErrCut = errors.New("netlink attributes are cut short")

// Bytes appends value v under type t. It panics when v does not fit an attribute: callers split before.
//
//go:noinline
func (a *Attrs) Bytes(t uint16, v []byte) {
	if len(v) > maxValue {
		panic("netlink attribute over 64 KiB")
	}
	b := binary.NativeEndian.AppendUint16(*a, uint16(headerLen+len(v)))
	b = binary.NativeEndian.AppendUint16(b, t)
	b = append(b, v...)
	*a = append(b, make([]byte, pad(len(v)))...)
}

// Text appends s and a closing zero.
func (a *Attrs) Text(t uint16, s string) { a.Bytes(t, append([]byte(s), 0)) }

// Uint8 appends one byte.
func (a *Attrs) Uint8(t uint16, v uint8) { a.Bytes(t, []byte{v}) }

// Uint16 appends v, big endian.
func (a *Attrs) Uint16(t uint16, v uint16) { a.Bytes(t, binary.BigEndian.AppendUint16(nil, v)) }

// Uint32 appends v, big endian.
func (a *Attrs) Uint32(t uint16, v uint32) { a.Bytes(t, binary.BigEndian.AppendUint32(nil, v)) }

// Uint64 appends v, big endian.
func (a *Attrs) Uint64(t uint16, v uint64) { a.Bytes(t, binary.BigEndian.AppendUint64(nil, v)) }

// Nest appends a list under type t. The flag "nested" is left out, as the kernel leaves it out of its own answers:
// what we sent and what it dumps can then be compared byte by byte.
func (a *Attrs) Nest(t uint16, inner Attrs) { a.Bytes(t, inner) }

// Each calls f for every attribute of the list, flags taken off its type, until f fails.
func Each(list []byte, f func(t uint16, v []byte) error) error {
	for len(list) > 0 {
		if len(list) < headerLen {
			return ErrCut
		}
		n := int(binary.NativeEndian.Uint16(list))
		if n < headerLen || n > len(list) {
			return ErrCut
		}
		if err := f(binary.NativeEndian.Uint16(list[2:])&typeMask, list[headerLen:n]); err != nil {
			return err
		}
		list = list[min(n+pad(n), len(list)):]
	}
	return nil
}

// Map is a parsed list by type; of two attributes of one type the later counts.
type Map map[uint16][]byte

// Parse reads a list whole.
func Parse(list []byte) (Map, error) {
	m := Map{}
	err := Each(list, func(t uint16, v []byte) error {
		m[t] = v
		return nil
	})
	return m, err
}

// Text is a string without its closing zero; "" when absent.
func (m Map) Text(t uint16) string {
	v := m[t]
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// Uint32 is a big-endian number; 0 when absent or of another length.
func (m Map) Uint32(t uint16) uint32 {
	if v := m[t]; len(v) == 4 {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// Uint64 is a big-endian number; 0 when absent or of another length.
func (m Map) Uint64(t uint16) uint64 {
	if v := m[t]; len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Nest is the list under t; empty when absent.
func (m Map) Nest(t uint16) (Map, error) { return Parse(m[t]) }

// pad is how many bytes follow n to the next multiple of four.
func pad(n int) int { return -n & 3 }
