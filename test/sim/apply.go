package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// apply lets a fault happen now.
func (f *fleet) apply(x Fault) {
	if len(f.nodes) == 0 {
		return
	}
	n := f.nodes[x.Node%len(f.nodes)]
	f.say("fault %s node %s for %s n %d %s", x.Kind, n.id, x.For, x.N, x.Arg)
	switch x.Kind {
	case AgentCrash, AgentKill, PoolLost, PoolCorrupt, LedgerLost, LedgerOlder, AllLost, Reboot, TypeChange, Terminate,
		ClockJump, Partition, Cordon, Collect:
		f.applyNode(n, x)
	case LeaderCrash, LeaderStall, LeaderSecond:
		f.applyLeader(x)
	case Policy:
		way, err := strconv.Atoi(x.Arg)
		must(err)
		f.reload(variant(source(uint64(x.N), "policy"), way))
	case BusDown:
		loss := f.bus.loss
		f.bus.loss = 1
		f.after(x.For, func() { f.bus.loss = min(loss, f.bus.loss) })
	case EC2:
		f.applyEC2(x)
	default:
		f.applyHuman(n, x)
	}
}

func (f *fleet) applyNode(n *node, x Fault) {
	back := func() { f.after(x.For, n.startAgent) }
	switch x.Kind {
	case AgentCrash:
		n.crash()
		back()
	case AgentKill:
		if n.core != nil {
			n.killIn = x.N
			f.after(x.For+30*time.Second, func() {
				n.killIn = 0
				n.startAgent()
			})
		}
	case PoolLost:
		n.loseFile()
	case PoolCorrupt:
		n.spoilFile()
	case LedgerLost:
		n.ledger = nil
	case LedgerOlder:
		if n.older != nil && !n.off {
			n.crash()
			n.ledger = n.older
			n.startAgent()
		}
	case AllLost:
		n.ledger = nil
		n.loseFile()
	case Reboot:
		n.restart(x.For, "")
	case TypeChange:
		n.restart(x.For, x.Arg)
	case Terminate:
		f.terminate(n, x)
	case ClockJump:
		d, err := time.ParseDuration(x.Arg)
		must(err)
		n.skew += d
	case Partition:
		n.setCut(true)
		f.after(x.For, func() { n.setCut(false) })
	case Cordon:
		n.setCordon(true)
		f.after(x.For, func() { n.setCordon(false) })
	case Collect:
		n.collect()
	}
}

// restart is a reboot; with a kind it is a stop and a start, as another type.
func (n *node) restart(down time.Duration, kind string) {
	if n.off {
		return
	}
	n.powerOff()
	if kind == "" {
		n.f.after(down, n.powerOn)
		return
	}
	if _, err := n.f.world.Call(n.f.wall(), "human", vpc.StopInstances{IDs: []string{string(n.id)}}); err != nil {
		n.f.say("stop: %v", err)
	}
	old := n.kind
	n.f.after(down, func() { n.startAs(kind, old) })
}

// startAs starts an instance that was stopped, as soon as it is.
func (n *node) startAs(kind, old string) {
	f := n.f
	again := func() { f.after(time.Second, func() { n.startAs(kind, old) }) }
	if n.dead {
		return
	}
	i, known := f.world.Instance(string(n.id))
	switch {
	case !known:
	case i.State == vpc.Stopped:
		must(f.world.SetInstanceType(string(n.id), kind))
		n.kind = kind
		if _, err := f.world.Call(f.wall(), "human", vpc.StartInstances{IDs: []string{string(n.id)}}); err != nil {
			f.say("start: %v", err) // it has more than that type takes: back to what it was
			n.startAs(old, old)
			return
		}
		again()
	case i.State == vpc.Running:
		n.powerOn()
	default:
		again()
	}
}

// terminate ends an instance; one like it comes in its place.
func (f *fleet) terminate(n *node, x Fault) {
	if n.dead {
		return
	}
	n.powerOff()
	n.dead = true
	_, err := f.world.Call(f.wall(), "human", vpc.TerminateInstances{IDs: []string{string(n.id)}})
	if err != nil {
		f.say("terminate: %v", err)
	}
	if len(f.nodes) > 40 {
		return
	}
	i, _ := f.world.Instance(string(n.id))
	f.after(x.For, func() {
		next := f.launch(n.kind, n.maxPods, i.Subnet, i.Tags)
		if next == nil {
			return
		}
		next.startAgent()
		for j := range 3 {
			f.pod(next, fmt.Sprintf("again-%s-%d", next.id, j))
		}
	})
}

func (n *node) setCut(cut bool) {
	n.cut = cut
	n.step(agent.Input{Bus: &agent.BusState{Up: !cut}})
}

func (n *node) setCordon(cordon bool) {
	n.cordon = cordon
	n.step(agent.Input{Hint: &agent.Hint{MaxPods: n.maxPods, Unschedulable: cordon}})
}

