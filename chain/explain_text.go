package chain

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/enichain/enichain/chain/contract"
)

// Text is the explanation as a table for people.
func (e Explanation) Text() string {
	var b strings.Builder
	offers := "no cniVersion"
	if len(e.Offers) > 0 {
		offers = "offers cniVersion " + strings.Join(e.Offers, ", ")
	}
	fmt.Fprintf(&b, "network %s · %s", e.Network, offers)
	if len(e.Capabilities) > 0 {
		fmt.Fprintf(&b, " · capabilities %s", strings.Join(e.Capabilities, ", "))
	}
	b.WriteString("\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  #\tstage\tneeds\tadds\tin the kernel")
	for _, s := range e.Stages {
		fmt.Fprintln(w, "  "+strings.Join(s.row(), "\t"))
	}
	_ = w.Flush() // into memory
	b.WriteString("\n")
	b.WriteString(e.together())
	if e.Errors > 0 {
		fmt.Fprintf(&b, "No pod comes that far: %s; see enichainctl chain lint.\n", plural(e.Errors, "error"))
		return b.String()
	}
	fmt.Fprintf(&b, "A pod ends with: %s.\n", strings.Join(e.Ends, " · "))
	var verdicts []string
	for _, v := range e.Runtimes {
		verdicts = append(verdicts, v.text())
	}
	fmt.Fprintf(&b, "Runtimes: %s\n", strings.Join(verdicts, " · "))
	return b.String()
}

// together says which neighbours run in one process.
func (e Explanation) together() string {
	var b strings.Builder
	for i := 0; i < len(e.Stages); {
		end := i + 1
		for end < len(e.Stages) && e.Stages[i].Within != "" && e.Stages[end].Within == e.Stages[i].Within {
			end++
		}
		if within := e.Stages[i].Within; within != "" {
			fmt.Fprintf(&b, "One process: stages %d to %d, in %s.\n", e.Stages[i].Number, e.Stages[end-1].Number, within)
		}
		i = end
	}
	return b.String()
}

// row is a stage's line of the table.
func (s Explained) row() []string {
	name := s.Type
	if s.Delegate != "" {
		name += "{" + s.Delegate + "}"
	}
	if s.File != "" {
		name += " (" + filepath.Base(s.File) + ")"
	}
	if s.From == FromNowhere {
		return []string{strconv.Itoa(s.Number), name, "not known", "not known", "not known"}
	}
	needs := words(s.Needs)
	if s.Delegate != "" && slices.Contains(s.Needs, contract.IPs) {
		needs += ", from " + s.Delegate
	}
	var adds []string
	for _, f := range s.Adds {
		word := string(f)
		if slices.Contains(s.Exclusive, f) && (f == contract.Masquerade || f == contract.HostPorts) {
			word += " (only one may)"
		}
		adds = append(adds, word)
	}
	return []string{strconv.Itoa(s.Number), name, dash(needs), dash(strings.Join(adds, " ")),
		dash(strings.Join(s.Kernel, ", "))}
}

func (v Verdict) text() string {
	name := map[string]string{Containerd17: "containerd 1.7", Containerd2: "containerd 2", CRIO: "CRI-O"}[v.Runtime]
	switch {
	case !v.OK:
		return name + " no (" + v.Note + ")"
	case v.Note != "":
		return name + " ok (" + v.Note + ")"
	}
	return name + " ok"
}

func words(facts []contract.Fact) string {
	var out []string
	for _, f := range facts {
		out = append(out, string(f))
	}
	return strings.Join(out, " ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
