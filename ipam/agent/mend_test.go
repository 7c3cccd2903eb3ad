package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

func TestRepair(t *testing.T) {
	n := ready(t)
	n.pass(5 * time.Second)
	n.kernel.missing = []string{"3 rules"}
	n.step(Input{Wake: &Wake{Who: "ip (pid 7)"}})
	n.pass(19 * time.Millisecond)
	if n.kernel.missing == nil {
		t.Fatal("repaired before the kernel was quiet")
	}
	n.pass(2 * time.Millisecond)
	if n.kernel.missing != nil {
		t.Fatal("not repaired after 20 ms")
	}
	last := n.bus.events[len(n.bus.events)-1]
	if last.Verb != ipam.KernelRepaired || last.Cause != "put back 3 rules; taken by ip (pid 7)" {
		t.Errorf("event %+v", last)
	}
}

// TestLookAgain: a doubt is looked at again a second later, and once.
func TestLookAgain(t *testing.T) {
	n := ready(t)
	n.pass(5 * time.Second)
	before := n.kernel.repairs
	n.step(Input{Repaired: &Repaired{Again: true}})
	n.pass(900 * time.Millisecond)
	if n.kernel.repairs != before {
		t.Fatal("looked before the second was over")
	}
	n.pass(200 * time.Millisecond)
	if got := n.kernel.repairs - before; got != 1 {
		t.Errorf("looked %d times, want once", got)
	}
}

// TestFight: somebody takes away at once what was put back.
func TestFight(t *testing.T) {
	n := ready(t)
	n.pass(5 * time.Second)
	before := n.kernel.repairs
	for range 6000 { // 10 minutes
		n.kernel.missing = []string{"3 rules"}
		n.step(Input{Wake: &Wake{Who: "networkd (pid 42)"}})
		n.pass(100 * time.Millisecond)
	}
	if got := n.kernel.repairs - before; got > 60 {
		t.Errorf("%d repairs in 10 minutes of fight", got)
	}
	named := 0
	for _, e := range n.did {
		if e.Note != nil && e.Note.Level == "error" && strings.HasPrefix(e.Note.Text, "networkd (pid 42) takes") {
			named++
		}
	}
	if named != 1 {
		t.Errorf("the other was named %d times, want once", named)
	}
	n.pass(2 * time.Minute)
	n.kernel.missing = []string{"1 rule"}
	n.step(Input{Wake: &Wake{}})
	n.pass(200 * time.Millisecond)
	if n.kernel.missing != nil {
		t.Error("after the fight repairs are as quick as before")
	}
}
