package vpc

import (
	"net/netip"
	"slices"
)

// growth is what an interface shall get of its subnet's IPv4 addresses.
type growth struct {
	addrs    []netip.Addr
	count    int // more addresses, any
	prefixes []netip.Prefix
	blocks   int // more /28s, any
	reassign bool
}

func (g growth) slots() int { return len(g.addrs) + g.count + len(g.prefixes) + g.blocks }

// growth6 is the same for IPv6.
type growth6 struct {
	addrs    []netip.Addr
	count    int
	prefixes []netip.Prefix
	blocks   int // more /80s, any
}

// mayGrow says whether an interface with so many slots taken can get more.
func (w *World) mayGrow(s *subnet, g growth, taken int, t InstanceType) *Error {
	if taken+g.slots() > t.IPv4PerInterface {
		return Refuse(CodeAddressLimit, messageAddressLimit)
	}
	blocks := len(g.prefixes) + g.blocks
	if blocks > 0 && !t.Prefixes() {
		return Refuse(CodeUnsupported, messagePrefixNeedsNitro)
	}
	for i, a := range g.addrs {
		if err := s.check(a); err != nil {
			return err
		}
		if slices.Contains(g.addrs[:i], a) {
			return invalid("Address %s is given twice", a)
		}
		if s.owner(a) != "" && !g.reassign {
			return Refuse(CodeAlreadyAssigned, "Address %s is already assigned", a)
		}
	}
	for i, p := range g.prefixes {
		if err := s.checkBlock(p); err != nil {
			return err
		}
		if slices.Contains(g.prefixes[:i], p) {
			return invalid("Prefix %s is given twice", p)
		}
		if slices.ContainsFunc(g.addrs, p.Contains) {
			return invalid("Prefix %s holds one of the addresses", p)
		}
	}
	if w.isFull(s.Subnet) && g.slots() > 0 {
		return full(blocks > 0)
	}
	return w.hasRoom(s, g)
}

// hasRoom judges the subnet's free addresses: EC2 has three ways to say no.
func (w *World) hasRoom(s *subnet, g growth) *Error {
	if blocks := len(g.prefixes) + g.blocks; blocks > 0 {
		switch {
		case s.free() < 16*blocks:
			return full(true)
		case w.isFragmented(s.Subnet) || s.whole < blocks:
			return Refuse(CodeNoBlock, messageNoFreeBlock)
		}
	}
	if s.free() < len(g.addrs)+g.count+16*(len(g.prefixes)+g.blocks) && (g.count > 0 || !g.reassign) {
		return full(false)
	}
	return nil
}

func full(prefixes bool) *Error {
	if prefixes {
		return invalid(messageNoFreeAddresses)
	}
	return Refuse(CodeSubnetFull, messageNoFreeInSubnet)
}

// grow takes from the subnet what mayGrow found possible: named addresses first, then any.
func (w *World) grow(s *subnet, g growth, eni string) ([]netip.Addr, []netip.Prefix) {
	addrs, prefixes := slices.Clone(g.addrs), slices.Clone(g.prefixes)
	for _, a := range g.addrs {
		s.occupy(a, eni)
	}
	for _, p := range g.prefixes {
		s.occupyBlock(p, eni)
	}
	for range g.blocks { // before single addresses, which could take the last whole block
		prefixes = append(prefixes, s.pickBlock(w.random, eni))
	}
	return append(addrs, s.pick(w.random, g.count, eni)...), prefixes
}

func (w *World) mayGrow6(s *subnet, g growth6, taken int, t InstanceType) *Error {
	more := len(g.addrs) + g.count + len(g.prefixes) + g.blocks
	switch {
	case more == 0:
		return nil
	case !s.IPv6.IsValid():
		return invalid("the subnet '%s' has no IPv6 block", s.ID)
	case taken+more > t.IPv6PerInterface:
		return Refuse(CodeAddressLimit, messageAddressLimit)
	case len(g.prefixes)+g.blocks > 0 && !t.Prefixes():
		return Refuse(CodeUnsupported, messagePrefixNeedsNitro)
	}
	for i, a := range g.addrs {
		if err := s.check6(a); err != nil {
			return err
		}
		if slices.Contains(g.addrs[:i], a) {
			return invalid("Address %s is given twice", a)
		}
	}
	for i, p := range g.prefixes {
		if err := s.checkBlock6(p); err != nil {
			return err
		}
		if slices.Contains(g.prefixes[:i], p) {
			return invalid("Prefix %s is given twice", p)
		}
	}
	return nil
}

func (w *World) grow6(s *subnet, g growth6, eni string) ([]netip.Addr, []netip.Prefix) {
	addrs, prefixes := slices.Clone(g.addrs), slices.Clone(g.prefixes)
	for _, a := range g.addrs {
		s.used6[a] = eni
	}
	for _, p := range g.prefixes {
		s.pref6[p] = eni
	}
	for range g.blocks {
		prefixes = append(prefixes, s.pickBlock6(w.random, eni))
	}
	for range g.count {
		addrs = append(addrs, s.pick6(w.random, eni))
	}
	return addrs, prefixes
}

