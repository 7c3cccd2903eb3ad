package sim

import (
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// begun runs a plan up to the end of its faults, and wants nothing broken.
func begun(t *testing.T, p Plan) *fleet {
	t.Helper()
	f := p.fleet(scratch(t))
	t.Cleanup(f.end)
	p.schedule(f)
	f.lasts(t, p.Length)
	return f
}

// lived are pods of the default pool on node 0, each from its start to its end.
func lived(times ...[2]time.Duration) (pods []PodPlan) {
	for _, x := range times {
		pods = append(pods, PodPlan{At: x[0], Until: x[1], Pool: "default", Families: []ipam.Family{ipam.IPv4}})
	}
	return pods
}

// TestSettleLoadIsConstant: a pod that would end in the middle of the time in which nothing may change stays; what one
// gives back that ends soon after the faults has gone before.
func TestSettleLoadIsConstant(t *testing.T) {
	t.Parallel()
	const length = 20 * time.Minute
	p := Plan{Seed: 1, Length: length, Pools: []reconcile.Pool{usualPool()}, World: WorldPlan{Latency: 1},
		Nodes: []NodePlan{{Type: "t3.small", MaxPods: 8}}}
	p.Pools[0].Target = ipam.Target{WarmENIs: 1, UsePrimary: true}
	p.Pods = lived([2]time.Duration{time.Minute, length + 40*time.Minute}, [2]time.Duration{time.Minute, length + 5*time.Minute},
		[2]time.Duration{time.Minute, 0})
	f := begun(t, p)
	settled(t, f)
	var left []string
	for _, pod := range f.nodes[0].pods {
		left = append(left, pod.name)
	}
	if len(left) != 2 || left[0] != "pod-0" || left[1] != "pod-2" {
		t.Errorf("at the end %v are left, not pod-0 and pod-2", left)
	}
}

// TestSettleWaitsForGivingBack: two addresses in each window of five minutes, of sixty, take hours; then there is quiet.
func TestSettleWaitsForGivingBack(t *testing.T) {
	t.Parallel()
	const length = 20 * time.Minute
	p := Plan{Seed: 1, Length: length, Pools: []reconcile.Pool{usualPool()}, World: WorldPlan{Latency: 1},
		Nodes: []NodePlan{{Type: "m5.4xlarge", MaxPods: 110}}}
	pool := &p.Pools[0]
	pool.Window, pool.MinAge = 5*time.Minute, 5*time.Minute
	pool.Target.Warm, pool.Target.AtOnce = 1, 2
	for i := range 110 {
		end := length
		if i%10 == 0 { // on every interface: none can go whole
			end = 0
		}
		p.Pods = append(p.Pods, lived([2]time.Duration{time.Minute, end})...)
	}
	f := begun(t, p)
	settled(t, f)
	most := pool.Target.High(limitsOf(typeOf("m5.4xlarge")))
	if free := f.nodes[0].on(ipam.Free); free > most {
		t.Errorf("%d addresses are free; above %d they are given back", free, most)
	}
	if unassigned, _ := f.calls("UnassignPrivateIpAddresses"); unassigned < 20 {
		t.Errorf("only %d times was something given back: this looks at nothing", unassigned)
	}
}
