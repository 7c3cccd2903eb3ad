package routedveth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// repairRounds bounds how often Repair looks again after it mended something: one "ip rule flush" of thousands takes
// several blows, and ours fall between them.
const repairRounds = 4

// Repair puts back all of the stage's base that others took away: rules 500, 1499 and 1500, the kernel's own rules for
// main and default where a bare flush took them, the steering table, each network interface's link and table, and the
// routes and neighbours of the pods whose links bear our group. It says in words what it mended.
//
// enis is the complete list of the node's network interfaces; rules of ours that lead to others are removed. A node has
// at least one, so an empty list (nil or not) says that the caller knows none: then each round reads it anew from the
// links' groups and notes, and no rule is removed for leading to none of them, because it may be of one that the agent
// has marked since. An interface that is gone is for Forget.
func Repair(ctx context.Context, enis []ENI) (repaired []string, err error) {
	c, err := link.Open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for range repairRounds {
		more, err := repairOnce(ctx, c, enis)
		repaired = append(repaired, more...)
		if err != nil || len(more) == 0 {
			return repaired, err
		}
	}
	return repaired, nil
}

func repairOnce(ctx context.Context, c *link.Conn, enis []ENI) (repaired []string, err error) {
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	listed, lost := len(enis) > 0, error(nil)
	if !listed {
		enis, lost = knownENIs(links)
	}
	repaired, errs := repairKernelRules(c)
	errs = errors.Join(lost, errs)
	for _, e := range enis {
		if err := e.validate(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("cannot repair network interface %d (%s): %w", e.N, e.MAC, err))
			continue
		}
		l, err := linkOf(c, e)
		if absent(err) {
			continue // not attached: nothing to mend
		}
		if err != nil {
			return repaired, err
		}
		if !listed {
			var known bool
			if e, known = e.byNow(l); !known {
				continue
			}
		}
		if wrong := wrongMTU(l, e); wrong != "" && setMTU(c, l, e) == nil { // a refusal is Prepare's to tell
			repaired = append(repaired, wrong)
		}
		what, err := missing(ctx, c, l, e)
		if err == nil && len(what) > 0 {
			if err = prepare(ctx, c, l, e); err == nil {
				repaired = append(repaired, what...)
			}
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("cannot repair network interface %d (%s): %w", e.N, e.MAC, err))
		}
	}
	if listed {
		stale, err := removeOrphans(c, enis)
		repaired, errs = append(repaired, stale...), errors.Join(errs, err)
	}
	pods, err := repairPods(c, links)
	return append(repaired, pods...), errors.Join(errs, err)
}

// knownENIs reads the network interfaces from the links that Prepare has marked. A link that lost its group is known by
// its note, unless another has that number. One that lost its note is an error, and the others are known all the same.
func knownENIs(links []link.Link) (enis []ENI, err error) {
	marked := map[int]bool{}
	for _, l := range links {
		if n, ok := numbers.GroupENI(l.Group); ok {
			marked[n] = true
		}
	}
	for _, l := range links {
		n, ok := numbers.GroupENI(l.Group)
		if !ok {
			if n, ok = notedENI(l.Alias); !ok || marked[n] {
				continue
			}
			marked[n] = true
		}
		e, ok := readENIAlias(n, l.Alias)
		if !ok && n > 0 {
			err = errors.Join(err, fmt.Errorf("cannot rebuild %s: link %s has lost the note (alias %q) that named its addresses",
				name(n), l.Name, l.Alias))
			continue
		}
		e.N, e.MAC = n, l.MAC.String()
		if !l.Permanent.IsZero() {
			e.MAC = l.Permanent.String()
		}
		enis = append(enis, e)
	}
	slices.SortFunc(enis, func(a, b ENI) int { return a.N - b.N })
	return enis, err
}

// byNow is a network interface that was read from its link a moment ago as the link has it now; the agent may have
// changed or forgotten it since.
func (e ENI) byNow(l link.Link) (now ENI, known bool) {
	n, marked := numbers.GroupENI(l.Group)
	if marked && n != e.N {
		return e, false
	}
	if now, known = readENIAlias(e.N, l.Alias); !known {
		return e, marked && n == 0
	}
	now.MAC = e.MAC
	return now, true
}

