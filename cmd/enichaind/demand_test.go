package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

func TestParseDemand(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Demand
		faults     []string
	}{
		{"YAML", "i-1:\n  default: 3\n  db: 0\ni-2: {}\n", Demand{"i-1": {"default": 3, "db": 0}, "i-2": {}}, nil},
		{"JSON", `{"i-1": {"default": 3}}`, Demand{"i-1": {"default": 3}}, nil},
		{"nothing", "", Demand{}, nil},
		{"nothing in words", "null", Demand{}, nil},
		{"a list", "[i-1]", nil, []string{"line 1: want instances with their pools"}},
		{"no YAML", "i-1: {", nil, []string{"cannot read the demand: yaml"}},
		{"all faults at once", "node-a: {default: 1}\ni-1:\n  default: -1\n  db: 1.5\n  web: '3'\ni-2: 4\ni-3: {}\ni-3: {}\n", nil, []string{
			`line 1: "node-a" is no instance's id`, `line 3: i-1: default is "-1"; want a number of pods`, `line 4: i-1: db is "1.5"`,
			`line 5: i-1: web is "3"`, "line 6: want i-2: want pools", "line 8: i-3 stands twice",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseDemand([]byte(test.text))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err != nil) != (test.faults != nil) {
				t.Fatalf("error %v", err)
			}
			for _, fault := range test.faults {
				if !strings.Contains(err.Error(), fault) {
					t.Errorf("%q does not say %q", err, fault)
				}
			}
		})
	}
}

// TestDemandEnds: what a file says holds for five minutes from its last writing, faults or not.
func TestDemandEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pods.yaml")
	said, told := make(chan error, 100), make(chan Demand, 100)
	ctx, stop := context.WithCancel(t.Context())
	var follow sync.WaitGroup
	defer follow.Wait()
	defer stop()
	follow.Go(func() {
		(&demandFile{path: path, said: func(err error) { said <- err }}).Follow(ctx, func(d Demand) { told <- d })
	})
	next := func(step string, want Demand) {
		t.Helper()
		select {
		case got := <-told:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", step, diff)
			}
		case <-time.After(patience):
			t.Fatalf("%s: nothing was told", step)
		}
	}
	fault := func(step string, want bool) {
		t.Helper()
		select {
		case err := <-said:
			if (err != nil) != want {
				t.Fatalf("%s: error %v", step, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: nothing was said", step)
		}
	}
	// put writes a file as if it had been written some time ago.
	put := func(text string, ago time.Duration) {
		t.Helper()
		write(t, path+".tmp", text)
		at := time.Now().Add(-ago)
		if err := os.Chtimes(path+".tmp", at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Fatal(err)
		}
	}
	fault("no file", true)
	put("i-1: {default: 3}", 0)
	fault("a file", false)
	next("a file", Demand{"i-1": {"default": 3}})
	put("i-1: {default: 4}", demandLife-300*time.Millisecond)
	fault("the end is near", false)
	select {
	case got := <-told: // on a slow machine it is over before it is read, and told twice
		if diff := cmp.Diff(Demand{"i-1": {"default": 4}}, got); diff != "" && len(got) > 0 {
			t.Fatalf("the end is near (-want +got):\n%s", diff)
		}
	case <-time.After(patience):
		t.Fatal("the end is near: nothing was told")
	}
	next("the end", Demand{})
	put("i-1: {default: 4}", 0)
	fault("written anew", false)
	next("written anew, with the same text", Demand{"i-1": {"default": 4}})
	put("i-1: {default: x}", 0)
	fault("broken", true)
	put("i-1: {default: 5}", time.Hour)
	fault("an old file", false)
	next("an old file", Demand{})
}

// TestDemandOfInstancesThatAreGone: who is named no more is told so once.
func TestDemandOfInstancesThatAreGone(t *testing.T) {
	var s demandState
	s.tell(Demand{"i-1": {"default": 1}, "i-2": {"db": 2}})
	if diff := cmp.Diff(Demand{"i-1": {}, "i-2": {"db": 1}}, s.tell(Demand{"i-2": {"db": 1}})); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Demand{"i-2": {}}, s.tell(Demand{})); diff != "" {
		t.Errorf("then (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Demand{}, s.tell(Demand{})); diff != "" {
		t.Errorf("at last (-want +got):\n%s", diff)
	}
}

// TestDemandTimes: pods' waiting for EC2 is measured from snapshot to snapshot; what the pool served by itself is not.
func TestDemandTimes(t *testing.T) {
	type served struct {
		Pool, How string
		Took      time.Duration
	}
	var got []served
	d := newDemandTimes(func(pool, how string, took time.Duration) { got = append(got, served{pool, how, took}) })
	at := func(seconds int) reconcile.Now { return reconcile.Now{At: time.Duration(seconds) * time.Second} }
	snap := func(pool string, waiting int) reconcile.Input {
		return reconcile.Input{Snapshots: []ipam.Snapshot{{Instance: "i-1", Pools: []ipam.PoolSummary{{Name: pool, Waiting: waiting}}}}}
	}
	call := func(id uint64, c reconcile.Call) []reconcile.Effect {
		c.ID, c.Instance = id, "i-1"
		return []reconcile.Effect{{Call: &c}}
	}
	answer := func(id uint64, class reconcile.Class) reconcile.Input {
		return reconcile.Input{Answers: []reconcile.Answer{{ID: id, Class: class}}}
	}
	d.step(at(1), snap("a", 3), call(1, reconcile.Call{Action: reconcile.Assign, Pool: "a", Prefixes: 1}))
	d.step(at(2), snap("b", 1), call(2, reconcile.Call{Action: reconcile.Create, Pool: "b"}))
	d.step(at(3), answer(1, reconcile.Done), nil)
	d.step(at(4), snap("a", 3), nil)
	d.step(at(5), snap("a", 0), nil)
	d.step(at(6), answer(2, reconcile.Done), call(3, reconcile.Call{Action: reconcile.Attach, Pool: "b"}))
	d.step(at(9), answer(3, reconcile.Done), nil)
	d.step(at(10), snap("b", 0), nil)
	d.step(at(11), snap("a", 1), call(4, reconcile.Call{Action: reconcile.Assign, Pool: "a", Count: 1}))
	d.step(at(12), answer(4, reconcile.SubnetFull), nil)
	d.step(at(13), snap("a", 0), nil) // a pod of the node was deleted, and that was that
	d.step(at(14), snap("a", 1), nil)
	d.step(at(15), reconcile.Input{Lead: &reconcile.Lead{}}, nil)
	d.step(at(16), snap("a", 0), nil)
	if diff := cmp.Diff([]served{{"a", "prefix", 4 * time.Second}, {"b", "attach", 8 * time.Second}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(d.waits)+len(d.calls) != 0 {
		t.Errorf("left: %v, %v", d.waits, d.calls)
	}
}
