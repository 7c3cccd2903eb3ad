package main

import (
	"fmt"
	"strings"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// legend explains the glyphs; they differ without colour.
const legend = "■ leased  □ warm  ◌ cooling  ▨ fenced  × held  ◦ not ready yet  ? lost  P primary (never a pod's)"

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

// slots is one interface as a row of glyphs, in order of address, held ones last.
func slots(s store.State, id ipam.ENIID) string {
	var b strings.Builder
	for _, a := range s.Addresses {
		if a.ENI == id {
			b.WriteString(glyph(a))
		}
	}
	for _, h := range s.Held {
		if h.ENI == id {
			b.WriteString("×")
		}
	}
	return b.String()
}

// link is what people call an interface: its name in the kernel, or its id while it has none.
func link(e store.ENI) string {
	if e.Link == "" {
		return string(e.ENI)
	}
	return e.Link
}

func pools(s store.State) (names []string) {
	seen := map[string]bool{}
	for _, e := range s.ENIs {
		if !seen[e.Pool] {
			seen[e.Pool] = true
			names = append(names, e.Pool)
		}
	}
	return names
}

// sum adds the counts of a pool's interfaces; "" means all pools.
func sum(s store.State, pool string) (c store.Counts, all int) {
	for _, e := range s.ENIs {
		if pool == "" || e.Pool == pool {
			c.Pending += e.Counts.Pending
			c.Free += e.Counts.Free
			c.Leased += e.Counts.Leased
			c.Lost += e.Counts.Lost
			c.Cooling += e.Counts.Cooling
			c.Fenced += e.Counts.Fenced
			c.Held += e.Counts.Held
		}
	}
	return c, inAll(c)
}

// inAll is how many addresses the node has; held ones are gone.
func inAll(c store.Counts) int { return c.Pending + c.Free + c.Leased + c.Cooling + c.Fenced }

// counts is a pool in one line; what is zero and unusual is left out.
func counts(c store.Counts, all int) string {
	text := fmt.Sprintf("%s: %d leased  %d warm  %d cooling", plural(all, "address"), c.Leased, c.Free, c.Cooling)
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
