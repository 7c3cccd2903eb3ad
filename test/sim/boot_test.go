package sim

import (
	"testing"
)

// TestBoot: 1,000 nodes boot within a minute at EC2's published rates. Our calls are those of the floor, and none of
// them is throttled; a model of a per-node daemon does the same beside us, for comparison.
func TestBoot(t *testing.T) {
	nodes := 1000
	if testing.Short() || slow {
		nodes = 40
	}
	for _, prefix := range []bool{false, true} {
		b := Boot{Nodes: nodes, Prefix: prefix, Dir: scratch(t)}
		t.Run(b.Mode(), func(t *testing.T) {
			t.Parallel()
			ours, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := b.RunPeer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + Table([]Comparison{{b.Floor(), ours, theirs}}))
			b.judge(t, ours, theirs)
		})
	}
}

func (b Boot) judge(t *testing.T, ours, theirs BootResult) {
	t.Helper()
	floor := b.Floor()
	if ours.Unfinished > 0 || theirs.Unfinished > 0 {
		t.Errorf("not full: %d of ours, %d of theirs", ours.Unfinished, theirs.Unfinished)
	}
	if ours.Throttled > 0 {
		t.Errorf("B3: %d of our calls were throttled", ours.Throttled)
	}
	changes := 0
	for action, c := range ours.ByAction {
		if action[:8] != "Describe" {
			changes += c.Taken + c.Refused
		}
	}
	if changes > floor.Calls+floor.Calls/100 {
		t.Errorf("%d calls that change something; the floor is %d: %v", changes, floor.Calls, ours.ByAction)
	}
	if ours.Quiet > 0 {
		t.Errorf("L4: %d changes after all was full", ours.Quiet)
	}
	if theirs.changes() <= floor.Calls {
		t.Errorf("the model of a per-node daemon makes %d changes where the floor is %d: is it one?", theirs.changes(), floor.Calls)
	}
}
