package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam/record"
)

// mostRecord is the longest record that is asked for.
const mostRecord = time.Hour

type recordOptions struct {
	span      time.Duration
	core, out string
}

func (a *app) recordCommand() *cobra.Command {
	var o recordOptions
	c := &cobra.Command{
		Use:   "record",
		Short: "keep what enichaind decides, step by step, so that it can be run again",
		Long: "Writes a record of enichaind's cores: each step with its time, its input and its effects, one JSON line each. A record\n" +
			"begins with a core's first step, so the daemon starts the recorded cores anew, as after a restart: pods notice\n" +
			"nothing, and nothing is decided twice. It has pod names, addresses and ids of the account in it. An interrupt ends it\n" +
			"early; what came stays.",
		Example: "  enichainctl record --for 5m --core reconcile --out run.jsonl",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showRecord(c.Context(), o) },
	}
	c.Flags().DurationVar(&o.span, "for", time.Minute, "how long, 1s to 1h")
	c.Flags().StringVar(&o.core, "core", "", "agent or reconcile alone (default: all that this daemon runs)")
	c.Flags().StringVar(&o.out, "out", "-", "a new file; \"-\" is standard output")
	return c
}

func (a *app) showRecord(ctx context.Context, o recordOptions) error {
	if o.span < time.Second || o.span > mostRecord {
		return fmt.Errorf("--for %s: want 1s to %s", o.span, mostRecord)
	}
	if o.core != "" && o.core != record.Agent && o.core != record.Reconcile {
		return fmt.Errorf("--core %q: want %s or %s", o.core, record.Agent, record.Reconcile)
	}
	query := url.Values{"for": {o.span.String()}}
	if o.core != "" {
		query.Set("core", o.core)
	}
	answer, err := a.ask(ctx, "/v1/record", query)
	if err != nil {
		return blind(err, "is enichaind running here?  systemctl status enichaind")
	}
	defer answer.Body.Close()
	to, done := a.out, func() error { return nil }
	if o.out != "-" {
		file, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return blind(fmt.Errorf("cannot write the record: %w", err), "")
		}
		to, done = file, file.Close
	}
	n, err := keep(ctx, answer.Body, to)
	if err := errors.Join(err, done()); err != nil {
		return blind(fmt.Errorf("the record broke off after %s: %w", plural(n.steps, "step"), err), "")
	}
	if n.steps == 0 {
		return &failure{code: exitWrong, err: fmt.Errorf("no core of this daemon made a step in %s", o.span)}
	}
	fmt.Fprintf(a.err, "%s of %s%s\n", plural(n.steps, "step"), plural(n.cores, "core"), n.end)
	return nil
}

// kept counts what was recorded.
type kept struct {
	cores, steps int
	end          string // why it ended, where the daemon says so
}

// keep copies a record and reads along. An interrupt is no error.
func keep(ctx context.Context, from io.Reader, to io.Writer) (n kept, err error) {
	lines := record.NewReader(io.TeeReader(from, to))
	for {
		e, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF), err != nil && ctx.Err() != nil:
			return n, nil
		case err != nil:
			return n, err
		case e.Header != nil:
			n.cores++
		case e.Line != nil:
			n.steps++
		case e.End != nil:
			n.end = ": " + e.End.Reason
		}
	}
}
