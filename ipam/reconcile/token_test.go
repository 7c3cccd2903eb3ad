package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestToken: a Create is tried again with the same token and parameters until it is settled; what makes another life
// makes another token.
func TestToken(t *testing.T) {
	s := newScript(t)
	s.only = 1
	s.listed.ENIs[0].Addresses = addresses(20, 5)
	s.snap.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 2}}
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Leased: 5}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	first := s.last()
	if first.Action != Create || first.Count != 5 || first.Device != 1 || first.Subnet != "subnet-a" || first.Urgency != ForWaiting {
		t.Fatalf("%+v", first)
	}
	if diff := cmp.Diff(map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1", TagPool: "default"}, first.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	s.now += Deadline
	s.step(Input{Answers: []Answer{{ID: first.ID, Class: Unknown}}})
	s.say(func(n *ipam.Snapshot) { n.Pools, n.Gen = []ipam.PoolSummary{{Name: "default", Waiting: 9}}, 3 })
	made := func() (calls []Call) { // for slot 1; another slot is another matter
		for _, c := range s.calls {
			if c.Device == 1 {
				calls = append(calls, c)
			}
		}
		return calls
	}
	s.pass(settle - time.Second)
	if len(made()) != 1 {
		t.Fatalf("%+v before a list could show the first", made())
	}
	s.pass(10 * time.Second)
	if len(made()) != 2 {
		t.Fatalf("%+v", made())
	}
	again := made()[1]
	if again.Token != first.Token || again.Count != first.Count || again.Device != 1 {
		t.Fatalf("%+v, want the same as %+v", again, first)
	}
	s.step(Input{Answers: []Answer{{ID: again.ID, Class: Mismatch}}})
	s.pass(Visibility)
	if len(made()) != 2 {
		t.Fatalf("tried again although one exists: %+v", made())
	}
	s.pass(3 * Visibility)
	if last := made()[len(made())-1]; last.Token == first.Token {
		t.Errorf("two lists, V apart, show that none exists, and yet none is made: %+v", made())
	}
}

// TestRefusedAfterUnknown: a Create whose outcome was lost, and that is refused ever since, is given up when lists have
// shown that it made nothing: it must not count as supply for ever. Until then its refusal is said.
func TestRefusedAfterUnknown(t *testing.T) {
	s := newScript(t)
	s.only = 1
	s.listed.ENIs[0].Addresses = addresses(20, 5)
	s.snap.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 1}}
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Leased: 5}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	first := s.last()
	s.now += Deadline
	s.step(Input{Answers: []Answer{{ID: first.ID, Class: Unknown}}})
	said := false
	for range 150 {
		s.pass(time.Second)
		if n := s.nodes["i-1"]; n.inflight != nil {
			s.step(Input{Answers: []Answer{{ID: n.inflight.ID, Class: Quota, Code: "NetworkInterfaceLimitExceeded"}}})
		}
		why := s.newest().Pools[0].Why
		said = said || why != nil && why.Code == "NetworkInterfaceLimitExceeded"
	}
	if !said {
		t.Error("the reason was never said")
	}
	if n := s.nodes["i-1"]; len(n.creations) > 0 {
		t.Errorf("still counted on after 150 s: %+v", n.creations[ipam.Slot{Device: 1}])
	}
}
