package link

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitSolicitable returns when neighbours that ask for the IPv6 addresses on the link reach the node, or after patience.
// The kernel joins an address's solicited-node group (RFC 4291, section 2.7.1) some time after it says that the address
// is there, by a worker that needs the routing lock; a question in between is lost, and is asked again a second later.
func (c *Conn) AwaitSolicitable(index int, addrs []netip.Addr, patience time.Duration) error {
	pause := 100 * time.Microsecond
	for end := time.Now().Add(patience); ; pause = min(2*pause, 10*time.Millisecond) {
		joined, err := c.groups(index)
		if err != nil {
			return err
		}
		waiting := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.Is4() && !slices.Contains(joined, solicitedNode(a)) })
		if !waiting || time.Now().After(end) {
			return nil
		}
		time.Sleep(pause)
	}
}

// solicitedNode is the group that a neighbour's question for an address goes to.
func solicitedNode(a netip.Addr) netip.Addr {
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
	octets := a.As16()
	copy(group[13:], octets[13:])
	return netip.AddrFrom16(group)
}

// groups lists the IPv6 groups that a link has joined.
func (c *Conn) groups(index int) ([]netip.Addr, error) {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0] = unix.AF_INET6
	copy(b[4:], put32(nil, 0, uint32(index))[4:])
	list := Message{typ: unix.RTM_GETMULTICAST, body: b, what: func() string { return "list groups of link " + strconv.Itoa(index) }}
	var all []netip.Addr
	err := c.dump(list, func() { all = all[:0] }, func(b []byte) error {
		if len(b) < unix.SizeofIfAddrmsg {
			return errCut
		}
		if int(get32(b[4:])) != index { // a kernel that does not filter sends all
			return nil
		}
		return attributes(b[unix.SizeofIfAddrmsg:], func(typ uint16, value []byte) {
			if typ == unix.IFA_MULTICAST {
				all = append(all, address(value))
			}
		})
	})
	return all, err
}
