package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
)

// fusing is one run of "chain fuse".
type fusing struct {
	*chains
	undo, write, force bool
}

func (a *app) fuseCommand() *cobra.Command {
	x := &fusing{}
	c := &cobra.Command{
		Use:   "fuse FILE",
		Short: "let neighbouring stages of enichain run in one process",
		Long: "Puts stages of enichain that stand side by side into one entry of the plugin enichain, which runs them in one process:\n" +
			"the same stages with the same keys, results, kernel state, errors and flight record, started once. Other\n" +
			"people's plugins stay where they are, and so does a stage that stands alone. --undo gives each stage its own entry\n" +
			"again. The new list goes to standard output, what was done to standard error. FILE may be \"-\". Exit code 1: the result\n" +
			"has errors; nothing is written then.",
		Example: "  enichainctl chain fuse conflists/05-enichain.conflist\n" +
			"  enichainctl chain fuse /etc/cni/net.d/05-enichain.conflist | enichainctl chain apply -",
		Args: oneFile,
	}
	x.chains = a.chainFlags(c)
	x.runtimeFlag(c)
	c.Flags().BoolVar(&x.undo, "undo", false, "an entry for each stage again")
	c.Flags().BoolVarP(&x.write, "write", "w", false, "write the file in place, and print nothing")
	c.Flags().BoolVar(&x.force, "force", false, "also where the result has errors")
	c.RunE = func(c *cobra.Command, args []string) error { return x.run(c.Context(), args[0]) }
	return c
}

// fusedList is the JSON form of the answer.
type fusedList struct {
	List     string          `json:"list"`   // the new text
	Groups   [][]string      `json:"groups"` // stages that run in one process now; with --undo: that did
	Alone    []string        `json:"alone"`  // plugins with a process of their own before and after
	Problems []chain.Problem `json:"problems"`
	Written  string          `json:"written,omitempty"`
}

func (x *fusing) run(ctx context.Context, path string) error {
	if x.write && path == "-" {
		return fmt.Errorf("-w needs a file to write, and standard input is none")
	}
	o, err := x.options()
	if err != nil {
		return err
	}
	l, err := x.must(path)
	if err != nil {
		return err
	}
	var done chain.Fusion
	if x.undo {
		done, err = chain.Unfuse(l)
	} else {
		done, err = chain.Fuse(ctx, l, x.contracts())
	}
	if err != nil {
		return &failure{code: exitWrong, err: err}
	}
	after, problems := chain.LoadText(l.Path, done.Text)
	problems = x.judge(ctx, after, problems, o)
	if x.format == "text" {
		x.said(done)
		x.problems(x.err, problems)
	}
	if n := chain.Errors(problems, false); n > 0 && !x.force {
		if x.format == "json" {
			x.problems(x.err, problems)
		}
		return &failure{code: exitWrong, err: fmt.Errorf("the list has %s; nothing was written", plural(n, "error")),
			do: "take it all the same:  --force"}
	}
	return x.deliver(path, done.Text, x.write, func(written string) any {
		return fusedList{List: string(done.Text), Groups: listed(done.Groups), Alone: listed(done.Alone),
			Problems: listed(problems), Written: written}
	})
}

// said tells people, on standard error, what was done.
func (x *fusing) said(f chain.Fusion) {
	what, none := "one process (%s): %s\n", "nothing to fuse: no two stages of enichain stand side by side\n"
	if x.undo {
		what, none = "taken apart (%s): %s\n", "nothing to take apart: no entry is fused\n"
	}
	for _, g := range f.Groups {
		fmt.Fprintf(x.err, what, contract.Fused, strings.Join(g, ", "))
	}
	if len(f.Groups) == 0 {
		fmt.Fprint(x.err, none)
	}
	if len(f.Alone) > 0 {
		fmt.Fprintf(x.err, "as they were: %s\n", strings.Join(f.Alone, ", "))
	}
}
