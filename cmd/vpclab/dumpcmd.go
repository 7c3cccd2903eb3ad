package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/lab/fabric"
)

func dumpCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "dump",
		Short:   "The whole VPC as text in a stable order",
		Long:    "Machines, interfaces with their addresses, links, drops, faults and EC2 calls: for looking, and for comparing two of them.",
		Example: "  vpclab dump",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := findLab(o.lab)
			if err != nil {
				return err
			}
			var d dump
			if err := ask(c.Context(), s, http.MethodGet, "/v1/dump", nil, &d); err != nil {
				return err
			}
			d.View.Endpoint = s.Endpoint
			out := c.OutOrStdout()
			return o.print(out, d, func() { d.write(out) })
		},
	}
}

func (d dump) write(w io.Writer) {
	fmt.Fprintf(w, "lab %s  vpc %s\n", d.View.Lab, d.View.VPC)
	for _, s := range d.View.Subnets {
		fmt.Fprintf(w, "  %s  %s  %s  %d free  %s\n", s.Name, s.CIDR, s.Zone, s.Free, s.ID)
	}
	fmt.Fprintln(w)
	printMachines(w, d.View)
	fmt.Fprintln(w)
	names := map[string]string{}
	for _, n := range d.View.Nodes {
		names[n.Instance] = n.Name
	}
	var rows [][]string
	for _, i := range d.Interfaces {
		where := "available"
		if a := i.Attachment; a != nil {
			where = fmt.Sprintf("%s #%d %s", names[a.Instance], a.Device, a.ID)
		}
		var more []string
		for _, a := range i.Secondary {
			more = append(more, a.String())
		}
		for _, p := range slices.Concat(i.Prefixes, i.IPv6Prefixes) {
			more = append(more, p.String())
		}
		for _, a := range i.IPv6 {
			more = append(more, a.String())
		}
		rows = append(rows, []string{i.ID, where, i.MAC, i.Primary.String(), strings.Join(i.Groups, " "), strings.Join(more, " ")})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	table(w, []string{"INTERFACE", "ATTACHED", "MAC", "PRIMARY", "GROUPS", "MORE"}, rows)
	fmt.Fprintln(w)
	printCounts(w, d.Counts)
	fmt.Fprintln(w)
	for _, f := range d.Faults {
		fmt.Fprintln(w, "fault", f.text())
	}
	fmt.Fprintln(w, droppedText(d.Dropped))
}

// droppedText sums up what the router dropped.
func droppedText(dropped map[fabric.Kind]int) string {
	meaning := map[fabric.Kind]string{fabric.WrongSource: "wrong source", fabric.NoAddress: "no such address",
		fabric.NoPublic: "no public address", fabric.NoPrivate: "to a public address of nobody"}
	text := "the VPC router dropped"
	for _, k := range slices.Sorted(maps.Keys(dropped)) {
		text += fmt.Sprintf(" %d (%s)", dropped[k], meaning[k])
	}
	if len(dropped) == 0 {
		text += " 0 packets"
	}
	return text
}

func dropsCommand(o *options) *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:     "drops",
		Short:   "Packets that the VPC router dropped, and why",
		Long:    "The last 1,024 drops, oldest first. Exit codes: 0 none was for a wrong source; 1 one was.",
		Example: "  vpclab drops --follow",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, v, err := o.enter(c.Context())
			if err != nil {
				return err
			}
			var drops []fabric.Drop
			if err := ask(c.Context(), s, http.MethodGet, "/v1/drops", nil, &drops); err != nil {
				return err
			}
			out := c.OutOrStdout()
			err = o.print(out, drops, func() {
				if len(drops) == 0 && !follow {
					fmt.Fprintln(out, "no packet was dropped")
					return
				}
				printDrops(out, drops)
			})
			if err != nil || !follow {
				return errorOr(err, wrongSources(drops))
			}
			return followDrops(c.Context(), out, s, v)
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "go on with those to come")
	return c
}

// errSilent is an error that the output has told already.
var errSilent = errors.New("")

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// wrongSources is an error if one of the drops is for a wrong source: the only kind that a node is to blame for.
func wrongSources(drops []fabric.Drop) error {
	for _, d := range drops {
		if d.Kind == fabric.WrongSource {
			return fail(exitWrong, "%w", errSilent)
		}
	}
	return nil
}

// dropLine keeps its columns, so that --follow may go on below a table.
const dropLine = "%-12s  %-8s  %-26s  %-15s  %-15s  %-5s  %s\n"

func printDrops(w io.Writer, drops []fabric.Drop) {
	fmt.Fprintf(w, dropLine, "TIME", "NODE", "IN", "SOURCE", "DESTINATION", "PROTO", "WHY")
	for _, d := range drops {
		printDrop(w, d)
	}
}

func printDrop(w io.Writer, d fabric.Drop) {
	in := "-"
	if d.ENI != "" {
		in = fmt.Sprintf("%s (#%d)", d.ENI, d.Device)
	}
	fmt.Fprintf(w, dropLine, d.Time.Local().Format("15:04:05.000"), d.Node, in, d.Source, d.Destination, d.Protocol, d.Reason)
}

func followDrops(ctx context.Context, w io.Writer, s *state, _ view) error {
	r, err := request(ctx, s, http.MethodGet, "/v1/drops/follow", nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	lines := json.NewDecoder(r.Body)
	for {
		var d fabric.Drop
		if err := lines.Decode(&d); err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how one leaves
			}
			return fail(exitBlind, "lab %s ended", s.Name)
		}
		printDrop(w, d)
	}
}
