package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/internal/nfnl"
)

// BenchmarkFlush is what forgetting one port's flows costs among many of others, of which none is forgotten: with the
// kernel's filter, and with every flow handed over, as ForgetAddresses does it.
func BenchmarkFlush(b *testing.B) {
	for _, flows := range []int{0, 10_000, 100_000} {
		n := linktest.New(b)
		n.Script(`ip link set lo up
			nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new counter'`)
		n.Do(func(*link.Conn) {
			c, err := nfnl.Open()
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for i := range flows {
				if err := track(c, i); err != nil {
					b.Fatal(err)
				}
			}
			var hundred []uint16
			for p := range uint16(100) {
				hundred = append(hundred, 9000+p)
			}
			none := func(Flow) bool { return false }
			for _, by := range []struct {
				name string
				do   func() error
			}{
				{"port", func() error { _, err := Flush(c, false, unix.IPPROTO_UDP, []uint16{9999}, none); return err }},
				{"100 ports", func() error { _, err := Flush(c, false, unix.IPPROTO_UDP, hundred, none); return err }},
				{"answer", func() error {
					_, err := FlushAnswered(c, netip.MustParseAddr("10.99.0.1"), []Port{{unix.IPPROTO_UDP, 9999}}, none)
					return err
				}},
				{"everything", func() error {
					_, err := ForgetAddresses(c, []netip.Addr{netip.MustParseAddr("10.99.0.1")})
					return err
				}},
			} {
				b.Run(fmt.Sprintf("%s/%d", by.name, flows), func(b *testing.B) {
					for range b.N {
						if err := by.do(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// track enters a UDP flow from 10.x.x.x to 10.200.0.1, port 53.
func track(c *nfnl.Conn, i int) error {
	end := func(src, dst uint32, from, to uint16) nfnl.Attrs {
		var ip, ports, tuple nfnl.Attrs
		ip.Bytes(ipV4Src, binary.BigEndian.AppendUint32(nil, src))
		ip.Bytes(ipV4Dst, binary.BigEndian.AppendUint32(nil, dst))
		ports.Uint8(protoNumber, unix.IPPROTO_UDP)
		ports.Uint16(2, from) // CTA_PROTO_SRC_PORT
		ports.Uint16(protoDstPort, to)
		tuple.Nest(tupleIP|unix.NLA_F_NESTED, ip)
		tuple.Nest(tupleProto|unix.NLA_F_NESTED, ports)
		return tuple
	}
	pod, server := uint32(10<<24|i), uint32(10<<24|200<<16|1)
	m := nfnl.Message{Type: unix.NFNL_SUBSYS_CTNETLINK << 8, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Family: unix.AF_INET}
	m.Attrs.Nest(attrOriginal|unix.NLA_F_NESTED, end(pod, server, 40000, 53))
	m.Attrs.Nest(attrReply|unix.NLA_F_NESTED, end(server, pod, 53, 40000))
	m.Attrs.Uint32(7, 600) // CTA_TIMEOUT, seconds
	return c.Request(m, nil)
}
