package conformance

import "time"

// Outcome is what came of one assertion.
type Outcome string

// The outcomes.
const (
	Passed   Outcome = "passed"
	Failed   Outcome = "failed"
	Deviates Outcome = "deviates" // failed, and declared
	NotRun   Outcome = "not run"  // could not be tried here, or has nothing to try on this plugin
)

// Finding is what came of one assertion, and how to see it by hand.
type Finding struct {
	ID       string        `json:"id"`
	Strength Strength      `json:"strength"`
	Section  string        `json:"section"`
	Sentence string        `json:"sentence"`
	Outcome  Outcome       `json:"outcome"`
	Expected string        `json:"expected,omitempty"`
	Seen     string        `json:"seen,omitempty"`
	Why      string        `json:"why,omitempty"` // why not run, or the declared reason
	Try      []string      `json:"try,omitempty"` // shell lines that show the failure
	Took     time.Duration `json:"took"`          // nanoseconds
}

// Report is what came of one plugin.
type Report struct {
	Plugin   string        `json:"plugin"`
	Binary   string        `json:"binary"`
	Kind     Kind          `json:"kind,omitempty"`
	Versions []string      `json:"versions,omitempty"`
	NotRun   string        `json:"notRun,omitempty"` // why nothing at all was tried
	Findings []Finding     `json:"findings,omitempty"`
	Took     time.Duration `json:"took"`
}

// Tally counts the outcomes of one strength.
type Tally struct {
	Passed   int `json:"passed"`
	Failed   int `json:"failed"`
	Deviates int `json:"deviates"`
	NotRun   int `json:"notRun"`
}

// Tried is how many assertions had an outcome.
func (t Tally) Tried() int { return t.Passed + t.Failed + t.Deviates }

// Count is the tally of one strength.
func (r *Report) Count(s Strength) Tally {
	var t Tally
	for _, f := range r.Findings {
		if f.Strength != s {
			continue
		}
		switch f.Outcome {
		case Passed:
			t.Passed++
		case Failed:
			t.Failed++
		case Deviates:
			t.Deviates++
		case NotRun:
			t.NotRun++
		}
	}
	return t
}

// Conforms says whether nothing that the specification asks for failed without being declared. Conventions do not count.
func (r *Report) Conforms() bool {
	return r.NotRun == "" && r.Count(Must).Failed == 0 && r.Count(Should).Failed == 0
}
