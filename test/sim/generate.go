package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// Generate makes the plan of a seed: so long with faults, on at most so many nodes.
func Generate(seed uint64, length time.Duration, nodes int) Plan {
	return generate(seed, length, nodes, []int{0, 1, 2, 3, 4, 5})
}

// generate draws the pools from these variants.
func generate(seed uint64, length time.Duration, nodes int, ways []int) Plan {
	r := source(seed, "plan")
	p := Plan{Seed: seed, Length: length, ways: ways}
	p.World = WorldPlan{
		Visibility: pick(r, []time.Duration{0, 0, 2 * time.Second, 10 * time.Second, 40 * time.Second}), Latency: 1,
		Throttle: pick(r, []float64{0, 0, 1}), MakesAnother: r.IntN(2) == 0, Lost: pick(r, []float64{0, 0, 0.02, 0.1}),
	}
	p.Bus = BusPlan{Loss: pick(r, []float64{0, 0, 0.05, 0.2}), Repeat: pick(r, []float64{0, 0.1}), Stray: pick(r, []float64{0, 0.05}),
		Late: pick(r, []time.Duration{50 * time.Millisecond, time.Second, 5 * time.Second})}
	p.Subnets = []SubnetPlan{
		{CIDR: "10.110.64.0/26", IPv6: "2001:db8:110:2::/64"}, // small: addresses come back soon
		{CIDR: "10.110.128.0/20", IPv6: "2001:db8:110:3::/64", Tags: map[string]string{"team": "b"}},
	}
	p.Pools = variant(r, pick(r, ways))
	for range 1 + r.IntN(max(nodes, 1)) {
		p.Nodes = append(p.Nodes, nodePlan(r, length))
	}
	p.pods(r)
	p.faults(r)
	return p
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func nodePlan(r *rand.Rand, length time.Duration) NodePlan {
	types := []NodePlan{{Type: "t3.small", MaxPods: 8}, {Type: "t3.medium", MaxPods: 11}, {Type: "t3.medium", MaxPods: 17},
		{Type: "m5.large", MaxPods: 20}, {Type: "t2.medium", MaxPods: 12}}
	n := pick(r, types)
	n.Subnet = pick(r, []int{0, 0, 1, 1, 2})
	if r.IntN(3) == 0 {
		n.At = between(r, 0, length/2)
	}
	if r.IntN(3) == 0 {
		n.Tags = map[string]string{"team": "b"}
	}
	return n
}

// variant is one of the ways to set up pools.
func variant(r *rand.Rand, n int) []reconcile.Pool {
	p := usualPool()
	p.Target.Warm = 1 + r.IntN(5)
	p.Target.AtOnce = pick(r, []int{0, 2, 4, 16})
	p.Window = pick(r, []time.Duration{20 * time.Second, time.Minute, 5 * time.Minute})
	p.MinAge = p.Window
	p.Cooldown = pick(r, []time.Duration{5 * time.Second, 30 * time.Second})
	switch n {
	case 1:
		p.Target.Mode = ipam.ModePrefix
	case 2:
		p.Target.Mode = ipam.ModeAuto
	case 3:
		p.Target.Families = []ipam.Family{ipam.IPv4, ipam.IPv6}
		p.Target.Mode = pick(r, []ipam.Mode{ipam.ModeSecondary, ipam.ModeAuto})
	case 4:
		p.Target.WarmENIs, p.Target.Warm = 1, 0
	case 5:
		team := p
		team.Name, team.Target.Warm, team.Target.UsePrimary = "team", 2, false
		team.Nodes = map[string]string{"team": "b"}
		team.Subnets = reconcile.Subnets{Tags: map[string]string{"team": "b"}}
		return []reconcile.Pool{p, team}
	}
	return []reconcile.Pool{p}
}

// pods come alone, in bursts, by the minute as a cron job's, and as churn.
func (p *Plan) pods(r *rand.Rand) {
	for i, n := range p.Nodes {
		left := p.Length - n.At
		add := func(at, life time.Duration) {
			pod := PodPlan{Node: i, At: n.At + at, Pool: "default", Families: []ipam.Family{ipam.IPv4}, NoDEL: r.IntN(12) == 0}
			if life > 0 {
				pod.Until = pod.At + life
			}
			if n.Tags != nil && len(p.Pools) > 1 && r.IntN(3) == 0 {
				pod.Pool = "team"
			}
			if slices.Contains(p.Pools[0].Target.Families, ipam.IPv6) {
				pod.Families = pick(r, [][]ipam.Family{{ipam.IPv4}, {ipam.IPv4, ipam.IPv6}, {ipam.IPv6}})
			}
			p.Pods = append(p.Pods, pod)
		}
		for range 4 + r.IntN(10) {
			add(between(r, 0, left), between(r, 10*time.Second, left/2))
		}
		for range 1 + r.IntN(3) { // bursts
			at, life := between(r, 0, left), between(r, 30*time.Second, 15*time.Minute)
			for range 1 + r.IntN(n.MaxPods) {
				add(at+between(r, 0, 2*time.Second), life+between(r, 0, 10*time.Second))
			}
		}
		if r.IntN(3) == 0 { // cron
			for at := between(r, 0, 10*time.Minute); at < left; at += 10 * time.Minute {
				for range 3 {
					add(at, 40*time.Second)
				}
			}
		}
	}
	slices.SortStableFunc(p.Pods, func(a, b PodPlan) int { return int(a.At - b.At) })
}

// faults are drawn one by one; most runs have a handful, some a storm.
func (p *Plan) faults(r *rand.Rand) {
	count := pick(r, []int{3, 6, 10, 20})
	for range count {
		p.Faults = append(p.Faults, fault(r, p))
	}
	for i := range p.Nodes {
		for at := between(r, time.Minute, 10*time.Minute); at < p.Length; at += 8 * time.Minute {
			p.Faults = append(p.Faults, Fault{At: at, Kind: Collect, Node: i})
		}
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

func fault(r *rand.Rand, p *Plan) Fault {
	f := Fault{At: between(r, 10*time.Second, p.Length), Node: r.IntN(len(p.Nodes)), N: r.IntN(8)}
	short, long := between(r, time.Second, 30*time.Second), between(r, time.Minute, 10*time.Minute)
	kinds := []FaultKind{AgentCrash, AgentKill, AgentKill, AgentKill, PoolLost, PoolLost, PoolCorrupt, LedgerLost, LedgerOlder, AllLost, Reboot,
		TypeChange, Terminate, ClockJump, Partition, Cordon, LeaderCrash, LeaderCrash, LeaderStall, LeaderSecond, LeaderSecond,
		HumanDetach, HumanUnassign, HumanGroups, HumanNoManage, HumanAttach, GroupDeleted, Policy, Policy, BusDown, EC2, EC2, EC2, EC2}
	f.Kind, f.For = pick(r, kinds), short
	switch f.Kind {
	case AgentKill:
		f.N = 1 + r.IntN(12)
	case TypeChange:
		f.Arg = pick(r, []string{"t3.small", "t3.medium", "m5.large"})
	case ClockJump:
		f.Arg = pick(r, []string{"-48h", "2h", "-1s", "100h"})
	case Partition, LeaderStall, LeaderSecond, Cordon, BusDown:
		f.For = long
	case Policy:
		f.N = r.IntN(1 << 16)
		f.Arg = fmt.Sprint(pick(r, p.ways))
	case EC2:
		f.For = long
		f.Arg = pick(r, []string{
			"throttle *=0.2", "throttle Assign*=0", "throttle Attach*=0.1", "deny Create*", "deny Unassign*", "deny Detach*",
			"ec2-error Describe*=InternalError", "ec2-error Assign*=InternalError", "ec2-error Create*=Unavailable",
			"ec2-error Attach*=InternalError", "ec2-error Unassign*=InternalError", "ec2-error Detach*=IncorrectState", "ec2-error *=AuthFailure",
			"ec2-error Create*=NetworkInterfaceLimitExceeded", "ec2-error Assign*=NetworkAddressUsageLimitExceeded",
			"latency AttachNetworkInterface=20s", "latency Assign*=14s", "latency Unassign*=18s", "latency Describe*=6s",
			"visibility 50s", "not-found 5s", fmt.Sprint("subnet-full ", r.IntN(3)), fmt.Sprint("fragment ", r.IntN(3)),
		})
	}
	return f
}
