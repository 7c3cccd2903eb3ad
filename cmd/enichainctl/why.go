package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages"
)

func (a *app) whyCommand() *cobra.Command {
	var look time.Duration
	c := &cobra.Command{
		Use:   "why POD",
		Short: "why this pod has no address (or: why it waited)",
		Long: "Says why a pod has no address on this node, from the pool file, the outbox and the flight record.\n" +
			"POD is a name, namespace/name, a container id or the beginning of one. Exit code 1 if it is still without.",
		Example:           "  enichainctl why shop/cart-7d9f-x2k4q",
		Args:              onePod,
		ValidArgsFunction: a.podNames,
		RunE: func(c *cobra.Command, args []string) error {
			e, err := a.evidence(c.Context(), args[0], look)
			if err != nil {
				return err
			}
			return a.showWhy(e)
		},
	}
	c.Flags().DurationVar(&look, "since", time.Hour, "how far to look back")
	return c
}

// evidence is all that this node knows of one pod.
type evidence struct {
	Asked   string
	now     store.Now
	state   store.State
	lease   *store.Lease
	ticket  *store.Ticket
	runs    []run         // of its stages, oldest first
	records []ipam.Record // of the daemon's memory and the outbox
	pods    map[string]bool
	pools   []poolState
	next    func(*ipam.Why) string // since when, and when the reconciler tries again, as far as that is known
	silent  string                 // the agent's silence in words; "" when it lives
	mute    string                 // since when it speaks to nobody; "" when it does
}

func (a *app) evidence(ctx context.Context, asked string, look time.Duration) (evidence, error) {
	e := evidence{Asked: asked, now: a.clock(), silent: a.heartbeat(), pods: map[string]bool{}}
	var err error
	if e.state, err = a.state(ctx); err != nil {
		return e, err
	}
	if m := e.state.Meta.Mute; m != nil {
		e.mute = a.mute(m)
	}
	e.pools = poolStates(e.state)
	e.next = func(w *ipam.Why) string { return " since " + a.hour(w.Since) + a.retry(w, e.state.Meta.Heard) }
	for _, l := range e.state.Leases {
		if about(asked, l.Pod, l.Attachment) {
			e.lease = &l
			e.pods[who(l.Pod, l.Attachment)] = true
		}
	}
	for _, t := range e.state.Tickets {
		if about(asked, t.Pod, t.Attachment) && t.Deadline > e.now.Boot {
			e.ticket = &t
			e.pods[who(t.Pod, t.Attachment)] = true
		}
	}
	if len(e.pods) > 1 {
		names := slices.Sorted(maps.Keys(e.pods))
		return e, fmt.Errorf("%q could be each of %s; say which", asked, strings.Join(names, ", "))
	}
	runs, err := a.runs(e.now.Wall.Add(-look))
	if err != nil {
		return e, err
	}
	for _, r := range runs {
		if about(asked, r.Pod, ipam.Attachment{Network: r.Network, Container: r.Container, IfName: r.IfName}) {
			e.runs = append(e.runs, r)
		}
	}
	records, err := a.remembered(ctx, look)
	for _, r := range records {
		if about(asked, r.Pod, ipam.Attachment{Network: r.Network, Container: r.Container, IfName: r.IfName}) {
			e.records = append(e.records, r)
		}
	}
	return e, err
}

// about says whether something is of the pod that was asked for.
func about(asked, pod string, at ipam.Attachment) bool {
	return pod != "" && samePod(pod, asked) || at.String() == asked || at.Container == asked ||
		len(asked) >= 6 && strings.HasPrefix(at.Container, asked)
}

// verdict is what follows from the evidence.
type verdict struct {
	Pod     string      `json:"pod"`
	Head    string      `json:"verdict"`
	Because string      `json:"because,omitempty"`
	Do      string      `json:"do,omitempty"`
	Well    bool        `json:"well"`
	Story   []happening `json:"story"`
}

