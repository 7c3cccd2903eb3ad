package reconcile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// world is a core, an EC2 and nodes in virtual time, by ticks of a second. What the reconciler must never do is looked for
// at every call.
type world struct {
	t      *testing.T
	r      *rand.Rand
	now    time.Duration
	cfg    Config
	core   *Core
	cloud  *cloud
	nodes  map[ipam.InstanceID]*agent
	stream map[ipam.InstanceID]ipam.Snapshot
	queue  []func() // before the next tick
	calls  []Call   // that reached EC2
	events []Event
	story  []string
	// fault, if set, is asked before a call: an answer other than nil is given instead; of one that says Unknown and
	// whose Text is "done" EC2 has carried the call out.
	fault func(Call) *Answer
	blind bool // lists fail
	names int
	told  bool
	owner map[netip.Addr]string
	most  map[string]int // high-water mark of what a node's pool needed
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(1, 2)), cfg: cfg, cloud: newCloud(), nodes: map[ipam.InstanceID]*agent{},
		stream: map[ipam.InstanceID]ipam.Snapshot{}, owner: map[netip.Addr]string{}, most: map[string]int{}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	w.core = New(cfg)
	return w
}

// usual is a world with one subnet of 256 addresses and IPv6.
func usual(t *testing.T, pools ...Pool) *world {
	w := newWorld(t, Config{Cluster: "c", Pools: pools})
	w.cloud.addSubnet("subnet-a", "a", "10.0.0.0/24", "2001:db8:0:a::/64", nil)
	return w
}

func (w *world) addNode(id ipam.InstanceID, kind string, most int) *agent {
	w.cloud.addInstance(id, kind, w.firstSubnet())
	a := &agent{w: w, id: id, inc: ipam.Inc("inc-" + id), kind: kind, most: most, enis: map[ipam.ENIID]*agentENI{},
		held: map[string]*held{}, pods: map[string]*pod{}, floors: map[string][]sample{}, dirty: true}
	w.nodes[id] = a
	return a
}

func (w *world) firstSubnet() ipam.SubnetID {
	return slices.Min(slices.Collect(maps.Keys(w.cloud.subnets)))
}

func (w *world) lead(revision uint64) { w.step(Input{Lead: &Lead{Revision: revision}}) }

func (w *world) sorted() []*agent {
	return slices.SortedFunc(maps.Values(w.nodes), func(a, b *agent) int { return strings.Compare(string(a.id), string(b.id)) })
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	for end := w.now + d; w.now < end && !w.t.Failed(); {
		w.now += time.Second
		due := w.queue
		w.queue = nil
		for _, do := range due {
			do()
		}
		var in Input
		for _, a := range w.sorted() {
			a.tick()
			w.note(a)
			if (a.dirty || w.now%time.Minute == 0) && !a.silent {
				w.stream[a.id] = a.snapshot()
				in.Snapshots = append(in.Snapshots, w.stream[a.id])
			}
		}
		w.step(in)
		for _, a := range w.sorted() {
			w.bounded(a)
		}
	}
	if w.t.Failed() && !w.told {
		w.told = true
		w.t.Log("\n" + strings.Join(w.story[max(len(w.story)-80, 0):], "\n"))
	}
}

func (w *world) step(in Input) {
	for _, e := range w.core.Step(Now{At: w.now, Wall: time.Unix(0, 0).UTC().Add(w.now)}, in) {
		switch {
		case e.List != nil:
			l := w.cloud.list(*e.List, w.now)
			for _, id := range slices.Sorted(maps.Keys(w.stream)) {
				l.Snapshots = append(l.Snapshots, w.stream[id])
			}
			if !e.List.Full {
				l.Snapshots = slices.DeleteFunc(l.Snapshots, func(s ipam.Snapshot) bool { return !slices.Contains(e.List.Instances, s.Instance) })
			}
			if w.blind {
				l = Listed{ID: e.List.ID, Err: "InternalError"}
			}
			w.hand(0, Input{Listed: &l})
		case e.Call != nil:
			w.call(*e.Call)
		case e.Supply != nil:
			s := *e.Supply
			w.queue = append(w.queue, func() {
				if a := w.nodes[s.Instance]; a != nil && !a.silent {
					a.accept(s)
				}
			})
		case e.Event != nil:
			w.events = append(w.events, *e.Event)
		case e.Purge != "":
			delete(w.stream, e.Purge)
		}
	}
}

