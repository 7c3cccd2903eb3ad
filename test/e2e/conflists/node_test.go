package conflists

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/node"
)

// machine is the node on which one list runs: the first failure is told and the rest still done.
type machine struct {
	*testing.T
	node *node.Node
	bin  string
}

// run runs a program and returns what it printed.
func (m *machine) run(line string, env ...string) string {
	m.Helper()
	fields := strings.Fields(line)
	cmd := exec.Command(fields[0], fields[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// pod makes a pod's namespace.
func (m *machine) pod(name string) node.Place {
	m.Helper()
	p, err := m.node.Pod(name)
	if err != nil {
		m.Fatal(err)
	}
	return p.Place
}

// serve answers at a place until the test ends.
func (m *machine) serve(p node.Place, at string) {
	m.Helper()
	s, err := m.node.Listen(m.Context(), p, "tcp", netip.MustParseAddrPort(at))
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { s.Close() })
}

// ask is what answers at an address, asked from a place.
func (m *machine) ask(from node.Place, at string, heard bool) string {
	ctx := m.Context()
	if !heard { // what is not there is not waited for
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	a, err := m.node.Dial(ctx, from, "tcp", netip.MustParseAddrPort(at))
	if err != nil {
		return "nothing"
	}
	return a.Who + " sees " + a.Saw.String()
}

// addresses are the pod's, out of what cnitool printed; the second is "" for a pod of one family.
func (m *machine) addresses(result string) (first, second string) {
	m.Helper()
	var r struct {
		IPs []struct{ Address netip.Prefix }
	}
	if err := json.Unmarshal([]byte(result), &r); err != nil || len(r.IPs) == 0 || len(r.IPs) > 2 {
		m.Fatalf("cannot read the result %s: %v", result, err)
	}
	if len(r.IPs) == 2 {
		second = r.IPs[1].Address.Addr().String()
	}
	return r.IPs[0].Address.Addr().String(), second
}
