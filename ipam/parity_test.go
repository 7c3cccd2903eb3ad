package ipam

import (
	"fmt"
	"testing"
)

// knobs are amazon-vpc-cni-k8s's settings of a node's pool, 0 where they are not set.
type knobs struct {
	warmIP, minIP, warmENI, warmPrefix int // WARM_IP_TARGET, MINIMUM_IP_TARGET, WARM_ENI_TARGET, WARM_PREFIX_TARGET
	maxENI, maxPods                    int // MAX_ENI, kubelet's limit
	prefixes                           bool
}

// theirs is what its daemon makes of them for so many addresses, of which some are pods': its grow and shrink decisions
// as its documentation (docs/eni-and-ip-target.md, docs/prefix-and-ip-target.md) and its behaviour have them. None
// cools, and nothing is said of when: it looks every 5 s.
type theirs struct {
	knobs
	perENI                     int // addresses of an interface, or prefixes
	total, assigned            int
	prefixTotal, prefixesEmpty int
}

func (s theirs) available() int { return s.total - s.assigned }

func (s theirs) byAddresses() bool { return s.warmIP != 0 || s.minIP != 0 }

// short is how many addresses it misses; 0 = its pool is not low.
func (s theirs) short() int {
	switch {
	case s.maxPods > 0 && s.total >= s.maxPods:
		return 0
	case s.byAddresses():
		return max(s.warmIP-s.available(), s.minIP-s.total, 0)
	case s.prefixes:
		return max(s.warmPrefix*16-s.available(), 0)
	}
	return max(s.warmENI*s.perENI-s.available(), 0)
}

// askedPrefixes is how many prefixes it asks for at once.
func (s theirs) askedPrefixes() int { return (s.short() + 15) / 16 }

// over is how many addresses it has too many, without prefixes.
func (s theirs) over() int {
	if !s.byAddresses() {
		return 0
	}
	return max(min(max(s.available()-s.warmIP, 0), s.total-s.minIP), 0)
}

// overPrefixes is how many prefixes it has too many.
func (s theirs) overPrefixes() int {
	up := func(n int) int { return (n + 15) / 16 }
	if s.byAddresses() {
		return max(min(s.prefixesEmpty, s.prefixTotal-up(s.assigned+s.warmIP), s.prefixTotal-up(s.minIP)), 0)
	}
	return max(s.prefixesEmpty-s.warmPrefix, 0)
}

// ours is the same node with the same settings as a plan sees it.
func ours(k knobs, e NodeENI) (Node, Limits) {
	l := types("m5.large")
	q := NodePool{Name: "default", Warm: true, Target: Target{Warm: k.warmIP, Minimum: k.minIP, WarmENIs: k.warmENI,
		WarmPrefixes: k.warmPrefix, MaxENIs: k.maxENI, UsePrimary: true, AtOnce: MostAtOnce}}
	if k.prefixes {
		q.Target.Mode = ModePrefix
	}
	q.Floor, q.Budget = e.Free, MostAtOnce
	return Node{Grow: true, MaxPods: k.maxPods, Pools: []NodePool{q}, ENIs: []NodeENI{e}}, l
}

