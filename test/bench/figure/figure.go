// Package figure is what a benchmark hands over: figures with their spread, the limits they are held against, tables and
// pictures made of them.
package figure

import "math"

// Units in which figures are told. Ratio, Bytes and Count travel between machines and are compared with the stored
// baseline; all others are only told.
const (
	Milliseconds = "ms"
	Microseconds = "us"
	PerSecond    = "1/s"
	Megabytes    = "MB" // 10⁶ bytes, of memory: it is told and not compared
	Bytes        = "bytes"
	Count        = "count"
	Ratio        = "ratio"
)

// Figure is one measured number.
type Figure struct {
	ID     string  `json:"id"`             // stable: SECTION/SUBJECT/MEASURE, such as "pods/ours-1port/add-cpu"
	What   string  `json:"what,omitempty"` // a line for people
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
	// Low and High are the quartiles of the samples, and of a ratio the ends of its 95 % interval; both are Median
	// where something was counted or weighed once.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	N    int     `json:"n"` // samples
	// Drift is the relative change between two runs of the same program that says nothing, beyond the spread within a
	// run: 0.05 is 5 %. 0 is DefaultDrift for a ratio and nothing for bytes and counts.
	Drift float64 `json:"drift,omitempty"`
}

// DefaultDrift is a ratio's Drift where it has none of its own: ratios of CPU moved by up to 9 % between runs of the
// same binaries.
const DefaultDrift = 0.10

// Travels says whether a figure means the same on another machine.
func (f Figure) Travels() bool { return f.Unit == Ratio || f.Unit == Bytes || f.Unit == Count }

// Target is a limit for a figure.
type Target struct {
	Figure  string  `json:"figure"` // an ID
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"` // the figure should be Limit or more, not Limit or less
	Source  string  `json:"source"`            // who says so
}

// Met says whether the figure's median keeps to the limit.
func (t Target) Met(f Figure) bool {
	if t.AtLeast {
		return f.Median >= t.Limit
	}
	return f.Median <= t.Limit
}

// Table is figures side by side.
type Table struct {
	Name    string   `json:"name"` // stable: the tables of docs/performance.md stand between marks with it
	Title   string   `json:"title"`
	Columns []string `json:"columns"` // the first is that of the rows' names
	Rows    []Row    `json:"rows"`
}

// Row is a line of a table.
type Row struct {
	Name  string   `json:"name"`
	Cells []string `json:"cells"` // IDs of figures; "" or an ID that was not measured is an empty cell
}

// Line is a curve in a picture.
type Line struct {
	Name string    `json:"name"`
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"` // negative: not measured
}

// Picture is drawn to docs/performance/NAME.svg.
type Picture struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	X     string `json:"xAxis"`
	Y     string `json:"yAxis"`
	LogX  bool   `json:"logX,omitempty"` // 0 is drawn one step before the smallest X above it
	LogY  bool   `json:"logY,omitempty"`
	Lines []Line `json:"lines"`
}

// Section is what one part of the bench measured.
type Section struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Method   string    `json:"method"` // how it was measured, in a few sentences
	Figures  []Figure  `json:"figures"`
	Targets  []Target  `json:"targets"`
	Tables   []Table   `json:"tables"`
	Pictures []Picture `json:"pictures"`
	Missing  []string  `json:"missing,omitempty"` // what could not be measured here, and why
}

// Add appends figures.
func (s *Section) Add(all ...Figure) { s.Figures = append(s.Figures, all...) }

// Aim appends a target.
func (s *Section) Aim(id string, limit float64, source string) {
	s.Targets = append(s.Targets, Target{Figure: id, Limit: limit, Source: source})
}

// AimAtLeast appends a target that is a floor.
func (s *Section) AimAtLeast(id string, limit float64, source string) {
	s.Targets = append(s.Targets, Target{Figure: id, Limit: limit, AtLeast: true, Source: source})
}

// Find is the figure with an ID; ok is false where it was not measured.
func (s *Section) Find(id string) (f Figure, ok bool) {
	for _, f := range s.Figures {
		if f.ID == id {
			return f, true
		}
	}
	return Figure{}, false
}

// Options are what every part of the bench is run with. It runs as root of mount, network and process namespaces of its
// own, whose /run and /var/lib are empty and can be written (test/node); whatever it leaves ends with them.
type Options struct {
	Bin      string            // folder of our binaries, cnitool and upstream's plugins; absolute
	Cache    string            // folder for what is built once and kept; absolute
	Scale    float64           // of the numbers of samples: 1 is the default run, 0 the least that runs everything once
	Progress func(line string) // tells people how far it is; never nil
}

// Samples is how many to take where the default run takes n: at least 1.
func (o Options) Samples(n int) int { return max(1, int(math.Round(float64(n)*o.Scale))) }

// Smoke says that the run only shows that everything works: sizes are to be the smallest that do.
func (o Options) Smoke() bool { return o.Scale == 0 }
