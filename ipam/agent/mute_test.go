package agent

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPeopleAreToldOfTheBus follows what a waiting pod's error will say of the bus.
func TestPeopleAreToldOfTheBus(t *testing.T) {
	n := ready(t)
	n.config.Options.Bus = "nats://hub:4222"
	n.shell.config.Options.Bus = n.config.Options.Bus
	mute := func() string {
		if m := n.state().Meta.Mute; m != nil {
			return m.Since.Sub(n.now.Wall).String() + " " + m.Bus
		}
		return ""
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"connected", func() { n.settle() }, ""},
		{"gone for a moment", func() { n.connect(false); n.pass(900 * time.Millisecond); n.connect(true); n.settle() }, ""},
		{"gone", func() { n.connect(false); n.pass(10 * time.Second) }, "-10s nats://hub:4222"},
		{"gone for longer", func() { n.pass(time.Minute) }, "-1m10s nats://hub:4222"},
		{"another agent finds it gone", func() { n.start(); n.pass(2 * time.Second) }, "-2s nats://hub:4222"},
		{"back", func() { n.connect(true); n.settle() }, ""},
		{"connected, but nothing comes through", func() { n.bus.fails = errors.New("no answer"); n.wait("w"); n.pass(4*time.Second + burstQuiet) }, "-4s nats://hub:4222"},
		{"it comes through again", func() { n.bus.fails = nil; n.pass(time.Minute) }, ""},
	} {
		step.do()
		if got := mute(); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// TestFlowsEndBeforeTheAddressIsFree wants the kernel's memory of the old pod gone before another can get its address.
func TestFlowsEndBeforeTheAddressIsFree(t *testing.T) {
	n := newNode(t, 1)
	var forgotten []netip.Addr
	n.config.ForgetFlows = func(_ context.Context, addresses []netip.Addr) error {
		forgotten = append(forgotten, addresses...)
		return errors.New("the kernel tracks nothing") // which must not cost an address
	}
	n.start()
	n.attach(0)
	n.step(Input{Wake: &Wake{Links: true}})
	n.settle()
	n.send(n.supply(eni(0, 1)))
	address, err := n.add("a")
	if err != nil {
		t.Fatal(err)
	}
	n.del("a")
	n.pass(29 * time.Second)
	if len(forgotten) != 0 {
		t.Errorf("flows forgotten while it cools: %v", forgotten)
	}
	n.pass(2 * time.Second)
	if diff := cmp.Diff([]netip.Addr{address}, forgotten, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("flows forgotten (-want +got):\n%s", diff)
	}
	if again, err := n.add("b"); err != nil || again != address {
		t.Errorf("the next pod has %s, %v, not %s", again, err, address)
	}
}
