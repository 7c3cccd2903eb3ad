package blackbox

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPassThrough: what a chained stage does not change comes out as it went in (M1 M2).
func TestPassThrough(t *testing.T) {
	begin(t)
	c := sandbox(t, "through")
	for _, version := range versions {
		prev := object{"cniVersion": version,
			"interfaces": []any{object{"name": "ethX", "mac": "02:00:00:00:00:aa"}, object{"name": "eth0", "mac": "02:00:00:00:00:bb", "sandbox": c.netns}},
			"ips":        []any{object{"address": "10.110.10.20/24", "gateway": "10.110.10.1", "interface": 1.0}, object{"address": "fd00::5/64", "interface": 1.0}},
			"routes":     []any{object{"dst": "10.110.0.0/16"}, object{"dst": "0.0.0.0/0", "gw": "10.110.10.1"}},
			"dns":        object{"nameservers": []any{"10.0.0.2"}, "domain": "d", "search": []any{"s"}, "options": []any{"o"}},
		}
		if old := strings.HasPrefix(version, "0."); old {
			prev["ips"].([]any)[0].(object)["version"], prev["ips"].([]any)[1].(object)["version"] = "4", "6"
		} else {
			maps.Copy(prev["interfaces"].([]any)[1].(object), object{"mtu": 1400.0, "socketPath": "/s", "pciID": "0000:00:1f.0"})
			maps.Copy(prev["routes"].([]any)[1].(object), object{"mtu": 1400.0, "advmss": 1300.0, "priority": 5.0, "table": 100.0, "scope": 0.0})
		}
		for _, stage := range []string{"snat", "portmap-compat"} {
			for _, told := range []bool{true, false} { // M2: without its own version it has the configuration's
				in := maps.Clone(prev)
				if !told {
					delete(in, "cniVersion")
				}
				got := call{stage: stage, verb: "ADD", ctr: c, conf: object{"cniVersion": version, "prevResult": in}}.ok(t).result
				if diff := cmp.Diff(prev, got); diff != "" {
					t.Errorf("%s at %s, told %t (-in +out):\n%s", stage, version, told, diff)
				}
				call{stage: stage, verb: "DEL", ctr: c}.ok(t)
			}
		}
	}
}

