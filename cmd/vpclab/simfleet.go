package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/sim"
)

func simFleetCommand(o *options) *cobra.Command {
	var b sim.Boot
	var mode string
	var alone bool
	c := &cobra.Command{
		Use:     "fleet",
		Short:   "Boot many nodes at EC2's published rates, beside a model of a per-node daemon; prints the table",
		Example: "  vpclab sim fleet --nodes 1000\n  vpclab sim fleet --nodes 5000 --mode prefix --format json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			modes := map[string][]bool{"secondary": {false}, "prefix": {true}, "both": {false, true}}[mode]
			if modes == nil {
				return fail(exitUsage, "--mode is %q; secondary, prefix or both", mode)
			}
			for _, b.Prefix = range modes {
				if err := b.Validate(); err != nil {
					return fail(exitUsage, "%w", err)
				}
			}
			b.Dir = memory()
			debug.SetGCPercent(300)
			all, err := compare(c.Context(), c.ErrOrStderr(), b, modes, alone)
			if err != nil {
				return fail(exitWrong, "%w", err)
			}
			if o.format == "json" {
				return json.NewEncoder(c.OutOrStdout()).Encode(all)
			}
			fmt.Fprint(c.OutOrStdout(), sim.Table(all))
			return nil
		},
	}
	c.Flags().IntVar(&b.Nodes, "nodes", 1000, "how many")
	c.Flags().StringVar(&b.Type, "type", "m5.large", "their instance type")
	c.Flags().IntVar(&b.Pods, "pods", 27, "pods of each node, and the most that it may have")
	c.Flags().DurationVar(&b.Over, "over", time.Minute, "from the first boot to the last")
	c.Flags().Uint64Var(&b.Seed, "seed", 1, "of all that is drawn")
	c.Flags().StringVar(&mode, "mode", "both", "secondary, prefix or both")
	c.Flags().BoolVar(&alone, "alone", false, "without the per-node daemon")
	return c
}

// booting is one of the runs of a comparison; each is a thread of its own.
type booting struct {
	boot sim.Boot
	who  string
	run  func(sim.Boot, context.Context) (sim.BootResult, error)
	into *sim.BootResult

	now   time.Duration
	full  int
	goes  bool
	ended bool
}

// String says how far the run is.
func (r *booting) String() string {
	return fmt.Sprintf("%s %s: %d of %d nodes full after %s", r.boot.Mode(), r.who, r.full, r.boot.Nodes, r.now.Round(time.Second))
}

// compare boots the fleet in each mode, ours and a per-node daemon's, as many runs at a time as there are processors.
func compare(ctx context.Context, out io.Writer, b sim.Boot, modes []bool, alone bool) ([]sim.Comparison, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make([]sim.Comparison, len(modes))
	var runs []*booting
	for i, prefix := range modes {
		b.Prefix = prefix
		all[i].Floor = b.Floor()
		runs = append(runs, &booting{boot: b, who: "enichain", run: sim.Boot.Run, into: &all[i].Ours})
		if !alone {
			runs = append(runs, &booting{boot: b, who: "per-node daemon", run: sim.Boot.RunPeer, into: &all[i].Theirs})
		}
	}
	var mu sync.Mutex // guards told and what it says of the runs
	told := newNews(out)
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	var faults []error
	for _, r := range runs {
		workers.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			r.boot.Tell = func(now time.Duration, full int) {
				mu.Lock()
				defer mu.Unlock()
				r.now, r.full, r.goes = now, full, true
				told.progress(time.Now(), func() string { return describe(runs) })
			}
			result, err := r.run(r.boot, ctx)
			mu.Lock()
			defer mu.Unlock()
			if *r.into, r.ended = result, true; err != nil && ctx.Err() == nil {
				faults = append(faults, fmt.Errorf("%s %s: %w", r.boot.Mode(), r.who, err))
				cancel() // the others' tables would be half of one
			}
		})
	}
	workers.Wait()
	told.wipe()
	if len(faults) == 0 {
		return all, ctx.Err()
	}
	return nil, errors.Join(faults...)
}

// describe says how far those are that run.
func describe(runs []*booting) string {
	var texts []string
	for _, r := range runs {
		if r.goes && !r.ended {
			texts = append(texts, r.String())
		}
	}
	return strings.Join(texts, "; ")
}
