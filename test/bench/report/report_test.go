package report

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/bench/figure"
)

func sample() *Report {
	s := figure.Section{Name: "pods", Title: "Pods", Method: "By hand."}
	s.Add(figure.Figure{ID: "pods/a/cpu", What: "a: CPU", Unit: figure.Milliseconds, Median: 4.25, Low: 4, High: 4.5, N: 3},
		figure.Figure{ID: "pods/a/cpu/b", What: "a: CPU, of b", Unit: figure.Ratio, Median: 0.21, Low: 0.2, High: 0.22, N: 3, Drift: 0.05},
		figure.Exactly("pods/a/size", "a: size", figure.Bytes, 2_900_000))
	s.Aim("pods/a/cpu/b", 0.2, "asked for")
	s.Aim("pods/a/size", 3e6, "asked for")
	s.AimAtLeast("pods/a/rate/b", 4, "asked for")
	s.Tables = []figure.Table{{Name: "t", Title: "T", Columns: []string{"chain", "CPU", "of b", "empty"}, Rows: []figure.Row{
		{Name: "a", Cells: []string{"pods/a/cpu", "pods/a/cpu/b", "pods/a/none"}}, {Name: "nobody", Cells: []string{"", "", ""}}}}}
	return &Report{When: time.Unix(0, 0), Machine: "here", Sections: []figure.Section{s}}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	sample().Write(&b, Compare(Baseline{}, sample()))
	want := `1970-01-01 00:00, here.

## Pods

By hand.

### T

| chain | CPU | of b |
|---|--:|--:|
| a | 4.25 (4.00–4.50) | 0.21 (0.20–0.22) |

## Targets

| what | limit | figure | | who says so |
|---|--:|--:|---|---|
| a: CPU, of b | ≤ 0.20 | 0.21 (0.20–0.22) | **not met** | asked for |
| a: size | ≤ 3,000,000 | 2,900,000 | met | asked for |
| ` + "`pods/a/rate/b`" + ` | ≥ 4 | | not measured | asked for |

1 met, 1 not met, 1 not measured here.

## Compared with the baseline

There is no baseline yet.
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMoved(t *testing.T) {
	ratio := func(low, median, high float64) figure.Figure {
		return figure.Figure{Unit: figure.Ratio, Low: low, Median: median, High: high, Drift: 0.05, N: 40}
	}
	bytes := func(n float64) figure.Figure { return figure.Exactly("", "", figure.Bytes, n) }
	for _, test := range []struct {
		name     string
		old, now figure.Figure
		want     bool
	}{
		{"the same", ratio(0.2, 0.21, 0.22), ratio(0.2, 0.21, 0.22), false},
		{"less than it drifts", ratio(0.209, 0.21, 0.211), ratio(0.217, 0.218, 0.219), false},
		{"more, and apart", ratio(0.2, 0.21, 0.22), ratio(0.24, 0.25, 0.26), true},
		{"more, but the intervals overlap", ratio(0.2, 0.21, 0.24), ratio(0.23, 0.25, 0.26), false},
		{"down", ratio(0.2, 0.21, 0.22), ratio(0.14, 0.15, 0.16), true},
		{"a byte", bytes(100), bytes(101), true},
		{"no byte", bytes(100), bytes(100), false},
		{"another unit", bytes(1), ratio(1, 1, 1), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := moved(test.old, test.now); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What is saved is what is loaded, times are not in it, and what was not measured now stays.
func TestBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	if b, err := LoadBaseline(file); err != nil || len(b.Figures) != 0 {
		t.Fatalf("a file that is not there: %v, %v", b, err)
	}
	before := Baseline{Figures: []figure.Figure{figure.Exactly("packets/x", "x", figure.Ratio, 1), figure.Exactly("pods/gone", "", figure.Ratio, 1)}}
	if err := sample().Baseline().Keep(before, sample().Sections).Save(file); err != nil {
		t.Fatal(err)
	}
	b, err := LoadBaseline(file)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range b.Figures {
		ids = append(ids, f.ID)
	}
	if diff := cmp.Diff([]string{"pods/a/cpu/b", "pods/a/size", "packets/x"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c := Compare(b, sample())
	if c.Compared != 2 || len(c.Moved) != 0 || c.New != 0 {
		t.Errorf("the same again: %+v", c)
	}
	now := sample()
	now.Sections[0].Figures[2].Median = 3_000_000
	if c := Compare(b, now); len(c.Moved) != 1 || !strings.Contains(c.String(), "| a: size | 2,900,000 | 3,000,000 | +3 % |") {
		t.Errorf("more bytes: %s", c)
	}
}

func TestLoad(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "1.json"), filepath.Join(t.TempDir(), "2.json")
	old, now := sample(), sample()
	old.Sections[0].Title = "old"
	old.Sections = append(old.Sections, figure.Section{Name: "packets"})
	if err := old.Save(first); err != nil {
		t.Fatal(err)
	}
	if err := now.Save(second); err != nil {
		t.Fatal(err)
	}
	r, err := Load([]string{first, second})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sections) != 2 || r.Sections[0].Name != "packets" || r.Sections[1].Title != "Pods" {
		t.Errorf("got %+v", r.Sections)
	}
	if diff := cmp.Diff(now.Sections[0], r.Sections[1]); diff != "" {
		t.Errorf("what was saved is not what was loaded (-want +got):\n%s", diff)
	}
	if _, err := Load([]string{first, "nowhere.json"}); err == nil {
		t.Error("no word of a file that is not there")
	}
}

func TestFill(t *testing.T) {
	page := "# A\n<!-- bench: t -->\nold\n<!-- /bench -->\ntext\n<!-- bench: others -->\nstays\n<!-- /bench -->\n<!-- bench: machine -->\n<!-- /bench -->\n<!-- bench: section-pods -->\n<!-- /bench -->\n"
	want := "# A\n<!-- bench: t -->\n| chain | CPU | of b |\n|---|--:|--:|\n| a | 4.25 (4.00–4.50) | 0.21 (0.20–0.22) |\n<!-- /bench -->\ntext\n" +
		"<!-- bench: others -->\nstays\n<!-- /bench -->\n<!-- bench: machine -->\n1970-01-01 00:00, here.\n<!-- /bench -->\n" +
		"<!-- bench: section-pods -->\nBy hand.\n\n### T\n\n| chain | CPU | of b |\n|---|--:|--:|\n| a | 4.25 (4.00–4.50) | 0.21 (0.20–0.22) |\n<!-- /bench -->\n"
	got := sample().fill(page)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := sample().fill(got); again != got {
		t.Error("filled twice it differs")
	}
}

func TestDraw(t *testing.T) {
	r := sample()
	r.Sections[0].Pictures = []figure.Picture{
		{Name: "log", Title: "a < b", X: "pods", Y: "ms", LogX: true, LogY: true, Lines: []figure.Line{
			{Name: "a", X: []float64{0, 100, 700}, Y: []float64{4, 4.1, 4.2}}, {Name: "b", X: []float64{0, 100, 700}, Y: []float64{40, 45, -1}}}},
		{Name: "linear", Title: "c", Lines: []figure.Line{{Name: "c", X: []float64{1, 2}, Y: []float64{0, 7}}}},
		{Name: "empty", Title: "d", Lines: []figure.Line{{Name: "d", X: []float64{1}, Y: []float64{-1}}}},
	}
	dir := t.TempDir()
	if err := r.Draw(dir); err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{"log": {"a &lt; b", "a: 4.20 at 700", "b: 45.0 at 100"}, "linear": {"c: 7.00 at 2"},
		"empty": {"d: not measured"}} {
		text, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s.svg does not say %q", name, w)
			}
		}
		if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s.svg has a point nowhere", name)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(text)))
		for {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s.svg is no XML: %v", name, err)
			}
		}
	}
}
