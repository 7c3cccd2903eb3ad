package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
)

func (a *app) lintCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "lint FILE…",
		Short: "does the list hold together",
		Long: "Judges lists, or a folder of them with drop-ins as a runtime reads it. Each problem comes with its place, a code that\n" +
			"docs/lint.md explains, what would happen, and what to do. Exit code 1: there are errors (with --strict: or warnings).",
		Example: "  enichainctl chain lint --runtime crio /etc/cni/net.d\n  enichainctl chain compose eni-ipam ptp portmap | enichainctl chain lint -",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("lint takes a file, a folder, or - for standard input")
			}
			return nil
		},
	}
	x := a.chainFlags(c)
	x.runtimeFlag(c)
	c.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	c.RunE = func(c *cobra.Command, args []string) error { return x.lint(c.Context(), args, strict) }
	return c
}

// linted is the JSON form of the answer.
type linted struct {
	Problems []chain.Problem `json:"problems"`
	Errors   int             `json:"errors"`
	Warnings int             `json:"warnings"`
}

func (x *chains) lint(ctx context.Context, paths []string, strict bool) error {
	o, err := x.options()
	if err != nil {
		return err
	}
	problems := []chain.Problem{}
	for _, path := range paths {
		more, err := x.lintOne(ctx, path, o)
		if err != nil {
			return err
		}
		problems = append(problems, more...)
	}
	if x.format == "json" {
		n := chain.Errors(problems, false)
		err = x.json(linted{Problems: problems, Errors: n, Warnings: len(problems) - n})
	} else {
		x.app.problems(x.out, problems)
		asked := ""
		if len(x.path()) == 0 {
			asked = " (no plugins here: judged by what enichainctl knows of them)"
		}
		x.printf("%s%s\n", tally(problems), asked)
	}
	if err == nil && chain.Errors(problems, strict) > 0 {
		return errWrong
	}
	return err
}

func (x *chains) lintOne(ctx context.Context, path string, o chain.Options) ([]chain.Problem, error) {
	info, err := os.Stat(path)
	if path != "-" && err == nil && info.IsDir() {
		lists, problems := chain.LoadDir(path, o)
		for _, l := range lists {
			problems = x.judge(ctx, l, problems, o)
		}
		return problems, nil
	}
	l, problems, err := x.load(path)
	if err != nil {
		return nil, err
	}
	return x.judge(ctx, l, problems, o), nil
}
