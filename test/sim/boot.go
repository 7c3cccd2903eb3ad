package sim

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// Boot is many nodes of one type that boot together, all full of pods that wait, at EC2's published rates.
type Boot struct {
	Seed   uint64
	Nodes  int
	Type   string        // default m5.large
	Pods   int           // of each node, and the most that it may have; default 27
	Over   time.Duration // from the first boot to the last; default 60 s
	Prefix bool          // delegated prefixes instead of single addresses
	Dir    string        // for the nodes' files
	// Tell, if set, hears how far a run is: its time since the first boot and how many nodes are full. It is called often.
	Tell    func(now time.Duration, full int)
	unpaced bool // a planted bug
}

// BootResult is what a boot took. Times are from the first boot on; Own are from each node's own boot.
type BootResult struct {
	Who         string                 `json:"who"`
	Nodes       int                    `json:"nodes"`
	Mode        string                 `json:"mode"`
	Boot        time.Duration          `json:"boot"` // from the first node's to the last one's
	FirstMedian time.Duration          `json:"firstMedian"`
	FirstLast   time.Duration          `json:"firstLast"`
	FullMedian  time.Duration          `json:"fullMedian"`
	FullLast    time.Duration          `json:"fullLast"`
	OwnFirst    time.Duration          `json:"ownFirst"` // median
	OwnFull     time.Duration          `json:"ownFull"`  // median
	Unfinished  int                    `json:"unfinished,omitempty"`
	Calls       int                    `json:"calls"`
	Throttled   int                    `json:"throttled"`
	Refused     int                    `json:"refused"` // for another reason than the rate
	ByAction    map[string]ActionCalls `json:"byAction"`
	Quiet       int                    `json:"quiet"` // EC2 changes in the ten minutes after all was full
	Load        *Load                  `json:"load,omitempty"`
	Took        time.Duration          `json:"took"` // real time
}

// ActionCalls are the calls of one action.
type ActionCalls struct {
	Taken     int `json:"taken"`
	Throttled int `json:"throttled,omitempty"`
	Refused   int `json:"refused,omitempty"`
}

// Load is what bus and reconciler had to carry.
type Load struct {
	Messages map[string]int `json:"messages"`
	Bytes    map[string]int `json:"bytes"`
	Most     int            `json:"most"` // messages within one second
	Steps    int            `json:"steps"`
	CPU      time.Duration  `json:"cpu"` // of the reconciler's core
	P50      time.Duration  `json:"p50"` // of one step, CPU too
	P99      time.Duration  `json:"p99"`
	Max      time.Duration  `json:"max"`
	Heap     uint64         `json:"heap"` // of the whole process with all nodes in it, bytes
}

// Floor is the least that any way of working through the same rates needs: docs/protocol.md and its arithmetic.
type Floor struct {
	Calls  int           `json:"calls"` // that change something
	Time   time.Duration `json:"time"`  // until the last token of the scarcest action has come
	Action string        `json:"action"`
}

// Validate says what is wrong: no nodes, a type that the lab does not know, or pods that it has no room for.
func (b Boot) Validate() error {
	b = b.withDefaults()
	known := func(t vpc.InstanceType) bool { return t.Name == b.Type }
	if !slices.ContainsFunc(vpc.InstanceTypes(), known) {
		return fmt.Errorf("there is no instance type %q", b.Type)
	}
	l := limitsOf(typeOf(b.Type))
	most := l.ENIs * l.PerENI()
	if b.Prefix {
		most *= 16
	}
	switch {
	case b.Nodes < 1 || b.Over < 0:
		return fmt.Errorf("%d nodes over %s; 1 or more, over no less than 0 s", b.Nodes, b.Over)
	case b.Prefix && !l.Prefixes:
		return fmt.Errorf("%s takes no prefixes", b.Type)
	case b.Pods < 1 || b.Pods > most:
		return fmt.Errorf("%d pods on each node; %s has addresses for 1 to %d in mode %s", b.Pods, b.Type, most, b.Mode())
	}
	return nil
}

func (b Boot) withDefaults() Boot {
	b.Type = cmp.Or(b.Type, "m5.large")
	b.Pods = cmp.Or(b.Pods, 27)
	b.Over = cmp.Or(b.Over, time.Minute)
	b.Seed = cmp.Or(b.Seed, 1)
	return b
}

// Mode is its name.
func (b Boot) Mode() string {
	if b.Prefix {
		return "prefix"
	}
	return "secondary"
}

// Floor computes the least calls, and the time that the published rates need for them with full buckets.
func (b Boot) Floor() Floor {
	b = b.withDefaults()
	t := limitsOf(typeOf(b.Type))
	perNode := map[string]int{"AssignPrivateIpAddresses": 1}
	if !b.Prefix {
		if more := (max(b.Pods-t.PerENI(), 0) + t.PerENI() - 1) / t.PerENI(); more > 0 {
			for _, action := range []string{"CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"} {
				perNode[action] = more
			}
		}
	}
	f := Floor{}
	for action, calls := range perNode {
		bucket, _ := vpc.Published(1).Of(action, false)
		at := time.Duration(math.Max(0, (float64(b.Nodes*calls)-bucket.Size)/bucket.Refill) * float64(time.Second))
		if action == "ModifyNetworkInterfaceAttribute" {
			at = 0 // can wait
		}
		if f.Calls += b.Nodes * calls; at > f.Time || at == f.Time && action < f.Action || f.Action == "" {
			f.Time, f.Action = at, action
		}
	}
	return f
}

