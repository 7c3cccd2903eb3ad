package reconcile

import (
	"net/netip"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// drive feeds a core of one node: lists are answered with what EC2 has by then, calls as EC2 would.
type drive struct {
	core     *Core
	at       time.Duration
	snap     *ipam.Snapshot // in the stream; nil = the node has not spoken yet
	listed   Listed
	supplies []ipam.Supply
	mutated  int
	late     bool // the next list does not show the instance
}

func (d *drive) step(in Input) {
	for _, e := range d.core.Step(Now{At: d.at, Wall: time.Unix(0, 0).Add(d.at)}, in) {
		switch {
		case e.List != nil:
			d.list(*e.List)
		case e.Call != nil:
			d.call(*e.Call)
		case e.Supply != nil:
			d.supplies = append(d.supplies, *e.Supply)
		}
	}
}

// list reads the snapshots now, EC2 a little later; the node speaks in between, where it is said to.
func (d *drive) list(ask List) {
	l := d.listed
	l.ID, l.ReadBegun, l.Begun = ask.ID, d.at, d.at
	if d.snap != nil {
		l.Snapshots = []ipam.Snapshot{*d.snap}
	} else {
		d.snap = &ipam.Snapshot{Instance: "i-1", Inc: "x", Seq: 1, Type: "t3.medium"}
		d.step(Input{Snapshots: []ipam.Snapshot{*d.snap}})
	}
	if d.late {
		l.ENIs, l.Instances, d.late = nil, nil, false
	}
	d.at += 100 * time.Millisecond
	d.step(Input{Listed: &l})
}

func (d *drive) call(c Call) {
	d.mutated++
	a := Answer{ID: c.ID, Class: Done}
	for i := range c.Count {
		a.Addresses = append(a.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + i)}))
	}
	d.listed.ENIs[0].Addresses = append(d.listed.ENIs[0].Addresses, a.Addresses...)
	d.at += 500 * time.Millisecond
	d.step(Input{Answers: []Answer{a}})
}

// TestFirst: a node that had nothing when we first looked may use what it gets at once, whatever the order in which its
// first word, the first list and the first Assign come. One that had something has to wait for proof (protocol A4).
func TestFirst(t *testing.T) {
	spoken := &ipam.Snapshot{Instance: "i-1", Inc: "x", Seq: 1, Type: "t3.medium"}
	for _, test := range []struct {
		name string
		snap *ipam.Snapshot
		has  []netip.Addr
		late bool // EC2's first list does not show the instance
		want bool
	}{
		{name: "it spoke before the list", snap: spoken, want: true},
		{name: "it speaks while the list is under way", want: true},
		{name: "it has addresses that nobody knows of", snap: spoken, has: []netip.Addr{netip.MustParseAddr("10.0.0.99")}},
		{name: "it has them, and speaks while the list is under way", has: []netip.Addr{netip.MustParseAddr("10.0.0.99")}},
		{name: "a list shows it late", snap: spoken, late: true, want: true},
		{name: "a list shows it late, with addresses", snap: spoken, late: true, has: []netip.Addr{netip.MustParseAddr("10.0.0.99")}},
		{
			name: "it has been supplied before", // by whom we do not know any more
			snap: &ipam.Snapshot{Instance: "i-1", Inc: "x", Seq: 9, Seen: ipam.Seen{Epoch: 1, Rev: 3}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &drive{core: New(testConfig()), snap: test.snap, listed: testListed()}
			d.listed.ENIs[0].Addresses = test.has
			d.late = test.late
			if d.snap != nil {
				d.step(Input{Snapshots: []ipam.Snapshot{*d.snap}})
			}
			d.step(Input{Lead: &Lead{Revision: 7}})
			for range 100 {
				d.at += time.Second
				d.step(Input{})
			}
			if len(d.supplies) == 0 || d.mutated == 0 {
				t.Fatalf("%d supplies, %d calls", len(d.supplies), d.mutated)
			}
			for _, s := range d.supplies {
				if s.First != test.want {
					t.Errorf("first %t with %d addresses, want %t", s.First, len(s.ENIs[0].Addresses), test.want)
				}
			}
		})
	}
}
