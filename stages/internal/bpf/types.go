package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Types are the kernel's own types and functions (Documentation/bpf/btf.rst), which say where a structure has its
// members in this very kernel.
type Types struct {
	raw   []byte
	names []byte
	at    []uint32          // where type n stands in raw; 0 is void
	named map[string]uint32 // the types asked for, by name
}

// KernelTypes is where the kernel tells them.
const KernelTypes = "/sys/kernel/btf/vmlinux"

var errTypes = errors.New("the kernel's types are cut short")

// The kinds of types that matter here (linux/btf.h).
const (
	kindArray    = 3
	kindStruct   = 4
	kindUnion    = 5
	kindTypedef  = 8
	kindVolatile = 9
	kindConst    = 10
	kindFunc     = 12
)

// ReadTypes reads the kernel's types and looks up the named structures and functions among them: 5 MB, 10 ms.
func ReadTypes(file string, names ...string) (*Types, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's types (CONFIG_DEBUG_INFO_BTF): %w", err)
	}
	const magic = 0xeb9f
	if len(b) < 24 || binary.NativeEndian.Uint16(b) != magic {
		return nil, fmt.Errorf("cannot read the kernel's types: %s does not begin as they do", file)
	}
	head := func(at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
	body := head(4)
	types, typesEnd := body+head(8), body+head(8)+head(12)
	names0, namesEnd := body+head(16), body+head(16)+head(20)
	if typesEnd > len(b) || namesEnd > len(b) {
		return nil, errTypes
	}
	t := &Types{raw: b[types:typesEnd], names: b[names0:namesEnd], at: []uint32{0}, named: map[string]uint32{}}
	return t, t.index(names)
}

// index notes where each type stands and which have one of the names.
func (t *Types) index(names []string) error {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	for at := 0; at < len(t.raw); {
		if at+12 > len(t.raw) {
			return errTypes
		}
		t.at = append(t.at, uint32(at))
		info := binary.NativeEndian.Uint32(t.raw[at+4:])
		kind, count := info>>24&0x1f, int(info&0xffff)
		if kind == kindStruct || kind == kindFunc {
			if name := t.name(binary.NativeEndian.Uint32(t.raw[at:])); wanted[string(name)] {
				t.named[string(name)] = uint32(len(t.at) - 1)
			}
		}
		size, ok := sizes(kind, count)
		if !ok {
			return fmt.Errorf("cannot read the kernel's types: kind %d is new", kind)
		}
		if at += 12 + size; at > len(t.raw) {
			return errTypes
		}
	}
	return nil
}

// sizes is how many bytes follow the head of a type.
func sizes(kind uint32, count int) (int, bool) {
	switch kind {
	case 1, 14, 17: // integer, variable, declaration tag
		return 4, true
	case kindArray:
		return 12, true
	case kindStruct, kindUnion, 15, 19: // members, data section, enumeration of 64 bits
		return 12 * count, true
	case 6, 13: // enumeration, prototype
		return 8 * count, true
	case 2, 7, kindTypedef, kindVolatile, kindConst, 11, kindFunc, 16, 18: // what only points at another type
		return 0, true
	}
	return 0, false
}

func (t *Types) name(at uint32) []byte {
	if int(at) >= len(t.names) {
		return nil
	}
	name, _, _ := bytes.Cut(t.names[at:], []byte{0})
	return name
}

// Function is the number of a function that programs may call.
func (t *Types) Function(name string) (int32, error) {
	n, ok := t.named[name]
	if !ok || t.raw[t.at[n]+7]&0x1f != kindFunc {
		return 0, fmt.Errorf("the kernel has no function %s for programs", name)
	}
	return int32(n), nil
}

// Offset is where a member stands in a structure, in bytes: "tuplehash.tuple.src". An array is its first item.
func (t *Types) Offset(structure, path string) (int16, error) {
	n, ok := t.named[structure]
	if !ok {
		return 0, fmt.Errorf("the kernel has no structure %s", structure)
	}
	bits := uint32(0)
	for name := range strings.SplitSeq(path, ".") {
		offset, inner, ok := t.member(t.plain(n), name)
		if !ok {
			return 0, fmt.Errorf("the kernel's structure %s has no member %s", structure, path)
		}
		bits, n = bits+offset, inner
	}
	return int16(bits / 8), nil
}

// Size is how large a member of a structure is; of an array, one item of it. It must be a structure.
func (t *Types) Size(structure, path string) (int16, error) {
	n, ok := t.named[structure]
	for name := range strings.SplitSeq(path, ".") {
		if ok {
			_, n, ok = t.member(t.plain(n), name)
		}
	}
	if n = t.plain(n); !ok || n == 0 || int(n) >= len(t.at) {
		return 0, fmt.Errorf("the kernel's structure %s has no member %s", structure, path)
	}
	return int16(binary.NativeEndian.Uint32(t.raw[t.at[n]+8:])), nil
}

// plain follows names, qualifiers and arrays to what they stand for.
func (t *Types) plain(n uint32) uint32 {
	for n != 0 && int(n) < len(t.at) {
		at := t.at[n]
		switch binary.NativeEndian.Uint32(t.raw[at+4:]) >> 24 & 0x1f {
		case kindTypedef, kindVolatile, kindConst:
			n = binary.NativeEndian.Uint32(t.raw[at+8:])
		case kindArray:
			n = binary.NativeEndian.Uint32(t.raw[at+12:])
		default:
			return n
		}
	}
	return n
}

// member finds a member of a structure or union, in those without a name too: its offset in bits, and its type.
func (t *Types) member(n uint32, name string) (offset, inner uint32, ok bool) {
	if n == 0 || int(n) >= len(t.at) {
		return 0, 0, false
	}
	at := t.at[n]
	info := binary.NativeEndian.Uint32(t.raw[at+4:])
	if kind := info >> 24 & 0x1f; kind != kindStruct && kind != kindUnion {
		return 0, 0, false
	}
	for i := range info & 0xffff {
		m := t.raw[at+12+12*i:]
		called, kept := t.name(binary.NativeEndian.Uint32(m)), binary.NativeEndian.Uint32(m[4:])
		place := binary.NativeEndian.Uint32(m[8:]) & 0xffffff // the bits above are a bit field's size
		if string(called) == name {
			return place, kept, true
		}
		if len(called) == 0 {
			if deeper, inner, ok := t.member(t.plain(kept), name); ok {
				return place + deeper, inner, true
			}
		}
	}
	return 0, 0, false
}