// applyLeader is about the newest reconciler.
func (f *fleet) applyLeader(x Fault) {
	l := f.leaders[len(f.leaders)-1]
	next := func() {
		if len(f.leaders) > 30 {
			return
		}
		f.term++
		f.addLeader(fmt.Sprintf("r%d", len(f.leaders)+1)).lead(f.term, forever)
	}
	switch x.Kind {
	case LeaderCrash:
		for _, o := range f.leaders {
			if !o.dead {
				o.die()
			}
		}
		f.after(x.For, next)
	case LeaderStall:
		l.stalled = f.now + x.For
	case LeaderSecond:
		next()
		f.after(x.For, func() {
			if len(f.alive()) > 1 {
				l.die()
			}
		})
	}
}

// alive are the reconcilers that run.
func (f *fleet) alive() []*leader {
	var all []*leader
	for _, l := range f.leaders {
		if !l.dead {
			all = append(all, l)
		}
	}
	return all
}

// reload changes the pools while everything runs. Those that pods ask for keep their names.
func (f *fleet) reload(pools []reconcile.Pool) {
	for i := range pools {
		pools[i].Rev = f.cfg.Pools[0].Rev + 1
	}
	for _, o := range f.cfg.Pools {
		if !slices.ContainsFunc(pools, func(p reconcile.Pool) bool { return p.Name == o.Name }) {
			o.Rev = pools[0].Rev
			pools = append(pools, o)
		}
	}
	if !slices.Equal(pools[0].Target.Families, f.cfg.Pools[0].Target.Families) && len(f.cfg.Pools[0].Target.Families) > 0 {
		pools[0].Target.Families = f.cfg.Pools[0].Target.Families // pods of this run ask for both
	}
	f.cfg.Pools, f.policed = pools, f.now
	for _, l := range f.leaders {
		l.step(reconcile.Input{Pools: slices.Clone(pools)})
	}
}

// applyEC2 sets one of the lab's own faults.
func (f *fleet) applyEC2(x Fault) {
	kind, argument, _ := strings.Cut(x.Arg, " ")
	if kind == "subnet-full" || kind == "fragment" {
		i, err := strconv.Atoi(argument)
		must(err)
		argument = f.subnets[i%len(f.subnets)].ID
	}
	fault, err := vpc.ParseFault(kind, argument)
	must(err)
	fault.Until = f.wall().Add(x.For)
	must(f.world.SetFault(f.wall(), fault))
}

// applyHuman is somebody at the console.
func (f *fleet) applyHuman(n *node, x Fault) {
	var mine []vpc.NetworkInterface
	for _, e := range f.world.NetworkInterfaces(f.wall()) {
		if e.Instance() == string(n.id) {
			mine = append(mine, e)
		}
	}
	slices.SortFunc(mine, func(a, b vpc.NetworkInterface) int { return a.Attachment.Device - b.Attachment.Device })
	if len(mine) == 0 {
		return
	}
	e := mine[x.N%len(mine)]
	call := func(r vpc.Request) (vpc.Output, bool) {
		out, err := f.world.Call(f.wall(), "human", r)
		if err != nil {
			f.say("human: %v", err)
		}
		return out.Output, err == nil
	}
	f.human.last = f.now
	switch x.Kind {
	case HumanDetach:
		if e.Attachment.Device > 0 {
			f.human.enis[ipam.ENIID(e.ID)] = true
			call(vpc.DetachNetworkInterface{AttachmentID: e.Attachment.ID})
		}
	case HumanUnassign:
		if len(e.Secondary) > 0 {
			a := e.Secondary[x.N%len(e.Secondary)]
			f.human.addresses[a] = true
			call(vpc.UnassignPrivateIpAddresses{ID: e.ID, Addresses: e.Secondary[x.N%len(e.Secondary) : x.N%len(e.Secondary)+1]})
		}
	case HumanNoManage:
		if e.Attachment.Device > 0 {
			f.human.enis[ipam.ENIID(e.ID)] = true
			call(vpc.CreateTags{Resources: []string{e.ID}, Tags: []vpc.Tag{{Key: reconcile.TagNoManage, Value: "true"}}})
		}
	case HumanGroups, GroupDeleted:
		g, err := f.world.AddSecurityGroup(vpc.SecurityGroup{VPC: f.vpc, Name: fmt.Sprint("by-hand-", f.seq)})
		must(err)
		call(vpc.ModifyNetworkInterfaceAttribute{ID: e.ID, Groups: []string{g.ID}})
		if x.Kind == GroupDeleted {
			f.world.DeleteSecurityGroup(g.ID)
		}
	case HumanAttach:
		made, ok := call(vpc.CreateNetworkInterface{SubnetID: e.Subnet})
		if !ok {
			return
		}
		id := made.(vpc.CreateNetworkInterfaceOutput).NetworkInterface.ID
		f.human.foreign[id] = true
		for device := 1; device < 4; device++ {
			if _, ok := call(vpc.AttachNetworkInterface{ID: id, InstanceID: string(n.id), Device: device}); ok {
				return
			}
		}
		call(vpc.DeleteNetworkInterface{ID: id})
	}
}
