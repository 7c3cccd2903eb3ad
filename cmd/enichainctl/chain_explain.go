package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain"
)

func (a *app) explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "explain FILE",
		Short:   "what each stage needs, adds and leaves in the kernel, and what a pod ends with",
		Example: "  enichainctl chain explain conflists/05-enichain.conflist",
		Args:    oneFile,
	}
	x := a.chainFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		l, err := x.must(args[0])
		if err != nil {
			return err
		}
		e := chain.Explain(c.Context(), l, x.contracts())
		if x.format == "json" {
			err = x.json(e)
		} else {
			x.printf("%s", e.Text())
		}
		if err == nil && e.Errors > 0 {
			return errWrong
		}
		return err
	}
	return c
}

func (a *app) diffCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "diff A B",
		Short:   "what changes for new pods, for running pods, in the kernel",
		Example: "  enichainctl chain diff /etc/cni/net.d/05-enichain.conflist conflists/external-snat.conflist",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("diff takes two lists, but got %d", len(args))
			}
			return nil
		},
	}
	x := a.chainFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		before, err := x.must(args[0])
		if err != nil {
			return err
		}
		after, err := x.must(args[1])
		if err != nil {
			return err
		}
		d := chain.Diff(c.Context(), before, after, x.contracts())
		if x.format == "json" {
			return x.json(d)
		}
		x.printf("%s", d.Text())
		return nil
	}
	return c
}
