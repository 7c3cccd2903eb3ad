package conformance

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/enichain/enichain/test/kernel"
)

// accidentSuite finds out by itself what ADD made in the kernel, takes it away piece by piece, each in a fresh world, and
// expects CHECK to notice.
func accidentSuite() []Assertion {
	return []Assertion{
		{"N22", wires, Should, "Section 2, CHECK", "The plugin should return an error if a resource included in the CNI Result type (interface, address or route) is missing.", noticesResult},
		{"N24", wires, Should, "Section 2, CHECK", "The plugin should return an error if other resources not tracked in the Result type are missing.", noticesOther},
		{"M5", chainOnly, Should, "Section 2, CHECK", "The plugin should return an error if firewall rules, traffic shaping controls, or other resources are missing.", noticesAll},
	}
}

func noticesResult(t *trial) { t.notices(tracked) }
func noticesOther(t *trial)  { t.notices(func(c change, r object) bool { return !tracked(c, r) }) }
func noticesAll(t *trial)    { t.notices(func(change, object) bool { return true }) }

// tracked says whether the result has a thing: its links, and the container's addresses and routes.
func tracked(c change, result object) bool {
	first, _, _ := strings.Cut(c.Line, " ")
	has := func(key, member string) bool {
		return slices.ContainsFunc(list(result, key), func(o object) bool {
			said := text(o, member)
			return said == first || said == "0.0.0.0/0" && first == "default" || bare(said) == bare(first) && c.Section == kernel.Addresses
		})
	}
	switch c.Section {
	case kernel.Links:
		return has("interfaces", "name")
	case kernel.Addresses:
		return c.netns != "" && has("ips", "address")
	case kernel.Routes:
		return c.netns != "" && has("routes", "dst")
	}
	return false
}

// accident is a shell line that takes one thing away.
type accident struct {
	change change
	line   string
}

// accidents are the ways to take away what came with after.
func (t *trial) accidents(before, after picture, which func(change) bool) []accident {
	var all []accident
	changes := t.changes(before, after)
	for _, c := range changes {
		if !c.Added || !which(c) || c.Section == kernel.Sysctls && t.s.kind != Chained {
			continue
		}
		if line := c.removal(before, changes); line != "" {
			all = append(all, accident{c, line})
		}
	}
	return all
}

func (t *trial) notices(which func(change, object) bool) {
	if t.p.NoDetection != "" {
		t.skip("%s", t.p.NoDetection)
	}
	var before picture
	find := func(t *trial) (attachment, object, []accident) {
		a := t.attach()
		if before.states == nil { // a fresh world looks like every other
			before = t.look()
		}
		result := t.added(a)
		return a, result, t.accidents(before, t.look(), func(c change) bool { return which(c, result) })
	}
	a, result, all := find(t)
	t.sound(a, result)
	if len(all) == 0 {
		t.skip("ADD makes nothing of this sort")
	}
	var missed []string
	for i := range all {
		var line string
		v, script := t.s.inWorld(t.ctx, func(t *trial) {
			a, result, all := find(t)
			if i >= len(all) {
				return
			}
			line = all[i].line
			if out, err := t.shell(line); err != nil {
				t.skip("cannot take it away: %s: %s", line, out)
			}
			got := t.checked(a, result)
			t.expect(got.refused, "", "")
		})
		if v.outcome == Failed {
			if len(missed) == 0 {
				t.script = script
			}
			missed = append(missed, line)
		}
	}
	t.expect(len(missed) == 0, fmt.Sprintf("an error of CHECK after each of %d accidents", len(all)), "success after: %s", strings.Join(missed, "; "))
}

// linkLine is the line of a link in a state.
func linkLine(s kernel.State, name string) (string, bool) {
	for _, line := range s.Of(kernel.Links) {
		if strings.HasPrefix(line, name+" ") {
			return line, true
		}
	}
	return "", false
}

