package kernel

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one line that came or went.
type Change struct {
	Section string `json:"section"`
	Line    string `json:"line"`
	Added   bool   `json:"added"`
}

// String is the change as people read it: "+ route 10.0.0.1 dev eth0".
func (c Change) String() string {
	sign := "-"
	if c.Added {
		sign = "+"
	}
	return fmt.Sprintf("%s %-9s %s", sign, c.Section, c.Line)
}

// Diff is what has to be done to before, so that it becomes after: section by section, in the order of the lines.
// A line that only moved among rules, nft or iptables goes and comes.
func Diff(before, after State) []Change {
	var all []Change
	for _, one := range before.Sections {
		all = append(all, difference(one.Name, one.Lines, after.Of(one.Name))...)
	}
	for _, one := range after.Sections {
		if !before.has(one.Name) {
			all = append(all, difference(one.Name, nil, one.Lines)...)
		}
	}
	return all
}

// difference of two lists of lines, by their longest common subsequence.
func difference(section string, a, b []string) []Change {
	var head int
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	a, b = a[head:], b[head:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	common := make([][]int, len(a)+1) // common[i][j]: length for a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var all []Change
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			all = append(all, Change{section, a[i], false})
			i++
		default:
			all = append(all, Change{section, b[j], true})
			j++
		}
	}
	return all
}

// Text is the changes as people read them, one a line; "" for none.
func Text(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.String() + "\n")
	}
	return b.String()
}

// Sections of the changes, each once, in order.
func sections(changes []Change) []string {
	var all []string
	for _, c := range changes {
		if !slices.Contains(all, c.Section) {
			all = append(all, c.Section)
		}
	}
	return all
}

// Count says how many things of each kind came or went: "2 links, 1 route"; "nothing" for none.
func Count(changes []Change) string {
	var words []string
	for _, name := range sections(changes) {
		n := 0
		for _, c := range changes {
			if c.Section == name {
				n++
			}
		}
		words = append(words, fmt.Sprintf("%d %s", n, plural(name, n)))
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

func plural(section string, n int) string {
	switch {
	case section == NFT || section == IPTables || section == TC:
		return section + " " + plural("line", n)
	case n == 1:
		return section
	case section == Addresses:
		return "addresses"
	}
	return section + "s"
}
