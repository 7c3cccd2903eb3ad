package vpc

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

type countKey struct{ action, caller string }

// Count is how calls of an action by a caller ended.
type Count struct {
	Action    string    `json:"action"`
	Caller    string    `json:"caller"`
	Accepted  int       `json:"accepted"`
	Throttled int       `json:"throttled"` // RequestLimitExceeded
	Refused   int       `json:"refused"`   // any other error
	Last      time.Time `json:"last"`      // when the last of them came
}

// mostRemembered is how many calls are remembered one by one, for CountsSince: an hour of 290 calls a second.
const mostRemembered = 1 << 20

// account is the books of all calls.
type account struct {
	counts map[countKey]*Count
	calls  []remembered // by time; the last mostRemembered at least
	lost   bool         // some calls are no longer among them
}

// remembered is a call: when it came, whose it was and how it ended.
type remembered struct {
	at      int64 // nanoseconds of Unix time
	count   *Count
	outcome outcome
}

type outcome uint8

const (
	accepted outcome = iota
	throttled
	refused
)

func (c *Count) add(o outcome) {
	switch o {
	case accepted:
		c.Accepted++
	case throttled:
		c.Throttled++
	case refused:
		c.Refused++
	}
}

// tally enters a call into the books.
func (a *account) tally(now time.Time, action, caller string, err *Error) {
	key := countKey{action, caller}
	c := a.counts[key]
	if c == nil {
		c = &Count{Action: action, Caller: caller}
		a.counts[key] = c
	}
	o := accepted
	switch {
	case err == nil:
	case err.Code == CodeThrottled:
		o = throttled
	default:
		o = refused
	}
	c.add(o)
	c.Last = now
	a.calls = append(a.calls, remembered{now.UnixNano(), c, o})
	if len(a.calls) >= 2*mostRemembered {
		a.calls, a.lost = slices.Clone(a.calls[mostRemembered:]), true
	}
}

// Counts is how all calls so far ended, by action and caller.
func (w *World) Counts() []Count {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Count, 0, len(w.account.counts))
	for _, c := range w.account.counts {
		all = append(all, *c)
	}
	return sortCounts(all)
}

// CountsSince is how the calls from an instant on ended, by action and caller; who made none is not in it. It is an error
// to ask for more than is remembered: at least the last 1,048,576 calls.
func (w *World) CountsSince(since time.Time) ([]Count, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls, from := w.account.calls, since.UnixNano()
	first := sort.Search(len(calls), func(i int) bool { return calls[i].at >= from })
	if first == 0 && w.account.lost {
		return nil, fmt.Errorf("cannot count the calls since %s: the lab remembers those since %s",
			since.Format(time.RFC3339), time.Unix(0, calls[0].at).Format(time.RFC3339))
	}
	found := map[*Count]*Count{}
	for _, call := range calls[first:] {
		c := found[call.count]
		if c == nil {
			c = &Count{Action: call.count.Action, Caller: call.count.Caller, Last: call.count.Last}
			found[call.count] = c
		}
		c.add(call.outcome)
	}
	all := make([]Count, 0, len(found))
	for _, c := range found {
		all = append(all, *c)
	}
	return sortCounts(all), nil
}

func sortCounts(all []Count) []Count {
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Caller, b.Caller))
	})
	return all
}
