package kernel

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
)

// tables reads nftables and, where somebody uses it, iptables. A table that iptables-nft keeps in nftables stands
// under iptables alone, in iptables' own words.
func (r *reader) tables(ruleset *started) (nft, iptables []string, err error) {
	text, err := ruleset.text()
	if errors.Is(err, errMissing) {
		nft, text = []string{"unknown: " + err.Error()}, ""
	} else if err != nil {
		return nil, nil, err
	}
	all := nftTables(text)
	kept := map[string]bool{} // nft tables that iptables has printed
	var running []*started
	var names []string
	start := func(name string) { running, names = append(running, r.start(name)), append(names, name) }
	for _, family := range []struct{ nft, tool string }{{"ip", "iptables"}, {"ip6", "ip6tables"}} {
		if slices.ContainsFunc(all, func(t nftTable) bool { return t.likeIPTables(family.nft) }) {
			start(family.tool + "-nft-save")
		}
		switch used, err := legacy("/proc/thread-self/net/" + strings.Replace(family.tool, "tables", "_tables_names", 1)); {
		case err != nil:
			iptables = append(iptables, "unknown: "+family.tool+"-legacy, whose tables only the machine's root may list")
		case used:
			start(family.tool + "-legacy-save")
		}
	}
	for i, s := range running {
		text, err := s.text()
		if errors.Is(err, errMissing) {
			continue // then its tables stand under nft
		}
		if err != nil {
			return nil, nil, err
		}
		tool := strings.TrimSuffix(names[i], "-save")
		lines, tables := iptablesLines(tool, text)
		iptables = append(iptables, lines...)
		if family, ok := map[string]string{"iptables-nft": "ip ", "ip6tables-nft": "ip6 "}[tool]; ok {
			for _, table := range tables {
				kept[family+table] = true
			}
		}
	}
	for _, t := range all {
		if !kept[t.name] {
			nft = append(nft, t.lines...)
		}
	}
	return nft, iptables, nil
}

// legacy says whether legacy iptables has tables in this namespace: only then may its tool be asked, which makes them.
func legacy(namesFile string) (used bool, err error) {
	b, err := os.ReadFile(namesFile)
	if errors.Is(err, os.ErrNotExist) { // a kernel without it, or one that nobody has asked yet
		err = nil
	}
	return len(strings.TrimSpace(string(b))) > 0, err
}

// counters stand in brackets behind a chain and before a rule.
var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// iptablesLines are the chains and rules of what iptables-save printed, each with its tool and table, and the tables.
func iptablesLines(tool, text string) (lines, tables []string) {
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(counters.ReplaceAllString(line, ""))
		switch {
		case line == "" || line == "COMMIT" || strings.HasPrefix(line, "#"):
		case line[0] == '*':
			table = line[1:]
			tables = append(tables, table)
			lines = append(lines, tool+" table "+table)
		case line[0] == ':':
			chain, policy, _ := strings.Cut(line[1:], " ")
			switch strings.TrimSpace(policy) {
			case "ACCEPT": // as every table begins
			case "-":
				lines = append(lines, tool+" "+table+" chain "+chain)
			default:
				lines = append(lines, tool+" "+table+" chain "+chain+" policy "+policy)
			}
		default:
			lines = append(lines, tool+" "+table+" "+line)
		}
	}
	return lines, tables
}
