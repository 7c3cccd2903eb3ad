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
	used    map[netip.Addr]string // IPv4 addresses, those inside of prefixes too → interface id
	blocks  map[netip.Addr]int    // used addresses by /28
	leaving []leaving             // released, and occupied until their time
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
	return &subnet{
		Subnet: s, size: 1 << (32 - s.CIDR.Bits()),
		used: map[netip.Addr]string{}, blocks: map[netip.Addr]int{},
		used6: map[netip.Addr]string{}, pref6: map[netip.Prefix]string{},
	}
}

func (s *subnet) free() int { return s.size - reserved - len(s.used) }

func (s *subnet) isReserved(a netip.Addr) bool {
	offset := int(number(a) - number(s.CIDR.Addr()))
	return offset < 4 || offset == s.size-1
}

func number(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func block(a netip.Addr) netip.Addr { return address(number(a) &^ 15) }

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
	s.used[a] = eni
	s.blocks[block(a)]++
}

func (s *subnet) vacate(a netip.Addr) {
	if _, ok := s.used[a]; ok {
		delete(s.used, a)
		if s.blocks[block(a)]--; s.blocks[block(a)] == 0 {
			delete(s.blocks, block(a))
		}
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
			if _, taken := s.used[a]; !taken && !s.isReserved(a) {
				s.occupy(a, eni)
				picked = append(picked, a)
				break
			}
		}
	}
	return picked
}

// freeBlocks are the /28s of the subnet with no address in use or reserved.
func (s *subnet) freeBlocks() []netip.Prefix {
	var free []netip.Prefix
	first := number(s.CIDR.Addr())
	for at := 16; at+16 < s.size; at += 16 { // the first and the last /28 hold reserved addresses
		if a := address(first + uint32(at)); s.blocks[a] == 0 {
			free = append(free, netip.PrefixFrom(a, 28))
		}
	}
	return free
}

func (s *subnet) checkBlock(p netip.Prefix) *Error {
	if p.Bits() != 28 || p != p.Masked() || !within(s.CIDR, p) {
		return invalid("%s is not a /28 prefix of the subnet %s", p, s.CIDR)
	}
	for _, a := range members(p) {
		if err := s.check(a); err != nil {
			return err
		}
		if _, taken := s.used[a]; taken {
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
