//go:build !race

package sim

import (
	"testing"
	"time"
)

// TestBootWithoutPace is the control of B3: nobody keeps to EC2's rates, and the calls that are throttled are seen.
func TestBootWithoutPace(t *testing.T) {
	t.Parallel()
	b := Boot{Nodes: 200, Dir: scratch(t), unpaced: true}
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Throttled == 0 {
		t.Error("no call was throttled: B3 is not looked at")
	}
}

// TestW10_ManyNodesAtOnce: 150 nodes at once, all full of pods that wait: served at the pace of EC2's rates, none of it
// throttled (#405: 15 minutes).
func TestW10_ManyNodesAtOnce(t *testing.T) {
	t.Parallel()
	b := Boot{Nodes: 150, Over: time.Second, Dir: scratch(t)}
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Throttled > 0 || r.Unfinished > 0 || r.FullLast > 2*b.Floor().Time {
		t.Errorf("last node full after %s, the floor is %s; %d throttled, %d not full", r.FullLast, b.Floor().Time, r.Throttled, r.Unfinished)
	}
}
