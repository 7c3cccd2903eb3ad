package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

const holdDown = 90 * time.Second

// agent is a node as the reconciler knows it: what a supply says becomes free, pods lease it, wishes fence it.
type agent struct {
	w      *world
	id     ipam.InstanceID
	inc    ipam.Inc
	seq    uint64
	gen    uint64
	seen   ipam.Seen
	kind   string
	most   int // pods
	enis   map[ipam.ENIID]*agentENI
	held   map[string]*held // by interface and address or prefix
	pods   map[string]*pod
	policy map[string]ipam.SuppliedPool
	floors map[string][]sample
	dirty  bool
	cordon bool
	silent bool
	given  []release
	last   ipam.Supply
}

type held struct {
	until time.Duration
	s1    uint64
}

type sample struct {
	at   time.Duration
	idle int
}

type agentENI struct {
	ipam.SuppliedENI
	born   time.Duration
	link   bool
	addrs  map[netip.Addr]*agentAddr
	fenced map[netip.Prefix]bool
}

type agentAddr struct {
	prefix netip.Prefix // zero for a single one
	state  ipam.State
	until  time.Duration
	fence  uint64
}

type pod struct {
	pool    string
	six     bool // wants IPv6 alone
	eni     ipam.ENIID
	address netip.Addr
}

// accept takes a supply in, as rules a1 and A2 say.
func (a *agent) accept(s ipam.Supply) {
	now := ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	if s.Basis.Inc != a.inc || !a.seen.Less(now) {
		return
	}
	a.seen, a.dirty, a.last = now, true, s
	maps.DeleteFunc(a.held, func(_ string, h *held) bool { return h.s1 != 0 && s.Basis.Seq >= h.s1 })
	a.policy = map[string]ipam.SuppliedPool{}
	for _, p := range s.Pools {
		a.policy[p.Name] = p
	}
	listed := map[ipam.ENIID]bool{}
	for _, e := range s.ENIs {
		listed[e.ENI] = true
		a.take(e)
	}
	for id, e := range a.enis {
		if !listed[id] {
			a.forget(e, nil, nil)
			if len(e.addrs) == 0 {
				delete(a.enis, id)
			}
		}
	}
	for _, r := range s.Release {
		a.fence(r)
	}
}

func (a *agent) take(s ipam.SuppliedENI) {
	e := a.enis[s.ENI]
	if e == nil || e.Attachment != s.Attachment {
		a.gen++
		old := e
		e = &agentENI{born: a.w.now, addrs: map[netip.Addr]*agentAddr{}, fenced: map[netip.Prefix]bool{}}
		if old != nil { // its pods live on
			e.addrs = old.addrs
		}
		a.enis[s.ENI] = e
	}
	e.SuppliedENI, e.link = s, true
	a.forget(e, s.Addresses, s.Prefixes)
	add := func(at netip.Addr, p netip.Prefix, key string) {
		if a.held[key] != nil {
			return
		}
		if e.addrs[at] == nil {
			e.addrs[at] = &agentAddr{prefix: p, state: ipam.Free}
		}
	}
	for _, at := range s.Addresses {
		add(at, netip.Prefix{}, fmt.Sprint(s.Attachment, at))
	}
	for _, p := range s.Prefixes {
		for at := range each(p) {
			add(at, p, fmt.Sprint(s.Attachment, p))
		}
	}
}

// forget lets go of what is not listed; what pods have stays.
func (a *agent) forget(e *agentENI, addresses []netip.Addr, prefixes []netip.Prefix) {
	for at, x := range e.addrs {
		if slices.Contains(addresses, at) || x.prefix.IsValid() && slices.Contains(prefixes, x.prefix) || x.state == ipam.Leased || x.state == ipam.Cooling {
			continue
		}
		if x.state == ipam.Fenced && a.last.Basis.Seq < x.fence {
			continue
		}
		key := fmt.Sprint(e.Attachment, at)
		if x.prefix.IsValid() {
			key = fmt.Sprint(e.Attachment, x.prefix)
			delete(e.fenced, x.prefix)
		}
		delete(e.addrs, at)
		a.held[key] = &held{until: a.w.now + holdDown}
		a.seq++
	}
}

