package fastpath

import (
	"github.com/enichain/enichain/stages/internal/bpf"
)

// family says where a family's packets have what: offsets in bytes from the Ethernet header.
type family struct {
	name    string
	kind    int32 // the Ethernet type, as a little-endian number
	src     int16 // the destination follows
	address int16 // bytes of one
	ports   int16 // the transport header
	hops    int16 // TTL or hop limit
	next    int16 // the transport protocol
	pseudo  int32 // how the transport checksum follows an address
}

func ipv4() family {
	return family{"4", 0x0008, 26, 4, 34, 22, 23, pseudoHeader}
}

func ipv6() family {
	return family{"6", 0xdd86, 22, 16, 54, 21, 20, pseudoHeader | checksumIPv6}
}

// The layouts of the map's keys and values, which programs and tests share. Behind them stand the two addresses.
const (
	keyLink     = 0 // index of the link that the packet came in by
	keyProtocol = 4
	keyPorts    = 8
	keyAddress  = 12

	valueUntil   = 0 // nanoseconds of the kernel's coarse clock
	valueLink    = 8 // index of the link that the packet leaves by
	valueMTU     = 12
	valueMACs    = 16
	valueNAT     = 28 // 1: addresses or ports become others
	valuePorts   = 32
	valueAddress = 36
)

func (f family) keySize() uint32   { return uint32(keyAddress + 2*f.address) }
func (f family) valueSize() uint32 { return uint32(valueAddress+2*f.address+7) &^ 7 }

// The stack, from its end down.
const (
	stackKey     = -48
	stackTuple   = -88
	stackOptions = -104
	stackValue   = -176
	stackMTU     = -180
)

// Members of struct __sk_buff (linux/bpf.h).
const (
	skbLength  = 0
	skbType    = 4
	skbCameBy  = 36
	skbLink    = 40
	skbTCIndex = 44
	skbData    = 76
	skbDataEnd = 80
	skbSegment = 176
)

// Helpers of the kernel (linux/bpf.h, __BPF_FUNC_MAPPER).
const (
	mapLookup    = 1
	mapUpdate    = 2
	mapDelete    = 3
	replaceL3Sum = 10
	replaceL4Sum = 11
	redirect     = 23
	checksumDiff = 28
	coarseClock  = 160
	checkMTU     = 163
	pseudoHeader = 0x10
	zeroIsNone   = 0x20 // a UDP checksum of 0 stays
	checksumIPv6 = 0x80 // no header checksum makes up for a changed address; Linux 6.16
	answerNext   = -1   // TCX_NEXT: whoever stands behind
	answerDrop   = 2
	protocolTCP  = 6
	protocolUDP  = 17
	beginsOrEnds = 0x07 // the flags FIN, SYN and RST
)

// Bits of a connection's status (linux/netfilter/nf_conntrack_common.h), and its state (nf_conntrack_tcp.h).
const (
	established    = 0x02 | 0x04 | 0x08            // answered, assured, confirmed
	special        = 0x40 | 0x200 | 0x800 | 0x2000 // sequence numbers change, dying, a template, a helper reads it
	tcpEstablished = 3
)

// passed is what the program writes into tc_index of a packet that it has sent on, so as not to learn from it.
const passed = 0xec1f

// learnt is how long what was learnt counts, in nanoseconds. A flow's first packet after that goes the kernel's own way:
// rules, routes and conntrack's timers are never further behind than this.
const learnt = 1_000_000_000

// conntrack says where the kernel has what of a connection.
type conntrack struct {
	lookup, release       int32
	status, tcp           int16
	tuple                 [2]int16 // by direction
	srcPort, dst, dstPort int16    // in a tuple, which begins with the source address
}

// readConntrack asks the kernel's types.
func readConntrack() (c conntrack, err error) {
	types, err := bpf.ReadTypes(bpf.KernelTypes, "nf_conn", "nf_conntrack_tuple", "bpf_skb_ct_lookup", "bpf_ct_release")
	if err != nil {
		return c, err
	}
	for name, into := range map[string]*int32{"bpf_skb_ct_lookup": &c.lookup, "bpf_ct_release": &c.release} {
		if *into, err = types.Function(name); err != nil {
			return c, err
		}
	}
	for _, m := range []struct {
		structure, path string
		into            *int16
	}{
		{"nf_conn", "status", &c.status}, {"nf_conn", "proto.tcp.state", &c.tcp},
		{"nf_conn", "tuplehash.tuple.src.u3", &c.tuple[0]},
		{"nf_conntrack_tuple", "src.u", &c.srcPort}, {"nf_conntrack_tuple", "dst.u3", &c.dst}, {"nf_conntrack_tuple", "dst.u", &c.dstPort},
	} {
		if *m.into, err = types.Offset(m.structure, m.path); err != nil {
			return c, err
		}
	}
	size, err := types.Size("nf_conn", "tuplehash")
	c.tuple[1] = c.tuple[0] + size
	return c, err
}
