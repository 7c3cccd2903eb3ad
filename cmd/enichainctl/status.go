package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/chain/generation"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	var lists generation.Store
	c := &cobra.Command{
		Use:     "status",
		Short:   "this node on one screen: pool, chain, daemon, drift, last error",
		Long:    "Shows this node on one screen. Exit code 1 where something is degraded, with a line that names it.",
		Example: "  enichainctl status --watch",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.again(c.Context(), watch, func() error { return a.showStatus(c, lists) })
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "draw it again at each change")
	a.listFlags(c, &lists)
	return c
}

// nodeStatus is the JSON form.
type nodeStatus struct {
	Node     string            `json:"node"`
	Instance ipam.InstanceID   `json:"instance"`
	Type     string            `json:"type,omitempty"`
	Daemon   *daemonStatus     `json:"daemon"`
	Pools    []poolForm        `json:"pools"`
	MaxPods  int               `json:"maxPods,omitempty"` // that can have addresses of this node
	Waiting  int               `json:"waiting"`
	Lists    []generation.View `json:"lists,omitempty"`
	Degraded []string          `json:"degraded"`
	chain    []string
	drift    []string
	longest  time.Duration
	pools    []poolState
}

func (a *app) showStatus(c *cobra.Command, lists generation.Store) error {
	s, err := a.state(c.Context())
	if err != nil {
		return err
	}
	view, err := a.inspect(c.Context())
	if err != nil {
		return blind(err, "try again as root")
	}
	host, _ := a.host()
	n := nodeStatus{Node: host, Instance: s.Meta.Instance, Type: s.Meta.Type, MaxPods: s.Meta.Most, Degraded: []string{},
		Pools: []poolForm{}, pools: poolStates(s)}
	for _, p := range n.pools {
		n.Pools = append(n.Pools, p.form())
	}
	now := a.clock()
	for _, t := range s.Tickets {
		if t.Deadline > now.Boot {
			n.Waiting++
			n.longest = max(n.longest, since(now, t.Since))
		}
	}
	silent, err := a.askDaemon(c.Context(), &n)
	if err != nil {
		return err
	}
	var faults []string
	n.chain, faults, n.Lists = chainLines(lists, n.Daemon.list())
	n.Degraded = append(n.Degraded, faults...)
	if m := s.Meta.Mute; m != nil {
		n.Degraded = append(n.Degraded, a.mute(m))
	}
	n.drift = drift(s, view, now)
	n.Degraded = append(n.Degraded, n.drift...)
	for _, r := range eniRows(s, view) {
		if r.Fault != "" {
			n.Degraded = append(n.Degraded, fmt.Sprintf("%s: %s", r.ENI.ENI, r.Fault))
		}
	}
	n.Degraded = append(n.Degraded, empty(n.pools)...)
	if n.Waiting > 0 && n.longest > 20*time.Second {
		n.Degraded = append(n.Degraded, fmt.Sprintf("a pod has waited %s for an address", age(n.longest)))
	}
	if a.format == "json" {
		err = a.json(n)
	} else {
		a.printStatus(n, silent, s, view)
		err = nil
	}
	if err == nil && len(n.Degraded) > 0 {
		return errWrong
	}
	return err
}

// askDaemon takes in what the daemon says of itself; silent is what is known of one that does not answer.
func (a *app) askDaemon(ctx context.Context, n *nodeStatus) (silent string, err error) {
	n.Daemon, err = a.daemon(ctx)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", blind(err, "try again as root")
	case err != nil:
		silent = cmp.Or(a.heartbeat(), err.Error())
		n.Degraded = append(n.Degraded, silent)
	default:
		n.Degraded = append(n.Degraded, n.Daemon.faults()...)
		n.Daemon.Reconciler = nil // "fleet" shows it
	}
	return silent, nil
}

