package outage_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/test/e2e/live"
)

// cooldown is that of the pool live.Still.
const cooldown = 3 * time.Second

// TestCrowd starts 50 pods at once and ends them at once, three times over.
func TestCrowd(t *testing.T) {
	t.Parallel()
	l := newLab(t, "crowd", oneNode("m5.4xlarge"))
	ended := map[string]time.Time{} // address → before its last pod's end
	for round := range 3 {
		pods := l.Start(fmt.Sprintf("round%d", round), "--count", "50", "--node", "node-1")
		l.Start("ported", "--port", "8080:80", "--node", "node-1")
		l.distinct(51)
		l.coolDown(ended)
		for _, i := range []int{0, 24, 49} {
			l.Must("reach", "vpc-host", "http://"+pods[i].Address())
			l.Must("reach", "node-1/"+pods[i].Name, "http://203.0.113.10")
		}
		l.Must("reach", "internet", "http://198.51.100.1:8080")
		began := time.Now()
		for _, p := range l.Pods("ls") {
			ended[p.Address()] = began
		}
		l.End("--all")
		l.nothingLeft("node-1", pods)
	}
	if r := l.Run("drops"); strings.Contains(r.Out, "node-1") {
		t.Errorf("the VPC dropped packets of the node:\n%s", r.Out)
	}
}

// distinct wants so many pods, no two with one address, as the runtime and as the pool see it.
func (l *lab) distinct(n int) {
	l.t.Helper()
	owner := map[string]string{}
	live := l.Pods("ls")
	for _, p := range live {
		if other, taken := owner[p.Address()]; taken || p.Address() == "" {
			l.t.Errorf("%s and %s both have %q", p.Name, other, p.Address())
		}
		owner[p.Address()] = p.Name
	}
	s := l.mustState("node-1")
	if len(live) != n || len(s.Leases) != n {
		l.t.Errorf("%d pods with %d leases, want %d", len(live), len(s.Leases), n)
	}
	for _, lease := range s.Leases {
		if p := owner[lease.Addresses[0].String()]; "default/"+p != lease.Pod {
			l.t.Errorf("the pool gives %s to %s, the runtime to %q", lease.Addresses[0], lease.Pod, p)
		}
	}
}

// coolDown wants every lease of an address to have begun a cooldown after its last pod's end.
func (l *lab) coolDown(ended map[string]time.Time) {
	l.t.Helper()
	for _, lease := range l.mustState("node-1").Leases {
		if end, ok := ended[lease.Addresses[0].String()]; ok && lease.Wall.Sub(end) < cooldown {
			l.t.Errorf("%s was given again after %s", lease.Addresses[0], lease.Wall.Sub(end))
		}
	}
}

var podGroup = regexp.MustCompile(`group (7[0-9]{3}|80[0-2][0-9])\b`)

// nothingLeft wants nothing of any pod in a node: no link, route, nft object, namespace, cached result or lease.
func (l *lab) nothingLeft(node string, pods []live.Pod) {
	l.t.Helper()
	if s := l.mustState(node); len(s.Leases) != 0 || count(s, ipam.Leased) != 0 || len(s.Tickets) != 0 {
		l.t.Errorf("%d leases, %d leased addresses, %d tickets are left", len(s.Leases), count(s, ipam.Leased), len(s.Tickets))
	}
	left := ""
	eventually(l.t, time.Minute, "links and namespaces of pods are gone", func() bool {
		left = l.On(node, "ip -o link show; ls /run/netns")
		return !podGroup.MatchString(left) && !strings.Contains(left, "round")
	})
	if routes := l.On(node, "ip route show table all proto 233 | grep -v 'table eni-' || true"); routes != "" {
		l.t.Errorf("routes are left:\n%s", routes)
	}
	rules := l.On(node, "nft list ruleset; ls /var/lib/cni/results")
	for _, p := range pods {
		if regexp.MustCompile(`\b(` + regexp.QuoteMeta(p.Address()) + `|` + p.Name + `)\b`).MatchString(rules) {
			l.t.Errorf("%s (%s) is left in\n%s", p.Name, p.Address(), rules)
		}
	}
	if strings.Contains(rules, "8080") {
		l.t.Errorf("the host port is left in\n%s", rules)
	}
}
