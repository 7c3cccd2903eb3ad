package reconcile

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// manyNodes is what EC2 lists and what the nodes say of a fleet: each has its primary interface and some of ours.
func manyNodes(count, further int) (Listed, []ipam.Snapshot) {
	l, template := testListed(), testListed()
	l.ENIs, l.Instances = nil, nil
	var snaps []ipam.Snapshot
	for i := range count {
		id := ipam.InstanceID(fmt.Sprintf("i-%05d", i))
		e, in := template.ENIs[0], template.Instances[0]
		e.ID, e.Instance, e.Attachment, in.ID = ipam.ENIID("eni-"+string(id)), id, ipam.AttachmentID("at-"+string(id)), id
		e.Addresses = addresses(20, 5)
		l.ENIs, l.Instances = append(l.ENIs, e), append(l.Instances, in)
		s := ipam.Snapshot{Instance: id, Inc: "x", Seq: 1, Seen: ipam.Seen{Epoch: 1, Rev: 1}}
		s.ENIs = append(s.ENIs, ipam.ENISummary{ENI: e.ID, Attachment: e.Attachment, Link: true, Pool: "default", Free: 5, Single: 5})
		for k := range further {
			e.ID, e.Device, e.Attachment = ipam.ENIID(fmt.Sprintf("eni-%s-%d", id, k+1)), k+1, ipam.AttachmentID(fmt.Sprintf("at-%s-%d", id, k+1))
			e.Tags = map[string]string{TagCluster: "c", TagNode: string(id), TagSlot: fmt.Sprint(k + 1), TagPool: "default", "team": "a", "Name": "pod interface"}
			l.ENIs = append(l.ENIs, e)
			s.ENIs = append(s.ENIs, ipam.ENISummary{ENI: e.ID, Attachment: e.Attachment, N: k + 1, Link: true, Pool: "default", Leased: 5})
		}
		snaps = append(snaps, s)
	}
	return l, snaps
}

// warmFleet is a core that knows a fleet and has nothing to do.
func warmFleet(t testing.TB, count, further int) (*Core, []ipam.Snapshot) {
	core := New(testConfig())
	l, snaps := manyNodes(count, further)
	core.Step(Now{}, Input{Snapshots: snaps})
	lists := 0
	var supplies []ipam.Supply
	for _, e := range core.Step(Now{}, Input{Lead: &Lead{Revision: 1}}) {
		if e.List == nil {
			t.Fatalf("%+v", e)
		}
		lists++
		l.ID, l.Snapshots = e.List.ID, snaps
		for _, e := range core.Step(Now{}, Input{Listed: &l}) {
			if e.Supply == nil {
				t.Fatalf("%+v", e)
			}
			supplies = append(supplies, *e.Supply)
		}
	}
	if lists != 1 || len(supplies) != count {
		t.Fatalf("%d lists, %d supplies", lists, len(supplies))
	}
	seen := map[ipam.InstanceID]ipam.Seen{}
	for _, s := range supplies {
		seen[s.Instance] = ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	}
	for i, s := range snaps {
		snaps[i].Seq, snaps[i].Seen = 2, seen[s.Instance]
	}
	core.Step(Now{At: time.Second}, Input{Snapshots: snaps})
	return core, snaps
}

// TestFleet: one list serves 5,000 nodes, and a step with nothing new in it does nothing.
func TestFleet(t *testing.T) {
	core, _ := warmFleet(t, 5000, 0)
	begun := time.Now()
	for i := range 60 {
		if effects := core.Step(Now{At: time.Duration(i+2) * time.Second}, Input{}); len(effects) > 0 {
			t.Fatalf("%+v", effects)
		}
	}
	t.Logf("a step of nothing takes %s for 5,000 nodes", time.Since(begun)/60)
}

