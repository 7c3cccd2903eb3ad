package kernel

import (
	"regexp"
	"slices"
	"strings"
)

// nftTable is one table of nftables, its lines complete each for itself.
type nftTable struct {
	name  string // "inet enichain-snat"
	lines []string
}

// likeIPTables says whether a table may be iptables-nft's: it bears one of iptables' names.
func (t nftTable) likeIPTables(family string) bool {
	f, name, _ := strings.Cut(t.name, " ")
	return f == family && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, name)
}

// passing are the words of the ruleset that move by themselves.
var passing = regexp.MustCompile(` (expires \S+|counter packets \d+ bytes \d+)|# handle \d+`)

// nftTables reads what 'nft -s list ruleset' printed. Elements of sets and maps become lines of their own, sorted;
// rules keep their order.
func nftTables(text string) []nftTable {
	var tables []nftTable
	var block string // "chain steer"
	var elements strings.Builder
	listing := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(passing.ReplaceAllString(line, ""))
		if line == "" || line[0] == '#' {
			continue
		}
		var t *nftTable
		if len(tables) > 0 {
			t = &tables[len(tables)-1]
		}
		switch {
		case listing || strings.HasPrefix(line, "elements = {"):
			listing = true
			elements.WriteString(strings.TrimPrefix(line, "elements = {") + " ")
			if balanced(elements.String()) {
				t.add(block, nftElements(elements.String()))
				elements.Reset()
				listing = false
			}
		case strings.HasSuffix(line, "{") && strings.HasPrefix(line, "table "):
			name := strings.TrimSuffix(strings.TrimPrefix(line, "table "), " {")
			tables, block = append(tables, nftTable{name: name, lines: []string{"table " + name}}), ""
		case strings.HasSuffix(line, "{") && block == "":
			block = strings.TrimSuffix(line, " {")
			t.lines = append(t.lines, t.name+" "+block)
		case line == "}":
			block = ""
		default:
			t.add(block, []string{line})
		}
	}
	return tables
}

func (t *nftTable) add(block string, lines []string) {
	prefix := t.name
	if block != "" {
		prefix += " " + block
	}
	for _, line := range lines {
		t.lines = append(t.lines, prefix+": "+line)
	}
}

// balanced says whether the brace that opened the elements is closed; braces in comments do not count.
func balanced(s string) bool {
	depth, quoted := 1, false
	for _, c := range s {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	return depth == 0
}

// nftElements splits the elements at their commas, but for those within quotes or braces, and sorts them.
func nftElements(s string) []string {
	s = strings.TrimSuffix(strings.TrimSpace(s), "}")
	var all []string
	depth, quoted, from := 0, false, 0
	take := func(to int) {
		if one := strings.Join(strings.Fields(s[from:to]), " "); one != "" {
			all = append(all, "element "+one)
		}
		from = to + 1
	}
	for i, c := range s {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ',' && depth == 0:
			take(i)
		}
	}
	take(len(s))
	slices.Sort(all)
	return all
}
