//go:build !race

package sim

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
)

// control is a planted bug: a rule that is broken on purpose, which the simulator has to see. A check that no planted
// bug can trip is none.
type control struct {
	invariant string
	bug       string
	ways      []int // of the plans
	settings  func() Settings
}

func controls() []control {
	call := func(f func(*fleet, *reconcile.Call) int) func() Settings {
		return func() Settings { return Settings{bugs: bugs{call: f}} }
	}
	return []control{
		{"S1", "the supply lists an address that EC2 does not have", []int{0, 4}, func() Settings {
			return Settings{bugs: bugs{supply: func(s *ipam.Supply) {
				for i := range s.ENIs {
					s.ENIs[i].Addresses = append(slices.Clone(s.ENIs[i].Addresses), s.ENIs[i].Subnet.Addr().Next().Next().Next().Next())
				}
			}}}
		}},
		{"S2", "a new pool file is made without the leases of pods that live", []int{0, 4}, func() Settings {
			return Settings{bugs: bugs{past: func(p *store.Past) { p.Leases = nil }}}
		}},
		{"S3", "an Unassign names what the list has, not what the node has fenced", []int{0}, call(func(f *fleet, c *reconcile.Call) int {
			if c.Action == reconcile.Unassign {
				e, _ := f.world.NetworkInterface(f.wall(), string(c.ENI))
				c.Addresses = e.Secondary
			}
			return 0
		})},
		{"S4", "the ledger says nothing of fences", []int{0}, func() Settings {
			return Settings{twist: loseFences}
		}},
		{"S5", "the hold-down is over at once", []int{0}, func() Settings {
			return Settings{bugs: bugs{tick: func(n store.Now) store.Now { n.Boot += ipam.Instant(10 * time.Minute); return n }}, twist: coolForever}
		}},
		{"S6", "cooling ends early", []int{0}, func() Settings {
			return Settings{bugs: bugs{tick: func(n store.Now) store.Now { n.Boot += ipam.Instant(20 * time.Second); return n }}}
		}},
		{"S7", "the survey takes pods that live for dead", []int{0, 4}, func() Settings {
			return Settings{bugs: bugs{survey: func(n *node, s *agent.Surveyed) {
				for _, p := range n.pods {
					if p.state == running {
						s.Stale = append(s.Stale, agent.Stale{Attachment: p.attachment, Cause: "planted"})
					}
				}
			}}}
		}},
		{"S8", "an older pool file is put back", []int{0, 4}, func() Settings { return Settings{twist: putBack} }},
		{"S9", "a call is made on another node's network interface", []int{0, 4}, call(func(f *fleet, c *reconcile.Call) int {
			if c.Action != reconcile.Assign {
				return 0
			}
			for _, e := range f.world.NetworkInterfaces(f.wall()) {
				if e.Instance() != string(c.Instance) && e.Instance() != "" {
					c.ENI = ipam.ENIID(e.ID)
				}
			}
			return 0
		})},
	}
}

