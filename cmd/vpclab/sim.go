package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/sim"
)

func simCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "sim", Short: "Run whole fleets in virtual time: the real cores, the rules of a VPC, faults"}
	c.AddCommand(simSeedsCommand(o), simFleetCommand(o))
	return c
}

func simSeedsCommand(o *options) *cobra.Command {
	var all seedsRun
	var hours float64
	c := &cobra.Command{
		Use:   "seeds",
		Short: "Run seeds, each so many hours with faults, and check every invariant after every step",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all.Length = time.Duration(hours * float64(time.Hour))
			if all.Seeds < 1 || all.Nodes < 1 || all.Length < time.Minute {
				return fail(exitUsage, "--seeds and --nodes are %d and %d, --hours is %g; 1 or more, and a minute at least", all.Seeds, all.Nodes, hours)
			}
			out := c.OutOrStdout()
			told := newNews(c.ErrOrStderr())
			runSeeds(c.Context(), all.First, all.Seeds, all.one, func(done int, seed uint64, r sim.Result) {
				if len(r.Broken) > 0 {
					all.Broken = append(all.Broken, brokenSeed{seed, r.Broken[0]})
					if o.format == "text" {
						told.wipe()
						fmt.Fprintf(out, "seed %d breaks %s\n  again: go test ./test/sim -run 'TestSeeds$' -sim.seeds 1 -sim.first %d -sim.hours %g -sim.nodes %d\n", seed, r.Broken[0], seed, hours, all.Nodes)
					}
				}
				all.Done = done
				told.progress(time.Now(), all.String)
			})
			told.wipe()
			all.Took = time.Since(told.began)
			return all.end(c.Context(), out, o.format == "json")
		},
	}
	c.Flags().IntVar(&all.Seeds, "seeds", 200, "how many")
	c.Flags().Uint64Var(&all.First, "first", 1, "the first one")
	c.Flags().Float64Var(&hours, "hours", 1, "simulated hours with faults of each")
	c.Flags().IntVar(&all.Nodes, "nodes", 2, "at most so many nodes to begin with")
	return c
}

// seedsRun is what 'sim seeds --format json' prints; durations are nanoseconds.
type seedsRun struct {
	First  uint64        `json:"first"`
	Seeds  int           `json:"seeds"`
	Length time.Duration `json:"length"` // of the part with faults
	Nodes  int           `json:"nodes"`
	Done   int           `json:"done"`
	Broken []brokenSeed  `json:"broken,omitempty"`
	Took   time.Duration `json:"took"` // real time
}

type brokenSeed struct {
	Seed uint64 `json:"seed"`
	sim.Violation
}

// String says how far it is.
func (s *seedsRun) String() string {
	return fmt.Sprintf("%d of %d seeds, %d broken", s.Done, s.Seeds, len(s.Broken))
}

// one runs a seed.
func (s *seedsRun) one(seed uint64) sim.Result {
	r, err := sim.Run(sim.Generate(seed, s.Length, s.Nodes), sim.Settings{Dir: memory()})
	if err != nil {
		r.Broken = []sim.Violation{{Invariant: "run", Text: err.Error()}}
	}
	return r
}

// end says what came of all of them.
func (s *seedsRun) end(ctx context.Context, out io.Writer, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(out).Encode(s); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return fail(exitTimeout, "stopped before all %d seeds were run", s.Seeds)
	case len(s.Broken) > 0:
		return fail(exitWrong, "%d of %d seeds break an invariant", len(s.Broken), s.Seeds)
	case !asJSON:
		fmt.Fprintf(out, "%d seeds of %s with up to %d nodes: every invariant holds\n", s.Seeds, s.Length, s.Nodes)
	}
	return nil
}

// runSeeds runs them on all processors and tells of each as it ends.
func runSeeds(ctx context.Context, first uint64, count int, run func(uint64) sim.Result, tell func(done int, seed uint64, r sim.Result)) {
	var mu sync.Mutex
	var workers sync.WaitGroup
	next, done := 0, 0
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				mu.Lock()
				seed := first + uint64(next)
				next++
				mu.Unlock()
				if seed >= first+uint64(count) || ctx.Err() != nil {
					return
				}
				r := run(seed)
				mu.Lock()
				done++
				tell(done, seed, r)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
}

// memory is a folder in memory, where there is one.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
