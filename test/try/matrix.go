package try

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/test/node"
)

// Cell is one trial of a matrix.
type Cell struct {
	Version  string   `json:"cniVersion"`
	Families []string `json:"families"`
	Not      string   `json:"not,omitempty"` // why it was not tried
	Report   *Report  `json:"report,omitempty"`
}

// versions and families that a matrix goes through.
var (
	versions = []string{"0.4.0", "1.0.0", "1.1.0"}
	families = [][]string{{"ipv4"}, {"ipv4", "ipv6"}, {"ipv6"}}
)

// Matrix tries a list in every CNI version and with every address family, on a node made new for each. A version that
// a stage does not speak is not tried.
func Matrix(ctx context.Context, n *node.Node, l *chain.List, o Options) ([]Cell, error) {
	if o.Contracts == nil {
		o.Contracts = chain.Installed(o.Path, known.Of)
	}
	var cells []Cell
	for _, v := range versions {
		for _, f := range families {
			cell := Cell{Version: v, Families: f, Not: unspoken(ctx, l, o.Contracts, v)}
			if cell.Not == "" {
				if err := n.Reset(ctx); err != nil {
					return cells, err
				}
				one := o
				one.Version, one.Families = v, f
				if say := o.Progress; say != nil {
					one.Progress = func(what string) { say(fmt.Sprintf("%s %s: %s", v, strings.Join(f, "+"), what)) }
				}
				r, err := Run(ctx, n, l, one)
				if err != nil {
					return cells, err
				}
				cell.Report = r
			}
			cells = append(cells, cell)
		}
	}
	return cells, nil
}

// unspoken says which stage does not speak a version; "" where all do, or nobody knows.
func unspoken(ctx context.Context, l *chain.List, contracts chain.Contracts, version string) string {
	for _, s := range l.Stages {
		if k := contracts.Of(ctx, s.Type, s.Config); len(k.Versions) > 0 && !slices.Contains(k.Versions, version) {
			return s.Type + " does not speak it"
		}
	}
	return ""
}

// MatrixText is the matrix for people: one row a version, and below it why cells do not work, same reasons once.
func MatrixText(cells []Cell) string {
	var b strings.Builder
	rows := map[string][]string{}
	reasons := map[string][]string{}
	var order []string
	for _, c := range cells {
		text := "works"
		switch {
		case c.Not != "":
			text = "-"
		case len(c.Report.Broken) > 0:
			text = fmt.Sprintf("broken, %d reasons", len(c.Report.Broken))
			if len(c.Report.Broken) == 1 {
				text = "broken"
			}
			for _, reason := range c.Report.Broken {
				if reasons[reason] == nil {
					order = append(order, reason)
				}
				reasons[reason] = append(reasons[reason], c.Version+" "+strings.Join(c.Families, "+"))
			}
		}
		if c.Report != nil {
			text += fmt.Sprintf("  %.1f s", c.Report.Took.Seconds())
		}
		rows[c.Version] = append(rows[c.Version], text)
	}
	head := fmt.Sprintf("%-8s", "CNI")
	for _, f := range families {
		head += fmt.Sprintf("%-26s", strings.Join(f, "+"))
	}
	fmt.Fprintln(&b, strings.TrimRight(head, " "))
	for _, v := range versions {
		line := fmt.Sprintf("%-8s", v)
		for _, cell := range rows[v] {
			line += fmt.Sprintf("%-26s", cell)
		}
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	var not []string
	for _, c := range cells {
		if c.Not != "" {
			not = once(not, fmt.Sprintf("%s: %s", c.Version, c.Not))
		}
	}
	for _, n := range not {
		fmt.Fprintf(&b, "\nnot tried: %s\n", n)
	}
	for _, reason := range order {
		fmt.Fprintf(&b, "\n  * %s\n    in %s\n", reason, strings.Join(reasons[reason], ", "))
	}
	return b.String()
}
