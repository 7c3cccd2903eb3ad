package snat

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
)

// restore is one look at live attachments, at a time that a test says.
func (w *world) restore(x *Restorer, at time.Duration, live ...*stages.Request) (what []string, again bool) {
	w.t.Helper()
	var err error
	w.node.Do(func(*link.Conn) {
		what, again, err = x.Restore(context.Background(), time.Unix(1000, 0).Add(at), live)
	})
	if err != nil {
		w.t.Fatalf("Restore: %v", err)
	}
	return what, again
}

// inOrder sorts lines: a chain that is made anew stands last.
func inOrder(text string) []string { return slices.Sorted(strings.SplitSeq(text, "\n")) }

// TestRestoreMends: whatever CHECK complains of is back, and a second look finds nothing.
func TestRestoreMends(t *testing.T) {
	for name, damage := range map[string]string{
		"nothing":               "true",
		"ruleset":               "nft flush ruleset",
		"table":                 "nft delete table inet enichain-snat",
		"all rules":             "nft flush table inet enichain-snat",
		"rules of a profile":    "nft flush chain inet enichain-snat leave-1",
		"jumps":                 "nft flush chain inet enichain-snat unsteer",
		"base chain":            "nft delete chain inet enichain-snat leave",
		"network of the VPC":    "nft delete element inet enichain-snat inside-1 '{ 10.0.0.0/16 }'",
		"a network too much":    "nft add element inet enichain-snat inside-1 '{ 198.51.100.0/24 }'",
		"a rule too much":       "nft insert rule inet enichain-snat leave-1 return",
		"profile of the link":   "ip link set enipod group 7000",
		"everything of the pod": "nft flush ruleset; ip link set enipod group 7000",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := request("")
			w.add(r)
			before := w.node.Ruleset("inet", "enichain-snat")
			w.node.Script(damage)
			x := &Restorer{}
			what, again := w.restore(x, 0, r)
			if again || (len(what) == 0) != (damage == "true") {
				t.Errorf("after %q: %q, again %t", damage, what, again)
			}
			if err := w.do(Stage{}.Check, r); err != nil {
				t.Errorf("Check: %v", err)
			}
			if diff := cmp.Diff(inOrder(before), inOrder(w.node.Ruleset("inet", "enichain-snat"))); diff != "" {
				t.Errorf("table (-before +after)\n%s", diff)
			}
			for to, want := range map[string]string{"198.51.100.1": "10.0.0.10", "10.0.9.9": "10.0.0.11"} {
				if got := w.sees(to); got != want {
					t.Errorf("%s sees %s, want %s", to, got, want)
				}
			}
			for range 2 {
				if what, again := w.restore(x, time.Second, r); len(what) != 0 || again {
					t.Errorf("the second look: %q, again %t", what, again)
				}
			}
		})
	}
}

// TestRestoreKeepsNumbers: after a flush each pod's profile has the number that its link says, whichever comes first: a
// packet never meets another's profile.
func TestRestoreKeepsNumbers(t *testing.T) {
	w := newWorld(t)
	w.add(request(`,"exclude":["198.51.100.0/24"]`)) // profile 1
	w.node.Script("ip link add other group 7128 type veth peer name otherp; ip link set other up")
	r := request(`,"random":"none"`)
	w.add(r) // profile 2
	w.node.Script("nft flush ruleset")
	w.restore(&Restorer{}, 0, r)
	if got := w.group("enipod"); got != 7256 {
		t.Errorf("group %d, want 7256: the other pod's number was taken", got)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); strings.Contains(text, "leave-1 ") {
		t.Errorf("a profile nobody asked for:\n%s", text)
	}
	// So does an ADD of a new configuration while nobody repairs.
	w.node.Script("nft flush ruleset")
	w.node.Script("ip link set enipod group 7000 alias other/c9/eth0")
	w.add(request(`,"random":"none"`))
	if got := w.group("enipod"); got != 7256 {
		t.Errorf("group %d, want 7256: profile 1 has a pod", got)
	}
}

