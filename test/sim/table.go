package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Comparison is one boot, ours and a per-node daemon's, against the floor.
type Comparison struct {
	Floor  Floor      `json:"floor"`
	Ours   BootResult `json:"ours"`
	Theirs BootResult `json:"theirs"`
}

// Table is the comparisons in Markdown.
func Table(all []Comparison) string {
	var s strings.Builder
	s.WriteString("| nodes | mode | | first address: median / last | full: median / last | calls | throttled | changes, floor | time, floor |\n")
	s.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range all {
		for _, r := range []BootResult{c.Ours, c.Theirs} {
			if r.Nodes == 0 {
				continue
			}
			fmt.Fprintf(&s, "| %d | %s | %s | %s / %s | %s / %s | %d | %d (%d %%) | %d, %d | %s, %s |\n", r.Nodes, r.Mode, r.Who, seconds(r.FirstMedian), seconds(r.FirstLast),
				seconds(r.FullMedian), seconds(r.FullLast), r.Calls, r.Throttled, percent(r.Throttled, r.Calls), r.changes(), c.Floor.Calls, seconds(r.FullLast), seconds(c.Floor.Time))
		}
	}
	s.WriteString("\n| nodes | mode | | calls by action, taken + throttled + refused |\n|---|---|---|---|\n")
	for _, c := range all {
		for _, r := range []BootResult{c.Ours, c.Theirs} {
			if r.Nodes > 0 {
				fmt.Fprintf(&s, "| %d | %s | %s | %s |\n", r.Nodes, r.Mode, r.Who, r.actions())
			}
		}
	}
	s.WriteString(loads(all))
	return s.String()
}

// loads is what bus and reconciler carried, of each of our runs.
func loads(all []Comparison) string {
	var s strings.Builder
	s.WriteString("\n| nodes | mode | bus: messages, MB | most within a second | reconciler: steps, CPU | CPU of a step: p50 / p99 / most | heap of all, MB | real time |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range all {
		l := c.Ours.Load
		if l == nil {
			continue
		}
		var messages []string
		bytes := 0
		for _, kind := range slices.Sorted(maps.Keys(l.Messages)) {
			messages = append(messages, fmt.Sprintf("%d %s", l.Messages[kind], plural(kind)))
			bytes += l.Bytes[kind]
		}
		fmt.Fprintf(&s, "| %d | %s | %s, %.1f | %d | %d, %.1f s | %s / %s / %s | %d | %s |\n", c.Ours.Nodes, c.Ours.Mode, strings.Join(messages, ", "), float64(bytes)/1e6, l.Most, l.Steps, l.CPU.Seconds(),
			l.P50.Round(time.Microsecond), l.P99.Round(10*time.Microsecond), l.Max.Round(100*time.Microsecond), l.Heap>>20, c.Ours.Took.Round(time.Second))
	}
	return s.String()
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "y") {
		return strings.TrimSuffix(kind, "y") + "ies"
	}
	return kind + "s"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

func percent(part, of int) int { return 100 * part / max(of, 1) }

// changes are the calls that EC2 took and that change something.
func (r BootResult) changes() int {
	count := 0
	for action, c := range r.ByAction {
		if !strings.HasPrefix(action, "Describe") {
			count += c.Taken
		}
	}
	return count
}

func (r BootResult) actions() string {
	var all []string
	for _, action := range slices.Sorted(maps.Keys(r.ByAction)) {
		c := r.ByAction[action]
		text := fmt.Sprintf("%s %d", action, c.Taken)
		if c.Throttled+c.Refused > 0 {
			text += fmt.Sprintf(" + %d + %d", c.Throttled, c.Refused)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}
