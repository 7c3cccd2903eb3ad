package link

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Address is one on a link.
type Address struct {
	Link   int
	Prefix netip.Prefix // address and length, not masked
	Flags  uint32       // IFA_F_…
	Scope  uint8
}

// Flags of an address that enichain sets: no route to its network by itself, no test for duplicates.
const (
	NoPrefixRoute uint32 = unix.IFA_F_NOPREFIXROUTE
	NoDAD         uint32 = unix.IFA_F_NODAD
)

// AddAddress puts the address on the link, or gives the flags to one that is there.
func AddAddress(a Address) Message {
	return Message{
		typ: unix.RTM_NEWADDR, flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: addressBody(a),
		what: func() string { return "put address " + a.Prefix.String() + " on link " + strconv.Itoa(a.Link) },
	}
}

// DelAddress takes the address off the link.
func DelAddress(a Address) Message {
	a.Flags = 0
	return Message{
		typ: unix.RTM_DELADDR, body: addressBody(a), fine: []unix.Errno{unix.EADDRNOTAVAIL, unix.ENODEV},
		what: func() string { return "take address " + a.Prefix.String() + " off link " + strconv.Itoa(a.Link) },
	}
}

// addressBody is struct ifaddrmsg and its attributes.
func addressBody(a Address) []byte {
	b := make([]byte, unix.SizeofIfAddrmsg, 64)
	b[0] = family(a.Prefix.Addr())
	b[1] = uint8(a.Prefix.Bits())
	b[3] = a.Scope
	copy(b[4:], put32(nil, 0, uint32(a.Link))[4:])
	if a.Prefix.Addr().Is4() {
		b = putAddress(b, unix.IFA_LOCAL, a.Prefix.Addr())
	}
	b = putAddress(b, unix.IFA_ADDRESS, a.Prefix.Addr())
	if a.Flags != 0 {
		b = put32(b, unix.IFA_FLAGS, a.Flags)
	}
	return b
}

// Addresses lists the addresses of one link, both families.
func (c *Conn) Addresses(index int) ([]Address, error) {
	var all []Address
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		b := make([]byte, unix.SizeofIfAddrmsg)
		b[0] = fam
		copy(b[4:], put32(nil, 0, uint32(index))[4:])
		list := Message{
			typ: unix.RTM_GETADDR, body: b,
			what: func() string { return "list addresses of link " + strconv.Itoa(index) },
		}
		before := len(all)
		err := c.dump(list, func() { all = all[:before] }, func(b []byte) error {
			a, err := parseAddress(b)
			if a.Link == index { // a kernel that does not filter sends all
				all = append(all, a)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func parseAddress(b []byte) (Address, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return Address{}, errCut
	}
	a := Address{Flags: uint32(b[2]), Scope: b[3], Link: int(get32(b[4:]))}
	bits := int(b[1])
	var local, any netip.Addr
	err := attributes(b[unix.SizeofIfAddrmsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFA_LOCAL:
			local = address(value)
		case unix.IFA_ADDRESS:
			any = address(value)
		case unix.IFA_FLAGS:
			a.Flags = get32(value)
		}
	})
	if !local.IsValid() {
		local = any
	}
	a.Prefix = netip.PrefixFrom(local, bits)
	return a, err
}
