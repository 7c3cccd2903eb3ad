package vpc

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Dump is the world as text, the same for the same world: VPCs, subnets with their free addresses, instances with their
// network interfaces, interfaces without an instance, active faults. It is the truth, without lag.
func (w *World) Dump(now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(w.vpcs)) {
		w.dumpVPC(&b, w.vpcs[id])
	}
	instances := slices.SortedFunc(maps.Values(w.instances), func(x, y *instance) int {
		return cmp.Or(cmp.Compare(x.Name(), y.Name()), cmp.Compare(x.ID, y.ID))
	})
	for _, i := range instances {
		fmt.Fprintf(&b, "instance %s%s %s %s %s\n", i.ID, called(i.Tags), i.Type, i.Zone, i.stateAt(now))
		for _, n := range w.interfacesIn(i, now) {
			dumpInterface(&b, n, "  ")
		}
	}
	for _, id := range w.eniIDs {
		if n := w.enis[id].view(now); n != nil && n.Attachment == nil {
			dumpInterface(&b, *n, "")
		}
	}
	for _, f := range w.faults {
		fmt.Fprintf(&b, "fault %s\n", f.Fault)
	}
	return b.String()
}

func (w *World) dumpVPC(b *strings.Builder, v *VPC) {
	fmt.Fprintf(b, "vpc %s%s %s%s\n", v.ID, called(v.Tags), join(v.CIDRs), optional(v.IPv6))
	subnets := slices.SortedFunc(maps.Values(w.subnets), func(x, y *subnet) int {
		return cmp.Or(cmp.Compare(x.Name(), y.Name()), cmp.Compare(x.ID, y.ID))
	})
	for _, s := range subnets {
		if s.VPC == v.ID {
			s.settle(w.now)
			fmt.Fprintf(b, "  subnet %s%s %s %s%s · %d free\n", s.ID, called(s.Tags), s.Zone, s.CIDR, optional(s.IPv6), s.free())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.groups)) {
		if g := w.groups[id]; g.VPC == v.ID {
			fmt.Fprintf(b, "  group %s %s\n", g.ID, g.Name)
		}
	}
}

// interfacesIn are the interfaces of an instance, attaching and detaching ones too.
func (w *World) interfacesIn(i *instance, at time.Time) []NetworkInterface {
	held := make([]*NetworkInterface, 0, len(i.enis))
	for _, id := range i.enis {
		if n := w.enis[id].view(at); n != nil && n.Instance() == i.ID {
			held = append(held, n)
		}
	}
	slices.SortFunc(held, byDevice)
	all := make([]NetworkInterface, len(held))
	for at, n := range held {
		all[at] = *n
	}
	return all
}

func dumpInterface(b *strings.Builder, n NetworkInterface, indent string) {
	place := n.Status()
	if a := n.Attachment; a != nil {
		place = fmt.Sprintf("#%d card %d %s %s", a.Device, a.Card, a.ID, a.Status())
		if a.DeleteOnTermination {
			place += " delete-on-termination"
		}
	}
	fmt.Fprintf(b, "%seni %s%s %s %s %s groups %s",
		indent, n.ID, called(n.Tags), n.MAC, n.Subnet, place, strings.Join(n.Groups, " "))
	if !n.SourceDestCheck {
		b.WriteString(" no-source-dest-check")
	}
	fmt.Fprintf(b, "\n%s  primary %s\n", indent, n.Primary)
	line := func(what, values string) {
		if values != "" {
			fmt.Fprintf(b, "%s  %s %s\n", indent, what, values)
		}
	}
	line("secondary", join(slices.SortedFunc(slices.Values(n.Secondary), netip.Addr.Compare)))
	line("prefixes", join(slices.SortedFunc(slices.Values(n.Prefixes), comparePrefixes)))
	line("ipv6", join(slices.SortedFunc(slices.Values(n.IPv6), netip.Addr.Compare)))
	line("ipv6-prefixes", join(slices.SortedFunc(slices.Values(n.IPv6Prefixes), comparePrefixes)))
	var tags []string
	for _, k := range slices.Sorted(maps.Keys(n.Tags)) {
		if k != "Name" {
			tags = append(tags, fmt.Sprintf("%s=%q", k, n.Tags[k]))
		}
	}
	line("tags", strings.Join(tags, " "))
}

func comparePrefixes(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }

func join[T fmt.Stringer](values []T) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, v.String())
	}
	return strings.Join(words, " ")
}

func called(tags map[string]string) string {
	if name := tags["Name"]; name != "" {
		return " (" + name + ")"
	}
	return ""
}

func optional(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return " " + p.String()
}
