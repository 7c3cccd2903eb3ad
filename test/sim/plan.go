package sim

import (
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// Plan is all that happens in a run that nobody in it decides: it is data, made from a seed, and can be made smaller.
type Plan struct {
	Seed    uint64           `json:"seed"`   // of what is drawn while it runs: latencies, losses, ids
	Length  time.Duration    `json:"length"` // of the part with faults
	World   WorldPlan        `json:"world"`
	Subnets []SubnetPlan     `json:"subnets"`
	Pools   []reconcile.Pool `json:"pools"`
	Bus     BusPlan          `json:"bus"`
	Nodes   []NodePlan       `json:"nodes"`
	Pods    []PodPlan        `json:"pods"`
	Faults  []Fault          `json:"faults"`

	ways []int // variants of pools that it is made of
}

// WorldPlan is how EC2 behaves.
type WorldPlan struct {
	Visibility   time.Duration `json:"visibility,omitempty"` // lists lag so much
	NotFound     time.Duration `json:"notFound,omitempty"`   // calls do not find what is younger
	Latency      float64       `json:"latency,omitempty"`    // × vpc.Typical
	Throttle     float64       `json:"throttle,omitempty"`   // × vpc.Published; 0 = nothing is throttled
	MakesAnother bool          `json:"makesAnother,omitempty"`
	Lost         float64       `json:"lost,omitempty"` // part of the answers that get lost
}

// SubnetPlan is a subnet beside the fleet's own.
type SubnetPlan struct {
	CIDR string            `json:"cidr"`
	IPv6 string            `json:"ipv6,omitempty"`
	Tags map[string]string `json:"tags,omitempty"`
}

// BusPlan is what the bus does to messages.
type BusPlan struct {
	Loss   float64       `json:"loss,omitempty"`
	Repeat float64       `json:"repeat,omitempty"`
	Stray  float64       `json:"stray,omitempty"`
	Late   time.Duration `json:"late,omitempty"`
}

// NodePlan is an instance.
type NodePlan struct {
	At      time.Duration     `json:"at,omitempty"`
	Type    string            `json:"type"`
	MaxPods int               `json:"maxPods"`
	Subnet  int               `json:"subnet"` // 0 = the fleet's own, else of Plan.Subnets, from 1
	Tags    map[string]string `json:"tags,omitempty"`
}

// PodPlan is a pod.
type PodPlan struct {
	Node     int           `json:"node"`
	At       time.Duration `json:"at"`
	Until    time.Duration `json:"until,omitempty"` // 0 = to the end of the run, as all who would outlive the faults by lastEnds
	Pool     string        `json:"pool"`
	Families []ipam.Family `json:"families"`
	NoDEL    bool          `json:"noDel,omitempty"` // it vanishes: the runtime never says so
}

// Fault is something that goes wrong, at a time and for a time.
type Fault struct {
	At   time.Duration `json:"at"`
	For  time.Duration `json:"for,omitempty"`
	Kind FaultKind     `json:"kind"`
	Node int           `json:"node,omitempty"`
	N    int           `json:"n,omitempty"`   // which one, how many: the kind knows
	Arg  string        `json:"arg,omitempty"` // an action, a duration, a type: the kind knows
}

// FaultKind names what goes wrong.
type FaultKind string

// The faults. Those of EC2 are the lab's own, by their names there; Arg is their argument.
const (
	AgentCrash    FaultKind = "agent-crash"     // and comes up again after For
	AgentKill     FaultKind = "agent-kill"      // after N more effects, and comes up again For later
	PoolLost      FaultKind = "pool-lost"       // the pool file is removed in a running boot
	PoolCorrupt   FaultKind = "pool-corrupt"    // or is none any more
	LedgerLost    FaultKind = "ledger-lost"     //
	LedgerOlder   FaultKind = "ledger-older"    // the one before, while the agent is down
	AllLost       FaultKind = "all-lost"        // pool file and ledger
	Reboot        FaultKind = "reboot"          // For long
	TypeChange    FaultKind = "type-change"     // off, another type (Arg), on
	Terminate     FaultKind = "terminate"       // and never comes back; another instance takes its place
	ClockJump     FaultKind = "clock-jump"      // the wall clock, by Arg
	Partition     FaultKind = "partition"       // the bus does not reach the node
	Cordon        FaultKind = "cordon"          // unschedulable
	Collect       FaultKind = "gc"              // the runtime calls GC
	LeaderCrash   FaultKind = "leader-crash"    // another one leads after For
	LeaderStall   FaultKind = "leader-stall"    // its subscription delivers nothing
	LeaderSecond  FaultKind = "leader-second"   // another one believes that it leads as well
	HumanDetach   FaultKind = "human-detach"    // a network interface of the node, the N-th
	HumanUnassign FaultKind = "human-unassign"  // an address of the node, the N-th
	HumanGroups   FaultKind = "human-groups"    // security groups of a network interface are changed
	HumanNoManage FaultKind = "human-no-manage" // one is tagged no_manage
	HumanAttach   FaultKind = "human-attach"    // a network interface of somebody else's is attached
	GroupDeleted  FaultKind = "group-deleted"   //
	Policy        FaultKind = "policy"          // hot reload: variant Arg of the pools, numbers drawn from N
	BusDown       FaultKind = "bus-down"        // for all
	EC2           FaultKind = "ec2"             // Arg is "KIND ARGUMENT" of the lab's faults
)

// usualPool is a policy with short windows; the constants of protocol A1 stay.
func usualPool() reconcile.Pool {
	return reconcile.Pool{
		Name: "default", Rev: 1, Target: ipam.Target{Warm: 4, UsePrimary: true}, Window: time.Minute, MinAge: time.Minute,
		Cooldown: 10 * time.Second,
	}
}

func configOf(pools []reconcile.Pool) reconcile.Config {
	return reconcile.Config{Cluster: "sim", Pools: pools, Orphans: reconcile.Orphans{MinAge: 2 * time.Minute}}
}