// bootTimes are when the nodes boot: the same for all that are compared.
func (b Boot) bootTimes() []time.Duration {
	r := source(b.Seed, "boot")
	times := make([]time.Duration, b.Nodes)
	for i := range times {
		times[i] = between(r, 0, b.Over)
	}
	slices.Sort(times)
	return times
}

// fleet is the world of a boot.
func (b Boot) fleet(dir string) *fleet {
	const quotas = 1 << 20 // of interfaces and address usage: not what is measured here
	pool := reconcile.Pool{Name: "default", Target: ipam.Target{Warm: 2, UsePrimary: true}}
	if b.Prefix {
		pool.Target.Mode = ipam.ModePrefix
	}
	f := newFleet(b.Seed, dir, vpc.Config{Latency: vpc.Typical(1), Buckets: vpc.Published(1),
		Quotas: vpc.Quotas{NetworkInterfaces: quotas, AddressUsage: quotas}}, configOf([]reconcile.Pool{pool}))
	f.cfg.Orphans.MinAge = 0
	f.pacing, f.unpaced, f.quiet, f.checking, f.bus.measured = true, b.unpaced, true, false, true
	var blocks []netip.Prefix
	for i := range 1 + b.Nodes/1000 {
		blocks = append(blocks, mustPrefix(fmt.Sprintf("10.%d.0.0/16", 120+i)))
	}
	v, err := f.world.AddVPC(vpc.VPC{CIDRs: blocks})
	must(err)
	f.subnets = nil
	for _, block := range blocks {
		s, err := f.world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: block})
		must(err)
		f.subnets = append(f.subnets, s)
	}
	return f
}

// Run lets the fleet boot with the real agents, pool files and reconciler. It is given up when ctx ends.
func (b Boot) Run(ctx context.Context) (BootResult, error) {
	b = b.withDefaults()
	began := time.Now()
	dir, err := os.MkdirTemp(b.Dir, "boot-")
	if err != nil {
		return BootResult{}, fmt.Errorf("cannot make a folder for the nodes' files: %w", err)
	}
	defer os.RemoveAll(dir)
	f := b.fleet(dir)
	defer f.end()
	times := b.bootTimes()
	pods := make([][]*pod, b.Nodes)
	for i, at := range times {
		f.after(at, func() {
			n := f.launch(b.Type, b.Pods, f.subnets[i%len(f.subnets)].ID, nil)
			n.startAgent()
			for j := range b.Pods {
				pods[i] = append(pods[i], f.pod(n, fmt.Sprintf("p%d", j)))
			}
		})
	}
	l := f.addLeader("enichain")
	l.steps.on = true
	l.lead(1, forever)
	waits := func(p *pod) bool { return p.state != running }
	b.untilFull(ctx, f, func(i int) bool { return len(pods[i]) > 0 && !slices.ContainsFunc(pods[i], waits) })
	if ctx.Err() != nil {
		return BootResult{}, ctx.Err()
	}
	f.run(2 * time.Minute) // what could wait
	r := b.result("enichain", f, began)
	for i, all := range pods {
		t := nodeTimes{boot: times[i]}
		for _, p := range all {
			t.add(p.served, p.state == running)
		}
		r.times = append(r.times, t)
	}
	r.count(b.Pods)
	quiet := f.mutations()
	f.run(10 * time.Minute)
	r.Quiet = f.mutations() - quiet
	r.Load = f.load(l)
	r.Took = time.Since(began)
	if len(f.faults) > 0 {
		return r.BootResult, fmt.Errorf("a rule was broken: %v", f.faults[0])
	}
	return r.BootResult, nil
}

// untilFull lets time pass until all nodes are full, for three times the floor and 20 minutes at most.
func (b Boot) untilFull(ctx context.Context, f *fleet, isFull func(node int) bool) {
	limit := 3*b.Floor().Time + 20*time.Minute
	for len(f.faults) == 0 && ctx.Err() == nil {
		full := 0
		for i := range b.Nodes {
			if isFull(i) {
				full++
			}
		}
		if b.Tell != nil {
			b.Tell(f.now, full)
		}
		if full == b.Nodes || f.now >= limit {
			return
		}
		f.run(time.Second)
	}
}

// load is what bus and reconciler carried.
func (f *fleet) load(l *leader) *Load {
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	steps := slices.Clone(l.steps.took)
	slices.Sort(steps)
	out := &Load{Messages: f.bus.messages, Bytes: f.bus.bytes, Most: f.bus.most, Steps: len(steps), Heap: mem.HeapAlloc}
	for _, s := range steps {
		out.CPU += s
	}
	if n := len(steps); n > 0 {
		out.P50, out.P99, out.Max = steps[n/2], steps[n*99/100], steps[n-1]
	}
	return out
}
