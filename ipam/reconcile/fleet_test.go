package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// TestFleet: a step with nothing new in it is cheap for 5,000 nodes, and one list serves them all.
func TestFleet(t *testing.T) {
	core := New(testConfig())
	l, template := testListed(), testListed()
	l.ENIs, l.Instances = nil, nil
	var snaps []ipam.Snapshot
	for i := range 5000 {
		id := ipam.InstanceID(fmt.Sprintf("i-%05d", i))
		e, in := template.ENIs[0], template.Instances[0]
		e.ID, e.Instance, e.Attachment, in.ID = ipam.ENIID("eni-"+string(id)), id, ipam.AttachmentID("at-"+string(id)), id
		e.Addresses = addresses(20, 4)
		l.ENIs, l.Instances = append(l.ENIs, e), append(l.Instances, in)
		snaps = append(snaps, ipam.Snapshot{Instance: id, Inc: "x", Seq: 1, Seen: ipam.Seen{Epoch: 1, Rev: 1},
			ENIs: []ipam.ENISummary{{ENI: e.ID, Attachment: e.Attachment, Link: true, Free: 4}}})
	}
	core.Step(Now{}, Input{Snapshots: snaps})
	lists := 0
	var supplies []ipam.Supply
	for _, e := range core.Step(Now{}, Input{Lead: &Lead{Revision: 1}}) {
		if e.List != nil {
			lists++
			l.ID, l.Snapshots = e.List.ID, snaps
			for _, e := range core.Step(Now{}, Input{Listed: &l}) {
				if e.Supply != nil {
					supplies = append(supplies, *e.Supply)
				} else {
					t.Fatalf("%+v", e)
				}
			}
		}
	}
	if lists != 1 || len(supplies) != 5000 {
		t.Fatalf("%d lists, %d supplies", lists, len(supplies))
	}
	for i, s := range supplies {
		snaps[i].Seq, snaps[i].Seen = 2, ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	}
	core.Step(Now{At: time.Second}, Input{Snapshots: snaps})
	begun := time.Now()
	for i := range 60 {
		if effects := core.Step(Now{At: time.Duration(i+2) * time.Second}, Input{}); len(effects) > 0 {
			t.Fatalf("%+v", effects)
		}
	}
	if took := time.Since(begun) / 60; took > 200*time.Millisecond {
		t.Errorf("a step of nothing takes %s for 5,000 nodes", took)
	} else {
		t.Logf("a step of nothing takes %s for 5,000 nodes", took)
	}
}
