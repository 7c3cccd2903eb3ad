package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// examples of the faults, as 'fault ls' shows them; the third column is what a real VPC does like it.
var examples = [][]string{
	{"throttle", "fault set throttle AttachNetworkInterface=0", "RequestLimitExceeded; a rate per second, 0 for every call"},
	{"latency", "fault set latency AttachNetworkInterface=8s", "a slow action"},
	{"ec2-error", "fault set ec2-error 'Assign*=InternalError'", "500s and 400s"},
	{"visibility", "fault set visibility 5s", "describes do not see what was just made"},
	{"not-found", "fault set not-found 5s", "calls do not find what was just made"},
	{"imds-lag", "fault set imds-lag node-1=60s", "metadata behind"},
	{"imds-stale", "fault set imds-stale node-1", "metadata that never moves again (seen in the field)"},
	{"imds-error", "fault set imds-error node-1=503", "metadata that refuses: throttled, or forbidden"},
	{"subnet-full", "fault set subnet-full subnet-a", "no free address"},
	{"fragment", "fault set fragment subnet-a", "free addresses, no free /28"},
	{"detach", "fault set detach eni-0b1c", "an interface pulled from outside, once"},
	{"deny", "fault set deny CreateNetworkInterface", "UnauthorizedOperation"},
	{"bus", "fault set bus node-1=down", "a node cut off from the bus"},
	{"loss", "fault set loss node-1=10%", "packets to and from a node that vanish"},
	{"kill", "fault set kill node-1=enichaind", "kill -9, and dead until cleared; 'all' for every daemon"},
	{"flush", "fault set flush node-1=rules", "someone cleans up, once: rules, routes or nft"},
}

func faultCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:     "fault",
		Short:   "Break things: EC2's answers, links, metadata, daemons, rules",
		Example: "  vpclab fault set throttle 'Attach*=0' --for 30s",
	}
	c.AddCommand(faultSetCommand(o), faultClearCommand(o), faultListCommand(o))
	return c
}

func faultSetCommand(o *options) *cobra.Command {
	var limit time.Duration
	c := &cobra.Command{
		Use:     "set KIND ARGUMENT",
		Short:   "Break something, until cleared or for a time",
		Long:    "Breaks something. 'vpclab fault ls' names the kinds. Exit codes: 0 it is broken; 2 there is no such thing to break.",
		Example: "  vpclab fault set subnet-full subnet-a --for 1m\n  vpclab fault set kill control=enichaind",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			var active []faultView
			request := faultRequest{Kind: args[0], Argument: args[1], For: limit}
			if err := ask(c.Context(), s, http.MethodPost, "/v1/faults", request, &active); err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), active, func() {})
		},
	}
	c.Flags().DurationVar(&limit, "for", 0, "mend it by itself after this time")
	return c
}

func faultClearCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "clear [KIND [TARGET]]",
		Short:   "Mend what was broken: all, one kind, or one",
		Example: "  vpclab fault clear\n  vpclab fault clear subnet-full subnet-a",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			args = append(args, "", "")
			query := url.Values{"kind": {args[0]}, "target": {args[1]}}
			var gone map[string]int
			if err := ask(c.Context(), s, http.MethodDelete, "/v1/faults?"+query.Encode(), nil, &gone); err != nil {
				return err
			}
			out := c.OutOrStdout()
			return o.print(out, gone, func() { fmt.Fprintf(out, "%d cleared\n", gone["cleared"]) })
		},
	}
}

func faultListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "The faults there are, and the active ones",
		Example: "  vpclab fault ls",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			var active []faultView
			if err := ask(c.Context(), s, http.MethodGet, "/v1/faults", nil, &active); err != nil {
				return err
			}
			out := c.OutOrStdout()
			return o.print(out, active, func() {
				table(out, []string{"NAME", "EXAMPLE", "WHAT A REAL VPC DOES LIKE IT"}, examples)
				if len(active) == 0 {
					fmt.Fprintln(out, "active: none")
				}
				for _, f := range active {
					fmt.Fprintln(out, "active: "+f.text())
				}
			})
		},
	}
}

func (f faultView) text() string {
	text := f.Kind + " " + f.Target
	switch {
	case f.Target == "":
		text += f.Value
	case f.Value != "":
		text += "=" + f.Value
	}
	if f.Until.IsZero() {
		return text
	}
	return fmt.Sprintf("%s (%s left)", text, time.Until(f.Until).Round(time.Second))
}
