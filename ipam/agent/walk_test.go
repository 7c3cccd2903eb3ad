package agent

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

var walkSeed = flag.Uint64("walk.seed", 0, "walk this seed alone")

// TestRandomWalk lets an agent, a careless runtime, two overlapping reconcilers with lagging lists and a bus that
// loses, repeats and delays do as they like, and looks at the invariants of docs/protocol.md, A8, after every step.
func TestRandomWalk(t *testing.T) {
	seeds, steps := 16, 400
	if testing.Short() {
		seeds = 8
	}
	first := uint64(1)
	if *walkSeed != 0 {
		first, seeds = *walkSeed, 1
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWalk(t, seed)
			for range steps {
				w.move()
				w.check()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			w.calm()
		})
	}
}

// walk is the world around one node.
type walk struct {
	*node
	random *rand.Rand

	ec2    []listing     // versions of the truth, the newest last
	flight []ipam.Supply // sent, not yet delivered; may be delivered again
	calls  []call        // Unassigns decided on, not yet made
	epoch  ipam.Seen
	pods   map[string][]netip.Addr
	pod    int
	cooled map[netip.Addr]ipam.Instant // end of the last lease
	fenced map[netip.Addr]bool
	seen   ipam.Seen
	inc    ipam.Inc
	pools  bool // eth1 is of a pool of its own
}

// listing is what EC2 says from an instant on.
type listing struct {
	from   ipam.Instant
	has    map[netip.Addr]int   // single address → ENI's number
	blocks map[netip.Prefix]int // delegated prefix → ENI's number
}

// holds says whether an address is there, by itself or in a prefix.
func (l listing) holds(a netip.Addr) bool {
	_, ok := l.has[a]
	for p := range l.blocks {
		ok = ok || p.Contains(a)
	}
	return ok
}

func (l listing) size() int {
	n := len(l.has)
	for p := range l.blocks {
		n += ipam.PrefixSize(p)
	}
	return n
}

type call struct {
	address netip.Addr
	prefix  netip.Prefix // instead of address
	until   ipam.Instant // the lease and deadline of its caller end here
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{node: newNode(t, seed), random: rand.New(rand.NewPCG(seed, 1)), pods: map[string][]netip.Addr{},
		cooled: map[netip.Addr]ipam.Instant{}, fenced: map[netip.Addr]bool{}, pools: seed%2 == 1}
	has := map[netip.Addr]int{}
	for d := range 2 {
		w.attach(d)
		for _, a := range eni(d, 4).Addresses {
			has[a] = d
		}
	}
	blocks := map[netip.Prefix]int{}
	if seed%4 > 0 {
		blocks[blocksOf(1)[0]], blocks[blocksOf(0)[1]], blocks[blocksOf(int(seed / 4 % 2))[2]] = 1, 0, int(seed/4%2)
	}
	w.ec2 = []listing{{from: w.now.Boot, has: has, blocks: blocks}}
	w.start()
	w.pass(time.Second)
	return w
}

func (w *walk) say(format string, args ...any) {
	w.t.Logf("%8s "+format, append([]any{time.Duration(w.now.Boot) - time.Hour}, args...)...)
}

// blocksOf are the prefixes that EC2 delegates to an ENI sooner or later.
func blocksOf(d int) []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.32/28", d)), netip.MustParsePrefix(fmt.Sprintf("10.0.%d.64/28", d)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:%d:0:0:1::/80", d))}
}

func (w *walk) truth() listing { return w.ec2[len(w.ec2)-1] }

// change makes a new version of the truth.
func (w *walk) change(f func(listing)) {
	next := listing{from: w.now.Boot, has: maps.Clone(w.truth().has), blocks: maps.Clone(w.truth().blocks)}
	f(next)
	w.ec2 = append(w.ec2, next)
}

// list is what EC2 may answer now: the truth of up to V ago (protocol A1).
func (w *walk) list() listing {
	oldest := len(w.ec2) - 1
	for oldest > 0 && w.ec2[oldest].from > w.now.Boot-ipam.Instant(50*time.Second) {
		oldest--
	}
	return w.ec2[oldest+w.random.IntN(len(w.ec2)-oldest)]
}

func (w *walk) move() {
	moves := []struct {
		weight int
		do     func()
	}{
		{20, w.addPod}, {14, w.delPod}, {12, w.round}, {18, w.deliver}, {16, w.unassign}, {5, w.assign},
		{12, func() { w.pass(time.Duration(w.random.IntN(2000)) * time.Millisecond) }},
		{8, func() { w.pass(time.Duration(w.random.IntN(60)) * time.Second) }},
		{2, func() { w.say("agent crashes"); w.start() }},
		{4, func() { w.dies = 1 + w.random.IntN(8); w.say("agent is killed in %d turns", w.dies) }},
		{4, w.delegate},
		{2, w.loseFile}, {2, w.flapBus}, {2, w.flapLink}, {1, w.loseLedger},
	}
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	at := w.random.IntN(total)
	for _, m := range moves {
		if at -= m.weight; at < 0 {
			m.do()
			return
		}
	}
}

func (w *walk) addPod() {
	w.pod++
	name := fmt.Sprintf("pod%d", w.pod)
	r := w.request(name)
	switch w.random.IntN(4) {
	case 0:
		r.Families = []store.Family{store.IPv6}
	case 1:
		r.Optional = []store.Family{store.IPv6}
	}
	if w.pools && w.random.IntN(2) == 0 {
		r.Pool = "other"
	}
	var before store.State
	var got []netip.Addr
	err := w.node.update(func(tx *store.Tx) error {
		before = tx.State()
		used := View{Pods: w.kernel.pods}.InUse()
		r.InUse = func(a netip.Addr) bool { return used[a] }
		l, err := tx.Lease(w.now, r)
		if err == nil {
			got = l.Addresses
		}
		var empty *store.EmptyError
		if errors.As(err, &empty) {
			return nil // flags stay
		}
		return err
	})
	if err != nil {
		w.t.Errorf("ADD: %v", err)
	}
	if len(got) == 0 {
		return
	}
	w.say("ADD %s %s", name, got)
	for _, a := range got {
		if !w.truth().holds(a) {
			w.t.Errorf("S1: %s was leased and EC2 does not have it", a)
		}
		for pod, theirs := range w.pods {
			if slices.Contains(theirs, a) {
				w.t.Errorf("S2: %s was leased to %s and is %s's", a, name, pod)
			}
		}
		if end, ok := w.cooled[a]; ok && w.now.Boot-end < ipam.Instant(30*time.Second) {
			w.t.Errorf("S6: %s cooled for %s; state before %v", a, time.Duration(w.now.Boot-end), before.Addresses)
		}
	}
	w.pods[name] = got
	w.kernel.wire(name, got...)
}

func (w *walk) delPod() {
	names := slices.Sorted(maps.Keys(w.pods))
	if len(names) == 0 {
		return
	}
	name := names[w.random.IntN(len(names))]
	w.say("DEL %s %s", name, w.pods[name])
	w.kernel.cut(name)
	for _, a := range w.pods[name] {
		w.cooled[a] = w.now.Boot
	}
	delete(w.pods, name)
	w.del(name)
}
