package link

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Link is a network link as the kernel tells it.
type Link struct {
	Index     int
	Name      string
	MAC       MAC    // zero where the link has none
	Permanent MAC    // burnt in; zero where the driver knows none (veth)
	MTU       int    // bytes
	Group     uint32 // 0 by default
	Alias     string
	Kind      string // "veth", "bridge" …; empty for hardware
	Up        bool   // set up by someone (IFF_UP)
	Running   bool   // and its other end too (IFF_RUNNING)
	Peer      int    // index of a veth's other end, in its own namespace; 0 where there is none
	Elsewhere bool   // that other end is in another namespace
}

// LinkByName is the link of that name, or ErrAbsent.
func (c *Conn) LinkByName(name string) (Link, error) {
	return c.oneLink(0, name)
}

// LinkByIndex is the link of that index, or ErrAbsent.
func (c *Conn) LinkByIndex(index int) (Link, error) {
	return c.oneLink(index, "")
}

func (c *Conn) oneLink(index int, name string) (Link, error) {
	var found Link
	ask := askLink(index, name, &found)
	if err := c.Do(ask); err != nil {
		return Link{}, err
	}
	if found.Index == 0 {
		return Link{}, fmt.Errorf("cannot %s: %w", ask, ErrAbsent)
	}
	return found, nil
}

// AskLinkByName finds the link of that name, together with other messages; where there is none, its index stays 0.
func AskLinkByName(name string, found *Link) Message { return askLink(0, name, found) }

// AskLinkByIndex is AskLinkByName for an index.
func AskLinkByIndex(index int, found *Link) Message { return askLink(index, "", found) }

func askLink(index int, name string, found *Link) Message {
	body := linkHeader(index, 0, 0)
	if name != "" {
		body = putText(body, unix.IFLA_IFNAME, name)
	}
	return Message{
		typ: unix.RTM_GETLINK, body: put32(body, unix.IFLA_EXT_MASK, skipStatistics), fine: []unix.Errno{unix.ENODEV},
		what: func() string {
			if name == "" {
				return "find link " + strconv.Itoa(index)
			}
			return "find link " + name
		},
		take: func(b []byte) (err error) {
			*found, err = parseLink(b)
			return err
		},
	}
}

// skipStatistics is RTEXT_FILTER_SKIP_STATS (linux/rtnetlink.h): half of the answer that nobody here reads.
const skipStatistics = 1 << 3

// Links lists all links. Its cost grows with the node's pods: never on ADD or DEL.
func (c *Conn) Links() ([]Link, error) {
	body := put32(linkHeader(0, 0, 0), unix.IFLA_EXT_MASK, skipStatistics)
	var all []Link
	list := Message{typ: unix.RTM_GETLINK, body: body, what: func() string { return "list links" }}
	err := c.dump(list, func() { all = all[:0] }, func(b []byte) error {
		l, err := parseLink(b)
		all = append(all, l)
		return err
	})
	return all, err
}

// VethEnd is one end of a pair to be made.
type VethEnd struct {
	Name string
	MAC  MAC
}

// Veth is a pair to be made in one request: nobody ever sees it half made.
type Veth struct {
	Host  VethEnd
	Pod   VethEnd
	Netns int    // open file of the pod's network namespace
	MTU   int    // bytes; 0 is the kernel's default, 1500
	Group uint32 // of the host's end
}

// AddVeth makes the pair, the host's end set up. EEXIST says that either name is taken.
func AddVeth(v Veth) Message {
	body := linkHeader(0, unix.IFF_UP, unix.IFF_UP)
	body = putText(body, unix.IFLA_IFNAME, v.Host.Name)
	body = put(body, unix.IFLA_ADDRESS, v.Host.MAC[:])
	body = put32(body, unix.IFLA_GROUP, v.Group)
	if v.MTU != 0 {
		body = put32(body, unix.IFLA_MTU, uint32(v.MTU))
	}
	body = nest(body, unix.IFLA_LINKINFO, func(b []byte) []byte {
		b = putText(b, unix.IFLA_INFO_KIND, "veth")
		return nest(b, unix.IFLA_INFO_DATA, func(b []byte) []byte {
			return nest(b, vethPeer, func(b []byte) []byte {
				b = append(b, linkHeader(0, 0, 0)...)
				b = putText(b, unix.IFLA_IFNAME, v.Pod.Name)
				b = put(b, unix.IFLA_ADDRESS, v.Pod.MAC[:])
				if v.MTU != 0 {
					b = put32(b, unix.IFLA_MTU, uint32(v.MTU))
				}
				return put32(b, unix.IFLA_NET_NS_FD, uint32(v.Netns))
			})
		})
	})
	return Message{
		typ: unix.RTM_NEWLINK, flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, body: body,
		what: func() string { return "make the pair " + v.Host.Name + " and " + v.Pod.Name },
	}
}

