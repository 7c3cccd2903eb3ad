package sim

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// fleet is nodes, reconcilers, a bus and a VPC in one thread.
type fleet struct {
	r       *rand.Rand
	world   *vpc.World
	subnet  vpc.Subnet
	cfg     reconcile.Config
	now     time.Duration
	queue   events
	seq     int
	nodes   map[ipam.InstanceID]*node
	leaders []*leader
	stream  map[ipam.InstanceID]ipam.Snapshot
	tail    []string
	faults  []string // broken invariants
	human   map[ipam.ENIID]bool
	pods    map[ipam.InstanceID][]string // that walk has started
	names   int
	owners  map[netip.Addr]string

	loss    float64       // of supplies and of snapshots on their way to the stream
	lost    float64       // of answers; the call may be carried out up to D later
	lateBus time.Duration // most a message is late
}

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

// leader is one reconciler: it may believe that it leads.
type leader struct {
	f        *fleet
	name     string
	core     *reconcile.Core
	cloud    cloud
	until    time.Duration // of its lease
	dead     bool
	inflight map[ipam.InstanceID]int
	stalled  time.Duration // its subscription delivers nothing before
	record   []string
	effects  int
}

func newFleet(seed uint64, world vpc.Config, cfg reconcile.Config) *fleet {
	f := &fleet{
		r: rand.New(rand.NewPCG(seed, 7)), cfg: cfg, nodes: map[ipam.InstanceID]*node{},
		stream: map[ipam.InstanceID]ipam.Snapshot{}, human: map[ipam.ENIID]bool{}, pods: map[ipam.InstanceID][]string{},
		owners: map[netip.Addr]string{},
	}
	f.world = vpc.New(world, rand.New(rand.NewPCG(seed, 8)))
	v, err := f.world.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")}})
	if err != nil {
		panic(err)
	}
	f.subnet, err = f.world.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.0.0/18")})
	if err != nil {
		panic(err)
	}
	return f
}

func (f *fleet) wall() time.Time { return start.Add(f.now) }

func (f *fleet) after(d time.Duration, do func()) {
	f.seq++
	heap.Push(&f.queue, event{f.now + d, f.seq, do})
}

// between is a random time.
func (f *fleet) between(least, most time.Duration) time.Duration {
	return least + time.Duration(f.r.Int64N(int64(most-least)+1))
}

func (f *fleet) say(format string, args ...any) {
	f.tail = append(f.tail, fmt.Sprintf("%10.3f ", f.now.Seconds())+fmt.Sprintf(format, args...))
	if len(f.tail) > 400 {
		f.tail = f.tail[len(f.tail)-200:]
	}
}

func (f *fleet) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.say("BROKEN %s", text)
	f.faults = append(f.faults, text)
}

// run lets time pass.
func (f *fleet) run(d time.Duration) {
	end := f.now + d
	for len(f.queue) > 0 && f.queue[0].at <= end && len(f.faults) == 0 {
		e := heap.Pop(&f.queue).(event)
		f.now = max(f.now, e.at)
		e.do()
	}
	f.now = max(f.now, end)
}

// addNode starts an instance with its agent.
func (f *fleet) addNode(kind string, maxPods int) *node {
	id := fmt.Sprintf("i-%017x", len(f.nodes)+1)
	_, primary, err := f.world.AddInstance(f.wall(), vpc.Launch{ID: id, Type: kind, Subnet: f.subnet.ID})
	if err != nil {
		panic(err)
	}
	_ = primary
	n := newNode(ipam.InstanceID(id), fmt.Sprintf("inc-%d-1", len(f.nodes)+1), f.now)
	n.maxPods = maxPods
	f.nodes[n.id] = n
	f.after(f.between(0, time.Second), func() { f.beat(n) })
	return n
}

// beat is a node's clock: the kernel's links, timers and snapshots.
func (f *fleet) beat(n *node) {
	if n.off {
		return
	}
	if n.real != nil {
		n.real.beat()
		f.after(250*time.Millisecond, func() { f.beat(n) })
		return
	}
	for _, l := range n.links() {
		n.linkIs(f.now, l.eni, f.up(n.id, l.eni))
	}
	if n.tick(f.now) {
		n.dirty = true
		if f.r.Float64() >= f.loss {
			f.publish(n.snapshot(f.now))
		}
	}
	f.after(250*time.Millisecond, func() { f.beat(n) })
}

