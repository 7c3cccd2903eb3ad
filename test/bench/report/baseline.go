package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/test/bench/figure"
)

// Baseline is what a run measured that means the same elsewhere: ratios, sizes and counts. Times are not in it.
type Baseline struct {
	When    time.Time       `json:"when"`
	Machine string          `json:"machine"`
	Figures []figure.Figure `json:"figures"`
}

// Baseline is this report's.
func (r *Report) Baseline() Baseline {
	b := Baseline{When: r.When, Machine: r.Machine}
	for _, f := range r.travelling() {
		f.What = "" // of two reports the later one's words are told
		b.Figures = append(b.Figures, f)
	}
	return b
}

// travelling are the figures that are compared.
func (r *Report) travelling() (all []figure.Figure) {
	for _, s := range r.Sections {
		for _, f := range s.Figures {
			if f.Travels() && f.N > 0 {
				all = append(all, rounded(f))
			}
		}
	}
	return all
}

// rounded keeps four digits: more say nothing, and a file of them is hard to read.
func rounded(f figure.Figure) figure.Figure {
	for _, v := range []*float64{&f.Median, &f.Low, &f.High} {
		if *v != math.Trunc(*v) {
			scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(*v))))
			*v = math.Round(*v*scale) / scale
		}
	}
	return f
}

// Keep replaces the sections that were measured now, and keeps what others measured before.
func (b Baseline) Keep(before Baseline, measured []figure.Section) Baseline {
	for _, f := range before.Figures {
		kept := !slices.ContainsFunc(measured, func(s figure.Section) bool { return strings.HasPrefix(f.ID, s.Name+"/") })
		if kept {
			b.Figures = append(b.Figures, f)
		}
	}
	return b
}

// LoadBaseline reads one; a file that is not there is an empty one.
func LoadBaseline(file string) (b Baseline, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return b, fmt.Errorf("cannot read the baseline %s: %w", file, err)
	}
	return b, nil
}

// Save writes it, a figure a line, so that a change of one is a line in a diff.
func (b Baseline) Save(file string) error {
	var out strings.Builder
	fmt.Fprintf(&out, "{\n  \"when\": %q,\n  \"machine\": %q,\n  \"figures\": [", b.When.UTC().Format(time.RFC3339), b.Machine)
	for i, f := range b.Figures {
		text, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("cannot encode %s: %w", f.ID, err)
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n    " + string(text))
	}
	out.WriteString("\n  ]\n}\n")
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// Rule says in words what Compare does.
const Rule = "A figure has moved if it and the baseline's differ by more than it drifts between two runs of the same program " +
	"(CPU ratios 8 %, other ratios 10 to 50 %, sizes and counts 0), and, for a ratio, their 95 % intervals do not overlap. " +
	"Only ratios, sizes and counts are compared."

// Changes is what a report has beyond noise against a baseline.
type Changes struct {
	Since    Baseline
	Moved    []Change
	Compared int
	New      int // figures that the baseline does not have
}

// Change is a figure that moved.
type Change struct{ Before, After figure.Figure }

// Compare looks for what moved; Rule says when a figure has.
func Compare(before Baseline, now *Report) *Changes {
	known := map[string]figure.Figure{}
	for _, f := range before.Figures {
		known[f.ID] = f
	}
	c := &Changes{Since: before}
	for _, f := range now.travelling() {
		old, ok := known[f.ID]
		if !ok {
			c.New++
			continue
		}
		c.Compared++
		if moved(old, f) {
			c.Moved = append(c.Moved, Change{old, f})
		}
	}
	return c
}

func moved(old, now figure.Figure) bool {
	if old.Unit != now.Unit {
		return true
	}
	drift := now.Drift
	if drift == 0 && now.Unit == figure.Ratio {
		drift = figure.DefaultDrift
	}
	if math.Abs(now.Median-old.Median) <= drift*math.Abs(old.Median) {
		return false
	}
	return now.Unit != figure.Ratio || now.Low > old.High || now.High < old.Low
}

// String is the changes in Markdown.
func (c *Changes) String() string {
	if len(c.Since.Figures) == 0 {
		return "There is no baseline yet.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nOf %s (%s): %d figures compared, %d moved", Rule, c.Since.When.UTC().Format("2006-01-02 15:04"), c.Since.Machine, c.Compared, len(c.Moved))
	if c.New > 0 {
		fmt.Fprintf(&b, ", %d are new", c.New)
	}
	b.WriteString(".\n")
	if len(c.Moved) == 0 {
		return b.String()
	}
	b.WriteString("\n| figure | before | now | change |\n|---|--:|--:|--:|\n")
	for _, m := range c.Moved {
		change := ""
		if m.Before.Median != 0 {
			change = fmt.Sprintf("%+.0f %%", 100*(m.After.Median/m.Before.Median-1))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.After.What, Cell(m.Before), Cell(m.After), change)
	}
	return b.String()
}