// moreControls are those of bounds and liveness.
func moreControls() []control {
	call := func(f func(*fleet, *reconcile.Call) int) func() Settings {
		return func() Settings { return Settings{bugs: bugs{call: f}} }
	}
	return []control{
		{"B1", "a Create is tried again under another token", []int{0, 4}, call(func(f *fleet, c *reconcile.Call) int {
			for range 8 {
				if c.Action == reconcile.Create {
					f.again++
					c.Token = fmt.Sprint("token-", f.again)
					f.do("r1", *c)
				}
			}
			return 0
		})},
		{"B2", "an Assign is repeated as the SDK would", []int{0}, call(func(_ *fleet, c *reconcile.Call) int {
			if c.Action == reconcile.Assign {
				return 2
			}
			return 0
		})},
		{"B2", "an Assign of IPv6 is repeated", []int{3}, call(func(_ *fleet, c *reconcile.Call) int {
			if c.Action == reconcile.Assign6 {
				return 2
			}
			return 0
		})},
		{"B4", "wishes are for more than the window allows", []int{0}, func() Settings {
			return Settings{bugs: bugs{supply: func(s *ipam.Supply) {
				for _, e := range s.ENIs {
					s.Release = append(slices.Clone(s.Release), ipam.Release{ENI: e.ENI, Count: 1})
				}
			}}}
		}},
		{"B5", "the ledger keeps everything it ever knew", []int{0, 4}, func() Settings {
			kept := map[ipam.InstanceID][]agent.Gone{}
			return Settings{bugs: bugs{ledger: func(n *node, l agent.Ledger) agent.Ledger {
				kept[n.id] = append(kept[n.id], l.Held...)
				for len(kept[n.id]) > 0 && len(kept[n.id]) < 1<<14 { // as after years
					kept[n.id] = append(kept[n.id], kept[n.id]...)
				}
				l.Held = kept[n.id]
				return l
			}}}
		}},
		{"L1", "nobody is told why", []int{0}, func() Settings {
			return Settings{bugs: bugs{supply: func(s *ipam.Supply) {
				s.Pools = slices.Clone(s.Pools)
				for i := range s.Pools {
					s.Pools[i].Why = nil
				}
			}, call: never(reconcile.Assign, reconcile.Create)}}
		}},
		{"L2", "Unassign never reaches EC2", []int{0}, call(never(reconcile.Unassign, reconcile.Detach))},
		{"L3", "Delete never reaches EC2", []int{0, 4}, call(never(reconcile.Delete))},
		{"L4", "the policy is turned up and down again and again", []int{0}, func() Settings { return Settings{twist: restless} }},
	}
}

// never keeps calls of these actions from EC2, which seems to throttle them.
func never(actions ...reconcile.Action) func(*fleet, *reconcile.Call) int {
	return func(_ *fleet, c *reconcile.Call) int {
		if slices.Contains(actions, c.Action) {
			return -1
		}
		return 0
	}
}

// coolForever leaves nothing to the check of cooling: with a clock so wrong it would be the first to see it.
func coolForever(f *fleet) {
	for i := range f.cfg.Pools {
		f.cfg.Pools[i].Cooldown = -1
	}
}

// loseFences loses pool file and what the ledger says of fences, whenever there are some.
func loseFences(f *fleet) {
	var turn func()
	turn = func() {
		for _, n := range f.nodes {
			if n.ledger != nil && len(n.ledger.Fenced) > 0 && n.core != nil {
				l := *n.ledger
				l.Fenced, l.HoldAll = nil, false
				n.ledger = &l
				n.loseFile()
			}
		}
		f.after(time.Second, turn)
	}
	f.after(time.Second, turn)
}

// putBack restores the pool file of a quarter of an hour ago, as a careless backup would.
func putBack(f *fleet) {
	copies := map[*node][]byte{}
	var turn func()
	turn = func() {
		for _, n := range f.nodes {
			if old := copies[n]; old != nil && !n.off && n.core != nil {
				n.crash()
				write(n.path, old)
				n.startAgent()
			}
			copies[n] = read(n.path)
		}
		f.after(15*time.Minute, turn)
	}
	f.after(5*time.Minute, turn)
}

// restless changes the target every few minutes, to the end of the run.
func restless(f *fleet) {
	high := false
	var turn func()
	turn = func() {
		high = !high
		pools := slices.Clone(f.cfg.Pools)
		if pools[0].Target.Warm = 1; high {
			pools[0].Target.Warm = 6
		}
		f.reload(pools)
		f.after(4*time.Minute, turn)
	}
	f.after(4*time.Minute, turn)
}

// TestControls plants one bug after the other. It is for runs without the race detector, as the rest of what is long here:
// .ci/run has one.
func TestControls(t *testing.T) {
	const within = 60 // seeds
	dir := scratch(t)
	for _, c := range append(controls(), moreControls()...) {
		t.Run(c.invariant+" "+strings.ReplaceAll(c.bug, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var saw []string
			for seed := uint64(1); seed <= within; seed++ {
				p := generate(seed, 40*time.Minute, 2, c.ways)
				s := c.settings()
				s.Dir = dir
				r, err := Run(p, s)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range r.Broken {
					if v.Invariant == c.invariant {
						t.Logf("seed %d: %s", seed, v)
						return
					}
					saw = append(saw, v.String())
				}
			}
			t.Errorf("not seen within %d seeds; others: %v", within, saw[:min(len(saw), 5)])
		})
	}
}

func write(path string, text []byte) { must(os.WriteFile(path, text, 0o600)) }

func read(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return text
}
