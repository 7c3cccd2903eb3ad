package sim

import (
	"slices"
	"time"
)

// measured is a BootResult in the making.
type measured struct {
	BootResult
	times []nodeTimes
}

// nodeTimes are of one node: when it booted, and when its pods got their addresses.
type nodeTimes struct {
	boot, first, full time.Duration
	served            int
}

func (t *nodeTimes) add(at time.Duration, served bool) {
	if !served {
		return
	}
	if t.served++; t.served == 1 || at < t.first {
		t.first = at
	}
	t.full = max(t.full, at)
}

// result counts the calls.
func (b Boot) result(who string, f *fleet, _ time.Time) *measured {
	times := b.bootTimes()
	r := &measured{BootResult: BootResult{Who: who, Nodes: b.Nodes, Mode: b.Mode(), Boot: times[len(times)-1] - times[0], ByAction: map[string]ActionCalls{}}}
	for _, c := range f.world.Counts() {
		a := r.ByAction[c.Action]
		a.Taken, a.Throttled, a.Refused = a.Taken+c.Accepted, a.Throttled+c.Throttled, a.Refused+c.Refused
		r.ByAction[c.Action] = a
		r.Calls += c.Accepted + c.Throttled + c.Refused
		r.Throttled += c.Throttled
		r.Refused += c.Refused
	}
	return r
}

// count takes the medians; pods is how many addresses make a node full.
func (r *measured) count(pods int) {
	var first, full, ownFirst, ownFull []time.Duration
	for _, t := range r.times {
		if t.served > 0 {
			first, ownFirst = append(first, t.first), append(ownFirst, t.first-t.boot)
		}
		if t.served < pods {
			r.Unfinished++
			continue
		}
		full, ownFull = append(full, t.full), append(ownFull, t.full-t.boot)
	}
	r.FirstMedian, r.FirstLast = middle(first)
	r.FullMedian, r.FullLast = middle(full)
	r.OwnFirst, _ = middle(ownFirst)
	r.OwnFull, _ = middle(ownFull)
}

// middle is the median and the last.
func middle(all []time.Duration) (median, last time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}
