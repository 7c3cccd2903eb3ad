package sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// hold is the hold-down H of protocol A1.
const hold = 90 * time.Second

// node is a node's agent and pool after protocol A2, A4 and A5, in memory: a model to try reconcilers against.
type node struct {
	id      ipam.InstanceID
	inc     ipam.Inc
	seq     uint64
	gen     uint64
	seen    ipam.Seen
	maxPods int
	policy  ipam.NodePolicy
	enis    map[ipam.ENIID]*link
	why     *ipam.Why
	waiting []string
	floors  []floor
	dirty   bool
	sentAt  time.Duration
	cordon  bool
	off     bool
	given   []given
	real    *real // if set, it is the agent and the pool, and only what is said here of tests' is used
	booted  time.Duration
}

type link struct {
	eni        ipam.ENIID
	attachment ipam.AttachmentID
	device     int
	up         bool
	since      time.Duration
	addrs      map[netip.Addr]*address
}

type address struct {
	state ipam.State
	pod   string
	lost  bool
	until time.Duration
	seq   uint64 // fence: of the snapshot that first said so; held: s1
	freed time.Duration
	waits bool // held: H is over, and s1 is said
}

type given struct {
	at    time.Duration
	count int
	whole bool
}

type floor struct {
	at   time.Duration
	free int
}

func newNode(id ipam.InstanceID, inc string, now time.Duration) *node {
	return &node{id: id, inc: ipam.Inc(inc), seq: 1, enis: map[ipam.ENIID]*link{}, dirty: true, booted: now, sentAt: -time.Hour}
}

// changed is for what a snapshot says.
func (n *node) changed() { n.seq++; n.dirty = true }

// linkIs takes in what the kernel shows.
func (n *node) linkIs(now time.Duration, eni ipam.ENIID, up bool) {
	l := n.enis[eni]
	if l == nil || l.up == up {
		return
	}
	l.up = up
	for _, a := range l.addrs {
		switch {
		case up && a.state == ipam.Pending:
			n.free(now, a)
		case !up && a.state == ipam.Free, !up && a.state == ipam.Pending:
			n.hold(now, a)
		case !up && a.state == ipam.Leased:
			a.lost = true
		}
	}
	n.changed()
}

func (n *node) free(now time.Duration, a *address) { a.state, a.freed, a.pod = ipam.Free, now, "" }

func (n *node) hold(now time.Duration, a *address) {
	a.state, a.until, a.pod, a.waits, a.lost = ipam.Held, now+hold, "", false, false
}

// accept takes a supply in.
func (n *node) accept(now time.Duration, s ipam.Supply, up func(ipam.ENIID) bool) {
	if s.Instance != n.id || s.Basis.Inc != n.inc || !n.seen.Less(ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}) {
		return
	}
	n.seen = ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	n.policy, n.why = s.Policy, s.Why
	listed := map[ipam.ENIID]bool{}
	for _, e := range s.ENIs {
		listed[e.ENI] = true
		l := n.enis[e.ENI]
		if l == nil || l.attachment != e.Attachment {
			var old map[netip.Addr]*address
			if l != nil {
				old = l.addrs
			}
			n.gen++
			l = &link{eni: e.ENI, attachment: e.Attachment, device: e.Device, up: up(e.ENI), since: now, addrs: map[netip.Addr]*address{}}
			for ip, a := range old { // what pods have stays theirs
				l.addrs[ip] = a
			}
			n.enis[e.ENI] = l
		}
		n.addresses(now, l, e, s.Basis.Seq)
	}
	for id, l := range n.enis {
		if !listed[id] {
			n.addresses(now, l, ipam.SuppliedENI{}, s.Basis.Seq)
		}
	}
	for _, r := range s.Release {
		n.fence(now, r)
	}
	n.changed()
}

func (n *node) addresses(now time.Duration, l *link, e ipam.SuppliedENI, basis uint64) {
	have := map[netip.Addr]bool{}
	for _, ip := range e.Addresses {
		have[ip] = true
		if !e.PodsOK {
			continue
		}
		a := l.addrs[ip]
		switch {
		case a == nil, a.state == ipam.Held && a.waits && basis >= a.seq:
			a = &address{state: ipam.Pending}
			if l.addrs[ip] = a; l.up {
				n.free(now, a)
			}
		case a.state == ipam.Leased:
			a.lost = a.lost && !l.up
		}
	}
	for ip, a := range l.addrs {
		if have[ip] {
			continue
		}
		switch a.state {
		case ipam.Pending:
			delete(l.addrs, ip)
		case ipam.Free:
			n.hold(now, a)
		case ipam.Fenced:
			if basis >= a.seq {
				n.hold(now, a)
			}
		case ipam.Leased:
			a.lost = true
		}
	}
}

// fence gives up what is wished for: only free addresses, and a whole interface or none of it.
func (n *node) fence(now time.Duration, r ipam.Release) {
	l := n.enis[r.ENI]
	if l == nil || n.cordon {
		return
	}
	free := sortedAddrs(l, ipam.Free)
	if r.Whole {
		for _, a := range l.addrs {
			if a.state == ipam.Leased || a.state == ipam.Cooling {
				return
			}
		}
		r.Count = len(free)
	}
	if len(free) > 0 && r.Count > 0 {
		n.given = append(n.given, given{now, min(r.Count, len(free)), r.Whole})
	}
	for _, ip := range free[:min(r.Count, len(free))] {
		l.addrs[ip].state, l.addrs[ip].seq = ipam.Fenced, n.seq+1
	}
}

