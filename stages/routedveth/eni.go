package routedveth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// ENI is a network interface as the node's agent knows it.
type ENI struct {
	N        int    // small number on this node, 0 the primary one; 1..127
	MAC      string // as EC2 says it; the link is found by it
	Primary  netip.Addr
	Primary6 netip.Addr   // unset without IPv6
	Gateway  netip.Addr   // of its subnet
	Gateway6 netip.Addr   // of its subnet, "fe80::…"; required with Primary6
	Subnet   netip.Prefix // Primary lies in it; unset: not looked at
	Subnet6  netip.Prefix
	MTU      int // bytes; 0 leaves the link's
}

// ErrNoLink says that the kernel shows no link with the network interface's MAC: not attached yet, or detached.
var ErrNoLink = errors.New("no link has its MAC")

func name(n int) string { return "eni-" + strconv.Itoa(n) }

func (e ENI) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !numbers.ValidN(e.N) {
		fault("n is %d: want 0 to %d", e.N, numbers.MaxN)
	}
	if _, err := link.ParseMAC(e.MAC); err != nil {
		errs = append(errs, err)
	}
	if e.N > 0 {
		if !e.Primary.IsValid() && !e.Primary6.IsValid() {
			fault("it has no primary address")
		}
		for _, f := range []struct {
			what             string
			primary, gateway netip.Addr
			subnet           netip.Prefix
			four             bool
		}{{"IPv4", e.Primary, e.Gateway, e.Subnet, true}, {"IPv6", e.Primary6, e.Gateway6, e.Subnet6, false}} {
			switch {
			case !f.primary.IsValid():
			case f.primary.Is4() != f.four || f.primary.Is4In6():
				fault("primary %s address %s is of the other family", f.what, f.primary)
			case !f.gateway.IsValid() || f.gateway.Is4() != f.four:
				fault("%s gateway %s: want the subnet's router", f.what, f.gateway)
			case f.subnet.IsValid() && !f.subnet.Contains(f.primary):
				fault("primary address %s lies outside subnet %s", f.primary, f.subnet)
			}
		}
	}
	if e.MTU != 0 && (e.MTU < leastMTU || e.MTU > mostMTU) {
		fault("mtu is %d: want 0 or 68 to 65535", e.MTU)
	}
	return errors.Join(errs...)
}

// Prepare makes a network interface ready for pods: link up with its group and note, its primary address as a /32
// that brings no route along, table 1000+n, rules, its chain in the steering table, and the sysctls that all of it
// needs. The primary one (0) keeps its link's addresses and routes as they are. Said twice it changes nothing. *MTUError:
// all is done, but for the link's MTU.
func Prepare(ctx context.Context, e ENI) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("cannot prepare network interface %d (%s): %w", e.N, e.MAC, err)
	}
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := linkOf(c, e)
	if err != nil {
		return fmt.Errorf("cannot prepare network interface %d (%s): %w", e.N, e.MAC, err)
	}
	refused := setMTU(c, l, e) // before any pod takes its own from it
	if err := prepare(ctx, c, l, e); err != nil {
		return fmt.Errorf("cannot prepare network interface %d (%s): %w", e.N, e.MAC, err)
	}
	return refused
}

// prepare is all but the MTU.
func prepare(ctx context.Context, c *link.Conn, l link.Link, e ENI) error {
	six, err := hasSix(c, e)
	if err != nil {
		return err
	}
	up, err := uplinkName(c, six)
	if err != nil {
		return err
	}
	if err := errors.Join(forwarding(true, six, up), ensureSysctls(eniSysctls(l.Name, e.N))); err != nil {
		return err
	}
	if err := c.Do(linkMessages(l, e)...); err != nil {
		return err
	}
	if e.N > 0 {
		if err := onlyPrimary(c, l, e); err != nil {
			return err
		}
	}
	if err := steer(ctx, e); err != nil {
		return err
	}
	if err := c.Do(tableRoutes(l, e)...); err != nil {
		return err
	}
	if err := ensureRules(c, append(podsRules(six), eniRules(e)...)); err != nil {
		return err
	}
	stale, err := staleRules(c, e)
	if err != nil {
		return err
	}
	return removeRules(c, stale)
}

// hasSix says whether the node speaks IPv6 to the VPC: the network interface has such an address, or the node has a
// default route.
func hasSix(c *link.Conn, e ENI) (bool, error) {
	if e.Primary6.IsValid() {
		return true, nil
	}
	_, err := c.Uplink(true)
	if errors.Is(err, link.ErrAbsent) {
		return false, nil
	}
	return err == nil, err
}

// uplinkName is the link that listens to a router's advertisements; "" where there is none.
func uplinkName(c *link.Conn, six bool) (string, error) {
	up, err := c.Uplink(six)
	if errors.Is(err, link.ErrAbsent) {
		return "", nil
	}
	return up.Name, err
}

// linkOf is the network interface's link.
func linkOf(c *link.Conn, e ENI) (link.Link, error) {
	mac, err := link.ParseMAC(e.MAC)
	if err != nil {
		return link.Link{}, err
	}
	return eniByMAC(c, mac)
}

