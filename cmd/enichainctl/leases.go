package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// leaseFilter is what "leases" shows.
type leaseFilter struct{ pod, state, network, pool string }

func (a *app) leasesCommand() *cobra.Command {
	var f leaseFilter
	c := &cobra.Command{
		Use:     "leases",
		Short:   "who holds which address",
		Example: "  enichainctl leases --state cooling",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.showLeases(c, f) },
	}
	c.Flags().StringVar(&f.pod, "pod", "", "only this pod (name or namespace/name)")
	c.Flags().StringVar(&f.network, "network", "", "only this network")
	a.nameFlag(c, &f.pool)
	c.Flags().StringVar(&f.state, "state", "leased", "free, leased, cooling, fenced, held, pending or lost")
	return c
}

// leaseRow is one address with its holder, if any.
type leaseRow struct {
	Address   netip.Addr   `json:"address,omitzero"`
	Prefix    netip.Prefix `json:"prefix,omitzero"` // the delegated one that it is of; without an address, all of it
	State     ipam.State   `json:"state"`
	Lost      bool         `json:"lost,omitempty"`
	ENI       ipam.ENIID   `json:"eni,omitempty"`
	Pool      string       `json:"pool,omitempty"`
	Link      string       `json:"link,omitempty"`
	Network   string       `json:"network,omitempty"`
	Container string       `json:"container,omitempty"`
	IfName    string       `json:"ifname,omitempty"`
	Age       float64      `json:"age,omitempty"` // seconds
	Pod       string       `json:"pod,omitempty"`
	Netns     string       `json:"netns,omitempty"`
	Left      float64      `json:"left,omitempty"` // cooling or held: seconds until it may be used again
}

func (a *app) showLeases(c *cobra.Command, f leaseFilter) error {
	states := []string{"free", "leased", "cooling", "fenced", "held", "pending", "lost"}
	if !slices.Contains(states, f.state) {
		return fmt.Errorf("--state %q: want one of %s", f.state, strings.Join(states, ", "))
	}
	s, err := a.state(c.Context())
	if err != nil {
		return err
	}
	rows := f.rows(s, a.clock())
	if a.format == "json" {
		return a.json(rows)
	}
	if len(rows) == 0 {
		a.printf("no %s%s\n", f.plural(), coolingNote(s, a))
		return nil
	}
	table := [][]string{{"ADDRESS", "ENI", "NETWORK", "CONTAINER", "IFNAME", "AGE", "POD", "NETNS"}}
	if f.state != "leased" && f.state != "lost" {
		table = [][]string{{"ADDRESS", "ENI", "STATE", "LEFT"}}
	}
	for _, r := range rows {
		name := r.Link
		if name == "" {
			name = string(r.ENI)
		}
		left := ""
		if r.Left > 0 {
			left = age(time.Duration(r.Left * float64(time.Second)))
		}
		if len(table[0]) == 4 {
			table = append(table, []string{r.what(), name, string(r.State), left})
			continue
		}
		if r.Lost {
			name += " (lost)"
		}
		table = append(table, []string{r.Address.String(), name, r.Network, handy(r.Container), r.IfName,
			age(time.Duration(r.Age * float64(time.Second))), r.Pod, r.Netns})
	}
	a.table(table)
	return nil
}

// what is the address, or the prefix that it stands for.
func (r leaseRow) what() string {
	if !r.Address.IsValid() {
		return r.Prefix.String()
	}
	return r.Address.String()
}

func (f leaseFilter) plural() string {
	if f.state == "leased" {
		return "leases"
	}
	return f.state + " addresses"
}

func (f leaseFilter) rows(s store.State, now store.Now) []leaseRow {
	leases := map[ipam.Attachment]store.Lease{}
	for _, l := range s.Leases {
		leases[l.Attachment] = l
	}
	enis := map[ipam.ENIID]store.ENI{}
	for _, e := range s.ENIs {
		enis[e.ENI] = e
	}
	rows := []leaseRow{}
	for _, x := range s.Addresses {
		l := leases[x.Owner]
		if f.state == "lost" && !x.Lost || f.state != "lost" && string(x.State) != f.state || f.network != "" && l.Network != f.network ||
			f.pod != "" && !samePod(l.Pod, f.pod) || f.pool != "" && cmp.Or(l.Pool, enis[x.ENI].Pool) != f.pool {
			continue
		}
		r := leaseRow{Address: x.Address, Prefix: x.Prefix, State: x.State, Lost: x.Lost, ENI: x.ENI, Pool: cmp.Or(l.Pool, enis[x.ENI].Pool), Link: enis[x.ENI].Link, Network: x.Owner.Network,
			Container: x.Owner.Container, IfName: x.Owner.IfName, Pod: l.Pod, Netns: l.Netns}
		if x.State == ipam.Leased {
			r.Age = since(now, l.At).Seconds()
		}
		if x.State == ipam.Cooling {
			r.Left = max(time.Duration(x.Until-now.Boot), 0).Seconds()
		}
		rows = append(rows, r)
	}
	if f.state == "held" {
		for _, h := range s.Held {
			rows = append(rows, leaseRow{Address: h.Address, Prefix: h.Prefix, State: ipam.Held, ENI: h.ENI, Link: enis[h.ENI].Link,
				Left: max(time.Duration(h.Until-now.Boot), 0).Seconds()})
		}
	}
	return rows
}

func since(now store.Now, at ipam.Instant) time.Duration { return time.Duration(now.Boot - at) }

// samePod takes a bare name for a pod of any namespace.
func samePod(pod, asked string) bool {
	return pod == asked || !strings.Contains(asked, "/") && strings.HasSuffix(pod, "/"+asked)
}

// coolingNote says which addresses come back soon, where there is nothing else to show.
func coolingNote(s store.State, a *app) string {
	now := a.clock()
	var names []string
	var last time.Duration
	for _, x := range s.Addresses {
		if x.State == ipam.Cooling {
			names = append(names, x.Address.String())
			last = max(last, time.Duration(x.Until-now.Boot))
		}
	}
	switch {
	case len(names) == 0 || last <= 0:
		return ""
	case len(names) > 4:
		return fmt.Sprintf("; %d addresses cool until %s (%s)", len(names), a.hour(now.Wall.Add(last)), age(last))
	case len(names) == 1:
		return fmt.Sprintf("; %s cools until %s (%s)", names[0], a.hour(now.Wall.Add(last)), age(last))
	}
	return fmt.Sprintf("; %s and %s cool until %s (%s)", strings.Join(names[:len(names)-1], ", "), names[len(names)-1],
		a.hour(now.Wall.Add(last)), age(last))
}

// handy cuts what a runtime calls a container, 64 hex digits, to what people compare; cnitool's 28 stay whole.
func handy(container string) string {
	if len(container) <= 28 {
		return container
	}
	return short(container)
}
