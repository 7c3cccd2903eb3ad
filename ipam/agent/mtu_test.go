package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

// TestMTU: a link gets its MTU before its addresses turn free, and another when the pool says another; addresses stay free
// meanwhile.
func TestMTU(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.attach(1)
	n.start()
	n.settle()
	wide := func(mtu int) ipam.SuppliedENI {
		e := eni(1, 3)
		e.MTU = mtu
		return e
	}
	for _, mtu := range []int{9001, 9001, 1500} {
		n.send(n.supply(eni(0, 2), wide(mtu)))
		if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
			t.Errorf("%d (-want +got):\n%s", mtu, diff)
		}
	}
	if diff := cmp.Diff([]string{"0:0", "1:9001", "1:1500"}, n.kernel.mtus); diff != "" {
		t.Errorf("prepared (-want +got):\n%s", diff)
	}
}

// TestMTURefused: the interface serves all the same; the log says so once, and the status until it is otherwise.
func TestMTURefused(t *testing.T) {
	n := newNode(t, 1)
	n.attach(0)
	n.start()
	n.settle()
	n.kernel.unfit = fmt.Errorf("%w: link eth0 has MTU 1500 and refuses 9001", ErrMTU)
	supplied := eni(0, 5)
	for _, mtu := range []int{9001, 9001, 9000} {
		supplied.MTU = mtu
		n.send(n.supply(supplied))
	}
	if diff := cmp.Diff(map[ipam.State]int{ipam.Free: 5}, n.states()); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	want := "eni-00 (number 0): it serves pods, but not with its MTU: link eth0 has MTU 1500 and refuses 9001"
	said := slices.DeleteFunc(slices.Clone(n.did), func(e Effect) bool { return e.Note == nil || !strings.Contains(e.Note.Text, "MTU") })
	if len(said) != 1 || *said[0].Note != (Note{Level: "error", Text: want}) {
		t.Errorf("%d notes, want one", len(said))
	}
	status := n.shell.Status()
	if status.LastWarning != want || !strings.Contains(status.MTURefused[0], "refuses 9001") {
		t.Errorf("status %+v", status)
	}
	n.kernel.unfit = nil
	supplied.MTU = 1500
	n.send(n.supply(supplied))
	if got := n.shell.Status().MTURefused; len(got) > 0 {
		t.Errorf("still refused: %v", got)
	}
	if len(status.MTURefused) != 1 {
		t.Error("what a reader was given has changed")
	}
}
