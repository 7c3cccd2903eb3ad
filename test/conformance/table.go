package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Table prints reports as Markdown: a row for each plugin, then each failure of each plugin.
func Table(w io.Writer, reports []*Report) {
	fmt.Fprintln(w, "| plugin | kind | MUST | SHOULD | convention | failures (MUST in bold) | declared |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---|---|")
	for _, r := range reports {
		if r.NotRun != "" {
			fmt.Fprintf(w, "| %s | %s | – | – | – | not run: %s | |\n", r.Plugin, r.Kind, cell(r.NotRun))
			continue
		}
		score := func(s Strength) string {
			t := r.Count(s)
			return fmt.Sprintf("%d/%d", t.Passed+t.Deviates, t.Tried())
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Plugin, r.Kind, score(Must), score(Should), score(Convention),
			strings.Join(r.ids(Failed), " "), strings.Join(r.ids(Deviates), " "))
	}
}

// ids are the assertions with an outcome, those of MUST in bold, conventions in italics.
func (r *Report) ids(o Outcome) []string {
	var ids []string
	for _, f := range r.Findings {
		switch {
		case f.Outcome != o:
		case f.Strength == Must:
			ids = append(ids, "**"+f.ID+"**")
		case f.Strength == Convention:
			ids = append(ids, "*"+f.ID+"*")
		default:
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// Failures prints as Markdown what each plugin fails, with what was seen and a command that shows it.
func Failures(w io.Writer, reports []*Report) {
	for _, r := range reports {
		failed := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Outcome == Failed })
		if !failed {
			continue
		}
		fmt.Fprintf(w, "\n### %s\n\n| id | expected | seen |\n|---|---|---|\n", r.Plugin)
		for _, f := range r.Findings {
			if f.Outcome == Failed {
				fmt.Fprintf(w, "| %s %s | %s | %s |\n", f.ID, f.Strength, cell(f.Expected), cell(f.Seen))
			}
		}
	}
}

// cell makes a text fit for a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*", "_", "\\_").Replace(s)
}
