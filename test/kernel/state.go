// Package kernel is what a network namespace holds, as lines that people can read, and the difference between two of
// them: links, addresses, routes, rules, neighbours, nftables, iptables, traffic control and sysctls. What moves by
// itself is left out (counters, handles, ages, interface indexes, and the routes that the kernel derives from
// addresses), so that two states differ only where somebody has changed something.
package kernel

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The sections of a State, in their order.
const (
	Links      = "link"
	Addresses  = "address"
	Routes     = "route"
	Rules      = "rule"
	Neighbours = "neighbour"
	NFT        = "nft"
	IPTables   = "iptables"
	TC         = "tc"
	Sysctls    = "sysctl"
)

// State is what one network namespace holds.
type State struct {
	Sections []Section `json:"sections"`
}

// Section is one kind of things. Lines are sorted, but where their order means something: rules, nft, iptables.
type Section struct {
	Name  string   `json:"name"`
	Lines []string `json:"lines"`
}

// Read reads the network namespace at a path; "" is that of the calling thread. A tool that is not installed costs its
// section: that says so in a line.
func Read(ctx context.Context, netns string) (State, error) {
	var s State
	err := inside(netns, func(r *reader) error {
		r.ctx = ctx
		var err error
		s, err = r.read()
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("cannot read the kernel's state in %s: %w", place(netns), err)
	}
	return s, nil
}

func place(netns string) string {
	if netns == "" {
		return "this network namespace"
	}
	return netns
}

// Of returns the lines of one section.
func (s State) Of(section string) []string {
	for _, one := range s.Sections {
		if one.Name == section {
			return one.Lines
		}
	}
	return nil
}

func (s State) has(section string) bool {
	return slices.ContainsFunc(s.Sections, func(one Section) bool { return one.Name == section })
}

// Text is the state as paragraphs with headings; empty sections are left out.
func (s State) Text() string {
	var b strings.Builder
	for _, one := range s.Sections {
		if len(one.Lines) == 0 {
			continue
		}
		b.WriteString(one.Name + "\n")
		for _, line := range one.Lines {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

// Normalise puts other words for some (names and addresses made by chance), the longest first, and sorts again.
func (s State) Normalise(words map[string]string) State {
	var from []string
	for word := range words {
		if word != "" {
			from = append(from, word)
		}
	}
	slices.SortFunc(from, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, word := range from {
		pairs = append(pairs, word, words[word])
	}
	replace := strings.NewReplacer(pairs...)
	out := State{Sections: make([]Section, len(s.Sections))}
	for i, one := range s.Sections {
		lines := make([]string, len(one.Lines))
		for j, line := range one.Lines {
			lines[j] = replace.Replace(line)
		}
		if !ordered(one.Name) {
			slices.Sort(lines)
		}
		out.Sections[i] = Section{one.Name, lines}
	}
	return out
}

// ordered says whether the order of a section's lines means something to the kernel.
func ordered(section string) bool { return section == Rules || section == NFT || section == IPTables }
