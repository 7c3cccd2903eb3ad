package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
	"github.com/enichain/enichain/stages/fastpath"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/stages/snat"
)

func (a *app) chainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "chain",
		Short: "lists: compose, swap a stage, fuse, judge, explain, compare, install",
		Long: "A chain is a list of stages in a file. These commands look at lists before a node sees them; they ask the installed\n" +
			"plugins what they need and add, and know the reference plugins by themselves. FILE may be \"-\" for standard input.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("chain has no command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.lintCommand(), a.explainCommand(), a.composeCommand(), a.swapCommand(), a.fuseCommand(),
		a.diffCommand(), a.applyCommand(), a.generationsCommand())
	return c
}

// chains is what these commands share: who is asked about stages, and for which runtime.
type chains struct {
	*app
	cniPath, runtime string
}

func (a *app) chainFlags(c *cobra.Command) *chains {
	x := &chains{app: a}
	c.Flags().StringVar(&x.cniPath, "cni-path", a.getenv("CNI_PATH"), "folders of stages, separated by ':' "+
		"(else CNI_PATH, enichainctl's own, "+generation.DefaultBinDir+")")
	return x
}

func (x *chains) runtimeFlag(c *cobra.Command) {
	c.Flags().StringVar(&x.runtime, "runtime", "", "judge for one runtime: "+strings.Join(chain.Runtimes(), ", "))
}

func (x *chains) contracts() chain.Contracts { return chain.Installed(x.path(), builtIn) }

// path is where plugins are looked for. None where no plugin can be expected, as in a job that only judges lists: then
// what is built in is all there is, and nothing is missing.
func (x *chains) path() []string {
	if x.cniPath != "" {
		return filepath.SplitList(x.cniPath)
	}
	var beside string
	if self, err := os.Executable(); err == nil {
		beside = filepath.Dir(self)
	}
	for _, dir := range []string{beside, generation.DefaultBinDir} {
		for name := range ours() {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return []string{dir}
			}
		}
	}
	return nil
}

// ours are the stages of this release: they need not be installed to be known.
func ours() map[string]stages.Stage {
	single := map[string]stages.Stage{
		"eni-ipam": eniipam.Stage{}, "routed-veth": routedveth.New(), "snat": snat.New(), "portmap-compat": portmapcompat.New(),
		"fastpath": fastpath.New(),
	}
	var fused []stages.Named
	for name, s := range single {
		fused = append(fused, stages.Named{Type: name, Stage: s})
	}
	single[contract.Fused] = stages.Fuse(fused...)
	return single
}

// builtIn is what is known without asking a binary.
func builtIn(pluginType string, config json.RawMessage) (contract.Contract, []string, bool) {
	if s, ok := ours()[pluginType]; ok {
		return s.Contract(), stages.Versions(), true
	}
	return known.Of(pluginType, config)
}

func (x *chains) options() (chain.Options, error) {
	if x.runtime != "" && !slices.Contains(chain.Runtimes(), x.runtime) {
		return chain.Options{}, fmt.Errorf("--runtime %q: want one of %s", x.runtime, strings.Join(chain.Runtimes(),
			", "))
	}
	return chain.Options{Runtime: x.runtime}, nil
}

// load reads one list, "-" from standard input. The list is nil where a runtime would refuse it; that is no error here.
func (x *chains) load(path string) (*chain.List, []chain.Problem, error) {
	if path == "-" {
		text, err := io.ReadAll(x.in)
		if err != nil {
			return nil, nil, blind(fmt.Errorf("cannot read standard input: %w", err), "")
		}
		l, problems := chain.Parse(chain.Stdin, text)
		return l, problems, nil
	}
	if err := readable(path); err != nil {
		return nil, nil, err
	}
	l, problems := chain.Load(path)
	return l, problems, nil
}

// readable says whether there is anything to judge.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return blind(fmt.Errorf("cannot read the list: %w", err), "")
	}
	return f.Close()
}

// must reads a list for commands that have nothing to say about one that cannot be read.
func (x *chains) must(path string) (*chain.List, error) {
	l, problems, err := x.load(path)
	if err != nil {
		return nil, err
	}
	if l == nil {
		x.problems(x.err, problems)
		return nil, &failure{code: exitWrong, err: fmt.Errorf("%s is no list that a runtime reads", path)}
	}
	return l, nil
}

// judge is all that is wrong with a list.
func (x *chains) judge(ctx context.Context, l *chain.List, problems []chain.Problem, o chain.Options) []chain.Problem {
	if l == nil {
		return problems
	}
	return append(problems, chain.Lint(ctx, l, x.contracts(), o)...)
}

// problems prints each with its reason and its repairs.
func (a *app) problems(w io.Writer, problems []chain.Problem) {
	for _, p := range problems {
		mark := p.Code
		if p.Severity == chain.Warning {
			mark += " (warning)"
		}
		where, _ := strings.CutSuffix(p.String(), ": "+p.Text)
		fmt.Fprintf(w, "%s: %s %s\n", where, mark, p.Text)
		if p.Why != "" {
			fmt.Fprintf(w, "        %s\n", p.Why)
		}
		for _, fix := range p.Fixes {
			fmt.Fprintf(w, "   fix  %s\n", fix)
		}
	}
}

// tally is "1 error, 2 warnings".
func tally(problems []chain.Problem) string {
	errors := chain.Errors(problems, false)
	return plural(errors, "error") + ", " + plural(len(problems)-errors, "warning")
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one file, but got %d", c.Name(), len(args))
	}
	return nil
}