// fence gives up what a wish asks for, if it is free.
func (a *agent) fence(r ipam.Release) {
	e := a.enis[r.ENI]
	if e == nil {
		return
	}
	count := 0
	for _, at := range sortedAddrs(e.addrs) {
		x := e.addrs[at]
		single := !x.prefix.IsValid()
		switch {
		case r.Whole && x.state != ipam.Free && x.state != ipam.Fenced:
			return
		case r.Prefix.IsValid() && x.prefix == r.Prefix && x.state != ipam.Free:
			return
		case r.Count > 0 && single && x.state == ipam.Free:
			count++
		}
	}
	a.seq++
	left := r.Count
	for _, at := range sortedAddrs(e.addrs) {
		x := e.addrs[at]
		if r.Whole || r.Prefix.IsValid() && x.prefix == r.Prefix || left > 0 && !x.prefix.IsValid() && x.state == ipam.Free {
			x.state, x.fence = ipam.Fenced, a.seq
			left--
			if x.prefix.IsValid() {
				e.fenced[x.prefix] = true
			}
		}
	}
	a.given = append(a.given, release{a.w.now, costOf(r)})
}

func sortedAddrs(m map[netip.Addr]*agentAddr) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}

func (a *agent) sortedENIs() []*agentENI {
	return slices.SortedFunc(maps.Values(a.enis), func(x, y *agentENI) int {
		return cmp.Or(cmp.Compare(x.Card, y.Card), cmp.Compare(x.Device, y.Device), cmp.Compare(x.ENI, y.ENI))
	})
}

