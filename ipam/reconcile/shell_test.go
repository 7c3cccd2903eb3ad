package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enichain/enichain/ipam"
)

// wireBus is a bus in memory.
type wireBus struct {
	mu       sync.Mutex
	snaps    map[ipam.InstanceID]ipam.Snapshot
	supplies []ipam.Supply
	events   []ipam.Record
	change   func(uint64, time.Time)
	each     func(ipam.Snapshot)
	down     bool
}

func (b *wireBus) Snapshots(ctx context.Context, each func(ipam.Snapshot)) error {
	b.mu.Lock()
	b.each = each
	snaps := b.snaps
	b.mu.Unlock()
	for _, s := range snaps {
		each(s)
	}
	<-ctx.Done()
	return nil
}

func (b *wireBus) LatestSnapshots(context.Context) (map[ipam.InstanceID]ipam.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, errors.New("no bus")
	}
	return b.snaps, nil
}

func (b *wireBus) PublishSupply(_ context.Context, s ipam.Supply) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.supplies = append(b.supplies, s)
	return nil
}

func (b *wireBus) sent() []ipam.Supply {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.supplies)
}

func (b *wireBus) PublishEvent(_ context.Context, _ ipam.InstanceID, _ ipam.Inc, r ipam.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, r)
	return nil
}

func (b *wireBus) Lead(ctx context.Context, _ string, _ time.Duration, change func(uint64, time.Time)) error {
	b.mu.Lock()
	b.change = change
	b.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (b *wireBus) Purge(context.Context, ipam.InstanceID) error { return nil }

// wireCloud is an EC2 with one instance.
type wireCloud struct {
	mu    sync.Mutex
	lists int
	calls []Call
	wait  time.Duration // for a turn
	slow  time.Duration // of an answer
	cut   time.Time     // a call was given up
}

func (c *wireCloud) List(context.Context, List) (Listed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	return testListed(), nil
}

func (c *wireCloud) Wait(ctx context.Context, action Action, _ Urgency) error {
	select {
	case <-ctx.Done():
		return &PacedError{Action: action, Code: "RequestLimitExceeded"}
	case <-time.After(c.wait):
		return nil
	}
}

func (c *wireCloud) Do(ctx context.Context, call Call) Answer {
	c.mu.Lock()
	c.calls = append(c.calls, call)
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = time.Now()
		return Answer{Class: Unknown}
	case <-time.After(c.slow):
	}
	a := Answer{Class: Done}
	for i := range call.Count {
		a.Addresses = append(a.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + i)}))
	}
	return a
}

func (c *wireCloud) made() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func testListed() Listed {
	return Listed{
		ENIs: []ENI{{ID: "eni-0", Subnet: "subnet-a", MAC: "02:00:00:00:00:01", Instance: "i-1", Attachment: "at-0", Bound: true,
			Primary: netip.MustParseAddr("10.0.0.10"), Groups: []string{"sg-1"}}},
		Instances: []Instance{{ID: "i-1", State: "running", Type: "t3.medium", Zone: "a", VPC: "vpc-1", Subnet: "subnet-a"}},
		Limits:    map[string]ipam.Limits{"t3.medium": {ENIs: 3, IPv4: 6}},
		Subnets:   []Subnet{{ID: "subnet-a", VPC: "vpc-1", Zone: "a", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Free: 200}},
		VPCs:      map[string][]netip.Prefix{"vpc-1": {netip.MustParsePrefix("10.0.0.0/16")}},
	}
}

func testConfig() Config {
	return Config{Cluster: "c", Pools: []Pool{{Target: ipam.Target{Warm: 4, UsePrimary: true}}}}
}

// started runs a shell in the bubble until its end.
func started(t *testing.T, bus *wireBus, cloud *wireCloud) (shell *Shell, stop func()) {
	t.Helper()
	bus.snaps = map[ipam.InstanceID]ipam.Snapshot{"i-1": {Instance: "i-1", Inc: "x", Seq: 1}}
	shell, err := NewShell(Options{Config: testConfig(), Bus: bus, Cloud: cloud})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- shell.Run(ctx) }()
	synctest.Wait()
	return shell, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestShell: on winning the election it lists, fills the pool, supplies the node, says so, and resends until the node
