// Package report tells what a bench measured: as tables in Markdown, as JSON, as pictures, held against the targets, and
// compared with what was measured before.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/bench/figure"
)

// Report is one run of the bench.
type Report struct {
	When     time.Time        `json:"when"`
	Machine  string           `json:"machine"`
	Scale    float64          `json:"scale"` // of the numbers of samples
	Sections []figure.Section `json:"sections"`
}

// Machine says in a line where this runs.
func Machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return runtime.GOARCH
	}
	return fmt.Sprintf("%d processors (%s), Linux %s, %s", runtime.NumCPU(), processor(), unix.ByteSliceToString(name.Release[:]), runtime.Version())
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

// Find is a figure of any section.
func (r *Report) Find(id string) (figure.Figure, bool) {
	for i := range r.Sections {
		if f, ok := r.Sections[i].Find(id); ok {
			return f, true
		}
	}
	return figure.Figure{}, false
}

// Save writes the report as JSON.
func (r *Report) Save(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the report: %w", err)
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Load reads reports that were saved, as one: of a section that several have the last counts.
func Load(files []string) (*Report, error) {
	all := &Report{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		var r Report
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the report %s: %w", file, err)
		}
		all.When, all.Machine, all.Scale = r.When, r.Machine, r.Scale
		for _, s := range r.Sections {
			all.Sections = append(slices.DeleteFunc(all.Sections, func(old figure.Section) bool { return old.Name == s.Name }), s)
		}
	}
	return all, nil
}

// Write writes all of it in Markdown; changes are what Compare found, nil where there is no baseline.
func (r *Report) Write(w io.Writer, changes *Changes) {
	fmt.Fprintf(w, "%s, %s.\n", r.When.UTC().Format("2006-01-02 15:04"), r.Machine)
	for _, s := range r.Sections {
		fmt.Fprintf(w, "\n## %s\n\n%s\n", s.Title, s.Method)
		for _, missing := range s.Missing {
			fmt.Fprintf(w, "\nNot measured: %s\n", missing)
		}
		for _, t := range s.Tables {
			fmt.Fprintf(w, "\n### %s\n\n%s", t.Title, r.Table(t))
		}
		if len(s.Tables) == 0 {
			fmt.Fprintf(w, "\n%s", all(s))
		}
	}
	fmt.Fprintf(w, "\n## Targets\n\n%s", r.Targets(""))
	if changes != nil {
		fmt.Fprintf(w, "\n## Compared with the baseline\n\n%s", changes)
	}
}

// all is every figure of a section that has no tables.
func all(s figure.Section) string {
	var b strings.Builder
	b.WriteString("| figure | |\n|---|--:|\n")
	for _, f := range s.Figures {
		fmt.Fprintf(&b, "| %s | %s |\n", f.What, Cell(f))
	}
	return b.String()
}
