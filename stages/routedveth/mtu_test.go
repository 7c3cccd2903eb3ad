package routedveth_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// hotPlugged is how a network interface comes to a running machine: with the driver's MTU, Ethernet's.
const hotPlugged = "\nip link set eth1 mtu 1500"

func with(e routedveth.ENI, mtu int) routedveth.ENI {
	e.MTU = mtu
	return e
}

func (n *node) mtu(link string) string {
	n.t.Helper()
	fields := strings.Fields(n.Run("ip", "-o", "link", "show", link))
	return fields[slices.Index(fields, "mtu")+1]
}

func TestPrepareSetsTheMTU(t *testing.T) {
	for _, tc := range []struct {
		name, link, want string
		eni              routedveth.ENI
	}{
		{"a secondary one", "eth1", "9001", with(eni1, 9001)},
		{"with IPv6", "eth1", "1280", with(eni1six, 1280)},
		{"left as it is", "eth1", "1500", eni1},
		{"the primary one", "eth0", "8000", routedveth.ENI{N: 0, MAC: mac0, MTU: 8000}},
		{"the primary one, left", "eth0", "9001", routedveth.ENI{N: 0, MAC: mac0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, setup6, hotPlugged)
			for range 2 {
				n.prepare(tc.eni)
				if got := n.mtu(tc.link); got != tc.want {
					t.Errorf("%s has MTU %s, want %s", tc.link, got, tc.want)
				}
			}
			n.in(func() error { return routedveth.Verify(t.Context(), tc.eni) })
		})
	}
}

// TestPodsTakeThePreparedMTU: a pod has what its network interface was given, if the list says nothing else.
func TestPodsTakeThePreparedMTU(t *testing.T) {
	n := newNode(t, hotPlugged)
	n.prepare(with(eni1, 9001))
	for _, tc := range []struct{ container, key, want string }{{"a", "", "9001"}, {"b", `,"mtu":1400`, "1400"}} {
		pod := linktest.New(t)
		r := request(t, tc.container, pod, onENI("eth1", mac1, "10.0.1."+fmt.Sprint(30+len(tc.key))))
		r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth"` + tc.key + `}`)
		n.add(r)
		if got := pod.Run("ip", "-o", "link", "show", "eth0"); !strings.Contains(got, " mtu "+tc.want+" ") {
			t.Errorf("pod %s, want MTU %s: %s", tc.container, tc.want, got)
		}
	}
}

func TestRepairPutsTheMTUBack(t *testing.T) {
	n := newNode(t, setup6)
	e := with(eni1six, 9001)
	n.prepare(e)
	for _, other := range []string{"1500", "1000"} { // the smaller one takes IPv6 off the link
		n.Script("ip link set eth1 mtu " + other)
		want := "link eth1 has MTU " + other + ", not 9001"
		err := n.try(func() error { return routedveth.Verify(t.Context(), e) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify: %v, want %s", err, want)
		}
		var what []string
		n.in(func() (err error) { what, err = routedveth.Repair(t.Context(), []routedveth.ENI{e}); return err })
		if !slices.Contains(what, want) {
			t.Errorf("repaired %q, want %q", what, want)
		}
		n.in(func() error { return routedveth.Verify(t.Context(), e) })
		n.in(func() (err error) { what, err = routedveth.Repair(t.Context(), []routedveth.ENI{e}); return err })
		if len(what) > 0 {
			t.Errorf("repaired again: %q", what)
		}
	}
}

// TestLinkThatRefusesTheMTU: the interface serves pods all the same, and repairs do not say every time what cannot be.
func TestLinkThatRefusesTheMTU(t *testing.T) {
	n := newNode(t)
	n.Script("ip link del eth1")
	n.vpc.Script(`ip link add low0 mtu 1500 type veth peer name low1; ip link set low0 up
		ip link add eth1 netns ` + n.Name() + ` link low0 address ` + mac1 + ` type macvlan mode bridge`)
	e := with(eni1, 9001)
	for range 2 {
		err := n.try(func() error { return routedveth.Prepare(t.Context(), e) })
		var refused *routedveth.MTUError
		if !errors.As(err, &refused) || refused.Link != "eth1" || refused.Is != 1500 || refused.Want != 9001 || !errors.Is(err, unix.EINVAL) {
			t.Fatalf("Prepare: %#v", err)
		}
	}
	n.in(func() error { return routedveth.Verify(t.Context(), eni1) })
	var what []string
	n.in(func() (err error) { what, err = routedveth.Repair(t.Context(), []routedveth.ENI{e}); return err })
	if len(what) > 0 {
		t.Errorf("repaired %q", what)
	}
	n.add(request(t, "a", linktest.New(t), onENI("eth1", mac1, "10.0.1.30")))
}

// TestPodWithALargerMTU: what its network interface cannot carry is told to the pod, and not lost without a word.
func TestPodWithALargerMTU(t *testing.T) {
	n := newNode(t, hotPlugged)
	n.prepare(eni1)
	pod := linktest.New(t)
	r := request(t, "a", pod, onENI("eth1", mac1, "10.0.1.30"))
	r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth","mtu":9001}`)
	n.add(r)
	pod.Run("bash", "-c", "head -c 4000 /dev/zero > /dev/udp/10.0.9.9/9")
	if got := pod.Run("ip", "route", "get", "10.0.9.9"); !strings.Contains(got, " mtu 1500") {
		t.Errorf("the pod's way out: %s", got)
	}
}