// removal is the shell line that takes away what a change has added; "" where there is none.
func (c change) removal(before picture, all []change) string {
	ip, inside := "ip ", ""
	if c.netns != "" {
		ip, inside = "ip -n "+filepath.Base(c.netns)+" ", "nsenter --net="+c.netns+" "
	}
	words := strings.Fields(c.Line)
	family := "-4 "
	if strings.Contains(words[0], ":") || words[0] == "inet6" || len(words) > 1 && strings.Contains(words[1], ":") {
		family = "-6 "
	}
	switch c.Section {
	case kernel.Links:
		if _, was := linkLine(before.states[c.netns], words[0]); was {
			return ""
		}
		return ip + "link del " + words[0]
	case kernel.Addresses:
		return ip + "addr del " + strings.Join(words[:3], " ")
	case kernel.Routes:
		if strings.Contains(c.Line, "proto kernel") {
			return ""
		}
		return ip + family + "route del " + c.Line
	case kernel.Rules:
		return ip + ruleRemoval(words)
	case kernel.Neighbours:
		return ip + "neigh del " + strings.Join(words[:3], " ")
	case kernel.NFT:
		return nftRemoval(inside, c.Line)
	case kernel.IPTables:
		if len(words) > 3 && words[2] == "-A" {
			return fmt.Sprintf("%s%s -t %s -D %s", inside, words[0], words[1], strings.Join(words[3:], " "))
		}
	case kernel.TC:
		return c.tcRemoval(inside, words)
	case kernel.Sysctls:
		return c.sysctlRemoval(inside, all)
	}
	return ""
}

func ruleRemoval(words []string) string {
	if words[0] == "inet6" {
		return "-6 rule del pref " + strings.TrimSuffix(words[1], ":") + " " + strings.Join(words[2:], " ")
	}
	return "rule del pref " + strings.TrimSuffix(words[0], ":") + " " + strings.Join(words[1:], " ")
}

// nftRemoval takes away a table, a rule (by its handle) or an element.
func nftRemoval(inside, line string) string {
	block, text, inBlock := strings.Cut(line, ": ")
	words := strings.Fields(block)
	switch {
	case strings.HasPrefix(line, "table "):
		return inside + "nft delete " + line
	case !inBlock || len(words) != 4:
		return ""
	case words[2] == "chain" && !strings.HasPrefix(text, "type "):
		return fmt.Sprintf(`%snft delete rule %s %s %s handle $(%snft -sa list chain %s %s %s | grep -F -- %s | sed 's/.*# handle //' | head -1)`,
			inside, words[0], words[1], words[3], inside, words[0], words[1], words[3], quoted(text))
	case strings.HasPrefix(text, "element "):
		key, _, _ := strings.Cut(strings.TrimPrefix(text, "element "), " comment ")
		key, _, _ = strings.Cut(key, " : ")
		return fmt.Sprintf("%snft delete element %s %s %s '{ %s }'", inside, words[0], words[1], words[3], key)
	}
	return ""
}

func (c change) tcRemoval(inside string, words []string) string {
	at := slices.Index(words, "dev")
	if words[0] != "qdisc" || at < 0 || at+2 >= len(words) {
		return ""
	}
	where := "root"
	if words[1] == "ingress" || words[1] == "clsact" {
		where = words[1]
	}
	return fmt.Sprintf("%stc qdisc del dev %s %s", inside, words[at+1], where)
}

// sysctlRemoval sets a switch back to what it was, or to what it is not.
func (c change) sysctlRemoval(inside string, all []change) string {
	key, value, _ := strings.Cut(c.Line, " = ")
	back := map[string]string{"0": "1", "1": "0"}[value]
	for _, other := range all {
		if was, ok := strings.CutPrefix(other.Line, key+" = "); ok && !other.Added && other.netns == c.netns {
			back = was
		}
	}
	if back == "" {
		return ""
	}
	return fmt.Sprintf("%ssh -c 'echo %s > /proc/sys/%s'", inside, back, sysctlPath(key))
}

// sysctlPath is the file of a sysctl; a link's name may hold dots.
func sysctlPath(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) > 5 {
		parts = append(append(slices.Clone(parts[:3]), strings.Join(parts[3:len(parts)-1], ".")), parts[len(parts)-1])
	}
	return strings.Join(parts, "/")
}
