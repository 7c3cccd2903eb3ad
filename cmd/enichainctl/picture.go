package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// The legend explains the glyphs; they differ without colour.
const (
	legend       = "■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)"
	legendBlocks = "  [ ] a delegated prefix"
)

func glyph(a store.Address) string {
	switch {
	case a.Lost:
		return "?"
	case a.State == ipam.Leased:
		return "■"
	case a.State == ipam.Free && !a.Flagged:
		return "□"
	case a.State == ipam.Fenced:
		return "▨"
	case a.State == ipam.Pending:
		return "◦"
	}
	return "◌"
}

// slots is one interface's single addresses as a row of glyphs, in order of address, held ones last.
func slots(s store.State, e store.ENI) string {
	var b strings.Builder
	for _, a := range s.Addresses {
		if a.ENI == e.ENI && !a.Prefix.IsValid() {
			b.WriteString(glyph(a))
		}
	}
	for _, h := range s.Held {
		if h.ENI == e.ENI && h.Address.IsValid() {
			b.WriteString("×")
		}
	}
	return b.String()
}

// block is one delegated prefix and what became of its addresses.
type block struct {
	prefix netip.Prefix
	glyphs []string // in order of address
}

// blocks are the delegated prefixes of an interface, one a row: a /28 as sixteen glyphs, a longer one as numbers. Those
// that are wholly warm share one row if they are many.
func blocks(s store.State, e store.ENI) []string {
	at := map[netip.Prefix]*block{}
	var all []*block
	for _, a := range s.Addresses {
		p := a.Prefix
		if a.ENI != e.ENI || !p.IsValid() {
			continue
		}
		if at[p] == nil {
			at[p] = &block{prefix: p}
			all = append(all, at[p])
		}
		at[p].glyphs = append(at[p].glyphs, glyph(a))
	}
	const few = 4
	warm := 0
	for _, b := range all {
		if b.warm() {
			warm++
		}
	}
	var rows []string
	for _, b := range all {
		if !b.warm() || warm <= few {
			rows = append(rows, b.String())
		}
	}
	for _, h := range s.Held {
		if h.ENI == e.ENI && h.Prefix.IsValid() {
			rows = append(rows, fmt.Sprintf("[× %d]  %s", h.N, h.Prefix))
		}
	}
	if warm > few {
		rows = append(rows, fmt.Sprintf("[□] × %d more prefixes, all warm", warm))
	}
	return rows
}

func (b *block) warm() bool {
	return !slices.ContainsFunc(b.glyphs, func(g string) bool { return g != "□" })
}

func (b *block) String() string {
	const most = 16
	if len(b.glyphs) <= most {
		return "[" + strings.Join(b.glyphs, "") + "]  " + b.prefix.String()
	}
	numbers := map[string]int{}
	var order []string
	for _, g := range b.glyphs {
		if numbers[g] == 0 {
			order = append(order, g)
		}
		numbers[g]++
	}
	var parts []string
	for _, g := range order {
		parts = append(parts, fmt.Sprintf("%s %d", g, numbers[g]))
	}
	return "[" + strings.Join(parts, "  ") + "]  " + b.prefix.String()
}

// link is what people call an interface: its name in the kernel, or its id while it has none.
func link(e store.ENI) string {
	if e.Link == "" {
		return string(e.ENI)
	}
	return e.Link
}

// inAll is how many addresses there are; held ones are gone.
func inAll(c store.Counts) int { return c.Pending + c.Free + c.Leased + c.Cooling + c.Fenced }

// counts is a pool in one line; what is zero and unusual is left out.
func counts(c store.Counts) string {
	text := fmt.Sprintf("%s: %d leased  %d warm  %d cooling", plural(inAll(c), "address"), c.Leased, c.Free, c.Cooling)
	for _, p := range []struct {
		n    int
		what string
	}{{c.Fenced, "fenced"}, {c.Held, "held"}, {c.Pending, "not ready yet"}, {c.Lost, "lost"}} {
		if p.n > 0 {
			text += fmt.Sprintf("  %d %s", p.n, p.what)
		}
	}
	return text
}
