package reconcile

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// ours are the interfaces that were made for a node.
func (w *world) ours(id ipam.InstanceID) []*ENI {
	var found []*ENI
	for _, e := range w.cloud.enis {
		if e.Tags[TagNode] == string(id) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *ENI) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return found
}

// small is a world with one node that has two interfaces of ours and pods on all of its three.
func small(t *testing.T, pools ...Pool) (*world, *agent, []string) {
	w := usual(t, pools...)
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	names := w.pods(n, pools[0].Name, 11)
	w.run(2 * time.Minute)
	w.want(n, 11)
	if got := len(w.ours("i-1")); got != 2 {
		t.Fatalf("%d interfaces of ours", got)
	}
	return w, n, names
}

// TestDetachedByHuman: an interface with pods that others take away is attached again, three times within an hour; then
// it stays away, and people are told once. One tagged no_manage is left alone at once.
func TestDetachedByHuman(t *testing.T) {
	w, n, _ := small(t, dflt(nil))
	e := w.ours("i-1")[0]
	take := func() { e.Instance, e.Attachment, e.Device = "", "", 0 }
	for i := range 3 {
		take()
		w.run(3 * time.Minute)
		if e.Instance == "" {
			t.Fatalf("not attached again after time %d; why %s", i+1, n.whys())
		}
	}
	take()
	w.run(5 * time.Minute)
	if e.Instance != "" {
		t.Error("attached a fourth time")
	}
	told := 0
	for _, event := range w.events {
		if event.Record.Verb == ipam.ENIDetached && strings.Contains(event.Record.Cause, "stays away") {
			told++
		}
	}
	if told != 1 || !strings.Contains(n.whys(), "TakenAway: "+string(e.ID)+" was detached by others 4 times within an hour") {
		t.Errorf("told %d times; why %s", told, n.whys())
	}
	w.run(time.Hour)
	if e.Instance == "" || strings.Contains(n.whys(), WhyTakenAway) {
		t.Errorf("an hour later it is still away: %s", n.whys())
	}
	e.Tags[TagNoManage] = "true"
	take()
	w.run(10 * time.Minute)
	if e.Instance != "" {
		t.Error("attached although it is tagged no_manage")
	}
}

// TestTypeChanged: after a stop and a start as a smaller type the limits are EC2's of now, and what is above them is given
// up as it empties, the highest device first, never by force.
func TestTypeChanged(t *testing.T) {
	w, n, names := small(t, dflt(nil))
	w.cloud.limits["t3.small"] = ipam.Limits{ENIs: 2, IPv4: 4, IPv6: 4, Prefixes: true}
	w.cloud.instances["i-1"].State = "stopped"
	w.run(3 * time.Minute)
	w.cloud.instances["i-1"].State, w.cloud.instances["i-1"].Type = "running", "t3.small"
	n.kind = "t3.small"
	w.run(8 * time.Minute)
	if got := len(w.ours("i-1")); got != 2 {
		t.Fatalf("%d interfaces of ours while pods have leases", got)
	}
	for _, name := range names {
		if p := n.pods[name]; n.enis[p.eni].Device == 2 {
			n.end(name)
		}
	}
	w.run(5 * time.Minute)
	if got := w.ours("i-1"); len(got) != 1 || got[0].Device != 1 {
		t.Errorf("%+v are left, want the one at device 1; why %s", got, n.whys())
	}
}

// TestTerminated: of an instance that ends nothing is touched; when it is gone its interfaces are deleted after their time
// as orphans, and its snapshot is forgotten.
func TestTerminated(t *testing.T) {
	w, n, _ := small(t, dflt(nil))
	n.silent = true
	calls := len(w.calls)
	w.cloud.instances["i-1"].State = "shutting-down"
	w.run(6 * time.Minute)
	if got := w.mutations(calls); len(got) > 0 {
		t.Errorf("%v while it ends", got)
	}
	delete(w.cloud.instances, "i-1")
	for _, e := range w.cloud.enis {
		e.Instance, e.Attachment = "", ""
	}
	w.run(25 * time.Minute)
	if got := w.ours("i-1"); len(got) > 0 || len(w.stream) > 0 || len(w.core.nodes) > 0 {
		t.Errorf("left: %+v, %d snapshots, %d nodes", got, len(w.stream), len(w.core.nodes))
	}
}

// TestReplaced: an instance in another's place is another node, whatever its addresses.
func TestReplaced(t *testing.T) {
	w, n, _ := small(t, dflt(nil))
	n.silent = true
	delete(w.cloud.instances, "i-1")
	for _, e := range w.cloud.enis {
		if e.Device == 0 {
			w.cloud.remove(e)
		} else {
			e.Instance, e.Attachment = "", ""
		}
	}
	next := w.addNode("i-2", "t3.medium", 0)
	w.pods(next, "default", 6)
	w.run(25 * time.Minute)
	w.want(next, 6)
	if got := w.ours("i-1"); len(got) > 0 {
		t.Errorf("the old one's are still there: %+v", got)
	}
}

