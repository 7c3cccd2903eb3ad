// Package conntrack forgets connections that the kernel tracks: a datagram's sender that goes on sending keeps its
// old translation alive, whatever the rules say by now.
package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/nfnl"
)

// The user interface of ctnetlink (linux/netfilter/nfnetlink_conntrack.h), which x/sys does not name.
const (
	msgGet    = 1
	msgDelete = 2

	attrOriginal = 1  // CTA_TUPLE_ORIG
	attrReply    = 2  // CTA_TUPLE_REPLY
	attrID       = 12 // CTA_ID
	attrZone     = 18 // CTA_ZONE
	attrFilter   = 25 // CTA_FILTER

	tupleIP    = 1
	tupleProto = 2

	ipV4Src = 1
	ipV4Dst = 2
	ipV6Src = 3
	ipV6Dst = 4

	protoNumber  = 1
	protoDstPort = 3

	filterOriginal = 1 // CTA_FILTER_ORIG_FLAGS
	filterReply    = 2 // CTA_FILTER_REPLY_FLAGS
	// CTA_FILTER_FLAG(CTA_IP_SRC), (CTA_PROTO_NUM) and (CTA_PROTO_DST_PORT)
	filterSrc     = 1 << 0
	filterProto   = 1 << 3
	filterDstPort = 1 << 5
)

// Flow is one tracked connection, as far as anybody here looks.
type Flow struct {
	Proto uint8          // 6 is TCP, 17 UDP, 132 SCTP
	To    netip.AddrPort // where it was opened to
	From  netip.Addr     // who answers: behind a DNAT, the new destination
}

// fewPorts is up to how many ports each have a walk of their own; what lies above is one walk that hands over all flows
// of the protocol. A walk for nothing costs 9 ms and a flow handed over 4 µs, so that pays with the usual few thousand
// flows of UDP, and bounds what a container with hundreds of ports may cost.
const fewPorts = 4

// Flush forgets the flows of one IP version and protocol (17 is UDP) that were opened to one of the ports and that match
// chooses. It returns how many.
//
// No flow can be named without its sender's address and port, so the kernel has to walk its table. On a table of 262,144
// places that takes 9 ms when it is empty, and 29 ms with 100,000 flows in it; handing every flow over, as kernels before
// 5.8 do it, which know no filter, takes 384 ms (2026-11, kernel 6.18; BenchmarkFlush). One walk for both IP versions would
// have to do without the filter. A deletion by filter would save handing over those that match, but older kernels take it
// for one of everything.
func Flush(c *nfnl.Conn, six bool, proto uint8, ports []uint16, match func(Flow) bool) (int, error) {
	family := uint8(unix.AF_INET)
	if six {
		family = unix.AF_INET6
	}
	chosen := func(f Flow) bool { return f.Proto == proto && slices.Contains(ports, f.To.Port()) && match(f) }
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	if len(ports) > fewPorts {
		count, err := flush(c, family, openedTo(proto, 0), chosen)
		if err != nil {
			return count, fmt.Errorf("cannot forget the flows to %d ports: %w", len(ports), err)
		}
		return count, nil
	}
	var errs []error
	count := 0
	for _, port := range ports {
		n, err := flush(c, family, openedTo(proto, port), chosen)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot forget the flows to port %d: %w", port, err))
		}
		count += n
	}
	return count, errors.Join(errs...)
}

// openedTo is the filter for flows that were opened by a protocol, to a port unless that is 0.
func openedTo(proto uint8, port uint16) nfnl.Attrs {
	var numbers, tuple nfnl.Attrs
	parts := uint32(filterProto)
	numbers.Uint8(protoNumber, proto)
	if port != 0 {
		numbers.Uint16(protoDstPort, port)
		parts |= filterDstPort
	}
	tuple.Nest(tupleProto|unix.NLA_F_NESTED, numbers)
	return filtered(attrOriginal, tuple, filterOriginal, parts)
}

// Port is one of a protocol: 6 is TCP, 17 UDP, 132 SCTP.
type Port struct {
	Proto  uint8
	Number uint16
}

// FlushAnswered forgets the flows that were opened to one of the ports, that one address answers, and that match chooses:
// behind a DNAT, those that came by a container's ports. It returns how many.
//
// For IPv4 that is one walk, whatever the number of ports. For IPv6 it is as many as Flush needs: kernels up to 6.18 at
// least compare the addresses of a filter the wrong way round there, and hand over all flows but those that were asked for.
func FlushAnswered(c *nfnl.Conn, from netip.Addr, ports []Port, match func(Flow) bool) (int, error) {
	chosen := func(f Flow) bool {
		return f.From == from && slices.Contains(ports, Port{f.Proto, f.To.Port()}) && match(f)
	}
	if from.Is4() {
		var address, tuple nfnl.Attrs
		address.Bytes(ipV4Src, from.AsSlice())
		tuple.Nest(tupleIP|unix.NLA_F_NESTED, address)
		count, err := flush(c, unix.AF_INET, filtered(attrReply, tuple, filterReply, filterSrc), chosen)
		if err != nil {
			return count, fmt.Errorf("cannot forget the flows that %s answers: %w", from, err)
		}
		return count, nil
	}
	byProto := map[uint8][]uint16{}
	for _, p := range ports {
		byProto[p.Proto] = append(byProto[p.Proto], p.Number)
	}
	var errs []error
	count := 0
	for proto, numbers := range byProto {
		n, err := Flush(c, true, proto, numbers, chosen)
		errs, count = append(errs, err), count+n
	}
	return count, errors.Join(errs...)
}

