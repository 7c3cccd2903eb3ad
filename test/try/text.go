package try

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/enichain/enichain/test/kernel"
)

// Text is the report for people: a table of verbs and stages, what each stage changed in the kernel where that was
// read, what stays behind, and why the list does not work, if it does not.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "network %s · CNI %s · %d calls and %d hellos in %.1f s\n\n",
		r.Name, r.Version, len(r.Steps), len(r.Flows), r.Took.Seconds())
	r.table(&b)
	r.sums(&b)
	r.effects(&b)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	if len(r.Broken) == 0 {
		fmt.Fprintf(&b, "\nIt works.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "\nIt does not work:\n")
	for _, reason := range r.Broken {
		fmt.Fprintf(&b, "  * %s\n", reason)
	}
	return b.String()
}

// verbs are the rows of the table.
var verbs = []string{"STATUS", "ADD", "CHECK", "ADD again", "DEL", "DEL again", "GC"}

// table writes one row a verb: what each stage took (the median), their sum, and what came of it.
func (r *Report) table(w io.Writer) {
	rows := [][]string{append(append([]string{""}, r.Stages...), "total", "result")}
	for _, verb := range verbs {
		row, total, asked := []string{verb}, time.Duration(0), false
		for i := range r.Stages {
			took := r.took(verb, i+1)
			total += took
			cell := "-"
			if took > 0 {
				cell, asked = milliseconds(took), true
			}
			row = append(row, cell)
		}
		if asked {
			rows = append(rows, append(row, milliseconds(total), r.outcome(verb)))
		}
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0:
				line.WriteString(cell + pad)
			case len(row) - 1:
				line.WriteString("   " + cell)
			default:
				line.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// took is the median time of a stage's verb; 0 if it was not asked. A pod to warm up pays for what is made once, and a
// killed stage says nothing.
func (r *Report) took(verb string, stage int) time.Duration {
	var all, cold []time.Duration
	for _, s := range r.Steps {
		switch {
		case s.Verb != verb || s.Stage != stage:
		case s.Pod == warmUpPod:
			cold = append(cold, s.Took)
		default:
			all = append(all, s.Took)
		}
	}
	if len(all) == 0 {
		all = cold // it came no further
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// outcome is the last column: the first error that a stage gave, or what came of the verb.
func (r *Report) outcome(verb string) string {
	for _, s := range r.Steps {
		if s.Verb != verb || s.Err == "" {
			continue
		}
		text := s.Type + ": " + s.said()
		if verb == "ADD again" {
			return "refused by " + text
		}
		return text
	}
	switch verb {
	case "ADD":
		var all []string
		for _, a := range r.Addresses {
			all = append(all, a.Addr().String())
		}
		return strings.Join(all, " ")
	case "ADD again":
		return "accepted"
	}
	return "ok"
}

// sums are the lines below the table: packets, kills, what is left, what stays.
func (r *Report) sums(w io.Writer) {
	fmt.Fprintln(w)
	promised, heard := 0, 0
	for _, f := range r.Flows {
		if f.Promised {
			promised++
			if f.Err == "" {
				heard++
			}
		}
	}
	if promised > 0 {
		fmt.Fprintf(w, "packets      %d of %d hellos answered that the contracts promise\n", heard, promised)
	}
	if len(r.Kills) > 0 {
		clean := 0
		for _, k := range r.Kills {
			if len(k.Left) == 0 {
				clean++
			}
		}
		fmt.Fprintf(w, "kill -9      at %d places of ADD, then DEL or GC: %d × nothing left\n", len(r.Kills), clean)
	}
	fmt.Fprintf(w, "left behind  %s\n", kernel.Count(r.Left))
	writeChanges(w, r.Left, "  ")
	fmt.Fprintf(w, "stays        %s\n", kernel.Count(r.Stays))
	writeChanges(w, r.Stays, "  ")
}

// effects are what each stage changed when the first pod was added, and what did not go with its DEL.
func (r *Report) effects(w io.Writer) {
	headed := false
	for _, s := range r.Steps {
		if s.Verb != "ADD" || s.Pod != firstPod || len(s.Changes)+len(s.PodChanges) == 0 {
			continue
		}
		if !headed {
			fmt.Fprintf(w, "\nwhat ADD of the first pod changed\n")
			headed = true
		}
		fmt.Fprintf(w, "%d %s\n", s.Stage, s.Type)
		if len(s.Changes) > 0 {
			fmt.Fprintln(w, "  on the node")
			writeChanges(w, s.Changes, "    ")
		}
		if len(s.PodChanges) > 0 {
			fmt.Fprintln(w, "  in the pod")
			writeChanges(w, s.PodChanges, "    ")
		}
	}
}

func writeChanges(w io.Writer, changes []kernel.Change, indent string) {
	for _, c := range changes {
		fmt.Fprintf(w, "%s%s\n", indent, c)
	}
}

// Add takes over what another trial of the same list found: for medians of several.
func (r *Report) Add(other *Report) {
	r.Steps, r.Flows, r.Kills = append(r.Steps, other.Steps...), append(r.Flows, other.Flows...), append(r.Kills, other.Kills...)
	for _, b := range other.Broken {
		r.Broken = once(r.Broken, b)
	}
	for _, n := range other.Notes {
		r.Notes = once(r.Notes, n)
	}
	if len(r.Left) == 0 {
		r.Left = other.Left
	}
	r.Took += other.Took
}
