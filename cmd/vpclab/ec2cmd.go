package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/lab/vpc"
)

func ec2Command(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:     "ec2",
		Short:   "What was asked of EC2, by whom, and how it ended",
		Example: "  vpclab ec2 counts --since 1h --caller LABRECONCILER",
	}
	c.AddCommand(countsCommand(o))
	return c
}

func countsCommand(o *options) *cobra.Command {
	var since time.Duration
	var caller, action string
	var none bool
	c := &cobra.Command{
		Use:   "counts",
		Short: "Calls by action and caller: accepted, throttled, refused, and when the last one came",
		Long: `Calls by action and caller. A caller is the access key id that a request was signed with; the lab's own looks are left out.
Exit codes: 0; 1 with --none, if there was such a call.`,
		Example: "  vpclab ec2 counts --format json\n  vpclab ec2 counts --since 1h --action 'Describe*'\n  vpclab ec2 counts --since 10m --none",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, pattern := range []string{caller, action} {
				if _, err := path.Match(pattern, ""); err != nil {
					return fail(exitUsage, "%q is no pattern such as Assign*", pattern)
				}
			}
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			query := url.Values{}
			if since > 0 {
				query.Set("since", time.Now().Add(-since).Format(time.RFC3339Nano))
			}
			var all []vpc.Count
			if err := ask(c.Context(), s, http.MethodGet, "/v1/counts?"+query.Encode(), nil, &all); err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(n vpc.Count) bool { return !fits(caller, n.Caller) || !fits(action, n.Action) })
			out := c.OutOrStdout()
			if err := o.print(out, all, func() { printCounts(out, all) }); err != nil {
				return err
			}
			if none && len(all) > 0 {
				return fail(exitWrong, "%w", errSilent)
			}
			return nil
		},
	}
	c.Flags().DurationVar(&since, "since", 0, "only calls of this last time (default: all)")
	c.Flags().StringVar(&caller, "caller", "*", "only of callers that fit the pattern")
	c.Flags().StringVar(&action, "action", "*", "only of actions that fit the pattern")
	c.Flags().BoolVar(&none, "none", false, "exit with 1 if there was any")
	return c
}

func fits(pattern, text string) bool {
	match, _ := path.Match(pattern, text) // its form has been checked
	return match
}

func printCounts(w io.Writer, all []vpc.Count) {
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Action, c.Caller, fmt.Sprint(c.Accepted), fmt.Sprint(c.Throttled), fmt.Sprint(c.Refused),
			c.Last.Local().Format(time.TimeOnly)})
	}
	table(w, []string{"CALL", "BY", "ACCEPTED", "THROTTLED", "REFUSED", "LAST"}, rows)
}
