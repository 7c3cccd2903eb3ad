package reconcile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// anyPool is a pool of any kind.
func anyPool(r *rand.Rand, name string) Pool {
	modes := []ipam.Mode{ipam.ModeAuto, ipam.ModePrefix, ipam.ModeSecondary}
	families := [][]ipam.Family{nil, {ipam.IPv4, ipam.IPv6}}
	p := Pool{Name: name, Window: time.Minute, MinAge: 20 * time.Second, Cooldown: 10 * time.Second, Target: ipam.Target{
		Mode: modes[r.IntN(3)], Families: families[r.IntN(2)], UsePrimary: r.IntN(2) == 0, Warm: r.IntN(5),
	}}
	if r.IntN(3) == 0 {
		p.Subnets.IDs = []ipam.SubnetID{"subnet-b"}
	}
	return p
}

// trouble answers some calls as EC2 does on a bad day.
func trouble(r *rand.Rand, share float64) func(Call) *Answer {
	return func(c Call) *Answer {
		if r.Float64() >= share {
			return nil
		}
		return []*Answer{
			{Class: Unknown, Code: "NoAnswer", Text: "done"}, {Class: Unknown, Code: "NoAnswer"},
			{Class: Throttled, Code: "RequestLimitExceeded"}, {Class: Transition, Code: "IncorrectState"},
			{Class: Other, Code: "InternalError"}, {Class: SubnetFull, Code: full}, {Class: SubnetFull, Code: broken},
			{Class: NotSent}, {Class: Denied, Code: "UnauthorizedOperation"}, {Class: Away},
		}[r.IntN(10)]
	}
}

// TestProperties: whatever pods, people, EC2 and the policy do, and whoever leads, the bounds hold that the world looks for
// at every call (S1, S3, B1, B2, B4, r2); and when the trouble stops, every pod that can be served is, and all comes to rest.
func TestProperties(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			pools := []Pool{anyPool(r, "default"), anyPool(r, "web")}
			w := usual(t, pools...)
			w.cloud.addSubnet("subnet-b", "a", "10.0.2.0/23", "2001:db8:0:b::/64", nil)
			kinds := []string{"t3.medium", "m5.large", "t2.medium"}
			var nodes []*agent
			for _, id := range []ipam.InstanceID{"i-1", "i-2", "i-3"} {
				nodes = append(nodes, w.addNode(id, kinds[r.IntN(3)], 20))
			}
			w.lead(1)
			w.fault = trouble(r, 0.15)
			for turn := range 40 {
				w.disturb(r, nodes, pools, uint64(turn)+2)
				w.run(time.Duration(1+r.IntN(40)) * time.Second)
			}
			w.fault = nil
			for _, n := range nodes {
				n.silent, n.cordon = false, false
			}
			w.run(25 * time.Minute)
			calls := len(w.calls)
			w.run(15 * time.Minute)
			if got := w.mutations(calls); len(got) > 0 {
				t.Errorf("it does not come to rest: %v", got)
			}
			for _, n := range nodes {
				w.explained(n)
			}
		})
	}
}

// explained: a pod that waits at the end is told why.
func (w *world) explained(n *agent) {
	whys := map[string]*ipam.Why{}
	for _, p := range n.last.Pools {
		whys[p.Name] = p.Why
	}
	for _, name := range slices.Sorted(maps.Keys(n.pods)) {
		if p := n.pods[name]; p.eni == "" && whys[p.pool] == nil {
			w.t.Errorf("%s of %s waits on %s and is not told why: %s", name, p.pool, n.id, w.shape(n))
		}
	}
}

// disturb does one of the things that happen.
func (w *world) disturb(r *rand.Rand, nodes []*agent, pools []Pool, revision uint64) {
	n := nodes[r.IntN(len(nodes))]
	switch r.IntN(10) {
	case 0, 1, 2:
		w.pods(n, pools[r.IntN(2)].Name, 1+r.IntN(6))
	case 3, 4:
		for _, name := range slices.Sorted(maps.Keys(n.pods)) {
			if r.IntN(2) == 0 {
				n.end(name)
			}
		}
	case 5:
		w.succeed(revision)
	case 6:
		n.cordon = !n.cordon
	case 7:
		for _, e := range w.ours(n.id) { // a human
			if e.Instance != "" && r.IntN(3) == 0 {
				e.Instance, e.Attachment, e.Device, e.Card = "", "", 0, 0
			}
		}
	case 9:
		n.reboot(revision)
	case 8:
		pools[1].Target.Warm = r.IntN(6)
		w.cfg.Pools = slices.Clone(pools)
		w.step(Input{Pools: w.cfg.Pools})
	}
}
