package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// Expr is a piece of a rule, encoded: one or more kernel expressions. Their attributes stand in the order in which
// the kernel dumps them.
type Expr nfnl.Attrs

// All joins pieces to one, in order.
func All(pieces ...Expr) Expr {
	var all Expr
	for _, p := range pieces {
		all = append(all, p...)
	}
	return all
}

// expression encodes one kernel expression.
func expression(name string, fill func(a *nfnl.Attrs)) Expr {
	var data, element, list nfnl.Attrs
	fill(&data)
	element.Text(unix.NFTA_EXPR_NAME, name)
	element.Nest(unix.NFTA_EXPR_DATA, data)
	list.Nest(unix.NFTA_LIST_ELEM, element)
	return Expr(list)
}

// register is where an expression leaves or finds a value: reg1..reg4 have 16 bytes each, and word(n) is the n-th
// piece of four bytes in the same space; the parts of a concatenation stand side by side there.
type register uint32

const (
	regVerdict register = unix.NFT_REG_VERDICT
	reg1       register = unix.NFT_REG_1
)

// word is the n-th piece of four bytes, named as the kernel names it: whole registers by their number.
func word(n int) register {
	if n%4 == 0 {
		return register(unix.NFT_REG_1 + n/4)
	}
	return register(unix.NFT_REG32_00 + n)
}

func metaLoad(key uint32, to register) Expr {
	return expression("meta", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_META_KEY, key)
		a.Uint32(unix.NFTA_META_DREG, uint32(to))
	})
}

func metaSet(key uint32, from register) Expr {
	return expression("meta", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_META_KEY, key)
		a.Uint32(unix.NFTA_META_SREG, uint32(from))
	})
}

func ctLoad(key uint32, to register) Expr {
	return expression("ct", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_CT_DREG, uint32(to))
		a.Uint32(unix.NFTA_CT_KEY, key)
	})
}

func ctLoadOriginal(key uint32, to register) Expr {
	return expression("ct", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_CT_DREG, uint32(to))
		a.Uint32(unix.NFTA_CT_KEY, key)
		a.Uint8(unix.NFTA_CT_DIRECTION, directionOriginal)
	})
}

func payload(base, offset, length uint32, to register) Expr {
	return expression("payload", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_PAYLOAD_DREG, uint32(to))
		a.Uint32(unix.NFTA_PAYLOAD_BASE, base)
		a.Uint32(unix.NFTA_PAYLOAD_OFFSET, offset)
		a.Uint32(unix.NFTA_PAYLOAD_LEN, length)
	})
}

func fib(flags, result uint32, to register) Expr {
	return expression("fib", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_FIB_DREG, uint32(to))
		a.Uint32(unix.NFTA_FIB_RESULT, result)
		a.Uint32(unix.NFTA_FIB_FLAGS, flags)
	})
}

func compare(op uint32, with []byte) Expr {
	return expression("cmp", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_CMP_SREG, uint32(reg1))
		a.Uint32(unix.NFTA_CMP_OP, op)
		a.Nest(unix.NFTA_CMP_DATA, value(with))
	})
}

// toNetworkOrder turns a number of four bytes, so that it can be compared by size.
func toNetworkOrder() Expr {
	return expression("byteorder", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_BYTEORDER_SREG, uint32(reg1))
		a.Uint32(unix.NFTA_BYTEORDER_DREG, uint32(reg1))
		a.Uint32(unix.NFTA_BYTEORDER_OP, unix.NFT_BYTEORDER_HTON)
		a.Uint32(unix.NFTA_BYTEORDER_LEN, 4)
		a.Uint32(unix.NFTA_BYTEORDER_SIZE, 4)
	})
}

// bitwise is (reg1 & mask) ^ xor, in the host's byte order.
func bitwise(mask, xor uint32) Expr {
	return expression("bitwise", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_BITWISE_SREG, uint32(reg1))
		a.Uint32(unix.NFTA_BITWISE_DREG, uint32(reg1))
		a.Uint32(unix.NFTA_BITWISE_LEN, 4)
		a.Nest(unix.NFTA_BITWISE_MASK, value(binary.NativeEndian.AppendUint32(nil, mask)))
		a.Nest(unix.NFTA_BITWISE_XOR, value(binary.NativeEndian.AppendUint32(nil, xor)))
	})
}

func immediate(to register, v []byte) Expr {
	return expression("immediate", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_IMMEDIATE_DREG, uint32(to))
		a.Nest(unix.NFTA_IMMEDIATE_DATA, value(v))
	})
}

func judge(code int32, chain string) Expr {
	return expression("immediate", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_IMMEDIATE_DREG, uint32(regVerdict))
		a.Nest(unix.NFTA_IMMEDIATE_DATA, verdict(code, chain))
	})
}

// lookup finds reg1 in a set: the rule goes on when it is there, or when it is not there and inverted.
func lookup(set string, inverted bool) Expr {
	return expression("lookup", func(a *nfnl.Attrs) {
		a.Text(unix.NFTA_LOOKUP_SET, set)
		a.Uint32(unix.NFTA_LOOKUP_SREG, uint32(reg1))
		flags := uint32(0)
		if inverted {
			flags = unix.NFT_LOOKUP_F_INV
		}
		a.Uint32(unix.NFTA_LOOKUP_FLAGS, flags)
	})
}

// lookupMap finds reg1 in a map and leaves what it leads to in a register; the rule ends where it is not there.
func lookupMap(set string, to register) Expr {
	return expression("lookup", func(a *nfnl.Attrs) {
		a.Text(unix.NFTA_LOOKUP_SET, set)
		a.Uint32(unix.NFTA_LOOKUP_SREG, uint32(reg1))
		a.Uint32(unix.NFTA_LOOKUP_DREG, uint32(to))
	})
}

func nat(kind uint32, f Family, address, port register, flags uint32) Expr {
	return expression("nat", func(a *nfnl.Attrs) {
		a.Uint32(unix.NFTA_NAT_TYPE, kind)
		a.Uint32(unix.NFTA_NAT_FAMILY, uint32(f))
		a.Uint32(unix.NFTA_NAT_REG_ADDR_MIN, uint32(address))
		if port != 0 {
			a.Uint32(unix.NFTA_NAT_REG_PROTO_MIN, uint32(port))
		}
		if flags != 0 {
			a.Uint32(unix.NFTA_NAT_FLAGS, flags)
		}
	})
}

func masq(flags uint32) Expr {
	return expression("masq", func(a *nfnl.Attrs) {
		if flags != 0 {
			a.Uint32(unix.NFTA_MASQ_FLAGS, flags)
		}
	})
}

func value(v []byte) nfnl.Attrs {
	var a nfnl.Attrs
	a.Bytes(unix.NFTA_DATA_VALUE, v)
	return a
}

func verdict(code int32, chain string) nfnl.Attrs {
	var inner, a nfnl.Attrs
	inner.Uint32(unix.NFTA_VERDICT_CODE, uint32(code))
	if chain != "" {
		inner.Text(unix.NFTA_VERDICT_CHAIN, chain)
	}
	a.Nest(unix.NFTA_DATA_VERDICT, inner)
	return a
}
