package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Route is one entry of a routing table.
type Route struct {
	Dst      netip.Prefix // 0.0.0.0/0 or ::/0 is the default route
	Gateway  netip.Addr   // unset: the destination is on the link itself
	Source   netip.Addr   // preferred source; unset: the kernel chooses
	Link     int          // index of the link it leaves by
	Table    int          // 0 is the main table, 254
	Protocol uint8        // who made it; numbers.Protocol for ours
	Scope    uint8        // RT_SCOPE_…; IPv4 only
	Metric   uint32
	MTU      int // 0: the link's
	AdvMSS   int // the largest TCP segment to announce, in bytes; 0: by the MTU
	OnLink   bool
}

// Scopes of IPv4 routes: anywhere, and neighbours on the link itself.
const (
	ScopeUniverse uint8 = unix.RT_SCOPE_UNIVERSE
	ScopeLink     uint8 = unix.RT_SCOPE_LINK
)

// MainTable is where routes go that name no table.
const MainTable = unix.RT_TABLE_MAIN

// String reads like ip's line, with the link by its index.
func (r Route) String() string {
	var b strings.Builder
	if r.Dst.Bits() == 0 {
		b.WriteString("default")
	} else if r.Dst.IsSingleIP() {
		b.WriteString(r.Dst.Addr().String())
	} else {
		b.WriteString(r.Dst.String())
	}
	if r.Gateway.IsValid() {
		b.WriteString(" via " + r.Gateway.String())
	}
	if r.Link != 0 {
		b.WriteString(" dev " + strconv.Itoa(r.Link))
	}
	if r.Table != 0 && r.Table != MainTable {
		b.WriteString(" table " + strconv.Itoa(r.Table))
	}
	if r.Source.IsValid() {
		b.WriteString(" src " + r.Source.String())
	}
	return b.String()
}

// AddRoute makes the route, in place of one with the same destination, table and metric.
func AddRoute(r Route) Message {
	return Message{
		typ: unix.RTM_NEWROUTE, flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: routeBody(r, unix.RTN_UNICAST),
		what: func() string { return "add route " + r.String() },
	}
}

// DelRoute deletes the route that agrees with all that is set in r; with Link set, another link's stays.
func DelRoute(r Route) Message {
	if r.Scope == 0 {
		r.Scope = unix.RT_SCOPE_NOWHERE // any
	}
	return Message{
		typ: unix.RTM_DELROUTE, body: routeBody(r, 0), fine: []unix.Errno{unix.ESRCH, unix.ENODEV},
		what: func() string { return "delete route " + r.String() },
	}
}

