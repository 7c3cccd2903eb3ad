package vpc

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// subnet is a subnet with who has which of its addresses.
type subnet struct {
	Subnet
	size    int
	owners  []string  // interface ids by IPv4 address, counted from the subnet's first; also of those inside of prefixes
	used    int       // of owners
	blocks  []int     // used addresses by /28
	whole   int       // /28s with none, but for the first and the last
	leaving []leaving // released, and occupied until their time
	used6   map[netip.Addr]string
	pref6   map[netip.Prefix]string // /80s
}

type leaving struct {
	at    time.Time
	addrs []netip.Addr
	pref6 []netip.Prefix
}

// reserved addresses of a subnet: the first four and the last one (VPC user guide, "Subnet sizing").
const reserved = 5

func newSubnet(s Subnet) *subnet {
	size := 1 << (32 - s.CIDR.Bits())
	return &subnet{
		Subnet: s, size: size, owners: make([]string, size), blocks: make([]int, size/16), whole: max(size/16-2, 0),
		used6: map[netip.Addr]string{}, pref6: map[netip.Prefix]string{},
	}
}

func (s *subnet) free() int { return s.size - reserved - s.used }

// offset is an address's place in the subnet, which has it.
func (s *subnet) offset(a netip.Addr) int { return int(number(a) - number(s.CIDR.Addr())) }

// owner is the interface that has an address of the subnet; empty: none.
func (s *subnet) owner(a netip.Addr) string { return s.owners[s.offset(a)] }

func (s *subnet) isReserved(a netip.Addr) bool {
	offset := s.offset(a)
	return offset < 4 || offset == s.size-1
}

func number(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// check says why an address cannot be had, or nil.
func (s *subnet) check(a netip.Addr) *Error {
	switch {
	case !s.CIDR.Contains(a):
		return invalid("Address %s does not fall within the subnet's address range", a)
	case s.isReserved(a):
		return invalid("Address %s is in subnet's reserved address range", a)
	}
	return nil
}

func (s *subnet) occupy(a netip.Addr, eni string) {
	at := s.offset(a)
	if s.owners[at] == "" {
		s.used++
		s.count(at/16, 1)
	}
	s.owners[at] = eni
}

func (s *subnet) vacate(a netip.Addr) {
	if at := s.offset(a); s.owners[at] != "" {
		s.owners[at] = ""
		s.used--
		s.count(at/16, -1)
	}
}

// count changes the number of used addresses of a /28, and with it that of the whole ones. The first and the last hold
// reserved addresses and are never free.
func (s *subnet) count(block, more int) {
	before := s.blocks[block]
	s.blocks[block] += more
	if block == 0 || block == len(s.blocks)-1 {
		return
	}
	if before == 0 {
		s.whole--
	} else if s.blocks[block] == 0 {
		s.whole++
	}
}

// settle frees what was released up to now.
func (s *subnet) settle(now time.Time) {
	s.leaving = slices.DeleteFunc(s.leaving, func(l leaving) bool {
		if l.at.After(now) {
			return false
		}
		for _, a := range l.addrs {
			if a.Is4() {
				s.vacate(a)
			} else {
				delete(s.used6, a)
			}
		}
		for _, p := range l.pref6 {
			delete(s.pref6, p)
		}
		return true
	})
}

// release gives addresses and prefixes back at an instant.
func (s *subnet) release(at time.Time, addrs []netip.Addr, prefixes []netip.Prefix) {
	l := leaving{at: at, addrs: slices.Clone(addrs)}
	for _, p := range prefixes {
		if p.Addr().Is4() {
			l.addrs = append(l.addrs, members(p)...)
		} else {
			l.pref6 = append(l.pref6, p)
		}
	}
	s.leaving = append(s.leaving, l)
}

func members(p netip.Prefix) []netip.Addr {
	var all []netip.Addr
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		all = append(all, a)
	}
	return all
}

