package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

func (a *app) fleetCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "fleet",
		Short: "every node's pools, and the subnets, as the reconciler of this machine sees them",
		Long: "Asks the daemon of this machine, which has the role reconciler, for all nodes. Exit code 1 where pods wait or a pool\n" +
			"cannot grow.",
		Example: "  enichainctl fleet --name payments",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showFleet(c, name) },
	}
	c.Flags().StringVar(&name, "name", "", "only this pool")
	return c
}

func (a *app) showFleet(c *cobra.Command, name string) error {
	d, err := a.daemon(c.Context())
	if err != nil {
		return blind(err, "is enichaind running here?  systemctl status enichaind")
	}
	if d.Reconciler == nil {
		return blind(errors.New("the daemon of this machine is no reconciler, or does not answer for it now"),
			"ask where it has the role reconciler: mostly on the control plane")
	}
	p := *d.Reconciler
	if name != "" {
		for i := range p.Nodes {
			p.Nodes[i].Pools = only(p.Nodes[i].Pools, name)
		}
	}
	if a.format == "json" {
		err = a.json(p)
	} else {
		a.printFleet(p)
	}
	if err == nil && unwell(p) {
		return errWrong
	}
	return err
}

func only(pools []reconcile.PoolState, name string) (kept []reconcile.PoolState) {
	for _, p := range pools {
		if p.Name == name {
			kept = append(kept, p)
		}
	}
	return kept
}

// unwell says whether pods wait, or a pool cannot grow.
func unwell(p reconcile.Picture) bool {
	for _, n := range p.Nodes {
		for _, q := range n.Pools {
			if q.Waiting > 0 || q.Why != nil {
				return true
			}
		}
	}
	return false
}

func (a *app) printFleet(p reconcile.Picture) {
	if !p.Leading {
		a.printf("another reconciler leads: this is what this one knew last\n")
	}
	nodes := [][]string{{"NODE", "TYPE", "STATE", "HEARD", "INTERFACES", "POOL", "LEASED", "WARM", "COOLING", "WAITING", "CEILING", "WHY"}}
	total := map[ipam.State]int{}
	for _, n := range p.Nodes {
		for i, q := range n.Pools {
			row := []string{string(n.Instance), n.Type, n.State, age(n.Silent) + " ago", fmt.Sprint(n.ENIs)}
			if i > 0 {
				row = []string{" ", " ", " ", " ", " "}
			}
			ceiling, why := "", ""
			if q.Ceiling > 0 {
				ceiling = fmt.Sprint(q.Ceiling)
			}
			if q.Why != nil {
				why = fmt.Sprintf("%s (%s)", q.Why.Text, q.Why.Code)
			}
			nodes = append(nodes, append(row, q.Name, fmt.Sprint(q.Counts[ipam.Leased]), fmt.Sprint(q.Counts[ipam.Free]),
				fmt.Sprint(q.Counts[ipam.Cooling]), fmt.Sprint(q.Waiting), ceiling, why))
			for state, count := range q.Counts {
				total[state] += count
			}
		}
	}
	a.table(nodes)
	subnets := [][]string{{"SUBNET", "ZONE", "FREE", "REFUSED", "NEXT TRY"}}
	for _, s := range p.Subnets {
		refused, next := s.Refused, s.Blocked
		if refused == "" && s.Fragmented > 0 {
			refused, next = "no free /28", s.Fragmented
		}
		in := ""
		if next > 0 {
			in = "in " + age(next.Round(time.Second))
		}
		subnets = append(subnets, []string{string(s.ID), s.Zone, fmt.Sprint(s.Free), refused, in})
	}
	a.printf("\n")
	a.table(subnets)
	a.printf("\n%s: %d leased  %d warm  %d cooling; %s without a node\n", plural(len(p.Nodes), "node"), total[ipam.Leased],
		total[ipam.Free], total[ipam.Cooling], plural(p.Orphans, "interface"))
}