// has seen it; before that it does nothing.
func TestShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, cloud := &wireBus{}, &wireCloud{}
		shell, stop := started(t, bus, cloud)
		defer stop()
		time.Sleep(time.Minute)
		if cloud.lists > 0 || len(bus.sent()) > 0 {
			t.Fatalf("%d lists and %d supplies without leading", cloud.lists, len(bus.sent()))
		}
		bus.change(7, time.Now().Add(time.Hour))
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		calls := cloud.made()
		if len(calls) != 1 || calls[0].Action != Assign || calls[0].Count != 4 {
			t.Fatalf("calls %+v", calls)
		}
		last := bus.sent()[len(bus.sent())-1]
		if last.Epoch != 7 || len(last.ENIs) != 1 || len(last.ENIs[0].Addresses) != 4 || last.Basis != (ipam.Basis{Inc: "x", Seq: 1}) {
			t.Errorf("supply %+v", last)
		}
		if len(bus.events) != 1 || bus.events[0].Verb != ipam.AddressAssigned || len(bus.events[0].Address) != 4 {
			t.Errorf("events %+v", bus.events)
		}
		p, err := shell.Picture(t.Context())
		if err != nil || !p.Leading || len(p.Nodes) != 1 || p.Nodes[0].Type != "t3.medium" || len(p.Subnets) != 1 {
			t.Errorf("picture %+v, %v", p, err)
		}
		sent := len(bus.sent())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if again := bus.sent()[sent:]; len(again) < 3 || again[0].Rev != last.Rev {
			t.Errorf("%d resends in 30 s", len(again))
		}
		seen := bus.snaps["i-1"]
		seen.Seq, seen.Seen = 2, ipam.Seen{Epoch: 7, Rev: last.Rev}
		seen.ENIs = []ipam.ENISummary{{ENI: "eni-0", Attachment: "at-0", Link: true, Free: 4}}
		bus.each(seen)
		sent = len(bus.sent())
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if again := bus.sent()[sent:]; len(again) != 0 {
			t.Errorf("sent again what was seen: %+v", again)
		}
	})
}

// TestShellLease: a call whose turn comes after the lease's end is not made (protocol r1).
func TestShellLease(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		t.Run(fmt.Sprint("renewed ", renewed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus, cloud := &wireBus{}, &wireCloud{wait: 12 * time.Second}
				_, stop := started(t, bus, cloud)
				defer stop()
				bus.change(1, time.Now().Add(LeaseTTL))
				if renewed {
					time.Sleep(5 * time.Second)
					bus.change(1, time.Now().Add(LeaseTTL))
				}
				time.Sleep(14 * time.Second)
				synctest.Wait()
				if got := len(cloud.made()); (got == 1) != renewed {
					t.Errorf("%d calls", got)
				}
			})
		})
	}
}

// TestShellLastCall: a call begun at the very end of a lease has D to end in; then its outcome counts as unknown. So what
// a former leader does to EC2 is done D after its lease, which the nodes' hold-down counts in (protocol A1, r1).
func TestShellLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, cloud := &wireBus{}, &wireCloud{wait: LeaseTTL - time.Millisecond, slow: time.Hour}
		_, stop := started(t, bus, cloud)
		defer stop()
		began := time.Now()
		bus.change(1, began.Add(LeaseTTL))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, late := len(cloud.made()), cloud.cut.Sub(began.Add(LeaseTTL)); got != 1 || late > Deadline || late < 0 {
			t.Errorf("%d calls, ended %s after the lease", got, late)
		}
	})
}

// TestShellStops: at the end a call that EC2 has been sent is waited for, and one that waits for its turn is dropped.
func TestShellStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, cloud := &wireBus{}, &wireCloud{slow: 3 * time.Second}
		_, stop := started(t, bus, cloud)
		bus.change(1, time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		at := time.Now()
		stop()
		if took := time.Since(at); took < time.Second || took > 3*time.Second {
			t.Errorf("stopped after %s with a call in flight", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		bus, cloud := &wireBus{}, &wireCloud{wait: time.Hour}
		_, stop := started(t, bus, cloud)
		bus.change(1, time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		at := time.Now()
		stop()
		if took := time.Since(at); took > 0 || len(cloud.made()) > 0 {
			t.Errorf("stopped after %s, %d calls", took, len(cloud.made()))
		}
	})
}

// TestShellBusDown: without the bus there is no list, and no storm of tries.
func TestShellBusDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, cloud := &wireBus{down: true}, &wireCloud{}
		_, stop := started(t, bus, cloud)
		defer stop()
		bus.change(1, time.Now().Add(time.Hour))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if cloud.lists > 0 {
			t.Errorf("%d lists without snapshots", cloud.lists)
		}
		bus.mu.Lock()
		bus.down = false
		bus.mu.Unlock()
		bus.each(bus.snaps["i-1"]) // its heartbeat: one not heard of gets nothing
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(cloud.made()) != 1 {
			t.Errorf("not recovered: %d lists, %d calls", cloud.lists, len(cloud.made()))
		}
	})
}

func TestNewShell(t *testing.T) {
	_, err := NewShell(Options{Config: Config{Pools: []Pool{{Target: ipam.Target{Warm: -1, AtOnce: 99}}}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"cluster: is empty", "pools[0].warm.free: is -1", "pools[0].release.atOnce: is 99; set 1..16"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