func (a *app) printStatus(n nodeStatus, silent string, s store.State, view routedveth.View) {
	daemon := silent
	if d := n.Daemon; d != nil {
		bus := "bus connected"
		if !d.Bus.Connected || s.Meta.Mute != nil {
			bus = "bus not reached"
		}
		daemon = fmt.Sprintf("enichaind %s up %s    %s", d.Version, age(a.clock().Wall.Sub(d.Started)), bus)
	}
	a.printf("node    %s  %s  %s    %s\n", n.Node, n.Instance, n.Type, daemon)
	a.printPools(n.pools)
	if n.Waiting > 0 {
		a.printf("wait    %s without an address, the longest for %s\n", plural(n.Waiting, "pod"), age(n.longest))
	}
	for _, line := range n.chain {
		a.printf("chain   %s\n", line)
	}
	switch {
	case len(n.drift) > 0:
		a.printf("kernel  %s\n", strings.Join(n.drift, "; "))
	default:
		a.printf("kernel  as it should be: %s, %s to pods\n", plural(len(view.ENIs), "interface"), plural(len(view.Routes), "route"))
	}
	if d := n.Daemon; d != nil && d.Agent != nil && d.Agent.Repairs > 0 {
		a.printf("mended  %s, last at %s: %s\n", plural(d.Agent.Repairs, "time"), a.hour(d.Agent.RepairedAt), d.Agent.LastRepair)
	}
	for _, p := range whys(n.pools) {
		a.printf("last    %s %s%s (%s)%s\n", a.hour(p.Why.Since), of(n.pools, p), p.Why.Text, p.Why.Code, a.retry(p.Why, s.Meta.Heard))
	}
	for _, d := range n.Degraded {
		a.printf("WRONG   %s\n", d)
	}
}

// list is what the daemon says of the list that it installed.
func (d *daemonStatus) list() string {
	switch {
	case d == nil:
		return "not known without enichaind"
	case d.List == "":
		return "none installed by enichaind"
	}
	return d.List
}

// of names a pool where there are several.
func of(all []poolState, p poolState) string {
	if len(all) == 1 {
		return ""
	}
	return p.Name + ": "
}

// printPools has a line for each pool and family.
func (a *app) printPools(all []poolState) {
	for _, p := range all {
		for i, line := range p.lines() {
			if i == 0 {
				line += fmt.Sprintf("    target %d warm", p.Low)
			}
			a.printf("pool    %s%s\n", of(all, p), line)
		}
	}
	if len(all) == 0 {
		a.printf("pool    none yet\n")
	}
}

// empty says which pools have nothing for the next pod, and cannot grow.
func empty(all []poolState) (faults []string) {
	for _, p := range whys(all) {
		if p.lead().Free == 0 {
			whose := "the next pod"
			if len(all) > 1 {
				whose += " of pool " + p.Name
			}
			faults = append(faults, whose+" has to wait for an address: "+p.Why.Text)
		}
	}
	return faults
}

// mute says since when the agent speaks to nobody.
func (a *app) mute(m *store.Mute) string {
	bus := m.Bus
	if bus == "" {
		bus = "its own process"
	}
	return fmt.Sprintf("enichaind has not reached the bus (%s) since %s", bus, a.hour(m.Since))
}

// settling is how long a lease may stand without a route: the next stage of its chain is at work.
const settling = 10 * time.Second

// drift compares leases with routes to pods. Leases with a reserved gateway belong to plugins that make routes of their
// own, and those of "#" networks to nobody.
func drift(s store.State, view routedveth.View, now store.Now) (faults []string) {
	routed := map[string]bool{}
	for _, r := range view.Routes {
		routed[r.Addr.String()] = true
	}
	leased := map[string]bool{}
	for _, l := range s.Leases {
		for _, x := range l.Addresses {
			leased[x.String()] = true
			if len(l.Gateways) == 0 && !strings.HasPrefix(l.Network, "#") && since(now, l.At) > settling && !routed[x.String()] {
				faults = append(faults, fmt.Sprintf("%s is leased to %s, and no route leads to it", x, who(l.Pod, l.Attachment)))
			}
		}
	}
	pool := map[string]bool{}
	for _, x := range s.Addresses {
		pool[x.Address.String()] = true
	}
	for _, r := range view.Routes {
		if pool[r.Addr.String()] && !leased[r.Addr.String()] {
			faults = append(faults, fmt.Sprintf("a route leads to %s by %s, and nobody holds it", r.Addr, r.Link))
		}
	}
	return faults
}
