package vpc

import (
	"fmt"
	"slices"
	"time"
)

// Response is what came of a call. Nothing has waited: the caller holds the answer back until Answered, if it wants to
// be as slow as EC2.
type Response struct {
	RequestID string
	Effect    time.Time // the change is so from here on: in truth, in the kernel, in views without lag
	Answered  time.Time // the caller has the answer
	Output    Output    // nil if refused
}

// call is the circumstances of a request.
type call struct {
	now    time.Time
	effect time.Time
	view   time.Time // describes show this instant
	caller string
}

// Call makes a request in somebody's name. All rules are judged on arrival, in the order of arrival; what was granted
// counts against limits and quotas at once and can be seen from Effect on. With an Error nothing has changed but the
// level of the action's bucket.
func (w *World) Call(now time.Time, caller string, request Request) (Response, *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	action := request.Action()
	c := &call{now: now, caller: caller, view: now.Add(-w.visibility())}
	r := w.timed(c, action)

	err := w.admit(now, action, request)
	if err == nil {
		r.Output, err = request.call(w, c)
		r.Effect = c.effect
	} else if err.Code == CodeThrottled || err.Code == CodeUnauthorized {
		r.Answered = now
	}
	if err != nil {
		r.Output, r.Effect = nil, r.Answered
	}
	w.account.tally(now, action, caller, err)
	w.journal.add(Entry{At: now, Answered: r.Answered, Caller: caller, Action: action,
		Subject: subject(request, r.Output), Code: code(err)})
	return r, err
}

// timed draws the call's latency.
func (w *World) timed(c *call, action string) Response {
	l := w.latency(action)
	stretch := 1 + l.Jitter*w.random.Float64()
	times := func(d time.Duration) time.Duration { return time.Duration(float64(d) * stretch) }
	c.effect = c.now.Add(times(l.Effect))
	return Response{RequestID: w.uuid(), Effect: c.effect, Answered: c.now.Add(times(l.Answer))}
}

// admit is what stands before any action's own rules.
func (w *World) admit(now time.Time, action string, request Request) *Error {
	list, ok := request.(interface{ unbounded(Config) bool })
	if w.throttled(now, action, ok && list.unbounded(w.config)) {
		err := Refuse(CodeThrottled, messageThrottled)
		err.HTTPStatus = w.config.ThrottledStatus
		return err
	}
	if err := w.faultError(action); err != nil {
		return err
	}
	return nil
}

// dryRun ends a call that was only a question; ask it after all checks and before any change.
func dryRun(d Dry) *Error {
	if d.DryRun {
		return Refuse(CodeDryRun, messageDryRun)
	}
	return nil
}

func (w *World) uuid() string {
	a, b := w.random.Uint64(), w.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a), uint16(a>>32), uint16(a>>48)&0xfff,
		uint16(b)&0x3fff|0x8000, b>>16)
}

// Entry is a line of the journal: one call.
type Entry struct {
	N        uint64 // rises by one
	At       time.Time
	Answered time.Time
	Caller   string
	Action   string
	Subject  string // what it was about, for people: ids and numbers
	Code     string // the error's code, or empty
}

// journalSize is how many calls a World remembers.
const journalSize = 1024

type journal struct {
	n       uint64
	entries []Entry
}

func (j *journal) add(e Entry) {
	j.n++
	e.N = j.n
	j.entries = append(j.entries, e)
	if len(j.entries) >= 2*journalSize {
		j.entries = slices.Delete(j.entries, 0, len(j.entries)-journalSize)
	}
}

// Journal is the calls after the one with number n, oldest first; the last 1024 at least are kept.
func (w *World) Journal(n uint64) []Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.journal.entries)
	for i > 0 && w.journal.entries[i-1].N > n {
		i--
	}
	return slices.Clone(w.journal.entries[i:])
}

func code(err *Error) string {
	if err == nil {
		return ""
	}
	return err.Code
}
