package blackbox

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