// vethPeer is VETH_INFO_PEER (linux/veth.h).
const vethPeer = 1

// Change is what SetLink changes; nil fields stay as they are.
type Change struct {
	Up         *bool
	Group      *uint32
	MTU        *int
	Alias      *string
	MAC        *MAC
	NoLinkAddr bool // IPv6 makes no link-local address of its own (addrgenmode none)
}

// SetLink changes a link in one request.
func SetLink(index int, change Change) Message {
	var flags, mask uint32
	if change.Up != nil {
		mask = unix.IFF_UP
		if *change.Up {
			flags = unix.IFF_UP
		}
	}
	body := linkHeader(index, flags, mask)
	if change.Group != nil {
		body = put32(body, unix.IFLA_GROUP, *change.Group)
	}
	if change.MTU != nil {
		body = put32(body, unix.IFLA_MTU, uint32(*change.MTU))
	}
	if change.Alias != nil {
		body = put(body, unix.IFLA_IFALIAS, []byte(*change.Alias))
	}
	if change.MAC != nil {
		body = put(body, unix.IFLA_ADDRESS, change.MAC[:])
	}
	if change.NoLinkAddr {
		body = nest(body, unix.IFLA_AF_SPEC, func(b []byte) []byte {
			return nest(b, unix.AF_INET6, func(b []byte) []byte {
				return put8(b, unix.IFLA_INET6_ADDR_GEN_MODE, 1)
			})
		})
	}
	return Message{
		typ: unix.RTM_SETLINK, body: body,
		what: func() string { return "change link " + strconv.Itoa(index) },
	}
}

// DelLink deletes a link; a veth's other end goes with it. It waits 14 to 20 ms for readers of the kernel's lists.
func DelLink(index int) Message {
	return Message{
		typ: unix.RTM_DELLINK, body: linkHeader(index, 0, 0), fine: []unix.Errno{unix.ENODEV},
		what: func() string { return "delete link " + strconv.Itoa(index) },
	}
}

// linkHeader is struct ifinfomsg.
func linkHeader(index int, flags, mask uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg, 256)
	b[0] = unix.AF_UNSPEC
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], mask)
	return b
}

func parseLink(b []byte) (Link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, errCut
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	l := Link{
		Index:   int(binary.NativeEndian.Uint32(b[4:])),
		Up:      flags&unix.IFF_UP != 0,
		Running: flags&unix.IFF_RUNNING != 0,
	}
	err := attributes(b[unix.SizeofIfInfomsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = text0(value)
		case unix.IFLA_ADDRESS:
			copy(l.MAC[:], value)
		case unix.IFLA_PERM_ADDRESS:
			copy(l.Permanent[:], value)
		case unix.IFLA_MTU:
			l.MTU = int(get32(value))
		case unix.IFLA_GROUP:
			l.Group = get32(value)
		case unix.IFLA_IFALIAS:
			l.Alias = text0(value)
		case unix.IFLA_LINK:
			l.Peer = int(get32(value))
		case unix.IFLA_LINK_NETNSID:
			l.Elsewhere = true
		case unix.IFLA_LINKINFO:
			_ = attributes(value, func(typ uint16, value []byte) {
				if typ == unix.IFLA_INFO_KIND {
					l.Kind = text0(value)
				}
			})
		}
	})
	if l.Elsewhere && l.Peer == 0 { // kernels before 5.5 do not tell an index that is the link's own, too
		l.Peer = l.Index
	}
	return l, err
}
