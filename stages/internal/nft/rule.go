package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Family chooses the IP version of a piece of a rule in our tables, which see both.
type Family uint8

// The families.
const (
	IPv4 Family = unix.NFPROTO_IPV4
	IPv6 Family = unix.NFPROTO_IPV6
)

// String is "ip" or "ip6", as nft says it.
func (f Family) String() string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

// FamilyOf is the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// NAT is how the port of a translated connection is chosen (kernel, NF_NAT_RANGE_…).
type NAT uint32

// The ways: keep it where possible, hash, or a random number.
const (
	KeepPort    NAT = 0
	Random      NAT = 1 << 2
	FullyRandom NAT = 1 << 4
)

// Values of the kernel's user interface that x/sys does not name.
const (
	directionOriginal = 0    // enum ip_conntrack_dir
	directionReply    = 1    //
	statusDNAT        = 0x20 // IPS_DST_NAT
	fibLocal          = 2    // RTN_LOCAL
	ifnameSize        = 16   // IFNAMSIZ
)

// IIfGroup is "iifgroup lo-hi": the packet came in by a link of one of these groups.
func IIfGroup(lo, hi uint32) Expr {
	return All(metaLoad(unix.NFT_META_IIFGROUP, reg1), toNetworkOrder(),
		compare(unix.NFT_CMP_GTE, bigEndian(lo)), compare(unix.NFT_CMP_LTE, bigEndian(hi)))
}

// IIfGroupVmap is "iifgroup vmap @name": jump by the group of the incoming link (key DevGroup, elements by Number).
func IIfGroupVmap(name string) Expr {
	return All(metaLoad(unix.NFT_META_IIFGROUP, reg1), lookupMap(name, regVerdict))
}

// IIfName is "iifname name".
func IIfName(name string) Expr {
	return All(metaLoad(unix.NFT_META_IIFNAME, reg1), compare(unix.NFT_CMP_EQ, linkName(name)))
}

// OIfName is "oifname name". A name, not an index: it also matches a link that comes later.
func OIfName(name string) Expr {
	return All(metaLoad(unix.NFT_META_OIFNAME, reg1), compare(unix.NFT_CMP_EQ, linkName(name)))
}

// OIf is "oif index".
func OIf(index uint32) Expr {
	return All(metaLoad(unix.NFT_META_OIF, reg1), compare(unix.NFT_CMP_EQ, Number(index)))
}

// MarkSet is "meta mark set meta mark & ^mask | value": only the bits of mask are written. value lies within mask.
func MarkSet(mask, value uint32) Expr {
	return All(metaLoad(unix.NFT_META_MARK, reg1), bitwise(^mask, value), metaSet(unix.NFT_META_MARK, reg1))
}

// CtOriginal is "ct direction original", CtReply "ct direction reply". Untracked packets match neither.
func CtOriginal() Expr { return ctDirection(directionOriginal) }

// CtReply is "ct direction reply".
func CtReply() Expr { return ctDirection(directionReply) }

func ctDirection(d byte) Expr {
	return All(ctLoad(unix.NFT_CT_DIRECTION, reg1), compare(unix.NFT_CMP_EQ, []byte{d}))
}

// CtStatusDNAT is "ct status dnat": the connection's destination was translated, by whomever.
func CtStatusDNAT() Expr {
	return All(ctLoad(unix.NFT_CT_STATUS, reg1), bitwise(statusDNAT, 0), compare(unix.NFT_CMP_NEQ, Number(0)))
}

// CtState is "ct state a,b": bits of the kernel's NF_CT_STATE_BIT (2 established, 4 related, 8 new, 64 untracked).
func CtState(bits uint32) Expr {
	return All(ctLoad(unix.NFT_CT_STATE, reg1), bitwise(bits, 0), compare(unix.NFT_CMP_NEQ, Number(0)))
}

// CtOriginalDaddrVmap is "ct original ip daddr vmap @name": jump by the address the connection was opened to.
func CtOriginalDaddrVmap(f Family, name string) Expr {
	key := uint32(unix.NFT_CT_DST_IP)
	if f == IPv6 {
		key = unix.NFT_CT_DST_IP6
	}
	return All(ctLoadOriginal(key, reg1), lookupMap(name, regVerdict))
}

