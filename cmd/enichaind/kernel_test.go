package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/test/need"
)

// inNetns runs f in a network namespace of its own, whose thread ends with it.
func inNetns(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// elsewhere is another network namespace's path, until the test ends: a network interface has its other end outside.
func elsewhere(t *testing.T) string {
	t.Helper()
	path, end := make(chan string), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		path <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		<-end
	}()
	t.Cleanup(func() { close(end) })
	return <-path
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v: %s", args, err, out)
	}
}

var addresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestKernelLinks: what may be a network interface, and nothing of the pods'.
func TestKernelLinks(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "ip", "iproute2")
	inNetns(t, func() {
		ip(t, "link add eth0 address 06:00:00:00:00:01 type veth peer name far0")
		ip(t, "link add eth1 group 6873 address 06:00:00:00:00:02 type veth peer name far1 group 7000")
		ip(t, "link set eth0 up")
		ip(t, "link set far0 group 7128")
		ip(t, "addr add 10.0.0.5/24 dev eth0")
		links, err := kernel{}.Links(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		want := []agent.Link{
			{Name: "eth0", MAC: "06:00:00:00:00:01", Up: true, N: -1, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}},
			{Name: "eth1", MAC: "06:00:00:00:00:02", N: 1},
		}
		byName := cmpopts.SortSlices(func(a, b agent.Link) bool { return a.Name < b.Name })
		if diff := cmp.Diff(want, links, byName, addresses, cmpopts.IgnoreFields(agent.Link{}, "Index")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestWhole: a dump that a busy kernel cut short is no dump, and no reason for alarm.
func TestWhole(t *testing.T) {
	for _, cut := range []int{0, 3, 100} {
		tries := 0
		list, err := whole(func() ([]int, error) {
			if tries++; tries <= cut {
				return []int{1}, netlink.ErrDumpInterrupted
			}
			return []int{1, 2}, nil
		})
		if cut < 10 && (err != nil || len(list) != 2) || cut > 10 && !errors.Is(err, netlink.ErrDumpInterrupted) {
			t.Errorf("cut short %d times: %v, %v", cut, list, err)
		}
	}
}

// TestKernelPrepare: the agent's words reach routed-veth's code: prepared, seen, repaired, forgotten.
func TestKernelPrepare(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "ip", "iproute2")
	vpc := elsewhere(t)
	inNetns(t, func() {
		ip(t, "link set lo up")
		ip(t, "link add eth0 address 06:00:00:00:00:01 type veth peer name far0 netns "+vpc)
		ip(t, "link add eth1 address 06:00:00:00:00:02 type veth peer name far1 netns "+vpc)
		ip(t, "link set eth0 up")
		ip(t, "addr add 10.0.0.5/24 dev eth0")
		ip(t, "route add default via 10.0.0.1 onlink dev eth0")
		eni := func(n int, mac, primary string) agent.ENI {
			return agent.ENI{N: n, SuppliedENI: ipam.SuppliedENI{MAC: mac, Primary: netip.MustParseAddr(primary),
				Subnet: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}}
		}
		enis := []agent.ENI{eni(0, "06:00:00:00:00:01", "10.0.0.5"), eni(1, "06:00:00:00:00:02", "10.0.0.6")}
		k := kernel{}
		enis[1].MTU = 9001
		for _, e := range enis {
			if err := k.Prepare(t.Context(), e); err != nil {
				t.Errorf("prepare %d: %v", e.N, err)
			}
		}
		links, err := k.Links(t.Context())
		if err != nil {
			t.Error(err)
		}
		numbers := map[string]int{}
		for _, l := range links {
			numbers[l.Name] = l.N
		}
		if diff := cmp.Diff(map[string]int{"eth0": 0, "eth1": 1}, numbers); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if out, err := exec.Command("ip", "link", "show", "eth1").CombinedOutput(); err != nil || !strings.Contains(string(out), " mtu 9001 ") {
			t.Errorf("eth1 has not its MTU: %v\n%s", err, out)
		}
		if repaired, err := k.Repair(t.Context(), enis); err != nil || len(repaired) != 0 {
			t.Errorf("repaired what was whole: %v, %v", repaired, err)
		}
		ip(t, "rule flush")
		repaired, err := k.Repair(t.Context(), enis)
		if err != nil || len(repaired) == 0 {
			t.Errorf("after a flush: %v, %v", repaired, err)
		}
		out, err := exec.Command("ip", "rule").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "1500:") || !strings.Contains(string(out), "lookup main") {
			t.Errorf("rules after the repair: %v\n%s", err, out)
		}
		if view, err := k.Inspect(t.Context()); err != nil || len(view.Pods) != 0 {
			t.Errorf("pods where there are none: %+v, %v", view, err)
		}
		if n, err := k.Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("swept %d, %v", n, err)
		}
		if err := k.Forget(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}

// TestNames: the drop-ins are what iproute2 reads.
func TestNames(t *testing.T) {
	names := iprouteNames()
	tables := names["/etc/iproute2/rt_tables.d/enichain.conf"]
	if !strings.HasPrefix(tables, "1000 enichain-pods\n1001 eni-1\n") || !strings.HasSuffix(tables, "\n1127 eni-127\n") {
		t.Errorf("tables:\n%s", tables)
	}
	if got := names["/etc/iproute2/rt_protos.d/enichain.conf"]; got != "233 enichain\n" {
		t.Errorf("protocols: %q", got)
	}
}
