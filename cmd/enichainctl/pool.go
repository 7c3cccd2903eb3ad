package main

import (
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

func (a *app) poolCommand() *cobra.Command {
	var watch bool
	var name string
	c := &cobra.Command{
		Use:     "pool",
		Short:   "the pools as a picture",
		Example: "  enichainctl pool --watch\n  enichainctl pool --name payments",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.again(c.Context(), watch, func() error { return a.showPool(c, name) })
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "draw it again at each change")
	a.nameFlag(c, &name)
	return c
}

// nameFlag chooses one pool.
func (a *app) nameFlag(c *cobra.Command, name *string) {
	c.Flags().StringVar(name, "name", "", "only this pool")
	_ = c.RegisterFlagCompletionFunc("name", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		s, err := a.state(c.Context())
		var names []string
		if err == nil {
			for _, p := range poolStates(s) {
				names = append(names, p.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// poolView is the JSON form.
type poolView struct {
	poolForm
	ENIs     []poolENI       `json:"enis"`
	Instance ipam.InstanceID `json:"instance"`
}

type poolENI struct {
	ENI       ipam.ENIID     `json:"eni"`
	Link      string         `json:"link"`
	N         int            `json:"n"`
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"`
	Addresses []addressForm  `json:"addresses"`
}

func (a *app) showPool(c *cobra.Command, name string) error {
	s, err := a.state(c.Context())
	if err != nil {
		return err
	}
	all := poolStates(s)
	if name != "" {
		if all, err = poolNamed(all, name); err != nil {
			return err
		}
	}
	if a.format == "json" {
		return a.json(poolViews(s, all))
	}
	if len(all) == 0 {
		a.printf("no network interface was supplied yet\n")
		return nil
	}
	explained := legend
	width := 8
	for _, p := range all {
		width = max(width, len(p.Name))
	}
	for _, p := range all {
		if a.drawPool(s, p, width) {
			explained = legend + legendBlocks
		}
	}
	a.printf("%s\n", explained)
	return nil
}

// drawPool says whether there was a prefix to draw.
func (a *app) drawPool(s store.State, p poolState, width int) (prefixes bool) {
	head := p.Name
	for _, line := range p.lines() {
		a.printf("%-*s %s\n", width, head, line)
		head = ""
	}
	for _, e := range p.enis {
		note := ""
		switch {
		case !e.Ready:
			note = "  link not ready"
		case !e.PodsOK:
			note = "  not for pods"
		}
		a.printf("  %-6s P%s  %s%s\n", link(e), slots(s, e), e.Subnet, note)
		for _, row := range blocks(s, e) {
			a.printf("         %s\n", row)
			prefixes = true
		}
	}
	if len(p.enis) == 0 {
		a.printf("  no network interface yet\n")
	}
	for _, t := range p.tickets {
		a.printf("  waiting %s for %s\n", who(t.Pod, t.Attachment), age(since(a.clock(), t.Since)))
	}
	if p.Why != nil {
		a.printf("  why    %s (%s)%s\n", p.Why.Text, p.Why.Code, a.retry(p.Why, s.Meta.Heard))
	}
	return prefixes
}

func poolViews(s store.State, all []poolState) []poolView {
	out := []poolView{}
	for _, p := range all {
		v := poolView{poolForm: p.form(), Instance: s.Meta.Instance, ENIs: []poolENI{}}
		for _, e := range p.enis {
			n := poolENI{ENI: e.ENI, Link: e.Link, N: e.N, Prefixes: e.Prefixes, Addresses: []addressForm{}}
			for _, x := range s.Addresses {
				if x.ENI == e.ENI {
					n.Addresses = append(n.Addresses, newAddressForm(x))
				}
			}
			v.ENIs = append(v.ENIs, n)
		}
		out = append(out, v)
	}
	return out
}

func who(pod string, a ipam.Attachment) string {
	if pod != "" {
		return pod
	}
	return a.String()
}
