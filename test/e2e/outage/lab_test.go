// Package outage_test breaks what a node leans on, one thing at a time, in labs of the real binaries: pods must go on,
// errors must name the cause, and all must mend by itself.
package outage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/e2e/live"
)

// oneNode is a lab file with one node of a type.
func oneNode(instanceType string) string { return live.OneNode(instanceType, live.Still) }

// twoNodes has its bus and its reconciler on an instance of their own.
const twoNodes = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: t3.medium, subnet: subnet-a }
enichaind:
  pools:
` + live.Still

// lab is a running lab of this test's own.
type lab struct {
	*live.Lab
	t *testing.T
}

func newLab(t *testing.T, name, text string) *lab {
	t.Helper()
	return &lab{live.Up(t, "out-"+name, text), t}
}

// impatient is the list of conflists/ whose pods wait for an address only so long.
func (l *lab) impatient(wait string) string {
	l.t.Helper()
	return l.List("05-enichain.conflist", map[string]any{"wait": wait})
}

// state reads a node's pool file, inside the node.
func (l *lab) state(node string) (store.State, error) {
	cmd := l.Command("exec", node, "--", os.Args[0], insideMark, "state")
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return store.State{}, fmt.Errorf("%w: %s", err, words.String())
	}
	var s store.State
	return s, json.Unmarshal(out, &s)
}

// mustState is state where the file must be readable.
func (l *lab) mustState(node string) store.State {
	l.t.Helper()
	s, err := l.state(node)
	if err != nil {
		l.t.Fatalf("cannot read the pool of %s: %v", node, err)
	}
	return s
}

// count counts a pool's addresses in a state.
func count(s store.State, state ipam.State) (n int) {
	for _, a := range s.Addresses {
		if a.State == state {
			n++
		}
	}
	return n
}

// asked sums up calls.
func asked(all []live.Calls) (n int) {
	for _, c := range all {
		n += c.Accepted + c.Throttled + c.Refused
	}
	return n
}

// eventually waits for a condition and says how long that took.
func eventually(t *testing.T, most time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < most {
		if done() {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond) // a condition of other processes: nothing to wait on but asking
	}
	t.Fatalf("after %s it is still not so: %s", most, what)
	return 0
}

// free waits until so many addresses may be leased.
func (l *lab) free(node string, n int) {
	l.t.Helper()
	eventually(l.t, time.Minute, fmt.Sprintf("%s has %d free addresses", node, n), func() bool {
		s, err := l.state(node)
		return err == nil && count(s, ipam.Free) >= n
	})
}