// pick takes n free addresses, as EC2 does anywhere in the subnet. The caller has seen that there are so many.
func (s *subnet) pick(random *rand.Rand, n int, eni string) []netip.Addr {
	first := number(s.CIDR.Addr())
	picked := make([]netip.Addr, 0, n)
	for len(picked) < n {
		for at := random.IntN(s.size); ; at = (at + 1) % s.size {
			a := address(first + uint32(at))
			if s.owners[at] == "" && !s.isReserved(a) {
				s.occupy(a, eni)
				picked = append(picked, a)
				break
			}
		}
	}
	return picked
}

// pickBlock takes a free /28 anywhere in the subnet. The caller has seen that there is one.
func (s *subnet) pickBlock(random *rand.Rand, eni string) netip.Prefix {
	inner := len(s.blocks) - 2
	for at := random.IntN(inner); ; at = (at + 1) % inner {
		if s.blocks[at+1] == 0 {
			p := netip.PrefixFrom(address(number(s.CIDR.Addr())+uint32(16*(at+1))), 28)
			s.occupyBlock(p, eni)
			return p
		}
	}
}

func (s *subnet) checkBlock(p netip.Prefix) *Error {
	if p.Bits() != 28 || p != p.Masked() || !within(s.CIDR, p) {
		return invalid("%s is not a /28 prefix of the subnet %s", p, s.CIDR)
	}
	for _, a := range members(p) {
		if err := s.check(a); err != nil {
			return err
		}
		if s.owner(a) != "" {
			return Refuse(CodeNoBlock, "The prefix %s is not free in subnet %s", p, s.ID)
		}
	}
	return nil
}

func (s *subnet) occupyBlock(p netip.Prefix, eni string) {
	for _, a := range members(p) {
		s.occupy(a, eni)
	}
}

// check6 says why an IPv6 address cannot be had, or nil.
func (s *subnet) check6(a netip.Addr) *Error {
	if !s.IPv6.IsValid() || !s.IPv6.Contains(a) {
		return invalid("Address %s does not fall within the subnet's IPv6 range", a)
	}
	if host := lower64(a); host < 4 || host == ^uint64(0) {
		return invalid("Address %s is in subnet's reserved address range", a)
	}
	for p := range s.pref6 {
		if p.Contains(a) {
			return Refuse(CodeAlreadyAssigned, "Address %s is inside of the assigned prefix %s", a, p)
		}
	}
	if _, taken := s.used6[a]; taken {
		return Refuse(CodeAlreadyAssigned, "Address %s is already assigned", a)
	}
	return nil
}

func (s *subnet) checkBlock6(p netip.Prefix) *Error {
	if p.Bits() != 80 || p != p.Masked() || !within(s.IPv6, p) {
		return invalid("%s is not a /80 prefix of the subnet's %s", p, s.IPv6)
	}
	if _, taken := s.pref6[p]; taken || p.Addr() == s.IPv6.Addr() {
		return Refuse(CodeNoBlock, "The prefix %s is not free in subnet %s", p, s.ID)
	}
	for a := range s.used6 {
		if p.Contains(a) {
			return Refuse(CodeNoBlock, "The prefix %s is not free in subnet %s", p, s.ID)
		}
	}
	return nil
}

func lower64(a netip.Addr) uint64 { b := a.As16(); return binary.BigEndian.Uint64(b[8:]) }

// pick6 takes a free address at random: there are always some in a /64.
func (s *subnet) pick6(random *rand.Rand, eni string) netip.Addr {
	for {
		b := s.IPv6.Addr().As16()
		binary.BigEndian.PutUint64(b[8:], random.Uint64())
		if a := netip.AddrFrom16(b); s.check6(a) == nil {
			s.used6[a] = eni
			return a
		}
	}
}

func (s *subnet) pickBlock6(random *rand.Rand, eni string) netip.Prefix {
	for {
		b := s.IPv6.Addr().As16()
		binary.BigEndian.PutUint16(b[8:], uint16(random.Uint64()))
		if p := netip.PrefixFrom(netip.AddrFrom16(b), 80); s.checkBlock6(p) == nil {
			s.pref6[p] = eni
			return p
		}
	}
}
