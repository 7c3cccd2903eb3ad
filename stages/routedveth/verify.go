package routedveth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// MissingError lists what Prepare would put right.
type MissingError struct {
	N    int
	What []string
}

func (e *MissingError) Error() string {
	return "network interface " + strconv.Itoa(e.N) + " is not ready: " + strings.Join(e.What, "; ")
}

// Verify is nil when all that Prepare makes is there, and otherwise a *MissingError, ErrNoLink, or why it could not
// look. It changes nothing.
func Verify(ctx context.Context, e ENI) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("cannot verify network interface %d (%s): %w", e.N, e.MAC, err)
	}
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := linkOf(c, e)
	if err != nil {
		return fmt.Errorf("cannot verify network interface %d (%s): %w", e.N, e.MAC, err)
	}
	what, err := missing(ctx, c, l, e)
	if err != nil {
		return fmt.Errorf("cannot verify network interface %d (%s): %w", e.N, e.MAC, err)
	}
	if wrong := wrongMTU(l, e); wrong != "" {
		what = append(what, wrong)
	}
	if len(what) > 0 {
		return &MissingError{N: e.N, What: what}
	}
	return nil
}

// missing is what Prepare would change, in words, but for the MTU.
func missing(ctx context.Context, c *link.Conn, l link.Link, e ENI) ([]string, error) {
	six, err := hasSix(c, e)
	if err != nil {
		return nil, err
	}
	settings := append(eniSysctls(l.Name, e.N), sysctl{"net/ipv4/ip_forward", "1"})
	if six {
		settings = append(settings, sysctl{"net/ipv6/conf/all/forwarding", "1"})
	}
	what := append(missingOnLink(l, e), missingSysctls(settings)...)
	for _, look := range []func() ([]string, error){
		func() ([]string, error) { return missingAddresses(c, l, e) },
		func() ([]string, error) { return missingRules(c, e, six) },
		func() ([]string, error) { return missingRoutes(c, l, e) },
		func() ([]string, error) { return missingSteering(e) },
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		more, err := look()
		if err != nil {
			return nil, err
		}
		what = append(what, more...)
	}
	return what, nil
}

func missingOnLink(l link.Link, e ENI) (what []string) {
	if l.Group != numbers.LinkGroup(e.N) {
		what = append(what, fmt.Sprintf("link %s is in group %d, not %d", l.Name, l.Group, numbers.LinkGroup(e.N)))
	}
	if l.Alias != eniAlias(e) {
		what = append(what, fmt.Sprintf("link %s has the alias %q, not %q", l.Name, l.Alias, eniAlias(e)))
	}
	if e.N > 0 && !l.Up {
		what = append(what, "link "+l.Name+" is down")
	}
	return what
}

func missingAddresses(c *link.Conn, l link.Link, e ENI) (what []string, err error) {
	if e.N == 0 {
		return nil, nil
	}
	there, err := c.Addresses(l.Index)
	if err != nil {
		return nil, err
	}
	for _, a := range primaries(e) {
		want := primaryAddress(l.Index, a)
		right := slices.ContainsFunc(there, func(is link.Address) bool {
			return is.Prefix == want.Prefix && is.Flags&link.NoPrefixRoute != 0
		})
		if !right {
			what = append(what, "address "+want.Prefix.String()+" (noprefixroute) is not on link "+l.Name)
		}
	}
	extra, err := strangers(c, l, e)
	for _, a := range extra {
		what = append(what, "address "+a.Prefix.String()+" is on link "+l.Name+" and should not be")
	}
	return what, err
}

func missingRules(c *link.Conn, e ENI, six bool) (what []string, err error) {
	there := map[uint8][]link.Rule{}
	for _, family := range families {
		if there[family], err = c.Rules(family); err != nil {
			return nil, err
		}
	}
	for _, want := range append(podsRules(six), eniRules(e)...) {
		if !slices.Contains(there[want.Family], want) {
			what = append(what, `rule "`+want.String()+`" is missing`)
		}
	}
	stale, err := staleRules(c, e)
	for _, r := range stale {
		what = append(what, `rule "`+r.String()+`" should not be there`)
	}
	return what, err
}

func missingRoutes(c *link.Conn, l link.Link, e ENI) (what []string, err error) {
	for _, want := range eniRoutes(l.Index, e) {
		there, err := c.Routes(link.RouteFilter{Family: familyOf(want.Dst.Addr()), Table: want.Table})
		if err != nil {
			return nil, err
		}
		right := slices.ContainsFunc(there, func(is link.Route) bool {
			return is.Dst == want.Dst && is.Gateway == want.Gateway && is.Link == want.Link && is.Protocol == want.Protocol
		})
		if !right {
			what = append(what, `route "`+want.String()+`" is missing`)
		}
	}
	return what, nil
}

// absent says whether an error means that the link is not there.
func absent(err error) bool { return errors.Is(err, ErrNoLink) || errors.Is(err, link.ErrAbsent) }