// filtered asks the kernel to compare a part of one direction's tuple itself.
func filtered(direction uint16, tuple nfnl.Attrs, filterDirection uint16, parts uint32) nfnl.Attrs {
	var all, filter nfnl.Attrs
	all.Nest(direction|unix.NLA_F_NESTED, tuple)
	filter.Bytes(filterDirection, binary.NativeEndian.AppendUint32(nil, parts))
	all.Nest(attrFilter|unix.NLA_F_NESTED, filter)
	return all
}

// flush forgets the flows of a family that match chooses, among those that the kernel hands over for only; without
// filters, it hands over all.
func flush(c *nfnl.Conn, family uint8, only nfnl.Attrs, match func(Flow) bool) (int, error) {
	found, err := list(c, family, only, match)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		found, err = list(c, family, nil, match)
	}
	if err != nil {
		return 0, err
	}
	count := 0
	var errs []error
	for _, f := range found {
		switch err := forget(c, family, f); {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			errs = append(errs, fmt.Errorf("the flow to %s: %w", f.To, err))
		default:
			count++
		}
	}
	return count, errors.Join(errs...)
}

// ForgetAddresses forgets every flow that one of the addresses opened, that was opened to one, or that one answers
// behind a DNAT. It reads all flows, so it is not for the way of a pod. It returns how many.
func ForgetAddresses(c *nfnl.Conn, addresses []netip.Addr) (int, error) {
	var errs []error
	count := 0
	gone := func(a netip.Addr) bool { return slices.Contains(addresses, a) }
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.Is4() == (family == unix.AF_INET) }) {
			continue
		}
		var found []entry
		m := nfnl.Message{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | msgGet, Flags: unix.NLM_F_DUMP, Family: family}
		err := c.Request(m, func(a nfnl.Answer) error {
			e, err := parse(a.Attrs)
			if err == nil && (gone(e.by) || gone(e.To.Addr()) || gone(e.From)) {
				found = append(found, e)
			}
			return err
		})
		if err != nil && !errors.Is(err, nfnl.ErrInterrupted) { // flows come and go all the time; what was read is real
			errs = append(errs, fmt.Errorf("cannot list the flows of %v: %w", addresses, err))
			continue
		}
		for _, e := range found {
			switch err := forget(c, family, e); {
			case errors.Is(err, unix.ENOENT):
			case err != nil:
				errs = append(errs, fmt.Errorf("cannot forget the flow from %s to %s: %w", e.by, e.To, err))
			default:
				count++
			}
		}
	}
	return count, errors.Join(errs...)
}

func forget(c *nfnl.Conn, family uint8, e entry) error {
	return c.Request(nfnl.Message{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | msgDelete, Family: family, Attrs: e.identity}, nil)
}

type entry struct {
	Flow
	by       netip.Addr // who opened it
	identity nfnl.Attrs // what a deletion must name: tuple, zone and id
}

func list(c *nfnl.Conn, family uint8, only nfnl.Attrs, match func(Flow) bool) ([]entry, error) {
	m := nfnl.Message{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | msgGet, Flags: unix.NLM_F_DUMP, Family: family, Attrs: only}
	var all []entry
	err := c.Request(m, func(a nfnl.Answer) error {
		e, err := parse(a.Attrs)
		if err == nil && match(e.Flow) {
			all = append(all, e)
		}
		return err
	})
	if errors.Is(err, nfnl.ErrInterrupted) { // flows come and go all the time; what was read is real
		err = nil
	}
	return all, err
}

func parse(list []byte) (e entry, err error) {
	m, err := nfnl.Parse(list)
	if err != nil {
		return e, err
	}
	if e.by, e.To, e.Proto, err = tuple(m[attrOriginal]); err != nil {
		return e, err
	}
	if e.From, _, _, err = tuple(m[attrReply]); err != nil {
		return e, err
	}
	e.identity.Bytes(attrOriginal|unix.NLA_F_NESTED, m[attrOriginal])
	for _, t := range []uint16{attrZone, attrID} {
		if v, ok := m[t]; ok {
			e.identity.Bytes(t, v)
		}
	}
	return e, nil
}

func tuple(list []byte) (src netip.Addr, dst netip.AddrPort, proto uint8, err error) {
	m, err := nfnl.Parse(list)
	if err != nil {
		return src, dst, 0, err
	}
	ip, err := m.Nest(tupleIP)
	if err != nil {
		return src, dst, 0, err
	}
	numbers, err := m.Nest(tupleProto)
	if err != nil {
		return src, dst, 0, err
	}
	first := func(a, b []byte) netip.Addr {
		if a == nil {
			a = b
		}
		addr, _ := netip.AddrFromSlice(a)
		return addr
	}
	src = first(ip[ipV4Src], ip[ipV6Src])
	to := first(ip[ipV4Dst], ip[ipV6Dst])
	if v := numbers[protoNumber]; len(v) == 1 {
		proto = v[0]
	}
	dst = netip.AddrPortFrom(to, 0) // ICMP has no ports
	if v := numbers[protoDstPort]; len(v) == 2 {
		dst = netip.AddrPortFrom(to, binary.BigEndian.Uint16(v))
	}
	return src, dst, proto, nil
}
