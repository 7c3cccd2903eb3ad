package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/test/lab/vpc"
)

// usual is a policy with short windows.
func usual() reconcile.Config { return configOf([]reconcile.Pool{usualPool()}) }

// world is a fleet whose files are gone after the test; a reconciler leads.
func world(t *testing.T, seed uint64, w vpc.Config, cfg reconcile.Config) *fleet {
	t.Helper()
	f := newFleet(seed, scratch(t), w, cfg)
	t.Cleanup(f.end)
	f.addLeader("r1").lead(1, forever)
	return f
}

// one is a filled node and its reconciler.
func one(t *testing.T, kind string, maxPods int, w vpc.Config) (*fleet, *node) {
	t.Helper()
	f := world(t, 5, w, usual())
	n := f.addNode(kind, maxPods)
	f.run(15 * time.Second)
	f.must(t)
	return f, n
}

func (f *fleet) must(t *testing.T) {
	t.Helper()
	if len(f.faults) > 0 {
		t.Fatalf("%v\n%s", f.faults, f.story())
	}
}

// lasts lets time pass and wants nothing broken.
func (f *fleet) lasts(t *testing.T, d time.Duration) {
	t.Helper()
	f.run(d)
	f.must(t)
}

// wrong ends a test with the story of its run.
func (f *fleet) wrong(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), f.story())
}

func (f *fleet) fault(t *testing.T, kind, argument string) {
	t.Helper()
	fault, err := vpc.ParseFault(kind, argument)
	if err == nil {
		err = f.world.SetFault(f.wall(), fault)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) clear(kind vpc.FaultKind) { f.world.ClearFault(f.wall(), kind, "") }

// burst starts pods at once.
func (f *fleet) burst(n *node, name string, count int) (pods []*pod) {
	for i := range count {
		pods = append(pods, f.pod(n, fmt.Sprint(name, "-", i)))
	}
	return pods
}

// on counts a node's IPv4 addresses by state.
func (n *node) on(state ipam.State) (count int) {
	for a, s := range n.pool.addresses {
		if s.State == state && a.Is4() {
			count++
		}
	}
	return count
}

// unlisted counts a node's leased addresses that a list or the kernel lacks.
func (n *node) unlisted() (count int) {
	for _, s := range n.pool.addresses {
		if s.State == ipam.Leased && s.Lost {
			count++
		}
	}
	return count
}

// listed are how many addresses and prefixes of a node a list made now has, and how many there are.
func (f *fleet) listed(t *testing.T, n *node) (listed, there int) {
	t.Helper()
	for _, e := range f.interfaces(n) {
		if e.Instance() == string(n.id) {
			there += len(e.Secondary) + len(e.Prefixes)
		}
	}
	out, err := f.world.Call(f.wall(), "human", vpc.DescribeNetworkInterfaces{Filters: []vpc.Filter{tagged("attachment.instance-id", string(n.id))}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Output.(vpc.DescribeNetworkInterfacesOutput).NetworkInterfaces {
		listed += len(e.Secondary) + len(e.Prefixes)
	}
	return listed, there
}

// interfaces are those that EC2 has of a node, attached or made for it.
func (f *fleet) interfaces(n *node) []vpc.NetworkInterface {
	return slices.DeleteFunc(f.world.NetworkInterfaces(f.wall()), func(e vpc.NetworkInterface) bool {
		return e.Instance() != string(n.id) && e.Tags[reconcile.TagNode] != string(n.id)
	})
}

// keep wants pods to run with the addresses they had.
func keep(t *testing.T, f *fleet, pods []*pod, had map[*pod]string) {
	t.Helper()
	f.must(t)
	for _, p := range pods {
		if p.state != running || fmt.Sprint(p.addresses) != had[p] || p.n.pool.leases[p.attachment] == nil {
			f.wrong(t, "%s had %s, and has %v (state %d, lease %v)", p.name, had[p], p.addresses, p.state, p.n.pool.leases[p.attachment])
		}
	}
}

func addressesOf(pods []*pod) map[*pod]string {
	had := map[*pod]string{}
	for _, p := range pods {
		had[p] = fmt.Sprint(p.addresses)
	}
	return had
}

// allRun wants every pod to have its address.
func allRun(t *testing.T, f *fleet, pods []*pod) {
	t.Helper()
	f.must(t)
	for _, p := range pods {
		if p.state != running {
			f.wrong(t, "%s waits: %s", p.name, p.cause)
		}
	}
}

// settled lets all come right and wants it so.
func settled(t *testing.T, f *fleet) {
	t.Helper()
	f.settle()
	f.must(t)
}

// why is what a pool's Why says, or "".
func (n *node) why(pool string) string {
	if w := n.pool.why(pool); w != nil {
		return w.Code + ": " + w.Text
	}
	return ""
}

func wantWhy(t *testing.T, f *fleet, n *node, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(n.why("default"), part) {
			f.wrong(t, "why is %q, which does not say %q", n.why("default"), part)
		}
	}
}