// TestSameArithmeticBySingles compares how many addresses are missing and how many are too many, for every state of a
// primary interface of an m5.large and a grid of settings.
func TestSameArithmeticBySingles(t *testing.T) {
	for _, k := range grid(false) {
		for listed := range 10 {
			for leased := range listed + 1 {
				e := NodeENI{ENI: "eni-0", Attachment: "at-0", Primary: true, State: ENIUsed, PodsOK: true, Named: true, Pool: "default",
					Listed: listed, Leased: leased, Free: listed - leased, Single: listed - leased}
				them := theirs{knobs: k, perENI: 9, total: listed, assigned: leased}
				n, l := ours(k, e)
				need := NeedsOf(n, l)[0]
				where := fmt.Sprintf("%+v, %d of %d leased", k, leased, listed)
				short := min(them.short(), room(k, listed)) // deviation: max pods
				if need.Deficit() != short {
					t.Fatalf("%s: we miss %d, they %d", where, need.Deficit(), short)
				}
				if over := need.Supply - need.Want; k.maxPods == 0 && them.byAddresses() && max(over, 0) != them.over() {
					t.Fatalf("%s: we have %d too many, they %d", where, over, them.over())
				}
				asked := 0
				for _, a := range Plan(n, l) {
					asked += a.Count
					if a.Kind == ActWish {
						asked -= 2 * a.Count
					}
				}
				most := 27 - listed // of three interfaces
				if k.maxENI > 0 {
					most = 9*k.maxENI - listed
				}
				if short > 0 && asked != min(short, most) {
					t.Fatalf("%s: we ask for %d, they for %d", where, asked, min(short, most))
				}
				if them.byAddresses() && asked < -them.over() {
					t.Fatalf("%s: we give back %d, they %d", where, -asked, them.over())
				}
			}
		}
	}
}

// TestSameArithmeticByPrefixes compares how many prefixes are asked for, and when one goes.
func TestSameArithmeticByPrefixes(t *testing.T) {
	for _, k := range grid(true) {
		for count := range 5 {
			for leased := range count*16 + 1 {
				for _, packed := range []bool{true, false} {
					e, empty := delegated(count, leased, packed)
					them := theirs{knobs: k, perENI: 9, total: count * 16, assigned: leased, prefixTotal: count, prefixesEmpty: empty}
					n, l := ours(k, e)
					where := fmt.Sprintf("%+v, %d leased in %d prefixes, %d empty", k, leased, count, empty)
					asked, given := 0, 0
					for _, a := range Plan(n, l) {
						asked += a.Prefixes
						given += len(a.Give)
					}
					short := them.askedPrefixes()
					if room := room(k, count*16); room < them.short() { // deviation: max pods
						short = (room + 15) / 16
					}
					if asked != short {
						t.Fatalf("%s: we ask for %d, they for %d", where, asked, short)
					}
					if k.maxPods > 0 {
						continue
					}
					more := e.Free > n.Pools[0].Target.High(l) // deviation: a prefix's worth above the target stays
					if them.overPrefixes() > 0 && more && given != 1 {
						t.Fatalf("%s: they give back %d, we none", where, them.overPrefixes())
					}
					if given > 0 && them.overPrefixes() == 0 && them.byAddresses() { // deviation: half-used prefixes
						t.Fatalf("%s: we give back a prefix, they none", where)
					}
				}
			}
		}
	}
}