// publish puts a snapshot into the stream, from where it reaches the reconciler sooner or later.
func (f *fleet) publish(s ipam.Snapshot) {
	f.stream[s.Instance] = s
	for _, l := range f.leaders {
		late := max(f.between(0, f.lateBus), l.stalled-f.now)
		f.after(late, func() { l.step(reconcile.Input{Snapshots: []ipam.Snapshot{s}}) })
	}
}

// up says whether the kernel of an instance shows an interface.
func (f *fleet) up(id ipam.InstanceID, eni ipam.ENIID) bool {
	n, ok := f.world.NetworkInterface(f.wall(), string(eni))
	return ok && n.Instance() == string(id) && n.Attachment.Status() != vpc.Attaching
}

// pod starts a pod, waiting as eni-ipam does: another try each second.
func (f *fleet) pod(n *node, name string) {
	if eni, ip, ok := n.add(f.now, name); ok {
		if i := slices.Index(n.waiting, name); i >= 0 {
			n.waiting = slices.Delete(n.waiting, i, i+1)
			n.changed()
		}
		f.leased(n, name, eni, ip)
		return
	}
	f.after(time.Second, func() {
		if slices.Contains(n.waiting, name) {
			f.pod(n, name)
		}
	})
}

// end is a pod's DEL.
func (f *fleet) end(n *node, name string) {
	n.del(f.now, name)
	for ip, owner := range f.owners {
		if owner == string(n.id)+"/"+name {
			delete(f.owners, ip)
		}
	}
}

func (f *fleet) addLeader(name string) *leader {
	l := &leader{f: f, name: name, core: reconcile.New(f.cfg), cloud: cloud{f.world, name}, inflight: map[ipam.InstanceID]int{}}
	f.leaders = append(f.leaders, l)
	var first reconcile.Input
	for _, s := range f.stream {
		first.Snapshots = append(first.Snapshots, s)
	}
	slices.SortFunc(first.Snapshots, func(a, b ipam.Snapshot) int { return strings.Compare(string(a.Instance), string(b.Instance)) })
	l.step(first)
	l.tick()
	return l
}

func (l *leader) tick() {
	if l.dead {
		return
	}
	l.step(reconcile.Input{})
	l.f.after(time.Second, l.tick)
}

// lead gives a reconciler a term: it believes in it until it is told otherwise, and calls until the lease ends.
func (l *leader) lead(revision uint64, until time.Duration) {
	l.until = until
	l.step(reconcile.Input{Lead: &reconcile.Lead{Revision: revision}})
}

func (l *leader) step(in reconcile.Input) {
	if l.dead || len(l.f.faults) > 0 {
		return
	}
	now := reconcile.Now{At: l.f.now, Wall: l.f.wall()}
	effects := l.core.Step(now, in)
	l.effects += len(effects)
	if l.record != nil {
		line, err := json.Marshal(struct {
			Now reconcile.Now
			In  reconcile.Input
			Out []reconcile.Effect
		}{now, in, effects})
		if err != nil {
			panic(err)
		}
		l.record = append(l.record, string(line))
	}
	for _, e := range effects {
		l.do(e)
	}
}

func (l *leader) do(e reconcile.Effect) {
	f := l.f
	switch {
	case e.List != nil:
		ask := *e.List
		readBegun := f.now
		snaps := map[ipam.InstanceID]ipam.Snapshot{}
		for id, s := range f.stream {
			snaps[id] = s
		}
		f.after(f.between(0, 50*time.Millisecond), func() {
			begun := f.now
			a := l.cloud.list(f.wall(), ask)
			a.ReadBegun, a.Begun = readBegun, begun
			for id, s := range snaps {
				if ask.Full || slices.Contains(ask.Instances, id) {
					a.Snapshots = append(a.Snapshots, s)
				}
			}
			slices.SortFunc(a.Snapshots, func(x, y ipam.Snapshot) int { return strings.Compare(string(x.Instance), string(y.Instance)) })
			f.after(f.between(50*time.Millisecond, time.Second), func() { l.step(reconcile.Input{Listed: &a}) })
		})
	case e.Call != nil:
		l.call(*e.Call)
	case e.Supply != nil:
		s := *e.Supply
		n := f.nodes[s.Instance]
		f.say("%s supply %s %d/%d basis %d: %d interfaces, release %v, why %v", l.name, n.id, s.Epoch, s.Rev, s.Basis.Seq, len(s.ENIs), s.Release, s.Why)
		for range 1 + f.r.IntN(2) { // repeated, at times
			if f.r.Float64() >= f.loss {
				f.after(f.between(0, f.lateBus), func() {
					if n.real != nil {
						n.real.step(agent.Input{Supply: &s})
						return
					}
					n.accept(f.now, s, func(id ipam.ENIID) bool { return f.up(n.id, id) })
					f.slow(n)
				})
			}
		}
	case e.Purge != "":
		delete(f.stream, e.Purge)
	}
}

