package main

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

// TestPoolNumbers: addresses are told by pool, family and state, and waiting pods by pool, also where a pool has nothing.
func TestPoolNumbers(t *testing.T) {
	s := ipam.Snapshot{
		ENIs: []ipam.ENISummary{
			{ENI: "eni-0", Pool: "a", Free: 3, Leased: 2, Lost: 1, Fenced: addrs("10.0.0.9")},
			{ENI: "eni-1", Pool: "a", Free: 20, Held: 5, IPv6: ipam.Counts{Free: 200, Leased: 56},
				Prefixes: []ipam.PrefixSummary{{Prefix: netip.MustParsePrefix("10.0.0.32/28"), Fenced: true}, {Prefix: netip.MustParsePrefix("10.0.0.48/28"), Free: 16}}},
		},
		Pools: []ipam.PoolSummary{{Name: "a", Waiting: 1, Waiting6: 2}, {Name: "b", WaitingPrefix: 4}},
	}
	var lines []string
	pools(func(name, _ string, value float64, labels ...string) {
		if value != 0 {
			lines = append(lines, fmt.Sprintf("%s %s %g", name, strings.Join(labels, " "), value))
		}
	}, s)
	sort.Strings(lines)
	want := strings.Split(strings.TrimSpace(`
enis pool a state attached 2
pods_waiting pool a 3
pods_waiting pool b 4
pool_addresses pool a family ipv4 state fenced 17
pool_addresses pool a family ipv4 state free 23
pool_addresses pool a family ipv4 state held 5
pool_addresses pool a family ipv4 state leased 2
pool_addresses pool a family ipv4 state lost 1
pool_addresses pool a family ipv6 state free 200
pool_addresses pool a family ipv6 state leased 56
pool_slots pool a family ipv4 42
pool_slots pool a family ipv6 256
`), "\n")
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFleetNumbers: one place tells of every node's pools.
func TestFleetNumbers(t *testing.T) {
	var lines []string
	fleet(func(name, _ string, value float64, labels ...string) {
		lines = append(lines, fmt.Sprintf("%s %s %g", name, strings.Join(labels, " "), value))
	}, reconcile.Picture{
		Nodes: []reconcile.NodeState{{Instance: "i-1", Silent: time.Second, Pools: []reconcile.PoolState{
			{Name: "a", Waiting: 2, Ceiling: 27, Counts: map[ipam.State]int{ipam.Free: 3}}, {Name: "b"}}}},
		Subnets: []reconcile.SubnetState{{ID: "subnet-1", Zone: "z", Free: 9, Fragmented: time.Minute}},
		Orphans: 1,
	})
	sort.Strings(lines)
	want := strings.Split(strings.TrimSpace(`
node_pods_waiting node i-1 pool a 2
node_pods_waiting node i-1 pool b 0
node_pool_addresses node i-1 pool a state free 3
node_pool_ceiling node i-1 pool a 27
node_pool_ceiling node i-1 pool b 0
node_silent_seconds node i-1 1
orphan_enis  1
subnet_blocked_seconds subnet subnet-1 reason Fragmented 60
subnet_free_addresses subnet subnet-1 zone z 9
`), "\n")
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSlowReader: a record whose reader does not read ends, and holds no more than its room.
func TestSlowReader(t *testing.T) {
	var r recorder
	one, err := r.start([]string{"agent"})
	if err != nil {
		t.Fatal(err)
	}
	l := r.begin("agent", "i-1", nil, map[string]string{})
	big := strings.Repeat("x", 1<<20)
	for range 100 {
		l.step(1, big, nil)
	}
	text, over := one.spool.take()
	if !over || len(text) > recordRoom || len(text) < recordRoom/2 {
		t.Errorf("%d bytes, over %v", len(text), over)
	}
	if _, err := r.start(nil); err != nil {
		t.Error(err)
	}
	if _, err := r.start(nil); err == nil {
		t.Error("a third record began")
	}
	r.stop(one)
	if l := r.begin("agent", "i-1", nil, nil); l != nil {
		t.Error("nobody records the agent, and it is recorded")
	}
}
