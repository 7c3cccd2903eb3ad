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
	// CTA_FILTER_FLAG(CTA_PROTO_NUM) and (CTA_PROTO_DST_PORT)
	filterProto   = 1 << 3
	filterDstPort = 1 << 5
)

// Flow is one tracked connection, as far as anybody here looks.
type Flow struct {
	To   netip.AddrPort // where it was opened to
	From netip.Addr     // who answers: behind a DNAT, the new destination
}

// Flush forgets the flows of one protocol (17 is UDP) that were opened to port and that match chooses. It returns how
// many. Kernels since 5.8 look for the port themselves; with older ones all flows are read.
func Flush(c *nfnl.Conn, proto uint8, port uint16, match func(Flow) bool) (int, error) {
	var errs []error
	count := 0
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := list(c, family, proto, port, true)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			found, err = list(c, family, proto, port, false)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot list the flows to port %d: %w", port, err))
			continue
		}
		for _, f := range found {
			if !match(f.Flow) {
				continue
			}
			err := forget(c, family, f)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("cannot forget the flow to %s: %w", f.To, err))
				continue
			}
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
			e, _, err := parse(a.Attrs)
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

func list(c *nfnl.Conn, family, proto uint8, port uint16, filtered bool) ([]entry, error) {
	m := nfnl.Message{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | msgGet, Flags: unix.NLM_F_DUMP, Family: family}
	if filtered {
		var numbers, tuple, filter nfnl.Attrs
		numbers.Uint8(protoNumber, proto)
		numbers.Uint16(protoDstPort, port)
		tuple.Nest(tupleProto|unix.NLA_F_NESTED, numbers)
		m.Attrs.Nest(attrOriginal|unix.NLA_F_NESTED, tuple)
		filter.Bytes(filterOriginal, binary.NativeEndian.AppendUint32(nil, filterProto|filterDstPort))
		m.Attrs.Nest(attrFilter|unix.NLA_F_NESTED, filter)
	}
	var all []entry
	err := c.Request(m, func(a nfnl.Answer) error {
		e, number, err := parse(a.Attrs)
		if err == nil && number == proto && e.To.Port() == port {
			all = append(all, e)
		}
		return err
	})
	if errors.Is(err, nfnl.ErrInterrupted) { // flows come and go all the time; what was read is real
		err = nil
	}
	return all, err
}

func parse(list []byte) (e entry, proto uint8, err error) {
	m, err := nfnl.Parse(list)
	if err != nil {
		return e, 0, err
	}
	by, to, proto, err := tuple(m[attrOriginal])
	if err != nil {
		return e, 0, err
	}
	from, _, _, err := tuple(m[attrReply])
	if err != nil {
		return e, 0, err
	}
	e.by, e.To, e.From = by, to, from
	e.identity.Bytes(attrOriginal|unix.NLA_F_NESTED, m[attrOriginal])
	for _, t := range []uint16{attrZone, attrID} {
		if v, ok := m[t]; ok {
			e.identity.Bytes(t, v)
		}
	}
	return e, proto, nil
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
