// Vpclab is a VPC on one machine: EC2 and IMDS on the wire, network interfaces as kernel links, a router that drops
// what a VPC drops, and nodes that run enichain for real. See 'vpclab help'.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as enichainctl's.
const (
	exitWrong   = 1 // something is wrong with what was looked at
	exitUsage   = 2 // the command line is wrong
	exitBlind   = 3 // cannot look: no such lab, no right, no answer
	exitTimeout = 4 // waited, and it did not happen in time
)

// failure is an error that knows the exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail makes a failure; format is fmt.Errorf's.
func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := root().ExecuteContextC(ctx)
	if err == nil {
		return
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "vpclab: "+text)
	}
	if lineIsWrong(err) {
		fmt.Fprintf(os.Stderr, "try: %s --help\n", c.CommandPath())
	}
	os.Exit(exitCode(err))
}

// lineIsWrong is true for what cobra says; our own errors name the next step themselves.
func lineIsWrong(err error) bool {
	var own *failure
	var run *exec.ExitError
	return !errors.As(err, &own) && !errors.As(err, &run)
}

// sayUsage lets a wrong number of arguments be answered with the right form.
func sayUsage(c *cobra.Command) {
	if right := c.Args; right != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if right(c, args) != nil {
				return fmt.Errorf("want %s", c.UseLine())
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		sayUsage(below)
	}
}

// exitCode is the command's own if one was run, ours if we failed, and that of a wrong command line otherwise.
func exitCode(err error) int {
	var own *failure
	var run *exec.ExitError
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &run):
		return run.ExitCode()
	}
	return exitUsage
}

// options are what every subcommand takes.
type options struct {
	lab    string
	format string
}

func root() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "vpclab",
		Short: "A VPC on one machine: make it, run pods in it, break it, look at it",
		Long: `A VPC on one machine: EC2 and IMDS on the wire, network interfaces as kernel links, and a router that drops what a
VPC would drop. It needs no root where user namespaces are allowed, and leaves nothing behind.`,
		Example:           "  vpclab up two-nodes\n  vpclab pod add web --node node-1 --port 8080:80\n  vpclab down",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	c.PersistentFlags().StringVar(&o.lab, "lab", os.Getenv("VPCLAB"), "which lab; not needed while only one is up (environment: VPCLAB)")
	c.PersistentFlags().StringVar(&o.format, "format", "text", "text or json")
	c.PersistentPreRunE = func(*cobra.Command, []string) error {
		if o.format != "text" && o.format != "json" {
			return fail(exitUsage, "--format is %q; text or json", o.format)
		}
		return nil
	}
	c.AddCommand(upCommand(o), downCommand(o), shellCommand(o), execCommand(o), envCommand(o), podCommand(o), eniCommand(o),
		instanceCommand(o), faultCommand(o), ec2Command(o), dumpCommand(o), dropsCommand(o), reachCommand(o), tryCommand(o), demoCommand(o),
		replayCommand(), simCommand(o))
	c.AddCommand(hiddenCommands()...)
	sayUsage(c)
	return c
}

// hiddenCommands are the ones vpclab starts itself.
func hiddenCommands() []*cobra.Command {
	all := []*cobra.Command{initCommand(), holdCommand(), helloCommand(), insideCommand(), probeCommand()}
	for _, c := range all {
		c.Hidden = true
	}
	return all
}