// TestAddAfterFlush: with no agent, the next pod of a network brings back the way out of those before it.
func TestAddAfterFlush(t *testing.T) {
	w := newWorld(t)
	w.add(request(`,"exclude":["198.51.100.0/24"]`))
	w.add(request("")) // profile 2
	w.node.Script("nft flush ruleset; ip link add next group 7000 type veth peer name nextp; ip link set next up")
	w.node.Script("ip link set enipod alias 'enichain/c1/eth0 10.0.0.11'")
	next := request("")
	next.Container = "c2"
	next.Prev.Interfaces[0].Name = "next"
	mac, _ := link.OwnerMACs(next.Attachment.String())
	w.node.Script("ip link set next address " + mac.String())
	w.add(next)
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("the pod of before is seen as %s", got)
	}
	if got := w.group("next"); got != 7256 {
		t.Errorf("group of the new pod %d, want 7256", got)
	}
}

// TestRestoreByAddress is for pods behind interface plugins that know no link groups.
func TestRestoreByAddress(t *testing.T) {
	w := newWorld(t)
	w.node.Run("ip", "link", "set", "enipod", "group", "0", "address", "02:00:00:00:00:01")
	r := request("")
	w.add(r)
	before := w.node.Ruleset("inet", "enichain-snat")
	same := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before, w.node.Ruleset("inet", "enichain-snat")); diff != "" {
			t.Errorf("%s: table (-before +after)\n%s", when, diff)
		}
	}
	x := &Restorer{}
	w.node.Script("nft flush ruleset")
	w.restore(x, 0, r)
	same("after a flush")

	// Without its one element the pod looks as its DEL leaves it: only after a while it has lost it.
	w.node.Script("nft delete element inet enichain-snat pods '{ 10.0.0.11 }'")
	for at, want := range []bool{true, false} {
		if what, again := w.restore(x, time.Duration(at)*stages.Doubt, r); !again || (len(what) > 0) == want {
			t.Errorf("look %d: %q, again %t", at, what, again)
		}
	}
	same("after a loss")

	// Another pod has the address: it keeps it.
	next := request("")
	next.Container = "c2"
	w.add(next)
	taken := w.node.Ruleset("inet", "enichain-snat")
	for at := range 3 {
		w.restore(x, time.Minute+time.Duration(at)*stages.Doubt, r)
	}
	if diff := cmp.Diff(taken, w.node.Ruleset("inet", "enichain-snat")); diff != "" {
		t.Errorf("the next pod's address was taken (-before +after)\n%s", diff)
	}

	// A pod whose DEL came before what was put back loses it with the next look.
	w.node.Script("nft flush ruleset")
	w.restore(x, 2*time.Minute, r)
	w.restore(x, 3*time.Minute)
	if text := w.node.Ruleset("inet", "enichain-snat"); strings.Contains(text, "enichain/c1/eth0") {
		t.Errorf("what was put back for a pod that ended stays:\n%s", text)
	}
}

// TestRestoreLeavesAlone: the tables of others, and a pod whose DEL has begun.
func TestRestoreLeavesAlone(t *testing.T) {
	w := newWorld(t)
	r := request("")
	w.add(r)
	w.node.Script("nft flush ruleset; nft add table inet other; nft add chain inet other c; ip link set enipod down")
	if what, _ := w.restore(&Restorer{}, 0, r); len(what) != 0 {
		t.Errorf("put back for a severed pod: %q", what)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
		t.Errorf("put back for a severed pod:\n%s", text)
	}
	w.node.Script("ip link set enipod up group 6871") // routed-veth's for what its DEL severed
	if what, _ := w.restore(&Restorer{}, 0, r); len(what) != 0 {
		t.Errorf("put back for a severed pod: %q", what)
	}
	w.node.Script("ip link set enipod group 7128")
	w.restore(&Restorer{}, 0, r)
	if text := w.node.Ruleset("inet", "other"); text != "table inet other {\n\tchain c {\n\t}\n}\n" {
		t.Errorf("another's table is\n%s", text)
	}
	w = newWorld(t)
	w.node.Script("ip link del enipod")
	if what, _ := w.restore(&Restorer{}, 0, r); len(what) != 0 {
		t.Errorf("put back for a pod whose link is deleted: %q", what)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
		t.Errorf("put back for a pod whose link is deleted:\n%s", text)
	}
}
