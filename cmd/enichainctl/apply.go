package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/generation"
)

// applying is one run of "chain apply".
type applying struct {
	*chains
	store                 generation.Store
	as                    string
	dry, wait, now, force bool
	timeout               time.Duration
}

func (a *app) applyCommand() *cobra.Command {
	x := &applying{}
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "install a list as the next generation; old ones are cleaned up after their last pod",
		Long: `Installs a list in the runtime's folder, in one step: no moment without a list, and no half of one. It stands in the
file that holds its network's list now, or else under its own name. Running pods keep what they were born with;
enichaind cleans up after a stage that was taken out, pod by pod as they end.
FILE may be "-" for standard input. Exit code 1: the list has errors, and nothing was installed.`,
		Example: "  enichainctl chain apply --dry-run no-snat.conflist\n  enichainctl chain swap portmap-compat=portmap | enichainctl chain apply - --wait",
		Args:    oneFile,
		RunE:    func(c *cobra.Command, args []string) error { return x.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	a.listFlags(c, &x.store)
	x.chains = a.chainFlags(c)
	x.runtimeFlag(c)
	f.StringVar(&x.as, "as", "", "file name in the runtime's folder")
	f.BoolVar(&x.dry, "dry-run", false, "say what would happen, and change nothing")
	f.BoolVar(&x.wait, "wait", false, "until the last pod of older generations is gone, and cleaned up after")
	f.DurationVar(&x.timeout, "timeout", 0, "with --wait: give up after this long, exit code 4; 0 waits for ever")
	f.BoolVar(&x.now, "now", false, "take departed stages from running pods at once; their connections through these break")
	f.BoolVar(&x.force, "force", false, "install a list with errors")
	return c
}

// listFlags say where lists and results are.
func (a *app) listFlags(c *cobra.Command, s *generation.Store) {
	c.Flags().StringVar(&s.ConfDir, "conf-dir", generation.DefaultConfDir, "where the runtime reads its lists")
	c.Flags().StringVar(&s.Dir, "lists", generation.DefaultLists, "where the generations are kept")
	c.Flags().StringVar(&s.Results, "results", generation.DefaultResults, "where the runtime keeps its results")
}

// applied is the JSON form of the answer.
type applied struct {
	generation.Change
	DryRun   bool            `json:"dryRun,omitempty"`
	Pods     int             `json:"pods"`     // that run with the network
	Leaving  []leaving       `json:"departed"` // stages that running pods have and the list has no more
	Problems []chain.Problem `json:"problems,omitempty"`
	Took     bool            `json:"taken,omitempty"` // --now
}

// leaving is one departed stage.
type leaving struct {
	Type   string   `json:"type"`
	Pods   []string `json:"pods"`
	Breaks string   `json:"breaks"` // what ends for a pod without it
	wire   bool     // it made the pod's interface, or gave its address
}

func (x *applying) run(ctx context.Context, path string) error {
	text, name, err := x.read(path)
	if err != nil {
		return blind(err, "")
	}
	folder, err := generation.ReadFolder(x.store.ConfDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return blind(err, "try again as root")
	}
	problems, err := x.lint(ctx, path, text)
	if err != nil {
		return err
	}
	l, err := generation.ParseList(text)
	if err != nil {
		return &failure{code: exitWrong, err: fmt.Errorf("%s: %w", path, err)}
	}
	file, err := folder.Target(l.Name, name, x.as)
	if err != nil {
		return x.unplaced(err, folder.Lists[l.Name].File)
	}
	leavers, pods, err := x.store.Leavers(text)
	if err != nil {
		return blind(err, "try again as root")
	}
	done := applied{Pods: pods, Problems: problems, DryRun: x.dry, Leaving: x.leaving(ctx, leavers)}
	if i := slices.IndexFunc(done.Leaving, func(s leaving) bool { return s.wire }); x.now && i >= 0 {
		return &failure{code: exitWrong, err: fmt.Errorf("--now would take %s from running pods: %s", done.Leaving[i].Type, done.Leaving[i].Breaks),
			do: "without --now they keep it until they end"}
	}
	if done.Change, err = x.store.Apply(ctx, file, text, x.dry); err != nil {
		return blind(err, "try again as root")
	}
	if x.now && !x.dry {
		if err := x.take(ctx, leavers); err != nil {
			return err
		}
		done.Took = true
	}
	if err := x.tell(done); err != nil || !x.wait || x.dry {
		return err
	}
	return x.await(ctx, done.Change)
}

// unplaced says what to do where a list cannot stand; there is the file that has its network now.
func (x *applying) unplaced(err error, there string) error {
	f := &failure{code: exitUsage, err: err, do: "name it:  --as 05-enichain.conflist"}
	there = filepath.Join(x.store.ConfDir, there)
	switch {
	case errors.Is(err, generation.ErrSecond):
		f.do = "without --as it goes there"
	case errors.Is(err, generation.ErrSingle):
		f.code, f.do = exitWrong, fmt.Sprintf("move it away first:  mv %s %s.old", there, there)
	}
	return f
}

func (x *applying) read(path string) (text []byte, name string, err error) {
	if path == "-" {
		if text, err = io.ReadAll(x.in); err != nil {
			err = fmt.Errorf("cannot read standard input: %w", err)
		}
		return text, "", err
	}
	if text, err = os.ReadFile(path); err != nil {
		err = fmt.Errorf("cannot read the list: %w", err)
	}
	return text, filepath.Base(path), err
}

// lint judges the list with the drop-ins that it will have, and refuses one with errors, unless forced.
func (x *applying) lint(ctx context.Context, path string, text []byte) ([]chain.Problem, error) {
	o, err := x.options()
	if err != nil {
		return nil, err
	}
	if path == "-" {
		path = "stdin"
	}
	l, problems := chain.Parse(path, text)
	if l != nil && !l.LoadOnlyInlined {
		dropIns, _ := filepath.Glob(filepath.Join(x.store.ConfDir, l.Name, "*.conf")) // a folder of an odd name has none
		for _, file := range dropIns {
			more, faults := chain.Load(file)
			problems = append(problems, faults...)
			if more != nil {
				l.Stages = append(l.Stages, more.Stages...)
			}
		}
	}
	problems = x.judge(ctx, l, problems, o)
	x.problems(x.err, problems)
	switch n := chain.Errors(problems, false); {
	case l == nil: // a runtime would not read it either: --force does not help
		return nil, &failure{code: exitWrong, err: fmt.Errorf("%s is no list that a runtime reads; nothing was installed", path)}
	case n > 0 && !x.force:
		return nil, &failure{code: exitWrong, err: fmt.Errorf("%s has %s; nothing was installed", path, plural(n, "error")),
			do: "to install it all the same:  --force"}
	}
	return problems, nil
}

// leaving sums up by stage.
func (x *applying) leaving(ctx context.Context, leavers []generation.Leaver) []leaving {
	contracts := x.contracts()
	sum := []leaving{}
	for _, v := range leavers {
		for _, i := range v.Stages {
			s := v.Birth.Stages[i]
			at := slices.IndexFunc(sum, func(l leaving) bool { return l.Type == s.Type })
			if at < 0 {
				at = len(sum)
				l := leaving{Type: s.Type}
				l.Breaks, l.wire = breaks(contracts.Of(ctx, s.Type, s.Config))
				sum = append(sum, l)
			}
			sum[at].Pods = append(sum[at].Pods, v.Birth.Cached.Pod())
		}
	}
	return sum
}

// breaks says what ends for a running pod that loses a stage.
func breaks(k chain.Known) (what string, wire bool) {
	adds := func(f contract.Fact) bool { return slices.Contains(k.Adds, f) }
	switch {
	case adds(contract.SandboxInterface), adds(contract.IPs), adds(contract.Routed):
		return "it made their interface or gave their address, and they would be cut off", true
	case adds(contract.HostPorts) && adds(contract.Masquerade):
		return "connections to their host ports, and their open connections to the outside, break", false
	case adds(contract.HostPorts):
		return "connections to their host ports break, and new ones are refused", false
	case adds(contract.Masquerade):
		return "their open connections to the outside break: packets leave under the pod's own address", false
	}
	return "what it did for them ends", false
}

func (x *applying) take(ctx context.Context, leavers []generation.Leaver) error {
	var errs []error
	for _, v := range leavers {
		errs = append(errs, x.store.Take(ctx, generation.Plugins{Path: x.path(), Contracts: x.contracts()}, v))
	}
	if err := errors.Join(errs...); err != nil {
		return &failure{code: exitWrong, err: err, do: "the list is installed; try again, or let the pods end: enichaind cleans up after them"}
	}
	return nil
}

func (x *applying) tell(d applied) error {
	if x.format == "json" {
		return x.json(d)
	}
	stands := "stands in"
	switch {
	case d.DryRun && d.Changed():
		stands = "would stand in"
	case !d.Changed():
		stands = "stands already in"
	}
	before := ""
	if d.Before > 0 && d.Changed() {
		before = fmt.Sprintf(", after generation %d", d.Before)
	}
	x.printf("list     generation %d of %s %s %s%s\n", d.Number, d.Network, stands, filepath.Join(x.store.ConfDir, d.File), before)
	if d.Renamed != "" {
		x.printf("renamed  pods of network %s that run are cleaned up after as they end; their runtime knows the new name only\n", d.Renamed)
	}
	if d.Shadowed != "" {
		x.printf("WARNING  %s sorts before it: runtimes that take the first list make pods by that one\n", d.Shadowed)
	}
	x.printf("running  %s, each with what it was born with\n", plural(d.Pods, "pod"))
	for _, s := range d.Leaving {
		switch {
		case d.Took:
			x.printf("taken    %s from %s: %s\n", s.Type, plural(len(s.Pods), "pod"), s.Breaks)
		case x.now:
			x.printf("would    take %s from %s: %s\n", s.Type, plural(len(s.Pods), "pod"), s.Breaks)
		default:
			x.printf("departed %s (%s): enichaind cleans up as pods end\n", s.Type, plural(len(s.Pods), "pod"))
		}
	}
	if silent := x.heartbeat(); silent != "" && len(d.Leaving) > 0 && !x.now {
		x.printf("WARNING  %s: nobody cleans up until it does\n", silent)
	}
	return nil
}

// await ends when the last pod of an older generation has.
func (x *applying) await(ctx context.Context, c generation.Change) error {
	if x.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.timeout)
		defer cancel()
	}
	networks := slices.DeleteFunc([]string{c.Network, c.Renamed}, func(n string) bool { return n == "" })
	err := x.store.WaitOlder(ctx, networks...)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{code: exitTimeout, err: fmt.Errorf("pods of older generations are still there after %s", x.timeout),
			do: "which:  enichainctl chain generations"}
	case err != nil:
		return blind(err, "")
	}
	x.printf("done     no pod of an older generation is left\n")
	return nil
}
