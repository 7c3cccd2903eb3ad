package sim

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
)

// bus loses, repeats, reorders and delays. The stream keeps the last snapshot that arrived of each node.
type bus struct {
	f      *fleet
	random *rand.Rand
	stream map[ipam.InstanceID]ipam.Snapshot
	said   map[said]time.Duration // when the stream first held a snapshot this new

	loss   float64       // part of messages that are lost, both ways
	repeat float64       // part of messages that come twice
	late   time.Duration // most a message is late
	stray  float64       // part of supplies that reach a node they are not for as well

	measured bool // count messages and bytes
	messages map[string]int
	bytes    map[string]int
	second   time.Duration // the one that inSecond is of
	inSecond int
	most     int // messages within a second
}

// said is a word of a node by its number.
type said struct {
	node *node
	inc  ipam.Inc
	seq  uint64
}

const acknowledged = 5 * time.Second // how long an agent waits for the stream's answer

// count measures what a real bus would carry.
func (b *bus) count(kind string, message any) {
	if !b.measured {
		return
	}
	if b.messages == nil {
		b.messages, b.bytes = map[string]int{}, map[string]int{}
	}
	text, err := json.Marshal(message)
	must(err)
	b.messages[kind]++
	if now := b.f.now.Truncate(time.Second); now != b.second {
		b.second, b.inSecond = now, 0
	}
	b.inSecond++
	b.most = max(b.most, b.inSecond)
	b.bytes[kind] += len(text)
}

// publish takes a snapshot to the stream and the answer back; either may get lost, and the snapshot may come late.
func (b *bus) publish(n *node, s ipam.Snapshot, answer func(agent.Published)) {
	f := b.f
	b.count("snapshot", s)
	done := agent.Published{Inc: s.Inc, Seq: s.Seq}
	fail := func(after time.Duration) {
		done.Err = "no answer from the stream"
		f.after(after, func() { answer(done) })
	}
	switch {
	case n.cut || chance(b.random, b.loss):
		fail(acknowledged)
	case chance(b.random, b.loss): // it arrives, the answer does not
		f.after(between(b.random, 0, 4*b.late), func() { b.store(n, s) })
		fail(acknowledged)
	default:
		f.after(between(b.random, 0, b.late/4), func() {
			b.store(n, s)
			f.after(between(b.random, 0, b.late/4), func() { answer(done) })
		})
	}
}

// store is the stream: last value, and each reconciler that listens hears of it sooner or later.
func (b *bus) store(n *node, s ipam.Snapshot) {
	f := b.f
	b.stream[s.Instance] = s
	if f.checking {
		if k := (said{n, s.Inc, s.Seq}); b.said[k] == 0 {
			b.said[k] = f.now
		}
		n.proven(s.Inc, s.Seq)
	}
	for _, l := range f.leaders {
		if l.dead {
			continue
		}
		for range 1 + b.twice() {
			late := max(between(b.random, 0, b.late), l.stalled-f.now)
			f.after(late, func() { l.step(reconcile.Input{Snapshots: []ipam.Snapshot{s}}) })
		}
	}
}

func (b *bus) twice() int {
	if chance(b.random, b.repeat) {
		return 1
	}
	return 0
}

// supply takes a supply to its node, or somewhere else.
func (b *bus) supply(s ipam.Supply) {
	f := b.f
	b.count("supply", s)
	n := f.byID[s.Instance]
	if n == nil {
		return
	}
	for range 1 + b.twice() {
		if !chance(b.random, b.loss) {
			f.after(between(b.random, 0, b.late), func() { n.deliver(s) })
		}
	}
	if chance(b.random, b.stray) {
		other := f.nodes[b.random.IntN(len(f.nodes))]
		f.after(between(b.random, 0, b.late), func() { other.deliver(s) })
	}
}

// latest reads the stream, in order of instances; all if ids is nil.
func (b *bus) latest(ids []ipam.InstanceID) []ipam.Snapshot {
	var all []ipam.Snapshot
	if ids == nil {
		for _, s := range b.stream {
			all = append(all, s)
		}
	}
	for _, id := range ids {
		if s, ok := b.stream[id]; ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(x, y ipam.Snapshot) int { return strings.Compare(string(x.Instance), string(y.Instance)) })
	return slices.CompactFunc(all, func(x, y ipam.Snapshot) bool { return x.Instance == y.Instance })
}