// TestDrift breaks one thing after another: CHECK right after ADD is silent, then names it, DEL still cleans up, and the
// next ADD makes whole what it needs (M5 N9 I6).
func TestDrift(t *testing.T) {
	begin(t)
	l := flagship()
	l.runtime = object{"portMappings": []object{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
	for i, tt := range []struct{ name, accident, word string }{
		{"host end down", "ip link set $host down", "down"},
		{"wire gone", "ip link del $host", "host end"},
		{"pod's end down", "ip -n $pod link set eth0 down", "down"},
		{"pod's address gone", "ip -n $pod addr flush dev eth0", "address"},
		{"pod's default route gone", "ip -n $pod route del default", "default via"},
		{"pod's neighbour gone", "ip -n $pod neigh del 169.254.1.1 dev eth0", "169.254.1.1"},
		{"node's answer gone", "ip neigh del proxy 169.254.1.1 dev $host", "neighbour"},
		{"node's route gone", "ip route del $ip table 1000", "route"},
		{"rule 500 gone", "ip rule del pref 500", "route"},
		{"rules gone", "ip rule flush; ip rule add pref 32766 lookup main", "route"},
		{"ENI's table gone", "ip route flush table 1001", "table"},
		{"steering gone", "nft delete table inet enichain-routed-veth", "steering"},
		{"SNAT gone", "nft delete table inet enichain-snat", "enichain-snat"},
		{"SNAT profile gone", "ip link set $host group 7001", "SNAT"},
		{"SNAT networks changed", "nft flush set inet enichain-snat inside-1", "inside-1"}, // ADD does not read them again
		{"host ports gone", "nft delete table inet enichain-portmap-compat", "8080"},
		{"host port gone", "nft delete element inet enichain-portmap-compat ports '{ tcp . 8080 }'", "8080"},
		{"everything of nft gone", "nft flush ruleset", ""},
		{"localhost closed", "echo 0 > /proc/sys/net/ipv4/conf/$host/route_localnet", "route_localnet"},
		{"lease gone", "", "lease"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unchanged(t)
			c := sandbox(t, fmt.Sprintf("drift%d", i))
			here := l
			here.env = map[string]string{"CNI_ARGS": "IP=10.110.11.30"} // on the second network interface
			result := here.up(t, c)
			if f := here.check(t, c, result); f.Msg != "" {
				t.Fatalf("CHECK right after ADD: %s", f.Msg)
			}
			host := result["interfaces"].([]any)[0].(object)["name"].(string)
			line := strings.NewReplacer("$host", host, "$pod", c.id, "$ip", "10.110.11.30").Replace(tt.accident)
			if line == "" {
				here.member(0, "DEL", c, nil).ok(t)
			} else {
				sh(t, "%s", line)
			}
			if f := here.check(t, c, result); f.Code != 104 || !strings.Contains(f.Msg, tt.word) {
				t.Errorf("CHECK: code %d, %s", f.Code, f.Msg)
			}
			here.del(t, c, result)
			if tt.word == "inside-1" {
				sh(t, "nft delete table inet enichain-snat")
			}
			next := sandbox(t, c.id+"-2")
			time.Sleep(2 * time.Millisecond) // the address cools for one
			again := here.up(t, next)
			if f := here.check(t, next, again); f.Msg != "" {
				t.Errorf("CHECK of the next pod: %s", f.Msg)
			}
			here.del(t, next, again)
		})
	}
}

// TestNobodyTakesTheResult: a runtime that died takes the reader of the result with it; the ADD is undone.
func TestNobodyTakesTheResult(t *testing.T) {
	begin(t)
	l := flagship()
	l.runtime = object{"portMappings": []object{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
	c := sandbox(t, "alone")
	var prev object
	for i := range l.members {
		before := traces(t)
		cmd := l.member(i, "ADD", c, nonNil(prev)).command(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd.Stdout = w
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v", l.members[i]["type"], err)
		}
		w.Close()
		if after := traces(t); after != before && l.members[i]["type"] != "snat" { // whose mark goes with the link
			t.Errorf("%s left:\n%s", l.members[i]["type"], cmp.Diff(before, after))
		}
		prev = l.member(i, "ADD", c, nonNil(prev)).ok(t).result
	}
	l.del(t, c, prev)
}

// TestKilledThenGC: what a killed ADD left goes with a GC that has no such attachment, and with the sandbox; but for the
// address, which is too young for GC and which the agent's survey ends.
func TestKilledThenGC(t *testing.T) {
	begin(t)
	l := flagship()
	l.runtime = object{"portMappings": []object{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
	before := traces(t)
	for round := range 16 {
		c := sandbox(t, fmt.Sprintf("gced%d", round))
		victim := 1 + round%3
		var prev object
		for i := range victim {
			prev = l.member(i, "ADD", c, nonNil(prev)).ok(t).result
		}
		cmd := l.member(victim, "ADD", c, nonNil(prev)).command(t)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond) // the moment is what is tried
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		sh(t, "ip netns del %s", c.id)
		for i := range l.members {
			l.gc(t, i)
		}
		eniIPAM("DEL", c, nil).ok(t)
		waitFor(t, func() string { return cmp.Diff(before, traces(t)) }) // the kernel ends a namespace when it likes
	}
}

// waitFor waits until there is no fault any more.
func waitFor(t *testing.T, fault func() string) {
	t.Helper()
	last := ""
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if last = fault(); last == "" {
			return
		}
	}
	t.Fatalf("after 5 s: %s", last)
}

// TestGC keeps what is valid, of this network and of others (I8 M6), and takes the rest of the wires and ports.
func TestGC(t *testing.T) {
	begin(t)
	lists := []chain{flagship(), flagship()}
	lists[1].name = "bb-other"
	var pods []container
	var results []object
	for i := range 4 {
		l := lists[i/3]
		l.runtime = object{"portMappings": []object{{"hostPort": 8080 + i, "containerPort": 80, "protocol": "tcp"}}}
		pods = append(pods, sandbox(t, fmt.Sprintf("gc%d", i)))
		results = append(results, l.up(t, pods[i]))
	}
	for i := range lists[0].members {
		lists[0].gc(t, i, pods[0], pods[2])
	}
	for i, alive := range []bool{true, false, true, true} {
		if f := lists[i/3].check(t, pods[i], results[i]); (f.Msg == "") != alive {
			t.Errorf("pod %d, alive %t: %q", i, alive, f.Msg)
		}
	}
	for i := range pods {
		lists[i/3].del(t, pods[i], nil)
	}
}