func sortedAddrs(l *link, state ipam.State) []netip.Addr {
	var all []netip.Addr
	for ip, a := range l.addrs {
		if a.state == state {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// add asks for an address for a pod; it gets one now or waits.
func (n *node) add(now time.Duration, pod string) (ipam.ENIID, netip.Addr, bool) {
	if n.real != nil {
		eni, ip, ok := n.real.add(pod)
		if !ok && !slices.Contains(n.waiting, pod) {
			n.waiting = append(n.waiting, pod)
		}
		return eni, ip, ok
	}
	for _, l := range n.links() {
		var pick netip.Addr
		for _, ip := range sortedAddrs(l, ipam.Free) {
			if !pick.IsValid() || l.addrs[ip].freed < l.addrs[pick].freed {
				pick = ip
			}
		}
		if pick.IsValid() {
			l.addrs[pick].state, l.addrs[pick].pod = ipam.Leased, pod
			n.crossed()
			return l.eni, pick, true
		}
	}
	if !slices.Contains(n.waiting, pod) {
		n.waiting = append(n.waiting, pod)
		n.changed()
	}
	return "", netip.Addr{}, false
}

func (n *node) del(now time.Duration, pod string) {
	if n.real != nil {
		n.real.del(pod)
		n.waiting = slices.DeleteFunc(n.waiting, func(w string) bool { return w == pod })
		return
	}
	for _, l := range n.links() {
		for _, a := range l.addrs {
			if a.state == ipam.Leased && a.pod == pod {
				if a.lost {
					n.hold(now, a)
				} else {
					a.state, a.until, a.pod = ipam.Cooling, now+n.policy.Cooldown, ""
				}
				n.crossed()
			}
		}
	}
	if i := slices.Index(n.waiting, pod); i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
		n.changed()
	}
}

// crossed notes a change of counts; a snapshot goes out only where protocol a4 says so, which is left to tick.
func (n *node) crossed() { n.seq++ }

func (n *node) links() []*link {
	var all []*link
	for _, l := range n.enis {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *link) int { return cmp.Or(cmp.Compare(a.device, b.device), cmp.Compare(a.eni, b.eni)) })
	return all
}

// tick ends cooling and hold-downs and says whether a snapshot is to be published.
func (n *node) tick(now time.Duration) bool {
	free := 0
	for id, l := range n.enis {
		for ip, a := range l.addrs {
			switch {
			case a.state == ipam.Cooling && now >= a.until:
				if n.free(now, a); !l.up {
					n.hold(now, a)
				}
				n.changed()
			case a.state == ipam.Held && !a.waits && now >= a.until:
				n.changed()
				a.waits, a.seq = true, n.seq
			case a.state == ipam.Held && a.waits && now >= a.until+hold:
				delete(l.addrs, ip) // nobody listed it: the record is dropped, and a new life may begin by a newer list
			}
			if a.state == ipam.Free {
				free++
			}
		}
		if !l.up && len(l.addrs) == 0 {
			delete(n.enis, id)
			n.changed()
		}
	}
	n.floors = append(n.floors, floor{now, free - len(n.waiting)})
	for len(n.floors) > 0 && now-n.floors[0].at > n.policy.Window {
		n.floors = n.floors[1:]
	}
	crossing := n.policy.Rev > 0 && (free < n.policy.Low || free > n.policy.High)
	return n.dirty || crossing && now-n.sentAt >= 5*time.Second || now-n.sentAt >= time.Minute
}

func (n *node) snapshot(now time.Duration) ipam.Snapshot {
	if n.real != nil {
		return n.real.f.stream[n.id]
	}
	n.dirty, n.sentAt = false, now
	s := ipam.Snapshot{
		Instance: n.id, Boot: "boot", Inc: n.inc, Seq: n.seq, Gen: n.gen, Seen: n.seen, MaxPods: n.maxPods,
		Waiting: len(n.waiting), PolicyRev: n.policy.Rev, Unschedulable: n.cordon,
	}
	if n.policy.Window > 0 && now-n.booted >= n.policy.Window && len(n.floors) > 0 {
		s.Floor = n.floors[0].free
		for _, f := range n.floors {
			s.Floor = min(s.Floor, f.free)
		}
		s.Floor = max(s.Floor, 0)
	}
	for _, l := range n.links() {
		e := ipam.ENISummary{ENI: l.eni, Attachment: l.attachment, N: l.device, Link: l.up, Age: now - l.since}
		for _, a := range l.addrs {
			switch a.state {
			case ipam.Pending:
				e.Pending++
			case ipam.Free:
				e.Free++
			case ipam.Leased:
				e.Leased++
				if a.lost {
					e.Lost++
				}
			case ipam.Cooling:
				e.Cooling++
			case ipam.Held:
				e.Held++
			}
		}
		e.Fenced = sortedAddrs(l, ipam.Fenced)
		s.ENIs = append(s.ENIs, e)
	}
	return s
}

func (n *node) String() string {
	if n.real != nil {
		return n.real.String()
	}
	s := fmt.Sprintf("%s inc %s seq %d seen %d/%d waiting %d", n.id, n.inc, n.seq, n.seen.Epoch, n.seen.Rev, len(n.waiting))
	for _, l := range n.links() {
		s += fmt.Sprintf("\n  %s #%d up=%t", l.eni, l.device, l.up)
		for _, state := range []ipam.State{ipam.Pending, ipam.Free, ipam.Leased, ipam.Cooling, ipam.Fenced, ipam.Held} {
			if c := len(sortedAddrs(l, state)); c > 0 {
				s += fmt.Sprintf(" %s %d", state, c)
			}
		}
	}
	return s
}