// judge is a table of causes over the evidence, the nearest to the pod first. It looks at nothing else.
func judge(e evidence) verdict {
	v := verdict{Pod: e.Asked, Story: e.story()}
	failed := e.failed()
	switch {
	case e.lease != nil && (failed == nil || failed.Stage == "eni-ipam"):
		v.Well = true
		v.Head = "has " + e.lease.Addresses[0].String() + " for " + age(since(e.now, e.lease.At))
		if waited := e.waited(); waited > 0 {
			v.Head += ", after " + age(waited) + " of waiting"
			v.Because = "the pool was empty then" + e.whyNot(e.lease.Pool, ", ")
		}
		if len(e.lease.ENI.Link) == 0 {
			v.Well, v.Because = false, "its network interface is not attached here any more"
			v.Do = "delete the pod; its address is lost"
		}
	case e.lease != nil:
		v.Head = fmt.Sprintf("holds %s, but is not wired: %s failed with %s", e.lease.Addresses[0], failed.Stage, failed.Token)
		v.Because, v.Do = meaning(failed.Token)
	case e.ticket != nil:
		v.Head = "has waited " + age(since(e.now, e.ticket.Since)) + " for an address of pool " + e.ticket.Pool
		v.Because = e.pool(e.ticket.Pool) + e.whyNot(e.ticket.Pool, "; ")
		v.Do = e.remedy(e.ticket.Pool)
	case failed != nil && failed.Token == stages.PoolEmpty:
		v.Head = fmt.Sprintf("no address: %s, the last %s ago", plural(e.attempts(), "attempt"), age(e.now.Wall.Sub(failed.at)))
		v.Because, v.Do = e.last(e.pool("")+e.whyNot("", "; ")), e.remedy("")
	case failed != nil:
		v.Head = fmt.Sprintf("no address: %s failed with %s %s ago", failed.Stage, failed.Token, age(e.now.Wall.Sub(failed.at)))
		v.Because, v.Do = meaning(failed.Token)
	case e.deleted():
		v.Head, v.Because = "was deleted", "its address was given back"
	default:
		v.Head = "this node's network was never asked for it"
		v.Because = "no stage ran for it in the time looked at: it is on another node, not scheduled yet, uses the host's network, " +
			"or its image is still being pulled"
		v.Do = "kubectl describe pod; or look further back with --since"
	}
	return v
}

// failed is the last run of an ADD that failed and was not followed by one of the same stage that did not.
func (e evidence) failed() *run {
	var last *run
	for i, r := range e.runs {
		switch {
		case r.Command != "ADD", e.lease != nil && r.Container != e.lease.Container: // an earlier sandbox of the pod
		case r.Token != "":
			last = &e.runs[i]
		case last != nil && last.Stage == r.Stage:
			last = nil
		}
	}
	return last
}

func (e evidence) attempts() (n int) {
	for _, r := range e.runs {
		if r.Command == "ADD" && r.Stage == "eni-ipam" {
			n++
		}
	}
	return n
}

func (e evidence) waited() time.Duration {
	for _, r := range slices.Backward(e.runs) {
		if r.Command == "ADD" && r.Stage == "eni-ipam" && r.Token == "" {
			return time.Duration(r.Wait) * time.Microsecond
		}
	}
	return 0
}

func (e evidence) deleted() bool {
	return slices.ContainsFunc(e.runs, func(r run) bool { return r.Command == "DEL" }) ||
		slices.ContainsFunc(e.records, func(r ipam.Record) bool { return r.Verb == ipam.PodDeleted })
}

// last is the stage's own word, which the outbox keeps until it is published; else what can be said now.
func (e evidence) last(now string) string {
	for _, r := range slices.Backward(e.records) {
		if r.Verb == ipam.PodGaveUp && r.Cause != "" {
			return strings.TrimPrefix(r.Cause, string(stages.PoolEmpty)+" ")
		}
	}
	return now
}

// pool is how a pool stands; "" is every pool.
func (e evidence) pool(name string) string {
	var parts []string
	for _, p := range e.pools {
		if p.Name == name {
			return "the pool holds " + strings.Join(p.lines(), ", and ")
		}
		parts = append(parts, of(e.pools, p)+strings.Join(p.lines(), ", and "))
	}
	switch {
	case name != "":
		return "this node knows no pool " + name
	case len(parts) == 1:
		return "the pool holds " + parts[0]
	case len(parts) == 0:
		return "the pool holds nothing yet"
	}
	return "the pools hold " + strings.Join(parts, "; ")
}

// why is what keeps a pool from growing; of every pool ("") the one that pods wait for most likely.
func (e evidence) why(name string) *ipam.Why {
	for _, p := range whys(e.pools) {
		if name == "" || p.Name == name {
			return p.Why
		}
	}
	return nil
}

// whyNot is what keeps the pool from growing, if anybody said so.
func (e evidence) whyNot(pool, before string) string {
	switch w := e.why(pool); {
	case e.silent != "":
		return before + e.silent
	case e.mute != "":
		return before + e.mute
	case w != nil:
		return before + cmp.Or(w.Text, w.Code) + e.next(w)
	}
	return ""
}

func (e evidence) remedy(pool string) string {
	w := e.why(pool)
	known := func(p poolState) bool { return p.Name == pool }
	switch {
	case e.silent != "":
		return "systemctl restart enichaind"
	case e.mute != "":
		return "see why the bus cannot be reached:  journalctl -u enichaind"
	case pool != "" && !slices.ContainsFunc(e.state.Meta.Pools, func(p ipam.SuppliedPool) bool { return p.Name == pool }) &&
		len(e.state.Meta.Pools) > 0 && slices.ContainsFunc(e.pools, known):
		return "the configuration has no pool " + pool + " for this node: see its name in the list, and pools[].nodes"
	case w == nil && e.last("") != "":
		return "mend what it names, and let the pod try again; nothing is known to stand in its way now"
	case w == nil:
		return "wait: the reconciler was asked for more; see  enichainctl events"
	}
	return cure(w.Code)
}

