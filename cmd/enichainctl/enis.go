package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

func (a *app) enisCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:     "enis",
		Short:   "network interfaces: pool, subnet, addresses, prefixes, mark, and who knows of them",
		Long:    "Lists the network interfaces of this node. Exit code 1 where pool file and kernel disagree.",
		Example: "  enichainctl enis --format json",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showENIs(c, name) },
	}
	a.nameFlag(c, &name)
	return c
}

// eniRow is one network interface as everybody sees it.
type eniRow struct {
	store.ENI
	Seen  []string // supply, kernel
	Fault string   // where they disagree
}

func (a *app) showENIs(c *cobra.Command, pool string) error {
	s, err := a.state(c.Context())
	if err != nil {
		return err
	}
	view, err := a.inspect(c.Context())
	if err != nil {
		return blind(err, "try again as root")
	}
	all := eniRows(s, view)
	rows := slices.DeleteFunc(slices.Clone(all), func(r eniRow) bool { return pool != "" && r.Pool != pool })
	if pool != "" && len(rows) == 0 {
		if _, err := poolNamed(poolStates(s), pool); err != nil {
			return err
		}
	}
	faults := 0
	for _, r := range rows {
		if r.Fault != "" {
			faults++
		}
	}
	if a.format == "json" {
		forms := []eniForm{}
		for _, r := range rows {
			forms = append(forms, newENIForm(r))
		}
		err = a.json(forms)
	} else {
		a.table(eniTable(rows))
		for _, r := range rows {
			if r.Fault != "" {
				a.printf("%s: %s\n", r.ENI.ENI, r.Fault)
			}
		}
	}
	if err == nil && faults > 0 {
		return errWrong
	}
	return err
}

// eniTable has columns for cards, prefixes and IPv6 where anything is in them.
func eniTable(rows []eniRow) [][]string {
	var cards, prefixes, six bool
	for _, r := range rows {
		cards = cards || r.Card > 0
		prefixes = prefixes || len(r.Prefixes) > 0
		six = six || r.Counts6 != (store.Counts{})
	}
	column := func(wanted bool, cell string) []string {
		if wanted {
			return []string{cell}
		}
		return nil
	}
	table := [][]string{slices.Concat([]string{"ENI", "LINK", "#"}, column(cards, "CARD"), []string{"POOL", "SUBNET", "ADDRESSES", "LEASED", "WARM"},
		column(six, "IPV6 LEASED"), column(prefixes, "PREFIXES"), []string{"MARK", "SEEN BY"})}
	for _, r := range rows {
		mark, n := "", fmt.Sprint(r.N)
		if r.N > 0 {
			mark = fmt.Sprintf("0x%x", r.N)
		}
		if r.N < 0 {
			n = ""
		}
		k := plus(r.Counts, r.Counts6, -1)
		table = append(table, slices.Concat([]string{string(r.ENI.ENI), r.Link, n}, column(cards, fmt.Sprint(r.Card)),
			[]string{r.Pool, fmt.Sprintf("%s (%s)", r.Subnet, r.SubnetID), fmt.Sprint(inAll(k)), fmt.Sprint(k.Leased), fmt.Sprint(k.Free)},
			column(six, fmt.Sprint(r.Counts6.Leased)), column(prefixes, lengths(r.Prefixes)), []string{mark, strings.Join(r.Seen, " ")}))
	}
	return table
}

// lengths counts prefixes: "2 × /28, 1 × /80".
func lengths(prefixes []netip.Prefix) string {
	n := map[int]int{}
	for _, p := range prefixes {
		n[p.Bits()]++
	}
	var parts []string
	for _, bits := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d × /%d", n[bits], bits))
	}
	return strings.Join(parts, ", ")
}

// eniRows joins what was supplied with what the kernel shows.
func eniRows(s store.State, view routedveth.View) []eniRow {
	rows := []eniRow{}
	shown := map[string]bool{}
	for _, e := range s.ENIs {
		r := eniRow{ENI: e, Seen: []string{}}
		if e.Listed {
			r.Seen = append(r.Seen, "supply")
		}
		i := kernelENI(view, e)
		if i >= 0 {
			r.Seen = append(r.Seen, "kernel")
			shown[e.MAC] = true
		}
		switch {
		case !e.Listed && e.Counts.Leased > 0:
			r.Fault = fmt.Sprintf("not attached any more, and %d pods use its addresses", e.Counts.Leased)
		case e.Listed && i < 0 && e.Present:
			r.Fault = "its link " + e.Link + " is not prepared in the kernel (no group, or gone)"
		case e.Listed && !e.Present:
			r.Fault = "attached, but the kernel shows no link with MAC " + e.MAC + " yet"
		case e.Listed && i >= 0 && view.ENIs[i].N != e.N:
			r.Fault = fmt.Sprintf("its link's group says #%d, the pool file #%d", view.ENIs[i].N, e.N)
		case e.Listed && !e.Ready:
			r.Fault = "its link is not ready yet"
		}
		rows = append(rows, r)
	}
	for _, k := range view.ENIs {
		if !shown[k.MAC] {
			r := eniRow{Seen: []string{"kernel"}, Fault: "prepared in the kernel, and not in the pool file"}
			r.N, r.Link, r.MAC = k.N, k.Name, k.MAC
			rows = append(rows, r)
		}
	}
	return rows
}

func kernelENI(view routedveth.View, e store.ENI) int {
	for i, k := range view.ENIs {
		if k.MAC == e.MAC {
			return i
		}
	}
	return -1
}
