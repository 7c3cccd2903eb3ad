package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/test/bench/figure"
)

// record is what bursts of one size were like.
type record struct {
	waits, slowest, snapshots, events, calls, failed []float64
}

// bursts makes pods come together on one node after the other, each time on a pool without a free address.
func bursts(ctx context.Context, o figure.Options, l *lab, s *figure.Section) error {
	found, err := agents()
	if err != nil {
		return err
	}
	instances := map[string]*agent{}
	for _, a := range found {
		st, err := a.status(ctx)
		if err != nil {
			return err
		}
		instances[st.Node.Instance] = a
	}
	for _, name := range []string{"node-1", "node-2"} {
		if instances[l.instances[name]] == nil {
			return fmt.Errorf("cannot find the agent of %s (%s)", name, l.instances[name])
		}
	}
	var events, snapshots []float64
	for _, n := range sizes(o) {
		var all record
		rounds := o.Samples(2)
		if n > 10 {
			rounds = o.Samples(1)
		}
		for round := range rounds {
			for _, name := range []string{"node-1", "node-2"} {
				o.Progress(fmt.Sprintf("daemon: %d pods on %s", n, name))
				a := instances[l.instances[name]]
				sizes, err := burst(ctx, l, a, name, fmt.Sprintf("b%d-%d-%s", n, round, name), n, &all)
				if err != nil {
					return err
				}
				events = append(events, sizes...)
				st, err := a.status(ctx)
				if err != nil {
					return err
				}
				text, err := json.Marshal(st.Agent.Snapshot)
				if err != nil {
					return err
				}
				snapshots = append(snapshots, float64(len(text)))
			}
		}
		tell(s, n, all)
	}
	s.Add(figure.Of(Name+"/event/size", "an event, as it is told", figure.Bytes, events))
	s.Add(figure.Of(Name+"/snapshot/size", "a snapshot of a node with pods, without its envelope", figure.Bytes, snapshots))
	settle, window := 40*time.Second, time.Duration(o.Samples(20))*time.Second // a daemon looks at its heap each 30 s
	if o.Smoke() {
		settle = 0
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return watch(ctx, window, "-with-pods", s)
}

func tell(s *figure.Section, n int, r record) {
	add := func(measure, what, unit string, samples []float64) {
		s.Add(figure.Of(fmt.Sprintf("%s/burst-%d/%s", Name, n, measure), fmt.Sprintf("%d pods at once: %s", n, what), unit, samples))
	}
	add("wait", "demand to address", figure.Milliseconds, r.waits)
	add("slowest", "demand to address, slowest of a burst", figure.Milliseconds, r.slowest)
	add("snapshots", "snapshots published", "1", r.snapshots)
	add("events", "events published", "1", r.events)
	add("calls", "calls that change EC2", "1", r.calls)
	add("failed", "ADDs that failed and that a runtime would try again", "1", r.failed)
}

// burst makes n pods at once and adds what was seen; it returns the sizes of the events.
func burst(ctx context.Context, l *lab, a *agent, node, name string, n int, r *record) ([]float64, error) {
	before, err := emptied(ctx, l, a, node, name)
	if err != nil {
		return nil, err
	}
	calls, err := l.changes(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	failed, err := l.pods(ctx, name, node, n)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // the agent's last word of it
		return nil, err
	}
	after, err := a.status(ctx)
	if err != nil {
		return nil, err
	}
	calls2, err := l.changes(ctx)
	if err != nil {
		return nil, err
	}
	sizes, err := a.events(ctx, url.QueryEscape(began.UTC().Format(time.RFC3339Nano)))
	if err != nil {
		return nil, err
	}
	waits, err := a.waits(began)
	if err != nil {
		return nil, err
	}
	if len(waits) == 0 {
		return nil, fmt.Errorf("no pod of %s has waited for an address", name)
	}
	r.waits = append(r.waits, waits...)
	r.slowest = append(r.slowest, slices.Max(waits))
	r.snapshots = append(r.snapshots, float64(after.Agent.Publishes-before.Agent.Publishes))
	r.events = append(r.events, float64(len(sizes)))
	r.calls = append(r.calls, float64(calls2-calls))
	r.failed = append(r.failed, float64(failed))
	return sizes, nil
}

// emptied gives pods what is free, so that the next ones find nothing.
func emptied(ctx context.Context, l *lab, a *agent, node, name string) (status, error) {
	for try := range 5 {
		if err := pause(ctx, time.Second); err != nil { // older news is out
			return status{}, err
		}
		now, err := a.status(ctx)
		if err != nil || now.free() == 0 {
			return now, err
		}
		if _, err := l.pods(ctx, fmt.Sprintf("%s-fill-%d", name, try), node, now.free()); err != nil {
			return now, err
		}
	}
	return status{}, fmt.Errorf("cannot use up the pool of %s", node)
}

// waits are the times, ms, for which ADDs that began since then waited with a ticket, by the flight record.
func (a *agent) waits(since time.Time) (all []float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/enichain/flight.jsonl", a.pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var f stages.Flight
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			return nil, fmt.Errorf("cannot read the flight record: %w", err)
		}
		at, err := time.Parse(time.RFC3339Nano, f.T)
		if err != nil {
			return nil, err
		}
		if f.Stage == "eni-ipam" && f.Command == "ADD" && f.Wait > 0 && !at.Before(since) {
			all = append(all, float64(f.Wait)/1000)
		}
	}
	return all, nil
}
