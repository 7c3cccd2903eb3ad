package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
)

// Table is a table in Markdown. Columns and rows of which nothing was measured are left out.
func (r *Report) Table(t figure.Table) string {
	cells := make([][]string, len(t.Rows))
	used := make([]bool, len(t.Columns))
	for i, row := range t.Rows {
		for k, id := range row.Cells {
			text := ""
			if f, ok := r.Find(id); ok && f.N > 0 {
				text = Cell(f)
			}
			cells[i] = append(cells[i], text)
			used[k+1] = used[k+1] || text != ""
		}
	}
	var b strings.Builder
	b.WriteString("| " + t.Columns[0])
	rule := "|---"
	for k, head := range t.Columns[1:] {
		if used[k+1] {
			b.WriteString(" | " + head)
			rule += "|--:"
		}
	}
	b.WriteString(" |\n" + rule + "|\n")
	for i, row := range t.Rows {
		if strings.Join(cells[i], "") == "" {
			continue
		}
		b.WriteString("| " + row.Name)
		for k, text := range cells[i] {
			if used[k+1] {
				b.WriteString(" | " + text)
			}
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// Cell is a figure with its spread, as a table has it. The unit stands in the column's head.
func Cell(f figure.Figure) string {
	median := Number(f.Median, f.Unit)
	if f.Low == f.High || f.Unit == figure.Bytes || f.Unit == figure.Count {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, Number(f.Low, f.Unit), Number(f.High, f.Unit))
}

// Number has three digits that count; a ratio below ten two behind the point, and bytes all of theirs, in groups.
func Number(v float64, unit string) string {
	switch {
	case unit == figure.Bytes || unit == figure.Count:
		return grouped(int64(math.Round(v)))
	case unit == figure.Ratio && math.Abs(v) < 0.1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case unit == figure.Ratio && math.Abs(v) < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case math.Abs(v) < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case math.Abs(v) < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return grouped(int64(math.Round(v)))
}

func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Targets is the table of targets with their figures, of one section or ("") of all.
func (r *Report) Targets(section string) string {
	var b strings.Builder
	b.WriteString("| what | limit | figure | | who says so |\n|---|--:|--:|---|---|\n")
	met, missed, unknown := 0, 0, 0
	for _, s := range r.Sections {
		if section != "" && s.Name != section {
			continue
		}
		for _, t := range s.Targets {
			sign := "≤"
			if t.AtLeast {
				sign = "≥"
			}
			f, ok := r.Find(t.Figure)
			if !ok || f.N == 0 {
				unknown++
				fmt.Fprintf(&b, "| `%s` | %s %v | | not measured | %s |\n", t.Figure, sign, t.Limit, t.Source)
				continue
			}
			said := "met"
			if t.Met(f) {
				met++
			} else {
				said = "**not met**"
				missed++
			}
			fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s |\n", f.What, sign, Number(t.Limit, f.Unit), Cell(f), said, t.Source)
		}
	}
	fmt.Fprintf(&b, "\n%d met, %d not met, %d not measured here.\n", met, missed, unknown)
	return b.String()
}
