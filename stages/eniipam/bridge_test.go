package eniipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/ipam/store/storetest"
)

// bridged is what the reference plugin bridge sends.
func (n *node) bridged(network string) string {
	conf := n.delegated("bridge", `,"wait":"0s","families":["ipv4","ipv6"]`)
	return strings.Replace(conf, `"name":"enichain"`, `"name":"`+network+`","isDefaultGateway":true`, 1)
}

// TestUnderBridge: a delegated prefix of the primary interface is one bridge's subnet, of each family.
func TestUnderBridge(t *testing.T) {
	e := storetest.ENI(0, 2)
	e.Subnet6, e.Primary6 = netip.MustParsePrefix("fd00:10::/64"), netip.MustParseAddr("fd00:10::5")
	n := newNode(t, e)
	code, msg := n.refused("ADD", "c1", n.bridged("one"))
	if code != 11 || !strings.Contains(msg, "needs a delegated prefix of the primary network interface") {
		t.Errorf("without a prefix: %d %s", code, msg)
	}
	e.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.110.10.32/28"), netip.MustParsePrefix("10.110.10.48/28"),
		netip.MustParsePrefix("fd00:10:0:0:a::/80"), netip.MustParsePrefix("fd00:10:0:0:b::/80")}
	n.Give(e)
	want(t, "result", `{"cniVersion":"1.0.0","ips":[{"address":"10.110.10.34/28","gateway":"10.110.10.33"},`+
		`{"address":"fd00:10::a:0:0:2/80","gateway":"fd00:10::a:0:0:1"}],`+
		`"routes":[{"dst":"10.110.0.0/16"},{"dst":"0.0.0.0/0","gw":"10.110.10.33"},{"dst":"::/0","gw":"fd00:10::a:0:0:1"}]}`,
		n.must("ADD", "c1", n.bridged("one")))
	want(t, "another network's has another prefix", true,
		strings.Contains(n.must("ADD", "c2", n.bridged("two")), `"10.110.10.50/28","gateway":"10.110.10.49"`))
	_, msg = n.refused("ADD", "c3", n.bridged("three"))
	if !strings.Contains(msg, "POOL_EMPTY") {
		t.Errorf("a third one: %s", msg)
	}
	for _, c := range []string{"d1", "d2"} {
		if out := n.must("ADD", c, n.conf("")); strings.Contains(out, "/28") || strings.Contains(out, "10.110.10.3") {
			t.Errorf("a pod of its own has an address of a bridge: %s", out)
		}
	}
	if _, msg = n.refused("ADD", "d3", n.conf(`,"wait":"0s"`)); !strings.Contains(msg, "that it cannot use") {
		t.Errorf("what is left is the bridges': %s", msg)
	}
	n.must("DEL", "c1", n.bridged("one"))
	n.must("DEL", "c2", n.bridged("two"))
	want(t, "nobody's again", 0, len(n.State().ENIs[0].Bridges))
	if out := n.must("ADD", "d3", n.conf("")); !strings.Contains(out, "10.110.10.3") {
		t.Errorf("a free prefix serves all: %s", out)
	}
}

// TestBridgeWaitsForAPrefix: its ticket is said apart, and whoever delegates one in time serves it.
func TestBridgeWaitsForAPrefix(t *testing.T) {
	e := storetest.ENI(0, 2)
	n := newNode(t, e)
	n.agentLives(0)
	done := make(chan string)
	go func() {
		out, _ := n.run("ADD", "c1", strings.Replace(n.delegated("bridge", `,"wait":"60s"`), `"mtu"`, `"isGateway":true,"mtu"`, 1))
		done <- out
	}()
	until(t, func() bool { return len(n.State().Tickets) > 0 })
	n.Do(func(tx *store.Tx) error {
		want(t, "said apart", 1, tx.Snapshot(store.ReadClock()).Pools[0].WaitingPrefix)
		return nil
	})
	e.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.110.10.32/28")}
	n.Give(e)
	if out := <-done; !strings.Contains(out, `"address":"10.110.10.34/28","gateway":"10.110.10.33"`) {
		t.Error(out)
	}
}
