package nft

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// Type is a data type as nft prints it.
type Type struct {
	id     uint32 // nft's own number (its include/datatype.h); the kernel only stores it
	length uint32 // bytes
	order  uint32 // byteOrderHost or byteOrderBig; nft needs it to print
}

// The types our sets are made of.
var (
	IPv4Addr    = Type{7, 4, byteOrderBig}
	IPv6Addr    = Type{8, 16, byteOrderBig}
	EtherAddr   = Type{9, 6, byteOrderBig}
	InetProto   = Type{12, 1, byteOrderBig}
	InetService = Type{13, 2, byteOrderBig}
	IfIndex     = Type{20, 4, byteOrderHost}
	DevGroup    = Type{35, 4, byteOrderHost}
	Verdict     = Type{unix.NFT_DATA_VERDICT, 0, 0} // data of a verdict map
)

// Set is a set, or a map when it has Data. Several types make a concatenation.
type Set struct {
	Name     string
	Key      []Type
	Data     []Type
	Interval bool   // the elements are those of Ranges
	Size     int    // most elements there can be; 0: any number. The kernel finds a key of 4 bytes faster where it is told
	Comment  string // at most 128 bytes
}

func (s Set) flags() uint32 {
	var f uint32
	if s.Interval {
		f |= unix.NFT_SET_INTERVAL
	}
	if len(s.Data) > 0 {
		f |= unix.NFT_SET_MAP
	}
	return f
}

// concat is the type number and the length of a concatenation: six bits per type, each part padded to four bytes.
func concat(types []Type) (id, length uint32) {
	if len(types) == 1 {
		return types[0].id, types[0].length
	}
	for _, t := range types {
		id = id<<6 | t.id
		length += (t.length + 3) &^ 3
	}
	return id, length
}

// Element is one entry of a set or map. Key and Data are made by Concat, or by one of Addr, Proto, Port, Number; an
// EtherAddr is its six bytes.
type Element struct {
	Key     []byte
	Data    []byte // of a map
	Jump    string // of a verdict map: the chain to jump to
	Comment string // at most 250 bytes; ours name the owner
	End     bool   // of an interval set: the first key after a range
}

func (e Element) encode() nfnl.Attrs {
	var a, value nfnl.Attrs
	value.Bytes(unix.NFTA_DATA_VALUE, e.Key)
	a.Nest(unix.NFTA_SET_ELEM_KEY, value)
	if e.Jump != "" {
		a.Nest(unix.NFTA_SET_ELEM_DATA, verdict(unix.NFT_JUMP, e.Jump))
	} else if e.Data != nil {
		var data nfnl.Attrs
		data.Bytes(unix.NFTA_DATA_VALUE, e.Data)
		a.Nest(unix.NFTA_SET_ELEM_DATA, data)
	}
	if e.End {
		a.Uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	}
	if e.Comment != "" {
		a.Bytes(unix.NFTA_SET_ELEM_USERDATA, userdata(e.Comment, commentOther))
	}
	return a
}

func decodeElement(list []byte) (Element, error) {
	var e Element
	m, err := nfnl.Parse(list)
	if err != nil {
		return e, err
	}
	key, err := m.Nest(unix.NFTA_SET_ELEM_KEY)
	if err != nil {
		return e, err
	}
	data, err := m.Nest(unix.NFTA_SET_ELEM_DATA)
	if err != nil {
		return e, err
	}
	judged, err := data.Nest(unix.NFTA_DATA_VERDICT)
	if err != nil {
		return e, err
	}
	e.Key = slices.Clone(key[unix.NFTA_DATA_VALUE])
	e.Data = slices.Clone(data[unix.NFTA_DATA_VALUE])
	e.Jump = judged.Text(unix.NFTA_VERDICT_CHAIN)
	e.End = m.Uint32(unix.NFTA_SET_ELEM_FLAGS)&unix.NFT_SET_ELEM_INTERVAL_END != 0
	e.Comment = comment(m[unix.NFTA_SET_ELEM_USERDATA], commentOther)
	return e, nil
}

// Addr is an address as a key or data: 4 or 16 bytes. An IPv4-mapped address counts as IPv4.
func Addr(a netip.Addr) []byte { return a.Unmap().AsSlice() }

// Proto is an IP protocol number.
func Proto(p uint8) []byte { return []byte{p} }

// Port is a port number, 1 to 65535.
func Port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// Number is an interface index or a link group: the kernel keeps them in its own byte order.
func Number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// Concat joins the parts of a concatenation, each padded to four bytes.
func Concat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
		out = append(out, make([]byte, -len(p)&3)...)
	}
	return out
}

// Ranges are the elements of an interval set that hold exactly the addresses of the prefixes, all of one family:
// overlaps and neighbours are merged, because the kernel refuses them.
func Ranges(prefixes []netip.Prefix) []Element {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int { return a.Masked().Addr().Compare(b.Masked().Addr()) })
	var out []Element
	var end netip.Addr // first address after the last range; invalid: the range reaches the family's last address
	for i, p := range sorted {
		first, after := p.Masked().Addr(), last(p).Next()
		if i > 0 && (!end.IsValid() || first.Compare(end) <= 0) {
			if end.IsValid() && (!after.IsValid() || after.Compare(end) > 0) {
				end = after
			}
			continue
		}
		if i > 0 {
			out = append(out, Element{Key: Addr(end), End: true})
		}
		out, end = append(out, Element{Key: Addr(first)}), after
	}
	if end.IsValid() {
		out = append(out, Element{Key: Addr(end), End: true})
	}
	return out
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// The kind of a comment in libnftnl's userdata: the number differs for sets.
const (
	commentOther byte = 0
	commentSet   byte = 7
)

// The byte orders of a set's userdata (libnftnl, NFTNL_UDATA_SET_KEYBYTEORDER and …DATABYTEORDER).
const (
	byteOrderHost = 1
	byteOrderBig  = 2

	keyOrder  byte = 0
	dataOrder byte = 1
)

// userdata is what nft writes beside a set to be able to print it.
func (s Set) userdata() []byte {
	b := binary.NativeEndian.AppendUint32([]byte{keyOrder, 4}, s.Key[0].order)
	if len(s.Data) > 0 {
		b = binary.NativeEndian.AppendUint32(append(b, dataOrder, 4), s.Data[0].order)
	}
	if s.Comment != "" {
		b = append(b, userdata(s.Comment, commentSet)...)
	}
	return b
}

// Userdata attributes that x/sys does not name.
const (
	tableUserdata = 6
	chainUserdata = 12
)

// userdata holds a comment as nft writes it: kind, length, text, zero.
func userdata(text string, kind byte) []byte {
	text = text[:min(len(text), 250)]
	return append(append([]byte{kind, byte(len(text) + 1)}, text...), 0)
}

// comment finds the comment in userdata; "" when there is none or the bytes are not libnftnl's.
func comment(b []byte, kind byte) string {
	for len(b) >= 2 {
		n := int(b[1])
		if n > len(b)-2 {
			return ""
		}
		if b[0] == kind && n > 0 && b[1+n] == 0 {
			return string(b[2 : 1+n])
		}
		b = b[2+n:]
	}
	return ""
}
