package outage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/test/e2e/live"
)

// TestDeadAgent has the node's only daemon dead while pods come and go, and looks what it finds when it is back.
func TestDeadAgent(t *testing.T) {
	t.Parallel()
	l := newLab(t, "agent", oneNode("t3.medium"))
	l.free("node-1", 4)
	l.Start("before", "--count", "2")
	l.Must("fault", "set", "kill", "node-1=enichaind")
	l.Start("meanwhile", "--port", "8080:80")
	l.Must("reach", "internet", "http://198.51.100.1:8080")
	l.Must("reach", "node-1/meanwhile", "http://203.0.113.10")
	gone := l.End("before-1")[0]
	l.On("node-1", "ip rule flush; nft flush ruleset") // nobody mends it but the next ADD
	l.Start("after-flush")
	l.Must("reach", "node-1/after-flush", "http://203.0.113.10")
	l.Must("fault", "clear")
	eventually(t, time.Minute, "the pool is full again, and the old pod's address too", func() bool {
		s, err := l.state("node-1")
		return err == nil && count(s, ipam.Free) >= 4 && count(s, ipam.Cooling) == 0 && s.Outbox == 0
	})
	s := l.mustState("node-1")
	if len(s.Leases) != 3 {
		t.Errorf("%d leases for 3 pods: %+v", len(s.Leases), s.Leases)
	}
	for _, lease := range s.Leases {
		if lease.Addresses[0].String() == gone.Address() {
			t.Errorf("%s, whose pod ended while the agent was dead, is leased to %s", gone.Address(), lease.Pod)
		}
	}
	l.Must("reach", "node-1/before-2", "http://203.0.113.10")
	l.Must("reach", "internet", "http://198.51.100.1:8080")
	l.End("--all")
	l.nothingLeft("node-1", nil)
}

// TestOthersCleanUp takes our rules, routes and tables from a node with pods on two interfaces.
func TestOthersCleanUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, "flush", oneNode("t3.medium"))
	l.free("node-1", 4)
	pods := l.Start("p", "--count", "6", "--node", "node-1") // 5 at most on the primary interface
	l.free("node-1", 4)
	settled := func() string {
		return l.On("node-1", "ip rule; ip -6 rule; ip route show table all proto 233 | sort; nft list tables; nft list table inet enichain-routed-veth || true")
	}
	before := settled()
	for _, what := range []string{"rules", "nft", "routes"} {
		l.Must("fault", "set", "flush", "node-1="+what)
		after := ""
		took := eventually(t, time.Minute, what+" are back", func() bool { after = settled(); return after == before })
		t.Logf("%s were back after %s", what, took.Round(time.Millisecond))
		for _, p := range []live.Pod{pods[0], pods[5]} {
			l.Must("reach", "vpc-host", "http://"+p.Address())
			l.Must("reach", "node-1/"+p.Name, "http://203.0.113.10")
		}
	}
}

// TestLostPoolFile removes the pool file under live pods.
func TestLostPoolFile(t *testing.T) {
	t.Parallel()
	l := newLab(t, "file", oneNode("t3.medium"))
	l.free("node-1", 4)
	l.Start("old", "--count", "3", "--node", "node-1")
	for _, tc := range []struct{ name, line string }{
		{"removed", "rm /run/enichain/pool.db"},
		{"all of the folder's files removed", "rm /run/enichain/*"},
		{"cut short", "truncate -s 5000 /run/enichain/pool.db"},
		{"written over", "dd if=/dev/urandom of=/run/enichain/pool.db bs=4096 count=8 conv=notrunc 2>/dev/null"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inc := l.mustState("node-1").Meta.Inc
			l.On("node-1", tc.line)
			eventually(t, time.Minute, "there is a new pool file", func() bool {
				s, err := l.state("node-1")
				return err == nil && s.Meta.Inc != inc
			})
			live := l.Pods("ls")
			s := l.mustState("node-1")
			for _, p := range live {
				found := ""
				for _, lease := range s.Leases {
					if lease.Addresses[0].String() == p.Address() {
						found = lease.Container
					}
				}
				if found == "" || strings.HasPrefix(found, "unknown") {
					t.Errorf("%s of %s is not leased to it but to %q", p.Address(), p.Name, found)
				}
			}
		})
	}
	// Whatever is free by now, nobody gets an address of a live pod.
	all := map[string]string{}
	for range 3 {
		l.Pods("add", "new", "--count", "3", "--node", "node-1", "--conflist", l.impatient("3s"))
		for _, p := range l.Pods("ls") {
			if other, taken := all[p.Address()]; taken && other != p.Name {
				t.Errorf("%s and %s both have %s", p.Name, other, p.Address())
			}
			all[p.Address()] = p.Name
		}
	}
	for _, p := range l.Pods("ls") {
		l.Must("reach", "vpc-host", "http://"+p.Address())
	}
	l.End("--all")
	l.nothingLeft("node-1", nil)
}

// TestDetachedFromOutside pulls an interface from under pods.
func TestDetachedFromOutside(t *testing.T) {
	t.Parallel()
	l := newLab(t, "detach", oneNode("t3.medium"))
	l.free("node-1", 4)
	l.Start("p", "--count", "8", "--node", "node-1")
	s := l.mustState("node-1")
	var on []live.Pod // those of the second interface
	eni := s.ENIs[1].ENI
	for _, p := range l.Pods("ls") {
		for _, lease := range s.Leases {
			if lease.ENIID == eni && lease.Addresses[0].String() == p.Address() {
				on = append(on, p)
			}
		}
	}
	if len(on) == 0 {
		t.Fatalf("no pod is on the second interface: %+v", s.ENIs)
	}
	l.Must("reach", "vpc-host", "http://"+on[0].Address())
	l.Must("fault", "set", "detach", string(eni))
	lost := func() (n int) {
		for _, a := range l.mustState("node-1").Addresses {
			if a.Lost && a.State == ipam.Leased {
				n++
			}
		}
		return n
	}
	eventually(t, time.Minute, "its leases are lost, and kept", func() bool { return lost() == len(on) })
	took := eventually(t, 7*time.Minute, "the interface is back with its leases", func() bool { return lost() == 0 })
	t.Logf("attached again after %s", took.Round(time.Millisecond))
	for _, p := range l.Pods("ls") {
		eventually(t, time.Minute, p.Name+" is reached", func() bool { return l.Run("reach", "vpc-host", "http://"+p.Address()).Code == 0 })
		l.Must("reach", "node-1/"+p.Name, "http://203.0.113.10")
	}
	if n := len(l.mustState("node-1").Leases); n != 8 {
		t.Errorf("%d leases for 8 pods", n)
	}
}
