package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

func (a *app) poolCommand() *cobra.Command {
	var watch bool
	var name string
	c := &cobra.Command{
		Use:     "pool",
		Short:   "the pool as a picture",
		Example: "  enichainctl pool --watch",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.again(c.Context(), watch, func() error { return a.showPool(c, name) })
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "draw it again at each change")
	c.Flags().StringVar(&name, "name", "", "only this pool")
	return c
}

// poolView is the JSON form.
type poolView struct {
	Pool     string          `json:"pool"`
	Counts   countsForm      `json:"counts"`
	ENIs     []poolENI       `json:"enis"`
	Waiting  int             `json:"waiting"`
	Why      *ipam.Why       `json:"why,omitempty"`
	Policy   ipam.NodePolicy `json:"policy"`
	Instance ipam.InstanceID `json:"instance"`
}

type poolENI struct {
	ENI       ipam.ENIID    `json:"eni"`
	Link      string        `json:"link"`
	N         int           `json:"n"`
	Addresses []addressForm `json:"addresses"`
}

func (a *app) showPool(c *cobra.Command, name string) error {
	s, err := a.state(c.Context())
	if err != nil {
		return err
	}
	names := pools(s)
	if name != "" {
		names = []string{name}
		if _, all := sum(s, name); all == 0 && len(waiting(s, name)) == 0 && !slices.Contains(pools(s), name) {
			return &failure{code: exitWrong, err: fmt.Errorf("no pool %q on this node", name), do: "there are: " + strings.Join(pools(s), ", ")}
		}
	}
	if a.format == "json" {
		return a.json(poolViews(s, names))
	}
	if len(names) == 0 {
		a.printf("no network interface was supplied yet\n")
		return nil
	}
	for _, n := range names {
		total, all := sum(s, n)
		a.printf("%-8s %s\n", n, counts(total, all))
		for _, e := range s.ENIs {
			if e.Pool == n {
				note := ""
				if !e.Ready {
					note = "  link not ready"
				}
				a.printf("  %-6s P%s  %s%s\n", link(e), slots(s, e.ENI), e.Subnet, note)
			}
		}
		for _, t := range waiting(s, n) {
			a.printf("  waiting %s for %s\n", who(t.Pod, t.Attachment), age(since(a.clock(), t.Since)))
		}
	}
	a.printf("%s\n", legend)
	return nil
}

func poolViews(s store.State, names []string) []poolView {
	out := []poolView{}
	for _, n := range names {
		total, _ := sum(s, n)
		v := poolView{Pool: n, Counts: countsForm(total), Waiting: len(waiting(s, n)), Why: s.Meta.Why, Policy: s.Meta.Policy,
			Instance: s.Meta.Instance, ENIs: []poolENI{}}
		for _, e := range s.ENIs {
			if e.Pool != n {
				continue
			}
			p := poolENI{ENI: e.ENI, Link: e.Link, N: e.N, Addresses: []addressForm{}}
			for _, x := range s.Addresses {
				if x.ENI == e.ENI {
					p.Addresses = append(p.Addresses, newAddressForm(x))
				}
			}
			v.ENIs = append(v.ENIs, p)
		}
		out = append(out, v)
	}
	return out
}

func waiting(s store.State, pool string) (out []store.Ticket) {
	for _, t := range s.Tickets {
		if pool == "" || t.Pool == pool {
			out = append(out, t)
		}
	}
	return out
}

func who(pod string, a ipam.Attachment) string {
	if pod != "" {
		return pod
	}
	return a.String()
}