func (w *world) call(c Call) {
	var a Answer
	if w.fault != nil {
		if f := w.fault(c); f != nil {
			if a = *f; f.Class == Unknown && f.Text == "done" {
				w.made(c)
			}
			a.ID = c.ID
			w.tell("%s %s %s → %s %s", c.Action, c.Instance, c.ENI, a.Class, a.Code)
			late := time.Second
			if a.Class == Unknown {
				late = Deadline
			}
			w.hand(late, Input{Answers: []Answer{a}})
			return
		}
	}
	a = w.made(c)
	a.ID, a.Took = c.ID, time.Second
	w.hand(time.Second, Input{Answers: []Answer{a}})
}

// hand gives the core an input later, if it is still the same one then.
func (w *world) hand(after time.Duration, in Input) {
	core := w.core
	w.later(after, func() {
		if w.core == core {
			w.step(in)
		}
	})
}

// succeed puts another core in the place of this one, which has died.
func (w *world) succeed(revision uint64) {
	w.core = New(w.cfg)
	var in Input
	for _, id := range slices.Sorted(maps.Keys(w.stream)) {
		in.Snapshots = append(in.Snapshots, w.stream[id])
	}
	w.step(in)
	w.lead(revision)
}

func (w *world) later(d time.Duration, do func()) {
	at := w.now + d
	var wait func()
	wait = func() {
		if w.now < at {
			w.queue = append(w.queue, wait)
			return
		}
		do()
	}
	w.queue = append(w.queue, wait)
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%6.0f ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

// made lets a call reach EC2, and looks at what it must never do: take away what a pod has (S3), anything that is not
// fenced (r2), ask for too much (B1), or touch what is not ours.
func (w *world) made(c Call) Answer {
	w.calls = append(w.calls, c)
	n := w.nodes[c.Instance]
	if e := w.cloud.enis[c.ENI]; e != nil && e.Device != 0 && (e.Tags[TagCluster] != w.cfg.Cluster || e.Tags[TagNode] != string(c.Instance) || e.Tags[TagNoManage] == "true") {
		w.t.Errorf("%s of %s, which is not ours: %v", c.Action, c.ENI, e.Tags)
	}
	if n != nil && (c.Action == Unassign || c.Action == Unassign6 || c.Action == Detach) {
		w.taken(n, c)
	}
	a := w.cloud.do(c)
	w.tell("%s %s %s %s +%d/%d/%d -%v%v → %s %s", c.Action, c.Instance, c.ENI, c.place(), c.Count, c.Prefixes, c.Prefixes6, c.Addresses, c.Give, a.Class, a.Code)
	if c.Action == Create && a.Class == Done {
		w.counted(c.Instance)
	}
	return a
}

func (w *world) taken(n *agent, c Call) {
	e := n.enis[c.ENI]
	if e == nil {
		return
	}
	for at, x := range e.addrs {
		hit := c.Action == Detach || slices.Contains(c.Addresses, at) || x.prefix.IsValid() && slices.Contains(c.Give, x.prefix)
		if hit && x.state != ipam.Fenced && e.link {
			w.t.Errorf("S3: %s of %s takes %s away, which is %s", c.Action, c.ENI, at, x.state)
		}
	}
}

// counted checks B1.
func (w *world) counted(id ipam.InstanceID) {
	l, on := w.cloud.limits[w.cloud.instances[id].Type], map[int]int{}
	for _, e := range w.cloud.enis {
		slot, _ := ipam.ParseSlot(e.Tags[TagSlot])
		switch {
		case e.Instance == id:
			on[e.Card]++
		case e.Tags[TagNode] == string(id):
			on[slot.Card]++
		}
	}
	for card, count := range on {
		if count > l.OnCard(card) {
			w.t.Errorf("B1: %s has %d network interfaces on card %d, of %d", id, count, card, l.OnCard(card))
		}
	}
}

// note keeps what a node's pools needed at most.
func (w *world) note(a *agent) {
	for _, p := range w.core.cfg.Pools {
		need := p.Target.Free(w.cloud.limits[a.kind])
		for _, x := range a.pods {
			if x.pool == p.Name && !x.six {
				need++
			}
		}
		for _, e := range a.enis {
			for at, x := range e.addrs {
				if e.Pool == p.Name && at.Is4() && x.state == ipam.Cooling {
					need++
				}
			}
		}
		key := string(a.id) + "/" + p.Name
		w.most[key] = max(w.most[key], need)
	}
}

// bounded checks B2 and B4 of a node.
func (w *world) bounded(a *agent) {
	have, fenced := map[string]int{}, map[string]int{}
	for id, e := range w.cloud.enis {
		pool := e.Tags[TagPool]
		for _, p := range slices.Backward(w.core.cfg.Pools) {
			if e.Device == 0 && p.Target.UsePrimary {
				pool = p.Name
			}
		}
		if e.Instance == a.id {
			have[pool] += len(e.Addresses) + 16*len(v4(e.Prefixes))
		}
		if n := a.enis[id]; n != nil {
			for at, x := range n.addrs {
				if at.Is4() && x.state == ipam.Fenced {
					fenced[pool]++
				}
			}
		}
	}
	for pool, count := range have {
		if most, ok := w.most[string(a.id)+"/"+pool]; ok && count > most+15+fenced[pool] {
			w.t.Errorf("B2: %s has %d addresses of %s, and never needed more than %d", a.id, count, pool, most)
		}
	}
	cost := 0
	for _, g := range a.given {
		if w.now-g.at < w.core.cfg.Pools[0].Window {
			cost += g.count
		}
	}
	if cost > 16 {
		w.t.Errorf("B4: %s was asked for %d addresses within %s", a.id, cost, w.core.cfg.Pools[0].Window)
	}
}

// leased checks S1 and S2 when a pod gets its address.
func (w *world) leased(a *agent, p *pod) {
	e := w.cloud.enis[p.eni]
	covered := func(at netip.Prefix) bool { return at.Contains(p.address) }
	if e == nil || e.Instance != a.id || !slices.Contains(e.Addresses, p.address) && !slices.ContainsFunc(e.Prefixes, covered) {
		w.t.Errorf("S1: %s leases %s, which EC2 does not have on %s", a.id, p.address, p.eni)
	}
}

// pods starts some on a node.
func (w *world) pods(a *agent, pool string, count int) []string {
	var names []string
	for range count {
		w.names++
		name := fmt.Sprintf("p%04d", w.names)
		a.pods[name] = &pod{pool: pool}
		names = append(names, name)
	}
	a.dirty = true
	return names
}

// served says how many pods of a node have their address.
func (a *agent) served() int {
	count := 0
	for _, p := range a.pods {
		if p.eni != "" {
			count++
		}
	}
	return count
}

func (w *world) want(a *agent, served int) {
	w.t.Helper()
	if got := a.served(); got != served {
		w.t.Errorf("%s serves %d of %d pods, want %d; why %+v", a.id, got, len(a.pods), served, a.whys())
	}
}

func (a *agent) whys() string {
	var all []string
	for _, p := range a.last.Pools {
		if p.Why != nil {
			all = append(all, p.Name+": "+p.Why.Code+": "+p.Why.Text)
		}
	}
	return strings.Join(all, "; ")
}

// mutations are the calls that reached EC2 since a mark, as action counts.
func (w *world) mutations(since int) map[Action]int {
	counts := map[Action]int{}
	for _, c := range w.calls[since:] {
		counts[c.Action]++
	}
	return counts
}

// shape is what a pool has on a node by EC2: interfaces, single addresses, /28, /80.
func (w *world) shape(a *agent) string {
	enis, singles, blocks, six := 0, 0, 0, 0
	for _, e := range w.cloud.enis {
		if e.Instance == a.id {
			enis++
			singles, blocks = singles+len(e.Addresses), blocks+len(v4(e.Prefixes))
			six += len(e.Prefixes) - len(v4(e.Prefixes))
		}
	}
	return fmt.Sprintf("%d interfaces, %d singles, %d /28, %d /80", enis, singles, blocks, six)
}
