package sim

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

// Result is what came of a run.
type Result struct {
	Broken    []Violation    `json:"broken,omitempty"`
	Trace     uint64         `json:"trace"` // hash of everything that happened
	Lines     int            `json:"lines"` // of what was hashed
	Events    int            `json:"events"`
	Calls     int            `json:"calls"`    // EC2 mutations that were taken
	ByAction  map[string]int `json:"byAction"` // and by action
	Pods      int            `json:"pods"`
	Story     string         `json:"-"` // the end of the run, if something is broken
	Recording []byte         `json:"-"` // as package record writes it, if asked for
}

// Settings are of a run that is not the plan's.
type Settings struct {
	Dir    string // for the nodes' files; it is emptied afterwards
	Record bool
	bugs   bugs
	twist  func(*fleet) // a planted bug that is no function of bugs
}

// Run carries out a plan: faults, then a time without any, in which everything must come right.
func Run(p Plan, s Settings) (Result, error) {
	dir, err := os.MkdirTemp(s.Dir, "sim-")
	if err != nil {
		return Result{}, fmt.Errorf("cannot make a folder for the nodes' files: %w", err)
	}
	defer os.RemoveAll(dir)
	f := p.fleet(dir)
	defer f.end()
	f.bugs = s.bugs
	if s.Record {
		f.startRecording()
	}
	if s.twist != nil {
		s.twist(f)
	}
	p.schedule(f)
	f.run(p.Length)
	if len(f.faults) == 0 {
		f.settle()
	}
	r := Result{Broken: f.faults, Trace: f.trace.Sum64(), Lines: f.lines, Events: f.seq, Calls: f.mutations(), Pods: len(p.Pods), ByAction: map[string]int{}}
	for _, c := range f.world.Counts() {
		if !strings.HasPrefix(c.Caller, "human") {
			r.ByAction[c.Action] += c.Accepted
		}
	}
	if len(f.faults) > 0 {
		r.Story = f.story()
	}
	if f.recording != nil {
		r.Recording = f.recording.text.Bytes()
	}
	return r, nil
}

// fleet makes the world of a plan.
func (p Plan) fleet(dir string) *fleet {
	config := vpc.Config{Latency: vpc.Typical(p.World.Latency), Visibility: p.World.Visibility, NotFound: p.World.NotFound, Buckets: vpc.Published(p.World.Throttle)}
	if p.World.MakesAnother {
		config.DeletedToken = vpc.MakesAnother
	}
	f := newFleet(p.Seed, dir, config, configOf(slices.Clone(p.Pools)))
	f.pacing = p.World.Throttle > 0
	f.lost = p.World.Lost
	f.bus.loss, f.bus.repeat, f.bus.stray, f.bus.late = p.Bus.Loss, p.Bus.Repeat, p.Bus.Stray, p.Bus.Late
	f.subnets = []vpc.Subnet{f.subnet}
	for _, s := range p.Subnets {
		made := vpc.Subnet{VPC: f.vpc, Zone: "lab-1a", CIDR: mustPrefix(s.CIDR), Tags: s.Tags}
		if s.IPv6 != "" {
			made.IPv6 = mustPrefix(s.IPv6)
		}
		made, err := f.world.AddSubnet(made)
		must(err)
		f.subnets = append(f.subnets, made)
	}
	return f
}

// lastEnds is how long after the faults pods still end. Who would live longer stays to the end of the run: L4 is about a
// constant load, and one of living pods says more than none.
const lastEnds = 10 * time.Minute

// schedule puts all that is to happen on the clock.
func (p Plan) schedule(f *fleet) {
	nodes := make([]*node, len(p.Nodes))
	for i, n := range p.Nodes {
		f.after(n.At, func() {
			if nodes[i] = f.launch(n.Type, n.MaxPods, f.subnets[n.Subnet].ID, n.Tags); nodes[i] != nil {
				nodes[i].startAgent()
			}
		})
	}
	f.after(0, func() { f.addLeader("r1").lead(1, forever) })
	for i, x := range p.Pods {
		f.after(x.At, func() {
			n := nodes[x.Node]
			if n == nil || n.off || len(n.pods) >= n.maxPods {
				return // no scheduler would
			}
			pod := f.podOf(n, fmt.Sprint("pod-", i), x.Pool, slices.Clone(x.Families)...)
			if x.Until > 0 && x.Until < p.Length+lastEnds {
				f.after(x.Until-x.At, func() {
					if x.NoDEL {
						pod.vanish()
					} else {
						pod.del()
					}
				})
			}
		})
	}
	for _, x := range p.Faults {
		f.after(x.At, func() { f.apply(x) })
	}
	var look func()
	look = func() { f.sizes(); f.after(5*time.Minute, look) }
	f.after(5*time.Minute, look)
}
