package reconcile

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
)

// script drives a core by hand, over an EC2 that is what testListed says.
type script struct {
	*Core
	t      *testing.T
	now    time.Duration
	listed Listed
	snap   ipam.Snapshot
	calls  []Call
	supply []ipam.Supply
	lists  []List
	events []Event
	purged []ipam.InstanceID
	only   int  // if set, calls for other device indexes never get their turn
	unborn bool // the stream has no snapshot of the node yet
}

func newScript(t *testing.T) *script {
	s := &script{Core: New(testConfig()), t: t, listed: testListed(), snap: ipam.Snapshot{Instance: "i-1", Inc: "x", Seq: 1}}
	return s
}

// step feeds an input and answers every list it leads to.
func (s *script) step(in Input) {
	s.t.Helper()
	pending := []Input{in}
	for len(pending) > 0 {
		in, pending = pending[0], pending[1:]
		for _, e := range s.Step(Now{At: s.now, Wall: time.Unix(0, 0).UTC().Add(s.now)}, in) {
			switch {
			case e.List != nil:
				s.lists = append(s.lists, *e.List)
				l := s.listed
				l.ID, l.ReadBegun, l.Begun = e.List.ID, s.now, s.now
				if !s.unborn {
					l.Snapshots = []ipam.Snapshot{s.snap}
				}
				pending = append(pending, Input{Listed: &l})
			case e.Call != nil:
				s.calls = append(s.calls, *e.Call)
				if s.only != 0 && e.Call.Device != s.only {
					pending = append(pending, Input{Answers: []Answer{{ID: e.Call.ID, Class: NotSent}}})
				}
			case e.Supply != nil:
				s.supply = append(s.supply, *e.Supply)
			case e.Event != nil:
				s.events = append(s.events, *e.Event)
			case e.Purge != "":
				s.purged = append(s.purged, e.Purge)
			}
		}
	}
}

func (s *script) lead(revision uint64) { s.step(Input{Lead: &Lead{Revision: revision}}) }

func (s *script) say(change func(*ipam.Snapshot)) {
	s.snap.Seq++
	change(&s.snap)
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
}

// pass lets time go by in ticks of a second; the node's heartbeat comes once a minute.
func (s *script) pass(d time.Duration) {
	for range int(d / time.Second) {
		s.now += time.Second
		in := Input{}
		if s.now%time.Minute == 0 && !s.unborn {
			in.Snapshots = []ipam.Snapshot{s.snap}
		}
		s.step(in)
	}
}

func (s *script) last() Call { return s.calls[len(s.calls)-1] }

func (s *script) newest() ipam.Supply {
	s.t.Helper()
	if len(s.supply) == 0 {
		s.t.Fatal("no supply was sent")
	}
	return s.supply[len(s.supply)-1]
}

func addresses(from, count int) []netip.Addr {
	var all []netip.Addr
	for i := range count {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(from + i)}))
	}
	return all
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestEpochs: a leader's supplies are above what the node has seen, whatever its lease's revision is (protocol A1).
func TestEpochs(t *testing.T) {
	for _, test := range []struct {
		name     string
		seen     ipam.Seen
		revision uint64
		want     uint64
	}{
		{"fresh", ipam.Seen{}, 5, 5},
		{"the revision is higher", ipam.Seen{Epoch: 3, Rev: 9}, 5, 5},
		{"the store was wiped", ipam.Seen{Epoch: 41, Rev: 2}, 1, 42},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t)
			s.snap.Seen = test.seen
			s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
			s.lead(test.revision)
			if got := s.newest(); got.Epoch != test.want || got.Rev == 0 {
				t.Errorf("epoch %d rev %d, want epoch %d", got.Epoch, got.Rev, test.want)
			}
		})
	}
}

