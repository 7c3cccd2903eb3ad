package link

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Neighbour is an address on a link's other side and the MAC it is sent to.
type Neighbour struct {
	Link      int
	Addr      netip.Addr
	MAC       MAC
	Permanent bool
	Proxy     bool // the node answers for the address on this link; it has no MAC
}

// AddNeighbour makes the entry, permanent, or corrects it.
func AddNeighbour(n Neighbour) Message {
	body := neighbourHeader(n.Link, n.Addr, unix.NUD_PERMANENT)
	body = putAddress(body, unix.NDA_DST, n.Addr)
	body = put(body, ndaLinkAddress, n.MAC[:])
	return Message{
		typ: unix.RTM_NEWNEIGH, flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: body,
		what: func() string {
			return "add neighbour " + n.Addr.String() + " lladdr " + n.MAC.String() + " on link " + strconv.Itoa(n.Link)
		},
	}
}

// AddProxy has the node answer on this link whoever asks for an IPv4 address, as long as the node would forward to it.
func AddProxy(index int, a netip.Addr) Message {
	body := neighbourHeader(index, a, 0)
	body[10] = unix.NTF_PROXY
	return Message{
		typ: unix.RTM_NEWNEIGH, flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: putAddress(body, unix.NDA_DST, a),
		what: func() string { return "add neighbour proxy " + a.String() + " on link " + strconv.Itoa(index) },
	}
}

// AnswerAtOnce ends the kernel's random wait, up to 0.8 s, before it answers for an address of AddProxy on this link: it
// is there for several proxies on one wire.
func AnswerAtOnce(index int) Message {
	body := putText([]byte{unix.AF_INET, 0, 0, 0}, ndtaName, "arp_cache") // struct ndtmsg
	body = nest(body, ndtaParameters, func(b []byte) []byte {
		return put(put32(b, ndtpaLink, uint32(index)), ndtpaProxyDelay, make([]byte, 8)) // milliseconds
	})
	return Message{
		typ: unix.RTM_SETNEIGHTBL, body: body,
		what: func() string { return "set the proxy delay of link " + strconv.Itoa(index) },
	}
}

// Attributes of a neighbour table (linux/neighbour.h).
const (
	ndtaName        = 1  // NDTA_NAME
	ndtaParameters  = 6  // NDTA_PARMS
	ndtpaLink       = 1  // NDTPA_IFINDEX
	ndtpaProxyDelay = 13 // NDTPA_PROXY_DELAY
)

// ndaLinkAddress is NDA_LLADDR (linux/neighbour.h).
const ndaLinkAddress = 2

// neighbourHeader is struct ndmsg.
func neighbourHeader(index int, a netip.Addr, state uint16) []byte {
	b := make([]byte, 12, 64)
	if a.IsValid() {
		b[0] = family(a)
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint16(b[8:], state)
	return b
}

// Neighbours lists the entries of one link, both families.
func (c *Conn) Neighbours(index int) ([]Neighbour, error) { return c.neighbours(index, 0) }

// Proxies lists the addresses that the node answers for on one link.
func (c *Conn) Proxies(index int) ([]Neighbour, error) { return c.neighbours(index, unix.NTF_PROXY) }

func (c *Conn) neighbours(index int, flags uint8) ([]Neighbour, error) {
	// With strict checks the index goes as an attribute, the header must be empty (rtnl: neigh_valid_dump_req).
	body := neighbourHeader(0, netip.Addr{}, 0)
	body[10] = flags
	body = put32(body, unix.NDA_IFINDEX, uint32(index))
	var all []Neighbour
	list := Message{
		typ: unix.RTM_GETNEIGH, body: body,
		what: func() string { return "list neighbours of link " + strconv.Itoa(index) },
	}
	err := c.dump(list, func() { all = all[:0] }, func(b []byte) error {
		if len(b) < 12 {
			return errCut
		}
		n := Neighbour{
			Link:      int(binary.NativeEndian.Uint32(b[4:])),
			Permanent: binary.NativeEndian.Uint16(b[8:])&unix.NUD_PERMANENT != 0,
			Proxy:     b[10]&unix.NTF_PROXY != 0,
		}
		err := attributes(b[12:], func(typ uint16, value []byte) {
			switch typ {
			case unix.NDA_DST:
				n.Addr = address(value)
			case ndaLinkAddress:
				copy(n.MAC[:], value)
			}
		})
		if n.Link == index {
			all = append(all, n)
		}
		return err
	})
	return all, err
}
