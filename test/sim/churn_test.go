package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// ordinary is the policy as it is without any setting: windows of ten minutes, a cooldown of half a minute.
func ordinary(warm int) reconcile.Config {
	return configOf([]reconcile.Pool{{Name: "default", Target: ipam.Target{Warm: warm, UsePrimary: true}}})
}

// resync is the default time between two lists of the fleet.
const resync = 5 * time.Minute

// quietAfter wants no change in EC2 from now on while turn goes on once each step for so long, and no list but those that
// the fleet has at rest: one each Resync.
func quietAfter(t *testing.T, f *fleet, d, step time.Duration, turn func(i int)) {
	t.Helper()
	before := f.mutations()
	listed, _ := f.calls("DescribeInstances")
	for i := range int(d / step) {
		turn(i)
		f.lasts(t, step)
	}
	if got := f.mutations(); got != before {
		f.wrong(t, "L4: %d changes in EC2 once warm", got-before)
	}
	got, _ := f.calls("DescribeInstances")
	if rest := int(d/resync) + 1; got-listed > rest {
		f.wrong(t, "%d lists in %s once warm, %d at rest", got-listed, d, rest)
	}
}

// TestSteadyChurn: 50 pods, the oldest deleted every 2 s and another one in its place, for an hour. After two windows
// there is no change in EC2 at all.
func TestSteadyChurn(t *testing.T) {
	t.Parallel()
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, ordinary(5))
	n := f.addNode("m5.4xlarge", 110)
	f.lasts(t, 10*time.Second)
	pods := f.burst(n, "pod", 50)
	turn := func(i int) {
		pods[0].del()
		pods = append(pods[1:], f.pod(n, fmt.Sprint("next-", i)))
	}
	for i := range int(20 * time.Minute / (2 * time.Second)) {
		turn(i)
		f.lasts(t, 2*time.Second)
	}
	quietAfter(t, f, time.Hour, 2*time.Second, turn)
	allRun(t, f, pods)
}

// TestCronWave: 20 pods every ten minutes, for 40 s each. Once warm the waves cost nothing.
func TestCronWave(t *testing.T) {
	t.Parallel()
	f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, ordinary(5))
	n := f.addNode("m5.4xlarge", 110)
	f.burst(n, "always", 10)
	wave := func(i int) {
		for _, p := range f.burst(n, fmt.Sprint("cron-", i), 20) {
			f.after(40*time.Second, p.del)
		}
	}
	for i := range 3 {
		wave(i)
		f.lasts(t, 10*time.Minute)
	}
	quietAfter(t, f, 2*time.Hour, 10*time.Minute, wave)
}

// TestBurstOf110: on an empty m5.4xlarge, whose primary interface has its warm addresses, 110 pods cost what the floor
// says: one Assign to fill the primary, and three interfaces of 29 made with their addresses in them. Where nobody tells
// the reconciler of pods before their ADDs wait, the first snapshot of a burst may know of a few only: one Assign more.
func TestBurstOf110(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told before ", told), func(t *testing.T) {
			f := world(t, 1, vpc.Config{Latency: vpc.Typical(1)}, ordinary(5))
			n := f.addNode("m5.4xlarge", 110)
			f.lasts(t, 15*time.Second)
			before := map[string]int{}
			for action := range burstFloor {
				before[action], _ = f.calls(action)
			}
			if told {
				f.leaders[0].step(reconcile.Input{Pods: map[ipam.InstanceID]map[string]int{n.id: {"default": 110}}})
			}
			pods := f.burst(n, "pod", 110)
			f.lasts(t, 40*time.Second)
			allRun(t, f, pods)
			for action, want := range burstFloor {
				got, _ := f.calls(action)
				if got -= before[action]; got != want && (told || action != "AssignPrivateIpAddresses" || got > want+1) {
					f.wrong(t, "%d × %s, the floor is %d", got, action, want)
				}
			}
		})
	}
}

var burstFloor = map[string]int{"AssignPrivateIpAddresses": 1, "CreateNetworkInterface": 3, "AttachNetworkInterface": 3}