// TestFirstIsSaid: only a pool that cannot have been supplied before is told that it is the first (protocol A4).
func TestFirstIsSaid(t *testing.T) {
	for _, test := range []struct {
		name  string
		setup func(*script)
		want  bool
	}{
		{"EC2 has given it nothing", func(*script) {}, true},
		{"it has been supplied", func(s *script) { s.snap.Seen = ipam.Seen{Epoch: 1, Rev: 1} }, false},
		{"it has addresses, and was there before us", func(s *script) { s.listed.ENIs[0].Addresses = addresses(20, 2) }, false},
		{"it has one of our interfaces", func(s *script) {
			s.listed.ENIs = append(s.listed.ENIs, ENI{ID: "eni-1", Tags: map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1"}})
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t)
			test.setup(s)
			s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
			s.lead(1)
			if got := s.newest().First; got != test.want {
				t.Errorf("first %t, want %t", got, test.want)
			}
		})
	}
	// One that appears soon after we took the lead may be late to tell a bus that has forgotten it.
	for after, want := range map[time.Duration]bool{2 * time.Second: false, 80 * time.Second: false, acquainted: true} {
		t.Run("born under our eyes, with addresses of its launch template, after "+after.String(), func(t *testing.T) {
			s := newScript(t)
			s.listed.ENIs[0].Addresses = addresses(20, 4)
			s.unborn = true
			s.lead(1)
			s.pass(after)
			s.unborn = false
			s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
			s.pass(2 * time.Second)
			if got := s.newest().First; got != want {
				t.Errorf("first %t, want %t", got, want)
			}
		})
	}
	t.Run("another inc", func(t *testing.T) {
		s := newScript(t)
		s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
		s.lead(1)
		s.say(func(n *ipam.Snapshot) { n.Inc, n.Seq = "y", 1 })
		s.pass(10 * time.Second)
		if got := s.newest(); got.First || got.Basis.Inc != "y" {
			t.Errorf("%+v", got)
		}
	})
}

// TestRelease: a wish goes out once; what is fenced is given back only after the snapshot was read and EC2 listed
// anew, and by the node's newest word.
func TestRelease(t *testing.T) {
	s := newScript(t)
	s.listed.ENIs[0].Addresses = addresses(20, 5)
	s.listed.ENIs = append(s.listed.ENIs, ENI{ID: "eni-1", Subnet: "subnet-a", MAC: "02:00:00:00:00:02", Instance: "i-1", Attachment: "at-1",
		Device: 1, Bound: true, Primary: netip.MustParseAddr("10.0.0.11"), Addresses: addresses(30, 5),
		Tags: map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1"}})
	s.snap.ENIs = []ipam.ENISummary{
		{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 5, Age: time.Hour},
		{ENI: "eni-1", Attachment: "at-1", Link: true, Free: 5, Age: time.Hour},
	}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	see := func(n *ipam.Snapshot) { p := s.newest(); n.Seen = ipam.Seen{Epoch: p.Epoch, Rev: p.Rev} }
	s.say(see)
	s.say(func(n *ipam.Snapshot) { n.Pools = []ipam.PoolSummary{{Name: "default", Floor: 10}} })
	s.pass(9 * time.Minute)
	if got := s.newest().Release; len(got) > 0 {
		t.Fatalf("wished %+v within a window of taking over", got)
	}
	s.pass(2 * time.Minute)
	wished := s.newest()
	if diff := cmp.Diff([]ipam.Release{{ENI: "eni-1", Whole: true}}, wished.Release, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Fatalf("wish (-want +got):\n%s", diff)
	}
	s.pass(5 * time.Minute)
	for _, p := range s.supply {
		if len(p.Release) > 0 && p.Rev != wished.Rev {
			t.Errorf("wished again in rev %d", p.Rev)
		}
	}
	lists := len(s.lists)
	s.say(func(n *ipam.Snapshot) {
		see(n)
		n.ENIs[1].Free, n.ENIs[1].Fenced, n.Pools[0].Floor = 0, addresses(30, 5), 5
	})
	s.pass(2 * time.Second)
	if len(s.lists) == lists {
		t.Error("gave back without a new list")
	}
	if got := s.last(); got.Action != Detach || got.Attachment != "at-1" || got.NotAfter > s.now+LeaseTTL {
		t.Fatalf("%+v", got)
	}
	s.step(Input{Answers: []Answer{{ID: s.last().ID, Class: Done}}})
	if got := s.newest(); len(got.ENIs) != 1 || got.Basis.Seq != s.snap.Seq {
		t.Errorf("supply %+v: the basis must be the snapshot with the fence, seq %d", got, s.snap.Seq)
	}
	s.listed.ENIs[1].Instance, s.listed.ENIs[1].Attachment, s.listed.ENIs[1].Device = "", "", 0
	s.pass(5 * time.Second)
	if got := s.last(); got.Action != Delete || got.ENI != "eni-1" {
		t.Errorf("%+v", got)
	}
}

// TestBridge: what a bridge keeps of its delegated prefix serves no other pod, however much of it is free.
func TestBridge(t *testing.T) {
	prefix := netip.MustParsePrefix("10.0.0.32/28")
	for _, tt := range []struct {
		name string
		kept int
		want []Call
	}{
		{"a bridge's", 13, []Call{{Action: Assign, ENI: "eni-0", Count: 4}}},
		{"anybody's", 1, nil},
	} {
		s := newScript(t)
		s.listed.ENIs[0].Prefixes = []netip.Prefix{prefix}
		s.snap.Pools = []ipam.PoolSummary{{Name: "default", Waiting: 2, Floor: 11 - tt.kept}}
		s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Leased: 3, Free: 13, Kept: tt.kept, Age: time.Hour}}
		s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
		s.lead(1)
		s.say(func(n *ipam.Snapshot) { p := s.newest(); n.Seen = ipam.Seen{Epoch: p.Epoch, Rev: p.Rev} })
		var got []Call
		for _, c := range s.calls {
			got = append(got, Call{Action: c.Action, ENI: c.ENI, Count: c.Count})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s prefix, calls (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestStrangers: nothing is done to an interface by a node's word alone (protocol r9), nor for another cluster.
func TestStrangers(t *testing.T) {
	s := newScript(t)
	tags := func(cluster, node string) map[string]string {
		return map[string]string{TagCluster: cluster, TagNode: node, TagSlot: "1"}
	}
	s.listed.ENIs[0].Addresses = addresses(20, 4)
	s.listed.ENIs = append(s.listed.ENIs,
		ENI{ID: "eni-other-cluster", Tags: tags("d", "i-1")},
		ENI{ID: "eni-other-node", Tags: tags("c", "i-2")},
		ENI{ID: "eni-untagged", Instance: "i-1", Attachment: "at-3", Device: 2, Addresses: addresses(60, 3)},
		ENI{ID: "eni-of-theirs", Instance: "i-1", Attachment: "at-3", Device: 3, Addresses: addresses(70, 3),
			Tags: map[string]string{"node.k8s.amazonaws.com/instance_id": "i-1"}},
		ENI{ID: "eni-attached-elsewhere", Instance: "i-3", Attachment: "at-3", Device: 1, Tags: tags("c", "i-1"), Addresses: addresses(50, 3)},
	)
	s.listed.Instances = append(s.listed.Instances, Instance{ID: "i-2", State: "running"})
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 4}}
	for _, id := range []ipam.ENIID{"eni-other-cluster", "eni-other-node", "eni-untagged", "eni-of-theirs", "eni-attached-elsewhere", "eni-nowhere"} {
		s.snap.ENIs = append(s.snap.ENIs, ipam.ENISummary{ENI: id, Attachment: "at-3", Leased: 0, Fenced: addresses(50, 3), Age: time.Hour})
	}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	s.pass(40 * time.Minute)
	for _, c := range s.calls {
		t.Errorf("%s of %s", c.Action, c.ENI)
	}
	if got := s.newest(); len(got.ENIs) != 1 {
		t.Errorf("supplied %+v", got.ENIs)
	}
}

// TestDryRun: everything is planned, nothing is called and no node is told anything.
func TestDryRun(t *testing.T) {
	cfg := testConfig()
	cfg.DryRun = true
	core, would := New(cfg), 0
	snap := ipam.Snapshot{Instance: "i-1", Inc: "x", Seq: 1}
	core.Step(Now{}, Input{Snapshots: []ipam.Snapshot{snap}})
	effects := core.Step(Now{}, Input{Lead: &Lead{Revision: 1}})
	for i := range 600 {
		var next []Effect
		for _, e := range effects {
			switch {
			case e.List != nil:
				l := testListed()
				l.ID, l.Snapshots = e.List.ID, []ipam.Snapshot{snap}
				l.ReadBegun, l.Begun = time.Duration(i)*time.Second, time.Duration(i)*time.Second
				next = append(next, core.Step(Now{At: l.Begun}, Input{Listed: &l})...)
			case e.Would != nil:
				would++
			default:
				t.Fatalf("%+v", e)
			}
		}
		effects = append(next, core.Step(Now{At: time.Duration(i+1) * time.Second}, Input{})...)
	}
	if would < 1 || would > 3 {
		t.Errorf("said %d times what it would do", would)
	}
}

// TestQuiet: a node that has what it should have is told nothing and costs EC2 nothing but the full lists, although each
// supply that it accepts makes it speak, and each of its words is read with the next list.
func TestQuiet(t *testing.T) {
	s := newScript(t)
	s.listed.ENIs[0].Addresses = addresses(20, 5)
	s.snap.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 5}}
	s.step(Input{Snapshots: []ipam.Snapshot{s.snap}})
	s.lead(1)
	agree := func() { // as an agent does: what it was told last is accepted, and said
		for s.snap.Seen != (ipam.Seen{Epoch: s.newest().Epoch, Rev: s.newest().Rev}) {
			s.say(func(n *ipam.Snapshot) { n.Seen = ipam.Seen{Epoch: s.newest().Epoch, Rev: s.newest().Rev} })
		}
	}
	agree()
	s.pass(2 * time.Second)
	agree()
	supplies, lists := len(s.supply), len(s.lists)
	for range 60 {
		s.pass(time.Minute)
		s.say(func(*ipam.Snapshot) {}) // seq rises with every lease
		agree()
	}
	if got := len(s.supply) - supplies; got != 0 {
		t.Errorf("%d supplies in an hour of nothing, the last %+v", got, s.newest())
	}
	if got := len(s.lists) - lists; got > 12 {
		t.Errorf("%d lists in an hour of nothing, want one each 5 min", got)
	}
	if len(s.calls) > 0 {
		t.Errorf("calls %+v", s.calls)
	}
}
