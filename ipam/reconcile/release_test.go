package reconcile

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestReleasePrefix: a prefix that nobody needed for a window is wished back, fenced as one, and unassigned after the node
// was heard and EC2 was listed anew; one a window, and no more than the target leaves.
func TestReleasePrefix(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) { p.Target.Mode = ipam.ModeAuto }))
	n := w.addNode("i-1", "m5.large", 0)
	w.lead(1)
	names := w.pods(n, "default", 60)
	w.run(2 * time.Minute)
	if got := w.shape(n); got != "1 interfaces, 0 singles, 4 /28, 0 /80" {
		t.Fatal(got)
	}
	for _, name := range names {
		n.end(name)
	}
	w.run(20 * time.Minute)
	if got := w.shape(n); got != "1 interfaces, 0 singles, 1 /28, 0 /80" {
		t.Errorf("after 20 min %s", got)
	}
	lists := 0
	for _, c := range w.calls {
		if c.Action == Unassign {
			lists++
			if len(c.Give) != 1 || len(c.Addresses) > 0 || c.NotAfter > w.now {
				t.Errorf("%+v", c)
			}
		}
	}
	if lists != 3 || len(n.given) != 3 {
		t.Errorf("%d Unassigns of %d wishes, want 3", lists, len(n.given))
	}
	for i := range n.given[1:] {
		if apart := n.given[i+1].at - n.given[i].at; apart < time.Minute {
			t.Errorf("two wishes %s apart", apart)
		}
	}
}

// TestReleaseNeedsARound: what is fenced is taken away only with a snapshot and a list that are not older than half a
// lease, and not if the node does not call it fenced any more in its newest word (protocol r2, r3).
func TestReleaseNeedsARound(t *testing.T) {
	for _, test := range []struct {
		name  string
		later func(*script)
		want  []Action
	}{
		{"as it was", func(*script) {}, []Action{Unassign}},
		{"another inc says nothing of it", func(s *script) {
			s.say(func(n *ipam.Snapshot) { n.Inc, n.ENIs[0].Prefixes = "y", nil })
		}, nil},
		{"the interface is another's", func(s *script) { s.listed.ENIs[0].Instance = "i-2" }, nil},
		{"EC2 does not list it", func(s *script) { s.listed.ENIs[0].Prefixes = nil }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t)
			prefix := prefixes("10.0.0.32/28", "10.0.0.48/28")
			s.listed.ENIs[0].Prefixes = prefix
			s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 16, Age: time.Hour,
				Prefixes: []ipam.PrefixSummary{{Prefix: prefix[1], Fenced: true}}}}
			test.later(s)
			s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
			s.lead(1)
			s.pass(30 * time.Second)
			var got []Action
			for _, c := range s.calls {
				if c.Action != Assign {
					got = append(got, c.Action)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFenceHeardLate: what was fenced after the snapshot behind a round was read, and unassigned within the round, needs
// one list more: only a supply that rests on the fence itself lets the node forget it (protocol A2).
func TestFenceHeardLate(t *testing.T) {
	s := newScript(t)
	s.listed.ENIs[0].Addresses = addresses(20, 8)
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 8, Single: 8, Age: time.Hour}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	fence := addresses(24, 4)
	s.say(func(n *ipam.Snapshot) {
		p := s.newest()
		n.Seen = ipam.Seen{Epoch: p.Epoch, Rev: p.Rev}
		n.ENIs[0].Free, n.ENIs[0].Single, n.ENIs[0].Fenced = 4, 4, fence
	})
	fenced := s.snap.Seq
	if len(s.calls) != 1 || s.calls[0].Action != Unassign || len(s.lists) != 1 {
		t.Fatalf("%d lists, calls %+v", len(s.lists), s.calls)
	}
	s.listed.ENIs[0].Addresses = addresses(20, 4)
	s.step(Input{Answers: []Answer{{ID: s.calls[0].ID, Class: Done}}})
	s.pass(15 * time.Second)
	if got := s.newest(); got.Basis.Seq < fenced || len(got.ENIs[0].Addresses) != 4 {
		t.Errorf("after 15 s the basis is %d, the fence is of %d", got.Basis.Seq, fenced)
	}
}

// TestAbsenceCountsTwice: an interface that a complete list does not have is kept in the supply until a second one, later by
// V, does not have it either (protocol r4); if that has it again, nothing has happened.
func TestAbsenceCountsTwice(t *testing.T) {
	for _, back := range []bool{true, false} {
		s := newScript(t)
		other := ENI{ID: "eni-1", Subnet: "subnet-a", MAC: "02:00:00:00:00:02", Instance: "i-1", Attachment: "at-1", Device: 1, Bound: true,
			Primary: netip.MustParseAddr("10.0.0.11"), Addresses: addresses(40, 5), Groups: []string{"sg-1"},
			Tags: map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1", TagPool: "default"}}
		s.listed.ENIs[0].Addresses = addresses(20, 5)
		s.listed.ENIs = append(s.listed.ENIs, other)
		s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 4, Single: 4, Leased: 1, Age: time.Hour},
			{ENI: "eni-1", Attachment: "at-1", Link: true, Leased: 5, Age: time.Hour}}
		s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
		s.lead(1)
		another := func() { // list
			for before := len(s.lists); len(s.lists) == before; {
				s.pass(time.Second)
			}
		}
		another() // by its own time, when all is quiet
		s.listed.ENIs = s.listed.ENIs[:1]
		another()
		missed := s.now
		if got := s.newest(); len(got.ENIs) != 2 {
			t.Fatalf("back %t: one list without it, and the supply has %d interfaces", back, len(got.ENIs))
		}
		if back {
			s.listed.ENIs = append(s.listed.ENIs, other)
		}
		another()
		if s.now-missed < Visibility {
			t.Errorf("back %t: the second list came after %s, which proves nothing", back, s.now-missed)
		}
		s.pass(time.Second)
		if got := s.newest(); (len(got.ENIs) == 2) != back {
			t.Errorf("back %t: the supply has %d interfaces", back, len(got.ENIs))
		}
		for _, c := range s.calls {
			if c.ENI == "eni-1" {
				t.Errorf("back %t: %s of it", back, c.Action)
			}
		}
	}
}