// DaddrIn is "ip daddr @set".
func DaddrIn(f Family, set string) Expr { return All(isFamily(f), daddr(f, reg1), lookup(set, false)) }

// DaddrNotIn is "ip daddr != @set".
func DaddrNotIn(f Family, set string) Expr {
	return All(isFamily(f), daddr(f, reg1), lookup(set, true))
}

// SaddrIn is "ip saddr @set".
func SaddrIn(f Family, set string) Expr { return All(isFamily(f), saddr(f, reg1), lookup(set, false)) }

// SaddrVmap is "ip saddr vmap @map": jump by the source address.
func SaddrVmap(f Family, name string) Expr {
	return All(isFamily(f), saddr(f, reg1), lookupMap(name, regVerdict))
}

// SaddrDaddrIn is "ip saddr . ip daddr @set".
func SaddrDaddrIn(f Family, set string) Expr {
	return All(isFamily(f), saddr(f, reg1), daddr(f, word(f.words())), lookup(set, false))
}

// FibLocal is "fib daddr type local": the destination is one of this node's own addresses.
func FibLocal() Expr { return All(fibType(), compare(unix.NFT_CMP_EQ, Number(fibLocal))) }

func fibType() Expr {
	return fib(unix.NFTA_FIB_F_DADDR, unix.NFT_FIB_RESULT_ADDRTYPE, reg1)
}

// DNATByPort is "dnat ip to meta l4proto . th dport map @name": key InetProto, InetService; data the family's address
// and InetService.
func DNATByPort(f Family, name string) Expr {
	return All(metaLoad(unix.NFT_META_L4PROTO, reg1), dport(word(1)), lookupMap(name, reg1),
		nat(unix.NFT_NAT_DNAT, f, reg1, word(f.words()), 0))
}

// DNATByAddrPort is "dnat ip to ip daddr . meta l4proto . th dport map @name".
func DNATByAddrPort(f Family, name string) Expr {
	n := f.words()
	return All(isFamily(f), daddr(f, reg1), metaLoad(unix.NFT_META_L4PROTO, word(n)), dport(word(n+1)),
		lookupMap(name, reg1), nat(unix.NFT_NAT_DNAT, f, reg1, word(n), 0))
}

// SNAT is "snat ip to address" with the way a port is chosen.
func SNAT(to netip.Addr, way NAT) Expr {
	return All(immediate(reg1, Addr(to)), nat(unix.NFT_NAT_SNAT, FamilyOf(to), reg1, 0, uint32(way)))
}

// Masquerade is "masquerade": the source becomes the address of the link it leaves by.
func Masquerade(way NAT) Expr { return masq(uint32(way)) }

// Jump is "jump chain".
func Jump(chain string) Expr { return judge(unix.NFT_JUMP, chain) }

// Goto is "goto chain": it does not come back.
func Goto(chain string) Expr { return judge(unix.NFT_GOTO, chain) }

// Accept is "accept": no further rule of this base chain is read.
func Accept() Expr { return judge(1, "") }

// Drop is "drop".
func Drop() Expr { return judge(0, "") }

func isFamily(f Family) Expr {
	return All(metaLoad(unix.NFT_META_NFPROTO, reg1), compare(unix.NFT_CMP_EQ, []byte{byte(f)}))
}

// words is how many registers of four bytes an address fills.
func (f Family) words() int {
	if f == IPv6 {
		return 4
	}
	return 1
}

// saddr and daddr load the addresses: offsets 12 and 16 in IPv4's header, 8 and 24 in IPv6's.
func saddr(f Family, to register) Expr {
	if f == IPv6 {
		return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16, to)
	}
	return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4, to)
}

func daddr(f Family, to register) Expr {
	if f == IPv6 {
		return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16, to)
	}
	return payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4, to)
}

// dport loads the destination port, at the same place in TCP, UDP and SCTP.
func dport(to register) Expr { return payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, to) }

func linkName(name string) []byte {
	b := make([]byte, ifnameSize)
	copy(b[:ifnameSize-1], name)
	return b
}

func bigEndian(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