// cure is what to do about a reason not to grow.
func cure(code string) string {
	switch {
	case code == ipam.WhyInstanceLimit:
		return "use a larger instance type, or fewer pods per node"
	case code == ipam.WhyPoolLimit:
		return "raise the pool's maximum, or enis.max"
	case code == ipam.WhyNoPrefixes:
		return "use a Nitro instance type, or mode: auto or secondary; IPv6 needs Nitro"
	case code == ipam.WhyFragmented, strings.HasPrefix(code, "InsufficientCidrBlocks"):
		return "reserve a block of the subnet for prefixes (aws ec2 create-subnet-cidr-reservation), or take mode: auto"
	case code == reconcile.WhyNoIPv6:
		return "give the subnet an IPv6 network, or the pool subnets that have one"
	case code == reconcile.WhyNoSubnet, code == reconcile.WhyNoGroup:
		return "see subnets and securityGroups of the pool in the reconciler's configuration, and the tags in EC2"
	case code == reconcile.WhyNoPool:
		return "see the pool's name in the list, and pools[].nodes in the reconciler's configuration"
	case code == reconcile.WhyTakenAway:
		return "find who detaches it; the tag node.k8s.amazonaws.com/no_manage=true makes us leave it alone"
	case code == reconcile.WhyEnding:
		return "run the pod on a node whose instance runs"
	case code == reconcile.WhyNoLimits:
		return "see what EC2 knows of the type:  aws ec2 describe-instance-types --instance-types TYPE"
	case strings.HasPrefix(code, "InsufficientFreeAddresses"):
		return "add a subnet to the pool for this zone, or lower its warm target"
	case strings.HasPrefix(code, "Unauthorized"), strings.Contains(code, "AccessDenied"):
		return "give the reconciler's role the EC2 action that is named"
	case strings.HasPrefix(code, "RequestLimitExceeded"), strings.Contains(code, "Throttl"):
		return "wait, or find who else in the account calls EC2 this often"
	}
	return "see what EC2 said:  enichainctl events --type 'eni.*'"
}

// meaning of an error token of a stage, and what to do about it.
func meaning(t stages.Token) (because, do string) {
	switch t {
	case stages.Config, stages.NoPrevResult, stages.Version, stages.PrevResult:
		return "the list of stages is not right", "the pod's event has the stage's words; the stage's README has its keys"
	case stages.Env:
		return "the runtime called the stage in a way it cannot work with", "look into the pod's event"
	case stages.PoolNotReady:
		return "there was no pool file of this boot yet", "is enichaind running?  systemctl status enichaind"
	case stages.PoolLocked:
		return "another process sat on the pool file's lock", "the pod's event names its pid; see what it does:  cat /proc/PID/wchan"
	case stages.PoolSchema:
		return "the pool file is of another version", "install stages and enichaind of one version"
	case stages.PoolDamaged:
		return "the pool file is damaged", "restart enichaind: it rebuilds it"
	case stages.ENINotReady:
		return "the network interface of its address is not usable in the kernel", "enichainctl enis"
	case stages.IfNameTaken:
		return "the container has an interface of that name already", "two lists or stages make the same interface"
	case stages.PortTaken:
		return "another pod holds the host port", "see whose:  nft list table inet enichain-portmap-compat"
	case stages.Delegated:
		return "a plugin that the stage calls failed", "the pod's event has its words"
	case stages.Kernel:
		return "the kernel refused", "the pod's event has its words"
	}
	return "the stage failed with " + string(t), "the pod's event has its words"
}

func (e evidence) story() []happening {
	all := []happening{}
	for _, r := range e.runs {
		all = append(all, runHappening(r))
	}
	for _, r := range e.records {
		all = append(all, eventHappening(r, "outbox"))
	}
	slices.SortStableFunc(all, func(x, y happening) int { return x.At.Compare(y.At) })
	return all[max(0, len(all)-20):]
}

func (a *app) showWhy(e evidence) error {
	v := judge(e)
	var err error
	if a.format == "json" {
		err = a.json(v)
	} else {
		a.printf("%s: %s\n", v.Pod, v.Head)
		if len(v.Story) > 0 {
			a.printf("\n")
		}
		for _, h := range v.Story {
			a.printf("  %s  %-20s  %s\n", a.hour(h.At), h.What, h.Text)
		}
		if v.Because != "" {
			a.printf("\nbecause   %s\n", v.Because)
		}
		if v.Do != "" {
			a.printf("do        %s\n", v.Do)
		}
	}
	if err == nil && !v.Well {
		return errWrong
	}
	return err
}
