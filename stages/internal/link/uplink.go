package link

import (
	"fmt"
	"net/netip"
)

// Uplink is the way by which unmarked packets leave for anywhere: on EC2 the primary network interface.
type Uplink struct {
	Link   int
	Name   string
	MTU    int
	Source netip.Addr // the node's own address there
}

// somewhere are addresses that are nobody's: TEST-NET-3 (RFC 5737) and the documentation prefix (RFC 3849). What is
// asked for is the way they would take; nothing is sent.
func somewhere(six bool) netip.Addr {
	if six {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 4: 0xff, 5: 0xff, 15: 1})
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, 1})
}

// Uplink asks the kernel for it; ErrAbsent where the node has no default route of that family.
func (c *Conn) Uplink(six bool) (Uplink, error) {
	way, err := c.Lookup(Query{Dst: somewhere(six)})
	if err != nil {
		return Uplink{}, fmt.Errorf("cannot find the node's uplink: %w", err)
	}
	l, err := c.LinkByIndex(way.Link)
	if err != nil {
		return Uplink{}, fmt.Errorf("cannot find the node's uplink: %w", err)
	}
	return Uplink{Link: way.Link, Name: l.Name, MTU: l.MTU, Source: way.Source}, nil
}

// AskUplink asks for the way, together with other messages; where there is none, its link stays 0.
func AskUplink(six bool, way *Way) Message { return AskWay(Query{Dst: somewhere(six)}, way) }

// LookupMarked says which way an off-VPC packet with the mark takes: the test of a rule and its table in one question.
func (c *Conn) LookupMarked(six bool, mark uint32) (Way, error) {
	return c.Lookup(Query{Dst: somewhere(six), Mark: mark})
}
