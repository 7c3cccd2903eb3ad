package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/stages/routedveth"
)

func (a *app) traceCommand() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "trace POD",
		Short: "one attachment: stages, times, kernel state, packet walk",
		Long: "Shows what the stages did for a pod and what of it is still in the kernel. POD as for \"why\".\n" +
			"Exit code 1 on drift.",
		Example:           "  enichainctl trace kube-system/tmp-shell --to 1.1.1.1",
		Args:              onePod,
		ValidArgsFunction: a.podNames,
		RunE: func(c *cobra.Command, args []string) error {
			var dst netip.Addr
			if to != "" {
				var err error
				if dst, err = netip.ParseAddr(to); err != nil {
					return fmt.Errorf("--to %q: want an address, such as 1.1.1.1", to)
				}
			}
			return a.showTrace(c.Context(), args[0], dst)
		},
	}
	c.Flags().StringVar(&to, "to", "", "walk a packet from the pod to this address")
	return c
}

// trace is the JSON form.
type trace struct {
	Pod       string         `json:"pod"`
	At        attachmentForm `json:"attachment"`
	Addresses []netip.Addr   `json:"addresses"`
	ENI       ipam.ENIID     `json:"eni"`
	Link      string         `json:"link"`
	N         int            `json:"n"`
	Netns     string         `json:"netns,omitempty"`
	Stages    []traceStage   `json:"stages"`
	Host      *hostForm      `json:"host,omitempty"`
	Faults    []string       `json:"faults"`
	Walk      []step         `json:"walk,omitempty"`
}

type traceStage struct {
	Stage string `json:"stage"`
	Took  int64  `json:"tookMicros"`
	Wait  int64  `json:"waitMicros,omitempty"`
	Token string `json:"token,omitempty"`
	Made  string `json:"made,omitempty"`
	There string `json:"there"` // yes, NO, or - where nothing can be looked at
}

func (a *app) showTrace(ctx context.Context, asked string, to netip.Addr) error {
	e, err := a.evidence(ctx, asked, 365*24*time.Hour)
	if err != nil {
		return err
	}
	if e.lease == nil {
		return &failure{code: exitWrong, err: fmt.Errorf("this node holds no address for %s", asked),
			do: "see why:  enichainctl why " + asked}
	}
	view, err := a.inspect(ctx)
	if err != nil {
		return blind(err, "try again as root")
	}
	t := newTrace(e, view)
	if to.IsValid() {
		if t.Walk, err = a.walkPacket(ctx, t, e.state, to); err != nil {
			return err
		}
	}
	if a.format == "json" {
		err = a.json(t)
	} else {
		a.printTrace(t, to)
	}
	if err == nil && len(t.Faults) > 0 {
		return errWrong
	}
	return err
}

// newTrace compares what the stages did with what the kernel shows.
func newTrace(e evidence, view routedveth.View) trace {
	l := e.lease
	t := trace{Pod: who(l.Pod, l.Attachment), At: attachmentForm(l.Attachment), Addresses: l.Addresses, ENI: l.ENIID, Link: l.ENI.Link,
		N: l.ENI.N, Netns: l.Netns, Faults: []string{}, Stages: []traceStage{}}
	mine := func(x netip.Addr) bool { return slices.Contains(l.Addresses, x) }
	for _, p := range view.Pods {
		if p.Owner == l.Attachment.String() || slices.ContainsFunc(p.Addresses, mine) {
			t.Host = newHostForm(p)
		}
	}
	routed := 0
	for _, r := range view.Routes {
		if slices.Contains(l.Addresses, r.Addr) {
			routed++
		}
	}
	lastADD := map[string]run{}
	var order []string
	for _, r := range e.runs {
		if r.Command == "ADD" && r.Container == l.Container && r.IfName == l.IfName {
			if _, seen := lastADD[r.Stage]; !seen {
				order = append(order, r.Stage)
			}
			lastADD[r.Stage] = r
		}
	}
	for _, name := range order {
		r := lastADD[name]
		s := traceStage{Stage: name, Took: r.Took, Wait: r.Wait, Token: string(r.Token), There: "-"}
		switch name {
		case "eni-ipam":
			s.Made, s.There = "lease "+joinAddrs(l.Addresses), "yes"
		case "routed-veth":
			s.Made, s.There = "a link and "+plural(len(l.Addresses), "route"), "NO"
			if t.Host != nil && routed == len(l.Addresses) {
				s.Made, s.There = "link "+t.Host.Link+"; "+plural(routed, "route")+" in enichain-pods", "yes"
			}
		case "snat":
			if t.Host != nil {
				s.Made, s.There = fmt.Sprintf("profile %d in the link's group", t.Host.Profile), "yes"
			}
		case "fastpath":
			s.Made = "the link shares the program of blocks 2330 and 2331"
		}
		if s.There == "NO" {
			t.Faults = append(t.Faults, name+": "+s.Made+" should be in the kernel")
		}
		t.Stages = append(t.Stages, s)
	}
	if t.Host != nil && t.Host.N != l.ENI.N {
		t.Faults = append(t.Faults, fmt.Sprintf("link %s says interface #%d, the lease is of #%d", t.Host.Link, t.Host.N, l.ENI.N))
	}
	if t.Host != nil && (!t.Host.Up || t.Host.Severed) {
		t.Faults = append(t.Faults, "link "+t.Host.Link+" is down")
	}
	return t
}

func joinAddrs(list []netip.Addr) string {
	var out []string
	for _, x := range list {
		out = append(out, x.String())
	}
	return strings.Join(out, " ")
}

func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) printTrace(t trace, to netip.Addr) {
	a.printf("%s  %s  %s (%s, #%d)  container %s\n", t.Pod, joinAddrs(t.Addresses), t.ENI, t.Link, t.N, handy(t.At.Container))
	if len(t.Stages) > 0 {
		a.printf("\n")
		rows := [][]string{{"  STAGE", "TOOK", "PUT INTO PLACE", "STILL THERE"}}
		var total int64
		for _, s := range t.Stages {
			took := millis(s.Took)
			if s.Wait > 0 {
				took += " (waited " + age(time.Duration(s.Wait)*time.Microsecond) + ")"
			}
			made := s.Made
			if s.Token != "" {
				made = strings.TrimSpace(s.Token + " " + made)
			}
			rows = append(rows, []string{"  " + s.Stage, took, made, s.There})
			total += s.Took
		}
		rows = append(rows, []string{"  all", millis(total), "", ""})
		a.table(rows)
	}
	if len(t.Walk) > 0 {
		a.printf("\n  a packet %s → %s\n", t.Addresses[0], to)
		for i, s := range t.Walk {
			a.printf("  %d  %-11s  %s\n", i+1, s.Where, s.What)
		}
	}
	for _, f := range t.Faults {
		a.printf("WRONG  %s\n", f)
	}
}

func short(container string) string { return container[:min(12, len(container))] }