// eniByMAC leaves pods' links and others' virtual ones aside: a VLAN or a bridge bears the MAC of the link below it.
func eniByMAC(c *link.Conn, mac link.MAC) (link.Link, error) {
	all, err := c.Links()
	if err != nil {
		return link.Link{}, err
	}
	for _, l := range all {
		_, _, pod := numbers.PodENI(l.Group)
		below := l.Peer != 0 && !l.Elsewhere // what lies over another link of this namespace
		if (l.Permanent == mac || l.MAC == mac) && !pod && (l.Kind == "" || !below) && l.Kind != "bridge" {
			return l, nil
		}
	}
	return link.Link{}, fmt.Errorf("%w: %s", ErrNoLink, mac)
}

// linkMessages set up the link itself. The primary one gets its group and note only. Those are written where they are
// others: who knows the network interface by them alone, and is late, must not put back what they were.
func linkMessages(l link.Link, e ENI) []link.Message {
	group, note, up := numbers.LinkGroup(e.N), eniAlias(e), true
	var change link.Change
	if l.Group != group {
		change.Group = &group
	}
	if l.Alias != note {
		change.Alias = &note
	}
	if e.N == 0 {
		return []link.Message{link.SetLink(l.Index, change)}
	}
	change.Up = &up
	out := []link.Message{link.SetLink(l.Index, change)}
	for _, a := range primaries(e) {
		out = append(out, link.AddAddress(primaryAddress(l.Index, a)))
	}
	return out
}

func primaries(e ENI) (out []netip.Addr) {
	for _, a := range []netip.Addr{e.Primary, e.Primary6} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func primaryAddress(index int, a netip.Addr) link.Address {
	flags := link.NoPrefixRoute
	if !a.Is4() {
		flags |= link.NoDAD
	}
	return link.Address{Link: index, Prefix: netip.PrefixFrom(a, a.BitLen()), Flags: flags}
}

// onlyPrimary takes every other address off a secondary network interface: a second one with its subnet's length
// makes a second connected route in main, and a pod's address on the link makes it the node's own.
func onlyPrimary(c *link.Conn, l link.Link, e ENI) error {
	extra, err := strangers(c, l, e)
	if err != nil {
		return err
	}
	var out []link.Message
	for _, a := range extra {
		out = append(out, link.DelAddress(a))
	}
	return c.Do(out...)
}

func strangers(c *link.Conn, l link.Link, e ENI) ([]link.Address, error) {
	all, err := c.Addresses(l.Index)
	if err != nil {
		return nil, err
	}
	var extra []link.Address
	for _, a := range all {
		own := a.Prefix.IsSingleIP() && (a.Prefix.Addr() == e.Primary || a.Prefix.Addr() == e.Primary6)
		if !own && !a.Prefix.Addr().IsLinkLocalUnicast() {
			extra = append(extra, a)
		}
	}
	return extra, nil
}

// tableRoutes are table 1000+n: all by the subnet's router, which also stands between hosts of one subnet.
func tableRoutes(l link.Link, e ENI) []link.Message {
	var out []link.Message
	for _, r := range eniRoutes(l.Index, e) {
		out = append(out, link.AddRoute(r))
	}
	return out
}

func eniRoutes(index int, e ENI) (out []link.Route) {
	if e.N == 0 {
		return nil
	}
	for _, hop := range []struct{ primary, gateway netip.Addr }{{e.Primary, e.Gateway}, {e.Primary6, e.Gateway6}} {
		if !hop.primary.IsValid() {
			continue
		}
		out = append(out, link.Route{
			Dst: everywhere(hop.primary), Gateway: hop.gateway, Link: index, Table: numbers.ENITable(e.N),
			Protocol: numbers.Protocol, OnLink: true,
		})
	}
	return out
}

// Forget takes a network interface's rules, table and chain away, after it was detached or before. Its mark goes first:
// an ADD that repairs meanwhile would make anew what leads to a marked link.
func Forget(ctx context.Context, n int) error {
	if n < 1 || n > numbers.MaxN {
		return fmt.Errorf("cannot forget network interface %d: want 1 to %d", n, numbers.MaxN)
	}
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(forgetLink(c, n), forgetRules(c, n), forgetTable(c, n), unsteer(ctx, n)); err != nil {
		return fmt.Errorf("cannot forget network interface %d: %w", n, err)
	}
	return nil
}

func forgetRules(c *link.Conn, n int) error {
	all, err := staleRules(c, ENI{N: n}) // one without addresses has no rules at all
	if err != nil {
		return err
	}
	return removeRules(c, all)
}

func forgetTable(c *link.Conn, n int) error {
	var out []link.Message
	for _, family := range families {
		routes, err := c.Routes(link.RouteFilter{Family: family, Table: numbers.ENITable(n), Protocol: numbers.Protocol})
		if err != nil {
			return err
		}
		for _, r := range routes {
			out = append(out, link.DelRoute(r))
		}
	}
	return c.Do(out...)
}

// forgetLink takes group and note off a link that is still there, so that no stage believes them.
func forgetLink(c *link.Conn, n int) error {
	all, err := c.Links()
	if err != nil {
		return err
	}
	none, nothing := uint32(0), ""
	for _, l := range all {
		if l.Group == numbers.LinkGroup(n) {
			return c.Do(link.SetLink(l.Index, link.Change{Group: &none, Alias: &nothing}).Tolerating(unix.ENODEV))
		}
	}
	return nil
}
