package reconcile

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/enichain/enichain/ipam"
)

// agenda is which nodes have their time when, the earliest first. An entry whose time is not the node's any more is void,
// so that changing a node's time is one more entry, and a step costs what it touches and not the fleet.
type agenda struct {
	entries entries
}

type entry struct {
	at time.Duration
	n  *node
}

type entries []entry

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].at, e[j].at), cmp.Compare(e[i].n.id, e[j].n.id)) < 0
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)   { *e = append(*e, x.(entry)) }
func (e *entries) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = entry{}
	*e = (*e)[:len(*e)-1]
	return last
}

func (a *agenda) add(n *node, at time.Duration) { heap.Push(&a.entries, entry{at, n}) }

// take removes up to most nodes whose time, as current says it, has come.
func (a *agenda) take(now Now, most int, current func(*node) time.Duration) []*node {
	var found []*node
	taken := map[ipam.InstanceID]bool{} // a time may stand here twice
	for len(a.entries) > 0 && len(found) < most && a.entries[0].at <= now.At {
		e := heap.Pop(&a.entries).(entry)
		if current(e.n) == e.at && !taken[e.n.id] {
			taken[e.n.id] = true
			found = append(found, e.n)
		}
	}
	return found
}

// lookBy asks for a look at the node no later than then.
func (n *node) lookBy(at time.Duration) {
	if at < n.due {
		n.lookAt(at)
	}
}

// lookAt sets when the node is looked at next if nothing happens to it.
func (n *node) lookAt(at time.Duration) {
	n.due = at
	n.core.dues.add(n, at)
}

// soon asks for another look at a node in the next step.
func (n *node) soon(now Now) { n.lookBy(now.At) }

// wantList asks for a list of a node, no later than after that time.
func (n *node) wantList(now Now, after time.Duration) {
	at := now.At + after
	if n.want == never || at < n.want {
		n.want = at
		n.core.wants.add(n, at)
	}
}