// limits is the type of the instance that an interface hangs on; without one, the most that any type allows.
func (w *World) limits(n NetworkInterface) InstanceType {
	if i := w.instances[n.Instance()]; i != nil {
		if t, ok := w.instanceType(i.Type); ok {
			return t
		}
	}
	return anyType()
}

// usable judges whether the VPC may use so many more network address units.
func (w *World) usable(vpc string, more int) *Error {
	if most := w.config.Quotas.AddressUsage; w.usage[vpc]+more > most {
		return Refuse(CodeNAULimit, "The VPC '%s' would use more than %d network address units", vpc, most)
	}
	return nil
}

func (r AssignPrivateIpAddresses) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	g := growth{addrs: r.Addresses, count: r.Count, prefixes: r.Prefixes, blocks: r.PrefixCount, reassign: r.AllowReassignment}
	if err := exclusive(len(r.Addresses), r.Count, len(r.Prefixes), r.PrefixCount, "PrivateIpAddress"); err != nil {
		return nil, err
	}
	s := w.subnets[n.Subnet]
	s.settle(c.now)
	if slices.ContainsFunc(r.Addresses, n.Has) {
		return nil, invalid("Some of the addresses are already assigned to interface %s", n.ID)
	}
	if err := w.mayGrow(s, g, n.slots4(), w.limits(n)); err != nil {
		return nil, err
	}
	if n.Attachment != nil {
		more := len(g.addrs) + g.count + (len(g.prefixes)+g.blocks)*w.config.PrefixUnits
		if err := w.usable(n.VPC, more); err != nil {
			return nil, err
		}
	}
	if g.reassign {
		if err := w.reassign(c, s, g.addrs); err != nil {
			return nil, err
		}
	}
	addrs, prefixes := w.grow(s, g, n.ID)
	n = n.clone()
	n.Secondary = append(n.Secondary, addrs...)
	n.Prefixes = append(n.Prefixes, prefixes...)
	w.rewrite(c, n)
	return AssignPrivateIpAddressesOutput{ID: n.ID, Addresses: addrs, Prefixes: prefixes}, nil
}

// exclusive wants exactly one of the four ways to say what to assign.
func exclusive(addrs, count, prefixes, blocks int, name string) *Error {
	kinds := 0
	for _, n := range []int{addrs, count, prefixes, blocks} {
		if n < 0 {
			return invalid("a count cannot be negative")
		}
		if n > 0 {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return missing(name)
	case kinds > 1:
		return Refuse(CodeCombination, messageAddressesExclusive)
	}
	return nil
}

// reassign takes addresses from the interfaces that have them.
func (w *World) reassign(c *call, s *subnet, addrs []netip.Addr) *Error {
	var from []NetworkInterface
	for _, a := range addrs {
		id := s.owner(a)
		if id == "" {
			continue
		}
		n, ok := w.present(id)
		if !ok || !slices.Contains(n.Secondary, a) {
			return Refuse(CodeAlreadyAssigned, "Address %s is no interface's secondary address and cannot be reassigned", a)
		}
		from = append(from, n)
	}
	for _, n := range from {
		n = n.clone()
		n.Secondary = slices.DeleteFunc(n.Secondary, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
		w.rewrite(c, n)
	}
	for _, a := range addrs {
		s.vacate(a)
	}
	return nil
}

// rewrite puts a changed interface into the books from the call's effect on, and tells the kernel side.
func (w *World) rewrite(c *call, n NetworkInterface) {
	c.effect = w.notBefore(n.ID, c.effect)
	w.put(c.effect, n.ID, &n)
	if n.Attachment != nil {
		w.later(pending{at: c.effect, kind: AddressesChanged, instance: n.Attachment.Instance, eni: n.ID})
	}
}

func (r UnassignPrivateIpAddresses) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	if len(r.Addresses)+len(r.Prefixes) == 0 {
		return nil, missing("PrivateIpAddress")
	}
	if slices.Contains(r.Addresses, n.Primary) {
		return nil, invalid("The primary address %s cannot be unassigned", n.Primary)
	}
	for _, a := range r.Addresses {
		if !slices.Contains(n.Secondary, a) {
			return nil, invalid("Some of %v addresses are not assigned to interface %s", r.Addresses, n.ID)
		}
	}
	for _, p := range r.Prefixes {
		if !slices.Contains(n.Prefixes, p) {
			return nil, invalid("Some of %v prefixes are not assigned to interface %s", r.Prefixes, n.ID)
		}
	}
	n = n.clone()
	n.Secondary = slices.DeleteFunc(n.Secondary, func(a netip.Addr) bool { return slices.Contains(r.Addresses, a) })
	n.Prefixes = slices.DeleteFunc(n.Prefixes, func(p netip.Prefix) bool { return slices.Contains(r.Prefixes, p) })
	w.rewrite(c, n)
	w.subnets[n.Subnet].release(c.effect.Add(w.config.AddressRest), r.Addresses, r.Prefixes)
	return Done{}, nil
}