// TestDeviations are the places where our arithmetic is not theirs on purpose.
func TestDeviations(t *testing.T) {
	for _, d := range []struct {
		name, why string
		theirs    theirs
		says      int // by their formulas: how many addresses or prefixes they ask for, or, less than 0, give back
		node      string
		ours      string
	}{
		{"cooling", "a cooling address is no pod's to have: theirs takes it for free, gives others back, and fails each ADD",
			theirs{knobs: knobs{warmIP: 2}, perENI: 9, total: 9, assigned: 1}, -6,
			"pool default, warm 2\neni 0: 9 singles, 1 leased, 8 cooling", "create at 1 +2\n"},
		{"max pods", "max pods is a ceiling: theirs passes it with its last step",
			theirs{knobs: knobs{warmIP: 5, maxPods: 10}, perENI: 9, total: 8, assigned: 8}, 5,
			"pool default, warm 5\neni 0: 8 singles, 8 leased", "assign eni-0 +1\ncreate at 1 +1\n"},
		{"warm interfaces, up", "the target is a number of addresses: theirs fills the interface that it makes",
			theirs{knobs: knobs{warmENI: 1}, perENI: 9, total: 9, assigned: 3}, 3,
			"pool default, warm enis 1\neni 0: 9 singles, 3 leased", "create at 1 +3\n"},
		{"nothing set", "pods that wait are seen here: theirs takes an interface's worth whenever none is free",
			theirs{perENI: 9, total: 3, assigned: 3}, 0,
			"pool default, waiting 1\neni 0: 3 singles, 3 leased", "assign eni-0 +1\n"},
		{"surplus", "an interface's worth above the target stays: theirs gives back and fetches again with every pod",
			theirs{knobs: knobs{warmIP: 2}, perENI: 9, total: 9, assigned: 1}, -6,
			"pool default, warm 2, floor 8, budget 16\neni 0: 9 singles, 1 leased", ""},
		{"surplus prefix", "likewise a prefix's worth",
			theirs{knobs: knobs{warmPrefix: 1, prefixes: true}, perENI: 9, total: 32, prefixTotal: 2, prefixesEmpty: 2}, -1,
			"pool default prefix, warm prefixes 1, floor 32, budget 16\neni 0: /28; /28", ""},
		{"surplus prefixes", "one at a time, a window apart",
			theirs{knobs: knobs{warmPrefix: 1, prefixes: true}, perENI: 9, total: 64, prefixTotal: 4, prefixesEmpty: 4}, -3,
			"pool default prefix, warm prefixes 1, floor 64, budget 16\neni 0: /28; /28; /28; /28", "wish eni-0 -11.0.0.48/28\n"},
		{"half-used prefixes", "the target is a number of free addresses in both directions: theirs counts empty prefixes on the way down",
			theirs{knobs: knobs{warmPrefix: 1, prefixes: true}, perENI: 9, total: 64, assigned: 24, prefixTotal: 4, prefixesEmpty: 1}, 0,
			"pool default prefix, warm prefixes 1, floor 40, budget 16\neni 0: /28, 8 leased; /28, 8 leased; /28, 8 leased; /28",
			"wish eni-0 -11.0.0.48/28\n"},
	} {
		t.Run(d.name, func(t *testing.T) {
			says := d.theirs.short() - d.theirs.over()
			if d.theirs.prefixes {
				says = d.theirs.askedPrefixes() - d.theirs.overPrefixes()
			}
			if says != d.says {
				t.Errorf("theirs says %d, want %d", says, d.says)
			}
			n, l := read(t, fmt.Sprintf("m5.large, max pods %d\n%s", d.theirs.maxPods, d.node))
			if got := write(Plan(n, l)); got != d.ours {
				t.Errorf("ours is\n%swant\n%s(%s)", got, d.ours, d.why)
			}
		})
	}
}

// room is what max pods leaves beside what a node has: they stop growing there, and may pass it with their last step;
// we never ask for more.
func room(k knobs, total int) int {
	if k.maxPods == 0 {
		return 1 << 20
	}
	return max(k.maxPods-total, 0)
}

func grid(prefixes bool) (all []knobs) {
	for _, warmIP := range []int{0, 1, 2, 5, 20} {
		for _, minIP := range []int{0, 1, 7, 15, 30} {
			for _, warmENI := range []int{0, 1, 2} {
				for _, warmPrefix := range []int{0, 1, 2} {
					for _, maxENI := range []int{0, 1} {
						for _, maxPods := range []int{0, 8, 29} {
							if prefixes && warmIP+minIP+warmPrefix == 0 { // refused by theirs; ours is by interfaces then
								continue
							}
							all = append(all, knobs{warmIP, minIP, warmENI, warmPrefix, maxENI, maxPods, prefixes})
						}
					}
				}
			}
		}
	}
	return all
}

// delegated is a primary interface with so many prefixes and leases, packed or one by one in each.
func delegated(count, leased int, packed bool) (e NodeENI, empty int) {
	e = NodeENI{ENI: "eni-0", Attachment: "at-0", Primary: true, State: ENIUsed, PodsOK: true, Named: true, Pool: "default",
		Leased: leased, Free: count*16 - leased}
	in := make([]int, count)
	for i := range leased {
		if packed {
			in[i/16]++
		} else {
			in[i%count]++
		}
	}
	for i, leased := range in {
		p := PrefixSummary{Prefix: prefixOn(IPv4, Slot{}, i)}
		if leased == 0 {
			p.Free, empty = 16, empty+1
		}
		e.Delegated = append(e.Delegated, p)
	}
	return e, empty
}
