package chain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Severity says what a problem does to pods.
type Severity string

// An Error breaks pods, or leaves something behind that nobody removes. A Warning is something that its author very
// likely did not mean, or that breaks pods with some runtimes only.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a list, for people and for programs.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`  // from 1; 0 where the file as a whole is meant
	Stage    int      `json:"stage"` // from 1, drop-ins included; 0 is the list itself
	Type     string   `json:"type,omitempty"`
	Key      string   `json:"key,omitempty"` // path of the key at fault, such as "ipam.gateway"
	Code     string   `json:"code"`          // stable; docs/lint.md has a row for each
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`            // what is wrong
	Why      string   `json:"why,omitempty"`   // what would happen
	Fixes    []string `json:"fixes,omitempty"` // what to do, ready to paste; any one of them is enough
}

// String is one line: where, who, what.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	if p.Stage > 0 {
		b.WriteString(strings.TrimRight(fmt.Sprintf(" stage %d %s", p.Stage, p.Type), " "))
	}
	if p.Key != "" && (p.Key != "type" || p.Stage == 0) { // a stage's stands there already
		b.WriteString(" " + p.Key)
	}
	return b.String() + ": " + p.Text
}

// Errors are the problems that break pods; strict counts warnings, too.
func Errors(problems []Problem, strict bool) int {
	n := 0
	for _, p := range problems {
		if p.Severity == Error || strict {
			n++
		}
	}
	return n
}

// sorted puts problems into the order in which a reader of the files meets them.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Key, b.Key))
	})
	return slices.CompactFunc(problems, func(a, b Problem) bool {
		return a.Text == b.Text && a.Code == b.Code && a.File == b.File && a.Line == b.Line && a.Stage == b.Stage
	})
}
