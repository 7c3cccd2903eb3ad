package conformance

import (
	"fmt"
	"io"
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

// Failures prints as Markdown what each plugin fails, with what was expected, what was seen, and the shell lines that show
// it.
func Failures(w io.Writer, reports []*Report) {
	for _, r := range reports {
		if len(r.ids(Failed)) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n", r.Plugin)
		for _, f := range r.Findings {
			if f.Outcome != Failed {
				continue
			}
			fmt.Fprintf(w, "\n### %s %s: %s\n\n", r.Plugin, f.ID, f.Strength)
			fmt.Fprintf(w, "> %s (%s)\n\nExpected: %s\n\nSeen: %s\n\n", cell(f.Sentence), cell(f.Section), cell(f.Expected), cell(f.Seen))
			fmt.Fprintf(w, "```sh\n%s\n```\n", strings.Join(f.Try, "\n"))
		}
	}
}

// Assertions is the suite as a Markdown table.
func Assertions() string {
	var b strings.Builder
	b.WriteString("| id | strength | kinds | sentence | where it stands |\n|---|---|---|---|---|\n")
	for _, a := range Suite() {
		kinds := "all"
		if len(a.Kinds) < len(every) {
			words := []string{}
			for _, k := range a.Kinds {
				words = append(words, string(k))
			}
			kinds = strings.Join(words, ", ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.ID, a.Strength, kinds, cell(a.Sentence), cell(a.Section))
	}
	return b.String()
}

// cell makes a text fit for a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*", "_", "\\_").Replace(s)
}