// routeBody is struct rtmsg and its attributes.
func routeBody(r Route, kind uint8) []byte {
	b := routeHeader(family(r.Dst.Addr()), r.Table)
	b[1] = uint8(r.Dst.Bits())
	b[5], b[6], b[7] = r.Protocol, r.Scope, kind
	if r.OnLink {
		binary.NativeEndian.PutUint32(b[8:], unix.RTNH_F_ONLINK)
	}
	if r.Dst.Bits() > 0 {
		b = putAddress(b, unix.RTA_DST, r.Dst.Addr())
	}
	b = putAddress(b, unix.RTA_GATEWAY, r.Gateway)
	b = putAddress(b, unix.RTA_PREFSRC, r.Source)
	if r.Link != 0 {
		b = put32(b, unix.RTA_OIF, uint32(r.Link))
	}
	if r.Metric != 0 {
		b = put32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if r.MTU != 0 || r.AdvMSS != 0 {
		b = nest(b, unix.RTA_METRICS, func(b []byte) []byte {
			for _, metric := range []struct {
				typ   uint16
				value int
			}{{unix.RTAX_MTU, r.MTU}, {unix.RTAX_ADVMSS, r.AdvMSS}} {
				if metric.value != 0 {
					b = put32(b, metric.typ, uint32(metric.value))
				}
			}
			return b
		})
	}
	return b
}

func routeHeader(family uint8, table int) []byte {
	if table == 0 {
		table = MainTable
	}
	b := make([]byte, unix.SizeofRtMsg, 128)
	b[0] = family
	if table < 256 {
		b[4] = uint8(table)
		return b
	}
	return put32(b, unix.RTA_TABLE, uint32(table))
}

// RouteFilter selects routes; zero fields select all.
type RouteFilter struct {
	Family   uint8 // AF_INET or AF_INET6; required
	Table    int
	Protocol uint8
	Link     int
}

// Routes lists the routes that the filter selects. The kernel filters, so that the cost is that of the answer.
func (c *Conn) Routes(f RouteFilter) ([]Route, error) {
	b := make([]byte, unix.SizeofRtMsg, 64)
	b[0], b[5] = f.Family, f.Protocol
	if f.Table != 0 {
		b = put32(b, unix.RTA_TABLE, uint32(f.Table))
	}
	if f.Link != 0 {
		b = put32(b, unix.RTA_OIF, uint32(f.Link))
	}
	list := Message{typ: unix.RTM_GETROUTE, body: b, what: func() string { return "list routes" },
		fine: []unix.Errno{unix.ENOENT}} // a table that no route was ever put in
	var all []Route
	err := c.dump(list, func() { all = all[:0] }, func(b []byte) error {
		r, kind, err := parseRoute(b)
		ours := (f.Table == 0 || r.Table == f.Table) && (f.Protocol == 0 || r.Protocol == f.Protocol) &&
			(f.Link == 0 || r.Link == f.Link)
		if kind == unix.RTN_UNICAST && ours {
			all = append(all, r)
		}
		return err
	})
	return all, err
}

// Query asks which way a packet would take.
type Query struct {
	Dst  netip.Addr
	Src  netip.Addr // unset: none chosen yet
	Mark uint32
	In   int // index of the link it came in by; 0: the node's own packet
}

// Way is the kernel's choice for a packet.
type Way struct {
	Link   int
	Table  int // whose route decided
	Source netip.Addr
	Via    netip.Addr
}

// Lookup asks the kernel for a packet's way; ErrAbsent where there is none.
func (c *Conn) Lookup(q Query) (Way, error) {
	var way Way
	ask := AskWay(q, &way)
	nowhere := ask.fine
	ask.fine = nil
	err := c.Do(ask)
	for _, none := range nowhere {
		if errors.Is(err, none) {
			return Way{}, fmt.Errorf("cannot %s: %w (%w)", ask, ErrAbsent, none)
		}
	}
	return way, err
}

// AskWay is Lookup together with other messages; where there is no way, its link stays 0.
func AskWay(q Query, way *Way) Message {
	b := make([]byte, unix.SizeofRtMsg, 96)
	bits := uint8(q.Dst.BitLen())
	b[0], b[1] = family(q.Dst), bits
	if q.Dst.Is4() { // IPv6 names the table unasked, and refuses the flag
		binary.NativeEndian.PutUint32(b[8:], lookupTable)
	}
	b = putAddress(b, unix.RTA_DST, q.Dst)
	if q.Src.IsValid() {
		b[2] = bits
		b = putAddress(b, unix.RTA_SRC, q.Src)
	}
	if q.Mark != 0 {
		b = put32(b, unix.RTA_MARK, q.Mark)
	}
	if q.In != 0 {
		b = put32(b, unix.RTA_IIF, uint32(q.In))
	}
	return Message{
		typ: unix.RTM_GETROUTE, body: b, fine: []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ESRCH, unix.EACCES},
		what: func() string { return "look up the way to " + q.Dst.String() },
		take: func(b []byte) error {
			r, _, err := parseRoute(b)
			*way = Way{Link: r.Link, Table: r.Table, Source: r.Source, Via: r.Gateway}
			return err
		},
	}
}

// lookupTable is RTM_F_LOOKUP_TABLE (linux/rtnetlink.h): name the table that decided.
const lookupTable = 0x1000

func parseRoute(b []byte) (Route, uint8, error) {
	if len(b) < unix.SizeofRtMsg {
		return Route{}, 0, errCut
	}
	any := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		any = netip.IPv6Unspecified()
	}
	bits := int(b[1])
	r := Route{Table: int(b[4]), Protocol: b[5], Scope: b[6], OnLink: get32(b[8:])&unix.RTNH_F_ONLINK != 0}
	dst := any
	err := attributes(b[unix.SizeofRtMsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.RTA_DST:
			dst = address(value)
		case unix.RTA_GATEWAY:
			r.Gateway = address(value)
		case unix.RTA_PREFSRC:
			r.Source = address(value)
		case unix.RTA_OIF:
			r.Link = int(get32(value))
		case unix.RTA_TABLE:
			r.Table = int(get32(value))
		case unix.RTA_PRIORITY:
			r.Metric = get32(value)
		case unix.RTA_METRICS:
			_ = attributes(value, func(typ uint16, value []byte) {
				switch typ {
				case unix.RTAX_MTU:
					r.MTU = int(get32(value))
				case unix.RTAX_ADVMSS:
					r.AdvMSS = int(get32(value))
				}
			})
		}
	})
	r.Dst = netip.PrefixFrom(dst, bits)
	return r, b[7], err
}
