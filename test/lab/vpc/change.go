package vpc

import (
	"container/heap"
	"net/netip"
	"time"
)

// ChangeKind is what happened to an instance's links or to what the VPC's routers go by.
type ChangeKind string

// The kinds of a Change.
const (
	LinkAttached     ChangeKind = "attached"  // the instance has a new link
	LinkDetached     ChangeKind = "detached"  // the link is gone
	AddressesChanged ChangeKind = "addresses" // addresses, prefixes or source/destination check are other than before

	// A machine that stops takes its links with it; they are attached again after its start. A reboot is both at once.
	InstanceStopped    ChangeKind = "stopped"
	InstanceStarted    ChangeKind = "started"
	InstanceTerminated ChangeKind = "terminated"
)

// Change is one step that the kernel side of a lab has to take.
type Change struct {
	At       time.Time
	Kind     ChangeKind
	Instance string
	ENI      NetworkInterface // at that instant; of a detached one, as it was last; none where an instance changed
	Subnet   Subnet           // of the interface
}

// pending is a change that waits for its time.
type pending struct {
	at       time.Time
	order    uint64
	kind     ChangeKind
	instance string
	eni      string
	last     *NetworkInterface // for LinkDetached
	reboot   bool              // for InstanceStopped and InstanceStarted
}

type changeQueue struct {
	order uint64
	heap  pendingHeap
}

type pendingHeap []pending

func (h pendingHeap) Len() int { return len(h) }
func (h pendingHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].order < h[j].order
	}
	return h[i].at.Before(h[j].at)
}
func (h pendingHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *pendingHeap) Push(x any)   { *h = append(*h, x.(pending)) }
func (h *pendingHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func (w *World) later(p pending) {
	w.changes.order++
	p.order = w.changes.order
	heap.Push(&w.changes.heap, p)
}

// Advance returns, in order, what took effect since the last Advance and not after now. The kernel side of a lab
// follows it; who wants only the truth need not call it.
func (w *World) Advance(now time.Time) []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	var changes []Change
	for len(w.changes.heap) > 0 && !w.changes.heap[0].at.After(now) {
		if c, ok := w.due(heap.Pop(&w.changes.heap).(pending)); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// Next is when the next change takes effect, if one is on its way.
func (w *World) Next() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changes.heap) == 0 {
		return time.Time{}, false
	}
	return w.changes.heap[0].at, true
}

// due makes a change of what was pending, unless a later call overtook it.
func (w *World) due(p pending) (Change, bool) {
	c := Change{At: p.at, Kind: p.kind, Instance: p.instance}
	if p.eni == "" {
		return c, w.turn(p)
	}
	var n *NetworkInterface
	if t := w.enis[p.eni]; t != nil {
		n = t.view(p.at)
	}
	here := n != nil && n.Attachment != nil && n.Attachment.Instance == p.instance && n.Attachment.Status() != Attaching
	switch p.kind {
	case LinkAttached:
		if !here || w.wired[p.eni] != "" || w.off[p.instance] {
			return c, false
		}
		w.wired[p.eni] = p.instance
	case AddressesChanged:
		if !here || w.wired[p.eni] != p.instance {
			return c, false
		}
	case LinkDetached:
		if w.wired[p.eni] != p.instance {
			return c, false
		}
		delete(w.wired, p.eni)
		n = p.last
	}
	c.ENI = *n
	c.Subnet = w.subnets[n.Subnet].Subnet
	return c, true
}

// turn switches an instance's machine on or off, unless a later call overtook what was pending.
func (w *World) turn(p pending) bool {
	i := w.instances[p.instance]
	if i == nil {
		return false
	}
	state := i.stateAt(p.at)
	if p.reboot && state != Running {
		return false
	}
	switch p.kind {
	case InstanceStarted:
		if state != Running || !w.off[i.ID] {
			return false
		}
		delete(w.off, i.ID)
		w.started(i, p.at)
	case InstanceStopped:
		if state != Stopped && !p.reboot || w.off[i.ID] {
			return false
		}
		w.turnOff(i)
	case InstanceTerminated:
		w.turnOff(i)
	}
	return true
}

func (w *World) turnOff(i *instance) {
	w.off[i.ID] = true
	for _, id := range i.enis {
		if w.wired[id] == i.ID {
			delete(w.wired, id)
		}
	}
}

// Networks are the IPv4 blocks of an interface's VPC and, if it has one, its IPv6 block.
func (w *World) Networks(vpc string) []netip.Prefix {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.vpcs[vpc]
	if v == nil {
		return nil
	}
	networks := append([]netip.Prefix{}, v.CIDRs...)
	if v.IPv6.IsValid() {
		networks = append(networks, v.IPv6)
	}
	return networks
}