// TestTouched: what a step costs goes by what it touches, not by the fleet: looks at nodes, counted as entries of the
// agenda that it uses up.
func TestTouched(t *testing.T) {
	core, snaps := warmFleet(t, 2000, 0)
	for i := range 12 { // until all have had their regular look
		core.Step(Now{At: time.Duration(i+2) * time.Second}, Input{})
	}
	at := time.Duration(14)*time.Second - time.Millisecond
	core.Step(Now{At: at}, Input{})
	before := core.looks
	snaps[7].Seq++
	core.Step(Now{At: at}, Input{Snapshots: snaps[7:8]})
	if got := core.looks - before; got != 1 {
		t.Errorf("a step about one node of 2,000 looked at %d", got)
	}
}

// TestTurns: 1,000 nodes that want something at once are served by need, and those of like need in an order that is not
// always the same.
func TestTurns(t *testing.T) {
	order := func(revision uint64) []ipam.InstanceID {
		core := New(testConfig())
		l, snaps := manyNodes(1000, 0)
		for i := range l.ENIs {
			l.ENIs[i].Addresses = nil
			s := &snaps[i]
			s.ENIs[0].Free, s.ENIs[0].Single = 0, 0
			switch i % 4 {
			case 0: // pods wait, nothing is free
				s.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 1}}
			case 1: // pods wait, something is free
				s.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 3}}
				s.ENIs[0].Free, s.ENIs[0].Single, l.ENIs[i].Addresses = 1, 1, addresses(20, 1)
			case 2: // nothing is free
			case 3: // less than the target is free
				s.ENIs[0].Free, s.ENIs[0].Single, l.ENIs[i].Addresses = 1, 1, addresses(20, 1)
			}
		}
		core.Step(Now{}, Input{Snapshots: snaps})
		ask := core.Step(Now{}, Input{Lead: &Lead{Revision: revision}})[0].List
		l.ID, l.Snapshots = ask.ID, snaps
		var ids []ipam.InstanceID
		for _, e := range core.Step(Now{}, Input{Listed: &l}) {
			if e.Call != nil {
				ids = append(ids, e.Call.Instance)
			}
		}
		return ids
	}
	first, again, second := order(1), order(1), order(2)
	if len(first) != 1000 || !slices.Equal(first, again) || slices.Equal(first, second) {
		t.Fatalf("%d calls; the same order again: %t; under another leader: %t", len(first), slices.Equal(first, again), slices.Equal(first, second))
	}
	for i, id := range first {
		var n int
		fmt.Sscanf(string(id), "i-%d", &n)
		if n%4 != i/250 {
			t.Fatalf("turn %d of 1,000 is %s, of class %d", i, id, n%4)
		}
	}
}

// BenchmarkStep: a step about one of 5,000 nodes.
func BenchmarkStep(b *testing.B) {
	core, snaps := warmFleet(b, 5000, 2)
	at := 2 * time.Second
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := snaps[i%5000]
		s.Seq += uint64(i)
		at += 200 * time.Microsecond
		core.Step(Now{At: at}, Input{Snapshots: []ipam.Snapshot{s}})
	}
}

// BenchmarkList: a full list of 15,000 network interfaces of 5,000 nodes, and what is kept of it.
func BenchmarkList(b *testing.B) {
	var before, after runtime.MemStats
	core, snaps := warmFleet(b, 5000, 2)
	at := time.Second
	var l Listed
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l, _ = manyNodes(5000, 2)
		at += 6 * time.Minute
		for i := range snaps {
			snaps[i].Seq++
		}
		core.Step(Now{At: at}, Input{Snapshots: snaps})
		if core.listing == nil {
			b.Fatal("no list")
		}
		l.ID, l.ReadBegun, l.Begun, l.Snapshots = core.listing.ID, at, at, snaps
		b.StartTimer()
		core.Step(Now{At: at}, Input{Listed: &l})
	}
	b.StopTimer()
	l, snaps = Listed{}, nil
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	runtime.KeepAlive(core)
	core = nil
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(before.HeapAlloc-after.HeapAlloc)/15000, "B/row") // all that the core keeps, supplies included
}