// TestGroupDeleted: a security group that is gone makes Create fail with its name, and nothing else; when it is back, or
// another is configured, all goes on.
func TestGroupDeleted(t *testing.T) {
	pool := dflt(func(p *Pool) { p.Groups = []string{"sg-7"} })
	w := usual(t, pool)
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.pods(n, "default", 6)
	w.run(5 * time.Minute)
	w.want(n, 5)
	want := "default: InvalidGroup.NotFound: EC2 refuses CreateNetworkInterface: The security group 'sg-7' does not exist"
	if got := n.whys(); got != want {
		t.Errorf("why %q, want %q", got, want)
	}
	if got := w.mutations(0)[Create]; got > 8 {
		t.Errorf("%d Creates in 5 min", got)
	}
	pool.Groups = nil
	w.step(Input{Pools: []Pool{pool}})
	w.run(time.Minute)
	w.want(n, 6)
}

// TestGroupsFollowed: interfaces of ours have the primary's security groups, or the pool's, as those change.
func TestGroupsFollowed(t *testing.T) {
	w, _, _ := small(t, dflt(nil))
	w.cloud.groups = []Group{{ID: "sg-2", VPC: "vpc-1", Tags: map[string]string{"for": "pods"}}, {ID: "sg-3", VPC: "vpc-1"}}
	var primary *ENI
	for _, e := range w.cloud.enis {
		if e.Device == 0 {
			primary = e
		}
	}
	primary.Groups = []string{"sg-3"}
	expect := func(what string, want string) {
		t.Helper()
		for _, e := range w.ours("i-1") {
			if got := strings.Join(e.Groups, " "); got != want {
				t.Errorf("%s: %s has %s, want %s", what, e.ID, got, want)
			}
		}
	}
	w.run(7 * time.Minute)
	expect("the primary's changed", "sg-3")
	w.step(Input{Pools: []Pool{dflt(func(p *Pool) { p.Groups, p.GroupTags = []string{"sg-1"}, map[string]string{"for": "pods"} })}})
	w.run(2 * time.Minute)
	expect("the pool's changed", "sg-1 sg-2")
	if primary.Groups[0] != "sg-3" {
		t.Errorf("the primary's are now %v", primary.Groups)
	}
}

// TestGroupsNotFollowedOnOldWords: while EC2 lists nothing, an interface's groups are not changed: a human may have taken it
// over since. (Seed 1003 of the simulator: no_manage, then lists that failed for nine minutes.)
func TestGroupsNotFollowedOnOldWords(t *testing.T) {
	w, _, _ := small(t, dflt(nil))
	w.cloud.groups = []Group{{ID: "sg-2", VPC: "vpc-1"}}
	theirs, ours := w.ours("i-1")[0], w.ours("i-1")[1]
	w.run(time.Minute)
	theirs.Tags[TagNoManage] = "true"
	w.blind = true
	w.step(Input{Pools: []Pool{dflt(func(p *Pool) { p.Groups = []string{"sg-2"} })}})
	w.run(15 * time.Minute)
	if calls := w.mutations(0)[Bind] - 2; calls != 0 { // two were for DeleteOnTermination
		t.Errorf("%d calls while nothing is listed", calls)
	}
	w.blind = false
	w.run(3 * time.Minute)
	if got := theirs.Groups[0] + " " + ours.Groups[0]; got != "sg-1 sg-2" {
		t.Errorf("theirs and ours have %s", got)
	}
}

// TestForeign: nothing is done to interfaces that are not for pods, and pods never get addresses that somebody has claimed.
func TestForeign(t *testing.T) {
	for _, kind := range []string{"efa-only", "trunk", "branch", "lambda"} {
		t.Run(kind, func(t *testing.T) { foreign(t, kind) })
	}
}

func foreign(t *testing.T, kind string) {
	w := usual(t, dflt(nil))
	n := w.addNode("i-1", "t3.medium", 0)
	var primary *ENI
	for _, e := range w.cloud.enis {
		primary = e
	}
	w.cloud.assign(primary, 2, 0)
	claimed := primary.Addresses[1]
	primary.Tags = map[string]string{TagLeave: claimed.String() + " 192.0.2.1"}
	other := w.cloud.newENI("subnet-a", []string{"sg-1"}, map[string]string{TagCluster: "c", TagNode: "i-1", TagSlot: "1"})
	other.Instance, other.Attachment, other.Device, other.Kind = "i-1", "at-x", 1, kind
	w.lead(1)
	w.pods(n, "default", 9)
	w.run(4 * time.Minute)
	w.want(n, 9) // 4 on the primary, 5 on the last interface
	for _, e := range n.enis {
		if _, ok := e.addrs[claimed]; ok || e.ENI == other.ID {
			t.Errorf("%s is supplied with %v", e.ENI, e.Addresses)
		}
	}
	if !slices.Contains(primary.Addresses, claimed) {
		t.Error("the claimed address was unassigned")
	}
	for _, c := range w.calls {
		if c.ENI == other.ID {
			t.Errorf("%s of the %s interface", c.Action, kind)
		}
	}
}