// tick serves pods, ends cooling, follows EC2's attachments.
func (a *agent) tick() {
	for _, e := range a.enis {
		row := a.w.cloud.enis[e.ENI]
		link := row != nil && row.Instance == a.id && row.Attachment == e.Attachment
		if link != e.link {
			e.link, a.dirty = link, true
			a.seq++
		}
		for _, x := range e.addrs {
			if x.state == ipam.Cooling && a.w.now >= x.until {
				x.state, a.dirty = ipam.Free, true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(a.held)) {
		if h := a.held[key]; h.s1 == 0 && a.w.now >= h.until {
			a.seq++
			h.s1, a.dirty = a.seq, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.pods)) {
		if p := a.pods[name]; p.eni == "" && a.lease(p) {
			a.dirty = true
		}
	}
	for _, pool := range slices.Sorted(maps.Keys(a.policy)) {
		p := a.policy[pool]
		kept := slices.DeleteFunc(a.floors[pool], func(s sample) bool { return a.w.now-s.at > p.Window })
		a.floors[pool] = append(kept, sample{a.w.now, a.idle(p)})
	}
}

func (a *agent) lease(p *pod) bool {
	for _, e := range a.sortedENIs() {
		if e.Pool != p.pool || !e.PodsOK || !e.link {
			continue
		}
		for _, at := range sortedAddrs(e.addrs) {
			if x := e.addrs[at]; x.state == ipam.Free && at.Is6() == p.six {
				x.state, p.eni, p.address = ipam.Leased, e.ENI, at
				a.w.leased(a, p)
				return true
			}
		}
	}
	return false
}

// end is a pod's DEL.
func (a *agent) end(name string) {
	p := a.pods[name]
	delete(a.pods, name)
	if p == nil || p.eni == "" {
		return
	}
	if e := a.enis[p.eni]; e != nil {
		e.addrs[p.address].state, e.addrs[p.address].until = ipam.Cooling, a.w.now+a.policy[p.pool].Cooldown
	}
	a.dirty = true
}

// reboot starts anew with another pool file: pods are gone, and all that was known is held.
func (a *agent) reboot(number uint64) {
	a.inc, a.seq, a.gen, a.seen = ipam.Inc(fmt.Sprintf("inc-%s-%d", a.id, number)), 1, 0, ipam.Seen{}
	for _, e := range a.enis {
		for at, x := range e.addrs {
			key := fmt.Sprint(e.Attachment, at)
			if x.prefix.IsValid() {
				key = fmt.Sprint(e.Attachment, x.prefix)
			}
			a.held[key] = &held{until: a.w.now + holdDown}
		}
	}
	for _, h := range a.held {
		h.s1 = 0
	}
	a.pods, a.enis, a.floors, a.dirty = map[string]*pod{}, map[ipam.ENIID]*agentENI{}, map[string][]sample{}, true
}

func (a *agent) waiting(pool string) (four, six int) {
	for _, p := range a.pods {
		switch {
		case p.eni != "" || p.pool != pool:
		case p.six:
			six++
		default:
			four++
		}
	}
	return four, six
}

// idle is free − waiting of a pool's leading family.
func (a *agent) idle(p ipam.SuppliedPool) int {
	four, six := a.waiting(p.Name)
	lead, free := ipam.Lead(p.Families), -four
	if lead == ipam.IPv6 {
		free = -six
	}
	for _, e := range a.enis {
		for at, x := range e.addrs {
			if e.Pool == p.Name && e.PodsOK && x.state == ipam.Free && at.Is6() == (lead == ipam.IPv6) {
				free++
			}
		}
	}
	return free
}

func (a *agent) snapshot() ipam.Snapshot {
	a.seq++
	a.dirty = false
	s := ipam.Snapshot{Instance: a.id, Boot: "b", Inc: a.inc, Seq: a.seq, Gen: a.gen, Seen: a.seen, Type: a.kind, MaxPods: a.most, Unschedulable: a.cordon}
	names := map[string]bool{}
	for name := range a.policy {
		names[name] = true
	}
	for _, p := range a.pods {
		names[p.pool] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		four, six := a.waiting(name)
		q := ipam.PoolSummary{Name: name, Waiting: four, Waiting6: six}
		if f := a.floors[name]; len(f) > 0 && f[len(f)-1].at-f[0].at >= a.policy[name].Window-2*time.Second {
			q.Floor = slices.MinFunc(f, func(x, y sample) int { return x.idle - y.idle }).idle
		}
		s.Pools = append(s.Pools, q)
	}
	for n, e := range a.sortedENIs() {
		s.ENIs = append(s.ENIs, a.summary(n, e))
	}
	return s
}

func (a *agent) summary(n int, e *agentENI) ipam.ENISummary {
	s := ipam.ENISummary{ENI: e.ENI, Attachment: e.Attachment, N: n, Pool: e.Pool, Link: e.link, Age: a.w.now - e.born}
	free := map[netip.Prefix]int{}
	for _, at := range sortedAddrs(e.addrs) {
		x := e.addrs[at]
		c := &s.IPv6
		flat := ipam.Counts{}
		if at.Is4() {
			c = &flat
		}
		switch x.state {
		case ipam.Free:
			c.Free++
			free[x.prefix]++
			if at.Is4() && !x.prefix.IsValid() {
				s.Single++
			}
		case ipam.Leased:
			c.Leased++
			if !e.link {
				c.Lost++
			}
		case ipam.Cooling:
			c.Cooling++
		case ipam.Fenced:
			if !x.prefix.IsValid() {
				s.Fenced = append(s.Fenced, at)
			}
		}
		s.Free, s.Leased, s.Cooling, s.Lost = s.Free+flat.Free, s.Leased+flat.Leased, s.Cooling+flat.Cooling, s.Lost+flat.Lost
	}
	for _, family := range []bool{true, false} {
		for _, p := range slices.Backward(e.Prefixes) {
			if p.Addr().Is4() == family && free[p] == ipam.PrefixSize(p) {
				s.Prefixes = append(s.Prefixes, ipam.PrefixSummary{Prefix: p, Free: free[p]})
				break
			}
		}
	}
	for p := range e.fenced {
		s.Prefixes = append(s.Prefixes, ipam.PrefixSummary{Prefix: p, Fenced: true})
	}
	for key := range a.held {
		if strings.HasPrefix(key, string(e.Attachment)) {
			s.Held++
		}
	}
	return s
}
