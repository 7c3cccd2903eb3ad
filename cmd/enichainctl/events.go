package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

type eventOptions struct {
	follow, raw bool
	since       time.Duration
	kind        string
}

func (a *app) eventsCommand() *cobra.Command {
	var o eventOptions
	c := &cobra.Command{
		Use:   "events",
		Short: "what happened, newest last",
		Long: "Shows what happened on this node. With enichaind running its own memory is asked; without it, what it has not\n" +
			"published yet and the stages' flight record are shown.",
		Example: "  enichainctl events --follow --type 'pod.*'",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showEvents(c.Context(), o) },
	}
	c.Flags().BoolVar(&o.follow, "follow", false, "go on until interrupted")
	c.Flags().BoolVar(&o.raw, "raw", false, "the CloudEvents as they stand on the bus")
	c.Flags().DurationVar(&o.since, "since", time.Hour, "how far to look back")
	c.Flags().StringVar(&o.kind, "type", "*", "only these verbs, a shell pattern")
	return c
}

// happening is one line of events.
type happening struct {
	At   time.Time   `json:"at"`
	What string      `json:"what"` // verb of an event, or stage and command of a run
	Who  string      `json:"who,omitempty"`
	Text string      `json:"text,omitempty"`
	From string      `json:"from"` // bus, outbox or flight
	Data ipam.Record `json:"record,omitzero"`
}

func (a *app) showEvents(ctx context.Context, o eventOptions) error {
	if _, err := path.Match(o.kind, ""); err != nil {
		return fmt.Errorf("--type %q is no shell pattern, such as 'pod.*'", o.kind)
	}
	query := url.Values{"since": {o.since.String()}, "follow": {fmt.Sprint(o.follow)}}
	answer, err := a.ask(ctx, "/v1/events", query)
	if errors.Is(err, fs.ErrPermission) {
		return blind(err, "try again as root")
	}
	if err != nil {
		if o.follow || o.raw {
			return blind(err, "without enichaind:  enichainctl events")
		}
		fmt.Fprintf(a.err, "%v; shown is what it has not published and what the stages wrote down\n", err)
		return a.eventsFromFiles(ctx, o)
	}
	defer answer.Body.Close()
	var failed error
	err = stream(answer.Body, func(e cloudEvent) bool {
		if match, _ := path.Match(o.kind, string(e.Data.Verb)); match {
			if o.raw {
				a.printf("%s\n", e.raw)
			} else {
				failed = a.happened(eventHappening(e.Data, "bus"))
			}
		}
		return failed == nil
	})
	if ctx.Err() != nil {
		return nil // interrupted: that is how --follow ends
	}
	if err == nil && o.follow && failed == nil {
		return blind(fmt.Errorf("the stream of events ended: enichaind stopped"), "start it, and ask again")
	}
	if err != nil {
		return blind(err, "")
	}
	return failed
}

// eventsFromFiles needs no daemon.
func (a *app) eventsFromFiles(ctx context.Context, o eventOptions) error {
	from := a.clock().Wall.Add(-o.since)
	records, err := a.records(ctx)
	if err != nil {
		return err
	}
	var all []happening
	for _, r := range records {
		all = append(all, eventHappening(r, "outbox"))
	}
	runs, err := a.runs(from)
	if err != nil {
		return err
	}
	for _, r := range runs {
		all = append(all, runHappening(r))
	}
	slices.SortStableFunc(all, func(x, y happening) int { return x.At.Compare(y.At) })
	for _, h := range all {
		if match, _ := path.Match(o.kind, h.What); !match || h.At.Before(from) {
			continue
		}
		if err := a.happened(h); err != nil {
			return err
		}
	}
	return nil
}

// records is the outbox.
func (a *app) records(ctx context.Context) (records []ipam.Record, err error) {
	if _, err := a.state(ctx); err != nil {
		return nil, err
	}
	err = store.New(a.pool, store.Options{Command: "enichainctl"}).View(ctx, func(t *store.Tx) error {
		records, _ = t.Outbox(0, 0)
		return nil
	})
	return records, err
}

// remembered is the daemon's memory where it lives, and the outbox: what it has not published yet.
func (a *app) remembered(ctx context.Context, look time.Duration) ([]ipam.Record, error) {
	records, err := a.records(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, daemonLimit)
	defer cancel()
	answer, err := a.ask(ctx, "/v1/events", url.Values{"since": {look.String()}, "follow": {"false"}})
	if err != nil {
		return records, nil // files alone, then
	}
	defer answer.Body.Close()
	type identity struct {
		boot string
		n    uint64
	}
	known := map[identity]bool{}
	for _, r := range records {
		known[identity{r.Boot, r.N}] = true
	}
	_ = stream(answer.Body, func(e cloudEvent) bool { // what was read until it broke is true
		if id := (identity{e.Data.Boot, e.Data.N}); !known[id] {
			known[id] = true
			records = append(records, e.Data)
		}
		return true
	})
	slices.SortStableFunc(records, func(x, y ipam.Record) int { return x.At.Compare(y.At) })
	return records, nil
}

func eventHappening(r ipam.Record, from string) happening {
	h := happening{At: r.At, What: string(r.Verb), From: from, Data: r}
	if r.Container != "" {
		h.Who = who(r.Pod, ipam.Attachment{Network: r.Network, Container: r.Container, IfName: r.IfName})
	}
	var parts []string
	for _, x := range r.Address {
		parts = append(parts, x.String())
	}
	if r.ENI != "" {
		parts = append(parts, "on "+string(r.ENI))
	}
	if r.Took > 0 {
		parts = append(parts, "after "+millis(r.Took.Microseconds()))
	}
	if r.Cause != "" {
		parts = append(parts, r.Cause)
	}
	h.Text = strings.Join(parts, " ")
	return h
}

func runHappening(r run) happening {
	h := happening{At: r.at, What: r.Stage + " " + r.Command, From: "flight", Text: millis(r.Took)}
	if r.Container != "" {
		h.Who = who(r.Pod, ipam.Attachment{Network: r.Network, Container: r.Container, IfName: r.IfName})
	}
	if r.Token != "" {
		h.Text += " " + string(r.Token)
	}
	return h
}

// happened prints one: a line of text, or of JSON.
func (a *app) happened(h happening) error {
	if a.format == "json" {
		text, err := json.Marshal(h)
		if err != nil {
			return blind(err, "")
		}
		_, err = fmt.Fprintf(a.out, "%s\n", text)
		return err
	}
	name := h.Who
	if name == "" {
		name = "-"
	}
	_, err := fmt.Fprintf(a.out, "%s  %-20s  %s  %s\n", h.At.In(a.zone).Format("15:04:05.000"), h.What, name, h.Text)
	return err
}