// TestReload: a policy that changes under pods loses none of them, whatever changes; what does not fit any more is given
// back as it empties.
func TestReload(t *testing.T) {
	both := []ipam.Family{ipam.IPv4, ipam.IPv6}
	for _, test := range []struct {
		name string
		from func(*Pool)
		to   func(*Pool)
		want string // when the pods have ended, too
	}{
		{"prefixes on", nil, func(p *Pool) { p.Target.Mode = ipam.ModePrefix }, ""},
		{"prefixes off", func(p *Pool) { p.Target.Mode = ipam.ModePrefix }, nil, ""},
		{"IPv6 on", nil, func(p *Pool) { p.Target.Families = both }, "1 interfaces, 5 singles, 0 /28, 1 /80"},
		{"IPv6 off", func(p *Pool) { p.Target.Families = both }, nil, "1 interfaces, 5 singles, 0 /28, 0 /80"},
		{"another name", nil, func(p *Pool) { p.Name = "other" }, ""},
		{"another subnet", nil, func(p *Pool) { p.Subnets.IDs = []ipam.SubnetID{"subnet-b"} }, ""},
		{"not the primary", nil, func(p *Pool) { p.Target.UsePrimary = false }, ""},
		{"not for this node", nil, func(p *Pool) { p.Nodes = map[string]string{LabelZone: "x"} }, ""},
		{"more", nil, func(p *Pool) { p.Target.Warm = 8 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := usual(t, dflt(test.from))
			w.cloud.addSubnet("subnet-b", "a", "10.0.1.0/24", "2001:db8:0:b::/64", nil)
			n := w.addNode("i-1", "t3.medium", 0)
			w.lead(1)
			names := w.pods(n, "default", 8)
			w.run(2 * time.Minute)
			w.want(n, 8)
			rev := n.last.Policy.Rev
			w.step(Input{Pools: []Pool{dflt(test.to)}})
			had := map[string]netip.Addr{}
			for name, p := range n.pods {
				had[name] = p.address
			}
			w.run(6 * time.Minute)
			for name, p := range n.pods {
				e := w.cloud.enis[p.eni]
				if e == nil || e.Instance != "i-1" || p.address != had[name] {
					t.Errorf("%s lost %s of %s", name, p.address, p.eni)
				}
			}
			if n.last.Policy.Rev <= rev {
				t.Errorf("the policy's rev is %d, it was %d", n.last.Policy.Rev, rev)
			}
			for _, name := range names {
				n.end(name)
			}
			w.run(25 * time.Minute)
			if got := w.shape(n); test.want != "" && got != test.want {
				t.Errorf("at the end %s, want %s", got, test.want)
			}
			calls := len(w.calls)
			w.run(15 * time.Minute)
			if got := w.mutations(calls); len(got) > 0 {
				t.Errorf("it does not come to rest: %v\n%s", got, w.shape(n))
			}
		})
	}
}

// TestDrain: a node that takes no new pods is not kept warm and not emptied, but pods that wait there are served.
func TestDrain(t *testing.T) {
	w, n, names := small(t, dflt(nil))
	n.cordon = true
	calls := len(w.calls)
	for _, name := range names {
		n.end(name)
	}
	w.run(20 * time.Minute)
	if got := w.mutations(calls); len(got) > 0 {
		t.Errorf("%v on a drained node", got)
	}
	w.pods(n, "default", 15)
	w.run(3 * time.Minute)
	w.want(n, 15)
}

// TestChurn: steady churn, and waves that come again within the window, cost nothing once the pool is warm.
func TestChurn(t *testing.T) {
	for _, mode := range []ipam.Mode{ipam.ModeSecondary, ipam.ModeAuto} {
		w := usual(t, dflt(func(p *Pool) { p.Target.Mode, p.Window = mode, 10*time.Minute }))
		n := w.addNode("i-1", "m5.large", 0)
		w.lead(1)
		live := w.pods(n, "default", 12)
		w.run(5 * time.Minute)
		churn := func(d time.Duration) {
			for range int(d / (2 * time.Second)) {
				n.end(live[0])
				live = append(live[1:], w.pods(n, "default", 1)...)
				w.run(2 * time.Second)
			}
		}
		churn(15 * time.Minute)
		calls := len(w.calls)
		churn(30 * time.Minute)
		if got := w.mutations(calls); len(got) > 0 {
			t.Errorf("%s: %v in half an hour of steady churn", mode, got)
		}
	}
}

// TestSilent: a node that is silent gets nothing and gives nothing (protocol r8).
func TestSilent(t *testing.T) {
	w, n, names := small(t, dflt(nil))
	for _, name := range names[:8] {
		n.end(name)
	}
	n.silent = true
	w.run(silence)
	calls := len(w.calls)
	w.run(30 * time.Minute)
	if got := w.mutations(calls); len(got) > 0 {
		t.Errorf("%v for a silent node", got)
	}
	if len(n.given) > 0 {
		t.Errorf("it was asked for %v", n.given)
	}
}
