package routedveth_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// interrupted is a context whose Err, which a repair asks between two of its looks, lets another process act once: at
// the at-th question.
type interrupted struct {
	context.Context
	at, asked int
	act       func()
}

func (i *interrupted) Err() error {
	i.asked++
	if i.asked == i.at {
		i.act()
	}
	return nil
}

// moments calls f for each moment at which the agent may act while an ADD repairs, each time with another node: its
// primary network interface is prepared, and somebody deletes rule 500 of it.
func moments(t *testing.T, f func(n *node, between func(act func() error))) {
	for at, more := 1, true; more && !t.Failed(); at++ {
		t.Run(fmt.Sprint("moment ", at), func(t *testing.T) {
			n := newNode(t)
			n.prepare(routedveth.ENI{N: 0, MAC: mac0})
			f(n, func(act func() error) {
				n.Script("ip rule del pref 500")
				ctx := &interrupted{Context: t.Context(), at: at, act: func() {
					if err := act(); err != nil {
						t.Error(err)
					}
				}}
				n.in(func() error { _, err := routedveth.Repair(ctx, nil); return err })
				if more = ctx.asked >= at; !more {
					n.in(act) // after it
				}
			})
		})
		if !more && at < 5 {
			t.Errorf("only %d moments", at)
		}
	}
}

// TestRepairBesidePrepare: an ADD that repairs the base takes nothing away from a network interface that the agent
// prepares, or gives another address, meanwhile, and marks none again that it forgets.
func TestRepairBesidePrepare(t *testing.T) {
	moved := eni1
	moved.Primary = netip.MustParseAddr("10.0.1.30")
	t.Run("a fresh one", func(t *testing.T) {
		moments(t, func(n *node, between func(func() error)) {
			between(func() error { return routedveth.Prepare(n.t.Context(), eni1) })
			n.in(func() error { return routedveth.Verify(n.t.Context(), eni1) })
		})
	})
	t.Run("another address", func(t *testing.T) {
		moments(t, func(n *node, between func(func() error)) {
			n.prepare(eni1)
			between(func() error { return routedveth.Prepare(n.t.Context(), moved) })
			n.in(func() error { return routedveth.Verify(n.t.Context(), moved) })
		})
	})
	t.Run("forgotten", func(t *testing.T) {
		moments(t, func(n *node, between func(func() error)) {
			before := n.Rules("-4")
			n.prepare(eni1)
			between(func() error { return routedveth.Forget(n.t.Context(), 1) })
			if got := n.Run("ip", "-d", "link", "show", "eth1"); strings.Contains(got, "group 6873") || strings.Contains(got, "alias") {
				n.t.Errorf("eth1 is marked: %s", got)
			}
			n.in(func() error {
				_, err := routedveth.Repair(n.t.Context(), []routedveth.ENI{{N: 0, MAC: mac0}})
				return err
			})
			same(n.t, "rules", before, n.Rules("-4"))
		})
	})
}

// TestRepairBesideALostNote: an ADD mends what its own network interface lacks, whatever others have lost; and says which
// note is missing where it is its own.
func TestRepairBesideALostNote(t *testing.T) {
	n := newNode(t, `
		ip link add eth2 address 0a:00:00:00:00:30 type veth peer name vpc2 netns VPC`)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	n.prepare(routedveth.ENI{N: 2, MAC: "0a:00:00:00:00:30", Primary: netip.MustParseAddr("10.0.2.30"), Gateway: netip.MustParseAddr("10.0.2.1")})
	n.Script("ip rule flush; ip link set eth2 alias mine")
	n.add(request(t, "c1", linktest.New(t), onENI("eth1", mac1, "10.0.1.21")))
	if rules := n.Rules("-4"); !strings.Contains(rules, "1500: from all fwmark 0x1/0x7f lookup 1001") {
		t.Errorf("eth1's rule was not put back:\n%s", rules)
	}
	_, err := n.tryAdd(request(t, "c2", linktest.New(t), onENI("eth2", "0a:00:00:00:00:30", "10.0.2.21")))
	if want := `link eth2 has lost the note (alias "mine")`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
