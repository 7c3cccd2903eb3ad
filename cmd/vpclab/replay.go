package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/record"
)

func replayCommand() *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Run a record of agent or reconciler through the same code, and tell what happened",
		Long: `Run a record, as 'enichainctl record' writes it, through the cores: the same inputs at the same times must have the same
effects, byte for byte. It prints what happened, and the first step that differs; then it exits 1. FILE may be - for
standard input.`,
		Example: "  enichainctl record --for 60s --output node.record\n  vpclab replay node.record",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			from, done, err := openRecord(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			defer done()
			out := c.OutOrStdout()
			if quiet {
				out = io.Discard
			}
			r := replayer{out: out, cores: map[string]func(record.Line) (string, error){}}
			if err := r.run(record.NewReader(from)); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%d steps, the same effects\n", r.steps)
			return nil
		},
	}
	c.Flags().BoolVar(&quiet, "quiet", false, "print no timeline")
	return c
}

func openRecord(name string, stdin io.Reader) (io.Reader, func(), error) {
	if name == "-" {
		return stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fail(exitBlind, "cannot open record: %w", err)
	}
	return f, func() { _ = f.Close() }, nil
}

// replayer runs the cores of a record; each answers a step with what it did, as JSON.
type replayer struct {
	out   io.Writer
	cores map[string]func(record.Line) (string, error)
	steps int
}

func (r *replayer) run(from *record.Reader) error {
	for {
		e, err := from.Next()
		switch {
		case errors.Is(err, io.EOF) && r.steps == 0:
			return fail(exitBlind, "cannot replay: there is no step in the record")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fail(exitBlind, "%w", err)
		case e.End != nil:
			fmt.Fprintf(r.out, "the record ends here: %s\n", e.End.Reason)
		case e.Header != nil:
			err = r.begin(*e.Header)
		default:
			err = r.step(from.Number(), *e.Line)
		}
		if err != nil {
			return err
		}
	}
}

// begin makes the core that a header describes; a second one of the same name is its next life.
func (r *replayer) begin(h record.Header) error {
	name := h.Core + " " + h.Node
	switch h.Core {
	case record.Agent:
		var options agent.Options
		if err := json.Unmarshal(h.Config, &options); err != nil {
			return fail(exitBlind, "cannot read the configuration of %s: %w", name, err)
		}
		seed := [2]uint64{}
		if h.Seed != nil {
			seed = *h.Seed
		}
		core := agent.New(options, rand.New(rand.NewPCG(seed[0], seed[1])))
		r.cores[name] = func(l record.Line) (string, error) {
			return stepOf(l, func(now agent.Now, in agent.Input) any {
				tellAgent(r.out, l.Node, now, in)
				out := core.Step(now, in)
				tellAgentDid(r.out, l.Node, now, out)
				return out
			})
		}
	case record.Reconcile:
		var config reconcile.Config
		if err := json.Unmarshal(h.Config, &config); err != nil {
			return fail(exitBlind, "cannot read the configuration of %s: %w", name, err)
		}
		core := reconcile.New(config)
		r.cores[name] = func(l record.Line) (string, error) {
			return stepOf(l, func(now reconcile.Now, in reconcile.Input) any {
				tellReconcile(r.out, now, in)
				out := core.Step(now, in)
				tellReconcileDid(r.out, now, out)
				return out
			})
		}
	}
	fmt.Fprintf(r.out, "%s begins\n", name)
	return nil
}

// stepOf reads a step, runs it, and writes what it did as the recorder does.
func stepOf[N, I any](l record.Line, run func(N, I) any) (string, error) {
	var now N
	var in I
	if err := json.Unmarshal(l.Now, &now); err != nil {
		return "", fmt.Errorf("its time: %w", err)
	}
	if err := json.Unmarshal(l.In, &in); err != nil {
		return "", fmt.Errorf("its input: %w", err)
	}
	text, err := json.Marshal(run(now, in))
	return string(text), err
}

func (r *replayer) step(line int, l record.Line) error {
	run := r.cores[l.Core+" "+l.Node]
	if run == nil {
		return fail(exitBlind, "line %d: a step of %s %s, and no header of it", line, l.Core, l.Node)
	}
	did, err := run(l)
	if err != nil {
		return fail(exitBlind, "line %d: cannot read step %d of %s %s: %w", line, l.N, l.Core, l.Node, err)
	}
	r.steps++
	if did == string(l.Out) {
		return nil
	}
	return fail(exitWrong, "line %d: step %d of %s %s differs\n  now:      %s\n  in:       %s\n  recorded: %s\n  replayed: %s",
		line, l.N, l.Core, l.Node, l.Now, l.In, l.Out, did)
}
