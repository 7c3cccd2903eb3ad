package routedveth

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

var families = []uint8{unix.AF_INET, unix.AF_INET6}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// podsRule stands once per family, however many pods and network interfaces there are.
func podsRule(family uint8) link.Rule {
	return link.Rule{Family: family, Priority: numbers.RulePods, Table: numbers.PodsTable, Protocol: numbers.Protocol}
}

// podsRules are podsRule for IPv4, and for IPv6 where the node has it.
func podsRules(six bool) []link.Rule {
	if six {
		return []link.Rule{podsRule(unix.AF_INET), podsRule(unix.AF_INET6)}
	}
	return []link.Rule{podsRule(unix.AF_INET)}
}

// eniRules lead to a secondary network interface's table: what bears its primary address, and what bears its mark.
func eniRules(e ENI) (out []link.Rule) {
	if e.N == 0 {
		return nil
	}
	for _, a := range primaries(e) {
		out = append(out, link.Rule{
			Family: familyOf(a), Priority: numbers.RuleFrom, From: netip.PrefixFrom(a, a.BitLen()),
			Table: numbers.ENITable(e.N), Protocol: numbers.Protocol,
		}, link.Rule{
			Family: familyOf(a), Priority: numbers.RuleMark, Mark: uint32(e.N), Mask: numbers.MarkMask,
			Table: numbers.ENITable(e.N), Protocol: numbers.Protocol,
		})
	}
	return out
}

func ensureRules(c *link.Conn, rules []link.Rule) error {
	out := make([]link.Message, 0, len(rules))
	for _, r := range rules {
		out = append(out, link.AddRule(r))
	}
	return c.Do(out...)
}

// staleRules are those of ours that lead to the network interface's table and should not: from an address that it had
// before, say.
func staleRules(c *link.Conn, e ENI) (stale []link.Rule, err error) {
	wanted := eniRules(e)
	for _, family := range families {
		rules, err := c.Rules(family)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if e.N > 0 && r.Protocol == numbers.Protocol && r.Table == numbers.ENITable(e.N) && !slices.Contains(wanted, r) {
				stale = append(stale, r)
			}
		}
	}
	return stale, nil
}

func removeRules(c *link.Conn, rules []link.Rule) error {
	out := make([]link.Message, 0, len(rules))
	for _, r := range rules {
		out = append(out, link.DelRule(r))
	}
	return c.Do(out...)
}

// forwarding lets the node pass packets on. A node that learns its IPv6 default route from the router forgets it when
// it starts to forward, unless told on that one link (never in conf.default: a pod's own advertisement would be
// believed) to go on listening.
func forwarding(four, six bool, uplink string) error {
	var errs []error
	if four {
		errs = append(errs, link.EnsureSysctl("net/ipv4/ip_forward", "1"))
	}
	if six {
		if uplink != "" {
			if is, err := link.Sysctl("net/ipv6/conf/" + uplink + "/accept_ra"); err == nil && is == "1" {
				errs = append(errs, link.EnsureSysctl("net/ipv6/conf/"+uplink+"/accept_ra", "2"))
			}
		}
		errs = append(errs, link.EnsureSysctl("net/ipv6/conf/all/forwarding", "1"))
	}
	return errors.Join(errs...)
}

type sysctl struct{ key, value string }

// eniSysctls are what a network interface's link needs: the way back may differ from the way in (2 is "loose"), a
// second router's advertisements must not make a second default route, and what the node itself answers for a pod
// (resets) leaves by the network interface that the question came in by.
func eniSysctls(link string, n int) []sysctl {
	all := []sysctl{
		{"net/ipv4/conf/" + link + "/rp_filter", "2"},
		{"net/ipv4/fwmark_reflect", "1"},
		{"net/ipv6/fwmark_reflect", "1"},
	}
	if n > 0 {
		all = append(all, sysctl{"net/ipv6/conf/" + link + "/accept_ra", "0"})
	}
	return all
}

func ensureSysctls(all []sysctl) error {
	var errs []error
	for _, s := range all {
		if err := link.EnsureSysctl(s.key, s.value); !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// missingSysctls says which are not as they should be.
func missingSysctls(all []sysctl) (missing []string) {
	for _, s := range all {
		is, err := link.Sysctl(s.key)
		if err == nil && is != s.value {
			missing = append(missing, "sysctl "+s.key+" is "+is+", not "+s.value)
		}
	}
	return missing
}
