package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Style is how a report is printed for people.
type Style struct {
	Color bool // with the terminal's colours
	Quiet bool // failures only
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	plainS = "\x1b[0m"
)

func (s Style) paint(color, text string) string {
	if !s.Color {
		return text
	}
	return color + text + plainS
}

// Text prints a report: a line for each assertion, and what was expected, seen, and can be tried for each failure.
func (s Style) Text(w io.Writer, r *Report) {
	s.head(w, r)
	for _, f := range r.Findings {
		s.Line(w, f)
	}
	s.Summary(w, r)
}

func (s Style) head(w io.Writer, r *Report) {
	fmt.Fprintf(w, "%s  %s\n", s.paint(bold, r.Plugin), s.paint(dim, strings.TrimSpace(string(r.Kind)+" plugin, CNI "+strings.Join(r.Versions, " "))))
	if r.NotRun != "" {
		fmt.Fprintf(w, "– not run: %s\n", r.NotRun)
	}
}

// mark is the first sign of a line.
func (s Style) mark(o Outcome) string {
	switch o {
	case Passed:
		return s.paint(green, "✓")
	case Failed:
		return s.paint(red, "✗")
	case Deviates:
		return s.paint(yellow, "~")
	}
	return s.paint(dim, "–")
}

// width is where the sentence of an assertion begins.
const width = 23

// Line prints one finding.
func (s Style) Line(w io.Writer, f Finding) {
	if s.Quiet && f.Outcome != Failed {
		return
	}
	fmt.Fprintf(w, "%s %-4s %-10s  %s\n", s.mark(f.Outcome), f.ID, f.Strength, f.Sentence)
	note := func(word, color, text string) {
		if text != "" {
			fmt.Fprintf(w, "%*s%s %s\n", width-5, "", s.paint(color, word), text)
		}
	}
	switch f.Outcome {
	case NotRun:
		note("not run:", dim, f.Why)
	case Deviates:
		note("DEVIATES (declared):", yellow, f.Why)
	case Failed:
		note("expected", red, f.Expected)
		note("seen    ", red, f.Seen)
		note("section ", dim, f.Section)
		for i, line := range f.Try {
			word := "        "
			if i == 0 {
				word = "try     "
			}
			note(word, dim, strings.ReplaceAll(line, "\n", fmt.Sprintf("\n%*s", width+4, "")))
		}
	}
}

// Summary prints the tallies of a report.
func (s Style) Summary(w io.Writer, r *Report) {
	if r.NotRun != "" {
		return
	}
	var parts []string
	for _, strength := range []Strength{Must, Should, Convention} {
		t := r.Count(strength)
		part := fmt.Sprintf("%s %d of %d", strength, t.Passed, t.Tried())
		color := green
		if t.Failed > 0 {
			color = red
		}
		if t.Deviates > 0 {
			part += fmt.Sprintf(" (%d declared)", t.Deviates)
		}
		parts = append(parts, s.paint(color, part))
	}
	not := r.Count(Must).NotRun + r.Count(Should).NotRun + r.Count(Convention).NotRun
	fmt.Fprintf(w, "\n%s: %s, not run %d; %s\n", s.paint(bold, r.Plugin), strings.Join(parts, ", "), not, r.Took.Round(100*time.Millisecond))
}

// JSON prints reports with their tallies.
func JSON(w io.Writer, reports []*Report) error {
	type form struct {
		*Report
		Conforms bool               `json:"conforms"`
		Tally    map[Strength]Tally `json:"tally"`
	}
	var all []form
	for _, r := range reports {
		f := form{Report: r, Conforms: r.Conforms(), Tally: map[Strength]Tally{}}
		for _, s := range []Strength{Must, Should, Convention} {
			f.Tally[s] = r.Count(s)
		}
		all = append(all, f)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{"specification": "1.1.0", "plugins": all}); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}
