package vpclab_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pod is what 'pod add' and 'pod ls' say of one.
type pod struct {
	Name, Error string
	Addresses   []string
	Took        time.Duration
}

func (b *bench) pods(args ...string) []pod {
	b.t.Helper()
	r := b.run(append(args, "--format", "json")...)
	var pods []pod
	if err := json.Unmarshal([]byte(r.out), &pods); err != nil {
		b.t.Fatalf("vpclab %s: exit %d: %v\n%s\n%s", strings.Join(args, " "), r.code, err, r.out, r.errors)
	}
	return pods
}

// labFile writes a lab file of one node of a type.
func labFile(t *testing.T, kind, policy string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lab.yaml")
	text := fmt.Sprintf(`
vpc: 10.120.0.0/16
subnets: [{ name: subnet-a, cidr: 10.120.0.0/20, zone: lab-1a }]
nodes: [{ name: node-1, type: %s, subnet: subnet-a }]
enichaind: { pools: [{ name: default, mode: secondary, %s }] }
`, kind, policy)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// left is what pods could leave behind on node-1; the stages' own tables and what belongs to interfaces apart.
func (b *bench) left() string {
	b.t.Helper()
	return b.must("exec", "node-1", "--", "sh", "-c", `ip -o link | grep -v ': eth\|: lo' | cut -c1-60
		ip route show table 1000; ls /run/netns /var/lib/cni/results | grep -v ':$' | grep .
		nft list map inet enichain-portmap-compat ports 2>/dev/null | grep elements; true`)
}

func TestFiftyPodsAtOnce(t *testing.T) {
	b := newBench(t)
	b.needDaemons()
	b.must("up", "--name", "fifty", "--speed", "10x", labFile(t, "m5.4xlarge", "warm: { free: 10 }, cooldown: 1s"))
	for round := range 3 {
		pods := b.pods("pod", "add", "many", "--count", "50")
		var addresses []string
		for _, p := range pods {
			if p.Error != "" {
				t.Errorf("round %d: %s: %s", round, p.Name, p.Error)
			}
			addresses = append(addresses, p.Addresses...)
		}
		slices.Sort(addresses)
		if unique := len(slices.Compact(slices.Clone(addresses))); unique != len(addresses) || unique != 50 {
			t.Errorf("round %d: %d addresses, %d of them different, want 50", round, len(addresses), unique)
		}
		for _, p := range b.pods("pod", "del", "--all") {
			if p.Error != "" {
				t.Errorf("round %d: %s: %s", round, p.Name, p.Error)
			}
		}
		eventually(t, "nothing is left of the pods", func() bool { return b.left() == "" })
	}
	if out := b.must("drops", "--format", "json"); strings.Contains(out, `"Kind": "source"`) {
		t.Errorf("packets were dropped for a wrong source: %s", out)
	}
}

func TestEC2ThrottledToNothing(t *testing.T) {
	b := newBench(t)
	b.needDaemons()
	b.must("up", "--name", "throttled", "--speed", "10x", labFile(t, "t3.medium", "warm: { free: 4 }, cooldown: 1s"))
	eventually(t, "4 addresses are warm", func() bool { return b.free() >= 4 })
	b.must("fault", "set", "throttle", "*=0")
	before := b.calls()
	for _, p := range b.pods("pod", "add", "first", "--count", "4") {
		if p.Error != "" {
			t.Errorf("a pod from the pool: %s", p.Error)
		}
	}
	pods := b.pods("pod", "add", "more", "--count", "3") // 20 s of waiting each, side by side
	for _, p := range pods {
		if p.Error != "" && !strings.Contains(p.Error, "POOL_EMPTY") {
			t.Errorf("%s: %s", p.Name, p.Error)
		}
	}
	if last := pods[len(pods)-1].Error; !strings.Contains(last, "throttles") {
		t.Errorf("the error does not say that EC2 throttles: %q", last)
	}
	if calls := b.calls() - before; calls > 60 {
		t.Errorf("%d calls while EC2 answered none: a storm", calls)
	}
	b.must("fault", "clear")
	eventually(t, "a pod starts once EC2 answers again", func() bool {
		b.run("pod", "del", "again")
		return b.pods("pod", "add", "again")[0].Error == ""
	})
}

// free is how many addresses of node-1's pool no pod has, as EC2 sees it.
func (b *bench) free() int {
	b.t.Helper()
	var interfaces []struct{ PrivateIpAddresses []struct{ Primary bool } }
	if err := json.Unmarshal([]byte(b.must("eni", "ls", "--format", "json")), &interfaces); err != nil {
		b.t.Fatal(err)
	}
	count := 0
	for _, i := range interfaces {
		for _, a := range i.PrivateIpAddresses {
			if !a.Primary {
				count++
			}
		}
	}
	return count - len(b.pods("pod", "ls"))
}

// calls counts what the reconciler asked EC2.
func (b *bench) calls() int {
	b.t.Helper()
	var d struct {
		Counts []struct {
			Caller                       string
			Accepted, Throttled, Refused int
		} `json:"counts"`
	}
	if err := json.Unmarshal([]byte(b.must("dump", "--format", "json")), &d); err != nil {
		b.t.Fatal(err)
	}
	count := 0
	for _, c := range d.Counts {
		if c.Caller == "LABRECONCILER" {
			count += c.Accepted + c.Throttled + c.Refused
		}
	}
	return count
}

// TestDemo runs what 'make demo' runs, as an ordinary user where this user can become one.
func TestDemo(t *testing.T) {
	b := newBench(t)
	b.needDaemons()
	b.ordinary()
	r := b.run("demo")
	if r.code != 0 || !strings.Contains(r.out, "Everything is gone") || strings.Contains(r.out, "✗") {
		t.Errorf("vpclab demo: exit %d\n%s\n%s", r.code, r.out, r.errors)
	}
}

func TestBusCut(t *testing.T) {
	b := newBench(t)
	b.needDaemons()
	b.must("up", "two-nodes", "--speed", "0")
	var d struct {
		View struct {
			Nodes []struct{ Name, Address string }
		}
	}
	if err := json.Unmarshal([]byte(b.must("dump", "--format", "json")), &d); err != nil {
		t.Fatal(err)
	}
	hub := ""
	for _, n := range d.View.Nodes {
		if n.Name == "control" {
			hub = "http://" + n.Address + ":4222"
		}
	}
	// The hub speaks first, and not HTTP: whoever hears it has reached it.
	heard := func(node string) bool {
		return strings.Contains(b.run("reach", node, hub, "--timeout", "1s").out, "server_id")
	}
	b.must("fault", "set", "bus", "node-1=down", "--for", "4s")
	if heard("node-1") || !heard("node-2") {
		t.Error("node-1 alone should be cut off from the hub")
	}
	if p := b.pods("pod", "add", "alone", "--node", "node-1")[0]; p.Error != "" {
		t.Errorf("a pod on a node without a bus: %s", p.Error)
	}
	eventually(t, "the fault ends by itself", func() bool { return heard("node-1") })
}
