package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func downCommand(o *options) *cobra.Command {
	var all bool
	var name string
	c := &cobra.Command{
		Use:     "down",
		Short:   "End a lab and see that nothing is left of it",
		Long:    "Ends a lab, also one whose processes were killed. Exit codes: 0 nothing is left; 1 something is; 3 there is no such lab.",
		Example: "  vpclab down\n  vpclab down --all",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			labs, err := labsToEnd(firstOf(name, o.lab), all)
			if err != nil {
				return err
			}
			var failures error
			for _, s := range labs {
				failures = errors.Join(failures, down(c.OutOrStdout(), o, s))
			}
			return failures
		},
	}
	c.Flags().StringVar(&name, "name", "", "which lab, as --lab")
	c.Flags().BoolVar(&all, "all", false, "every lab of this user")
	return c
}

func labsToEnd(name string, all bool) ([]*state, error) {
	labs := allStates()
	if all {
		return labs, nil
	}
	var found []*state
	for _, s := range labs {
		if name == "" || s.Name == name {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0 && name != "":
		return nil, fail(exitBlind, "there is no lab %s", name)
	case len(found) == 0:
		return nil, fail(exitBlind, "there is no lab")
	case len(found) > 1:
		return nil, fail(exitUsage, "there are %d labs; say --name NAME or --all", len(found))
	}
	return found, nil
}

func down(out io.Writer, o *options, s *state) error {
	began := time.Now()
	if err := s.end(); err != nil {
		return fail(exitWrong, "lab %s: %w", s.Name, err)
	}
	result := map[string]any{"lab": s.Name, "processes": 0}
	return o.print(out, result, func() {
		fmt.Fprintf(out, "lab %s is gone: 0 processes, and with them 0 namespaces, links, rules and tables (%s)\n", s.Name,
			time.Since(began).Round(time.Millisecond))
	})
}

// end stops the lab: politely first, so that the daemons say goodbye, then by force. The kernel ends every process in
// the lab's process namespace with the first, and every namespace with its last process.
func (s *state) end() error {
	if s.alive() {
		syscall.Kill(s.PID, syscall.SIGTERM)
		if !waitFor(5*time.Second, func() bool { return !s.alive() }) {
			syscall.Kill(s.PID, syscall.SIGKILL)
		}
		if !waitFor(10*time.Second, func() bool { return !s.alive() && s.members() == 0 }) {
			return fmt.Errorf("%d processes are left after 10 s; the first had pid %d", s.members(), s.PID)
		}
	}
	if left := s.members(); left > 0 {
		return fmt.Errorf("%d processes are left in %s", left, s.PIDs)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("cannot remove its folder: %w", err)
	}
	os.Remove(labsDir()) // it goes with the last lab
	return nil
}

// waitFor looks every 5 ms.
func waitFor(limit time.Duration, done func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}