// kernelRules are those the kernel makes with a namespace and "ip rule flush" takes: nothing else leads to the main
// table, and without it a node has no way out.
func kernelRules(family uint8) []link.Rule {
	const mainPriority, defaultPriority = 32766, 32767
	all := []link.Rule{{Family: family, Priority: mainPriority, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_KERNEL}}
	if family == unix.AF_INET {
		all = append(all, link.Rule{
			Family: family, Priority: defaultPriority, Table: unix.RT_TABLE_DEFAULT, Protocol: unix.RTPROT_KERNEL,
		})
	}
	return all
}

// repairKernelRules acts only where no rule at all leads to a table: somebody who moves such a rule has their reasons.
// Each table is looked at by itself, for a repair may find one rule gone and a flush about to take the other.
func repairKernelRules(c *link.Conn) (repaired []string, err error) {
	for _, family := range families {
		rules, err := c.Rules(family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return repaired, err
		}
		if len(rules) == 0 {
			continue
		}
		for _, r := range kernelRules(family) {
			if slices.ContainsFunc(rules, func(is link.Rule) bool { return is.Table == r.Table }) {
				continue
			}
			if err := c.Do(link.AddRule(r)); err != nil {
				return repaired, err
			}
			repaired = append(repaired, `rule "`+r.String()+`" is missing`)
		}
	}
	return repaired, nil
}

// removeOrphans removes rules of ours that lead to no network interface of the list.
func removeOrphans(c *link.Conn, enis []ENI) (removed []string, err error) {
	for _, family := range families {
		rules, err := c.Rules(family)
		if err != nil {
			return removed, err
		}
		for _, r := range rules {
			toENI := r.Table > numbers.PodsTable && r.Table <= numbers.ENITable(numbers.MaxN)
			known := slices.ContainsFunc(enis, func(e ENI) bool { return r.Table == numbers.ENITable(e.N) })
			if r.Protocol != numbers.Protocol || !toENI || known {
				continue
			}
			if err := c.Do(link.DelRule(r)); err != nil {
				return removed, err
			}
			removed = append(removed, `rule "`+r.String()+`" led to no network interface`)
		}
	}
	return removed, nil
}

// repairPods puts back the routes and neighbours of pods' links that are up, from the links' notes. A link set down and
// up again has lost both, and one whose MTU dipped below 1280 its IPv6 routes.
func repairPods(c *link.Conn, links []link.Link) (repaired []string, errs error) {
	var source sources
	if up, err := c.Uplink(false); err == nil {
		source.four = up.Source
	}
	if up, err := c.Uplink(true); err == nil {
		source.six = up.Source
	}
	have := map[netip.Addr]link.Route{}
	for _, family := range families {
		routes, err := c.Routes(link.RouteFilter{Family: family, Protocol: numbers.Protocol})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Dst.IsSingleIP() {
				have[r.Dst.Addr()] = r
			}
		}
	}
	for _, l := range links {
		_, addrs := readPodAlias(l.Alias)
		if !ours(l) || !l.Up || len(addrs) == 0 {
			continue
		}
		lost := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
			r, ok := have[a] // a route by another link is its next owner's
			return ok && (r.Link == l.Index || linkIsPod(links, r.Link))
		})
		if len(lost) == 0 {
			continue
		}
		table := numbers.PodsTable
		if !steered(links) {
			table = link.MainTable
		}
		var mend []link.Message
		for _, m := range hostSide(l.Index, table, lost, source) {
			mend = append(mend, m.Tolerating(unix.ENODEV, unix.ENETDOWN)) // its DEL came in between
		}
		if err := c.Do(mend...); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		for _, a := range lost {
			repaired = append(repaired, "route to "+a.String()+" by "+l.Name+" is missing")
		}
	}
	return repaired, errs
}

func linkIsPod(links []link.Link, index int) bool {
	return slices.ContainsFunc(links, func(l link.Link) bool { return l.Index == index && ours(l) && l.Up })
}

// steered says whether this node's pods have network interfaces, and so a table of their own.
func steered(links []link.Link) bool {
	return slices.ContainsFunc(links, func(l link.Link) bool { _, ok := numbers.GroupENI(l.Group); return ok })
}