func (l *leader) call(c reconcile.Call) {
	f := l.f
	if l.inflight[c.Instance]++; l.inflight[c.Instance] > 1 {
		f.broken("r1: %s has two calls in flight for %s", l.name, c.Instance)
	}
	answer := func(a reconcile.Answer) {
		l.inflight[c.Instance]--
		l.step(reconcile.Input{Answers: []reconcile.Answer{a}})
	}
	f.after(f.between(0, 200*time.Millisecond), func() {
		if f.now > c.NotAfter || f.now >= l.until {
			f.after(0, func() { answer(reconcile.Answer{ID: c.ID, Class: reconcile.NotSent}) })
			return
		}
		if f.r.Float64() < f.lost {
			f.after(reconcile.Deadline, func() { answer(reconcile.Answer{ID: c.ID, Class: reconcile.Unknown, Code: "NoAnswer"}) })
			if f.r.IntN(2) == 0 {
				f.after(f.between(0, reconcile.Deadline), func() { l.made(c) })
			}
			return
		}
		a, answered := l.made(c)
		f.after(answered.Sub(f.wall()), func() { answer(a) })
	})
}

// made lets a call reach EC2, and checks what it must never do.
func (l *leader) made(c reconcile.Call) (reconcile.Answer, time.Time) {
	f := l.f
	n := f.nodes[c.Instance]
	var before vpc.NetworkInterface
	if c.ENI != "" {
		before, _ = f.world.NetworkInterface(f.wall(), string(c.ENI))
	}
	a, answered := l.cloud.do(f.wall(), c)
	id := c.ENI
	if a.ENI != nil {
		id = a.ENI.ID
	}
	f.say("%s %s %s %s #%d +%d -%v → %s %s", l.name, c.Action, c.Instance, id, c.Device, c.Count, c.Addresses, a.Class, a.Code)
	if a.Class != reconcile.Done {
		return a, answered
	}
	switch c.Action {
	case reconcile.Unassign, reconcile.Detach:
		for ip, x := range n.on(c.ENI) {
			hit := c.Action == reconcile.Detach && before.Attachment != nil || slices.Contains(c.Addresses, ip)
			if hit && (x.state == ipam.Leased || x.state == ipam.Cooling || x.state == ipam.Free) {
				f.broken("S3: %s of %s takes %s away, which is %s in %s", c.Action, c.ENI, ip, x.state, c.Instance)
			}
		}
	case reconcile.Delete:
		for ip, x := range n.on(c.ENI) {
			if x.state == ipam.Leased {
				f.broken("S3: deleted %s with a lease of %s in %s", c.ENI, ip, c.Instance)
			}
		}
	case reconcile.Create:
		f.bound(n)
	}
	return a, answered
}

func (n *node) on(eni ipam.ENIID) map[netip.Addr]*address {
	if n.real != nil {
		return n.real.on(eni)
	}
	if l := n.enis[eni]; l != nil {
		return l.addrs
	}
	return nil
}

func mustPrefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// mutations counts the calls that EC2 has taken and that change something.
func (f *fleet) mutations() int {
	count := 0
	for _, c := range f.world.Counts() {
		if !strings.HasPrefix(c.Action, "Describe") && !strings.HasPrefix(c.Caller, "human") {
			count += c.Accepted
		}
	}
	return count
}

func (f *fleet) story() string {
	s := strings.Join(f.tail[max(len(f.tail)-60, 0):], "\n")
	for _, n := range f.nodes {
		s += "\n" + n.String()
	}
	s += "\n" + f.world.Dump(f.wall())
	for _, l := range f.leaders {
		if l.dead {
			continue
		}
		for _, n := range l.core.Picture(reconcile.Now{At: f.now}).Nodes {
			s += fmt.Sprintf("\n%s of %s: %+v", l.name, n.Instance, n)
		}
	}
	return s
}
