// Package repair_test takes from a running node what the stages put into its kernel, in random order, and wants all of
// it back within two seconds, for pods that were there before.
package repair_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// limit is when a test gives up on what was taken. It mostly is back in 40 to 160 ms, which the log tells; a busy machine may
// take longer, and a test of speed this is not.
const limit = 15 * time.Second

// So many repairs in a row are no fight to the agent, which gets slower in one; after a rest there is none.
const (
	quickRepairs = 3
	noFight      = 10500 * time.Millisecond
)

// damages take something of ours away; %d are random numbers, so that one chain or element is chosen.
var damages = []string{
	`nft flush ruleset`,
	`nft delete table inet enichain-routed-veth`,
	`nft delete table inet enichain-snat`,
	`nft delete table inet enichain-portmap-compat`,
	oneOf(`nft -a list ruleset | awk '/^table/ {t=$3} /^\tchain/ {print t, $2}'`, `nft delete chain inet $1 $2 || nft flush chain inet $1 $2`),
	oneOf(`nft -a list ruleset | awk '/^table/ {t=$3} /^\tchain/ {c=$2} /^\t\t.* # handle/ && !/^\t\ttype/ {print t, c, $NF}'`,
		`nft delete rule inet $1 $2 handle $3`),
	`nft delete element inet enichain-portmap-compat ports '{ tcp . 8080 }'`,
	`nft delete element inet enichain-snat inside-1 '{ 10.110.0.0/16 }'`,
	`nft delete element inet enichain-routed-veth eni-by-link '{ 7001 }'`,
	`nft flush set inet enichain-portmap-compat pods`,
	`nft flush set inet enichain-portmap-compat hairpin`,
	`ip rule flush`,
	`ip rule flush; nft flush ruleset; ip route flush table 1000`,
	`ip route flush table 1000`,
	`ip route flush table 1001`,
}

// oneOf does something with a random line of a list.
func oneOf(list, do string) string {
	return `set -- $(` + list + ` | awk -v n=%d '{line[NR-1]=$0} END {print line[n %% NR]}') && { ` + do + `; }`
}

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "3") // most of the time is spent resting
	os.Exit(m.Run())
}

// TestRepair shares its damages among two labs that rest at the same time: nearly all of its time is rest.
func TestRepair(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	order := random.Perm(len(damages))
	for range 5 {
		order = append(order, random.IntN(len(damages)))
	}
	for share := range slices.Chunk(order, len(order)/2) {
		var lines []string
		for _, i := range share {
			line := damages[i]
			if strings.Contains(line, "%d") {
				line = fmt.Sprintf(line, random.IntN(1000))
			}
			lines = append(lines, line)
		}
		t.Run("half", func(t *testing.T) {
			t.Parallel()
			newLab(t, "random").repairs(lines)
		})
	}
}

// repairs does one damage after the other, and wants each mended and the pods' traffic as before.
func (l *lab) repairs(lines []string) {
	t := l.t
	l.Must("pod", "add", "web", "--port", "8080:80")
	l.Must("pod", "add", "p", "--count", "6", "--node", "node-1") // the primary interface has room for five
	node := strings.TrimSpace(l.sh(`ip -4 -o addr show dev eth0 | awk '{sub("/.*", "", $4); print $4}'`))
	pods := l.pods()
	before := l.settled()
	if !strings.Contains(before, "enichain-portmap-compat") || !strings.Contains(before, "lookup eni-1") {
		t.Fatalf("the node has no ports or one interface:\n%s", before)
	}
	for step, damage := range lines {
		if step%quickRepairs == quickRepairs-1 {
			time.Sleep(noFight)
		}
		began := time.Now()
		l.sh(damage)
		now := ""
		for now = l.kernel(); now != before && time.Since(began) < limit; now = l.kernel() {
		}
		took := time.Since(began)
		if now != before {
			t.Fatalf("%s after %q (-before +after)\n%s", took, damage, cmp.Diff(strings.Split(before, "\n"), strings.Split(now, "\n")))
		}
		t.Logf("%4d ms  %s", took.Milliseconds(), damage)
		l.traffic(node, pods)
	}
	l.counted(len(lines))
}

// TestRepairWhilePodsEnd flushes while pods with ports come to their end: what was put back for one whose DEL was
// halfway goes again.
func TestRepairWhilePodsEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, "ends")
	l.Must("pod", "add", "stays", "--port", "8080:80")
	for round := range 3 {
		if round > 0 {
			time.Sleep(noFight)
		}
		var ending []string
		for i := range 3 {
			name := fmt.Sprintf("ends-%d-%d", round, i)
			l.Must("pod", "add", name, "--port", fmt.Sprintf("%d:80", 8081+i))
			ending = append(ending, name)
		}
		flushed := make(chan error)
		go func() {
			flushed <- l.Command("exec", "node-1", "--", "sh", "-c", "for i in 1 2 3 4 5; do nft flush ruleset; sleep 0.03; done").Run()
		}()
		for _, name := range ending {
			l.Must("pod", "del", name)
		}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		left := ""
		for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(100 * time.Millisecond) {
			left = l.sh(`nft list table inet enichain-portmap-compat | grep -o 'enichain/[0-9a-f]*/eth0' | sort -u`)
			if len(strings.Fields(left)) == 1 {
				break
			}
		}
		if len(strings.Fields(left)) != 1 {
			t.Fatalf("ports are of\n%s, want one pod", left)
		}
		if got := l.said("internet", "http://198.51.100.1:8080"); !strings.HasPrefix(got, "hello from stays") {
			t.Errorf("the pod that stays: %q", got)
		}
	}
}

// pods are the addresses of the running pods by name.
func (l *lab) pods() map[string]string {
	l.t.Helper()
	var all []struct {
		Name      string
		Addresses []string
	}
	if err := json.Unmarshal([]byte(l.Must("--format", "json", "pod", "ls")), &all); err != nil {
		l.t.Fatal(err)
	}
	pods := map[string]string{}
	for _, p := range all {
		pods[p.Name] = p.Addresses[0]
	}
	return pods
}

// traffic wants every pod's way out and in, and nothing dropped meanwhile.
func (l *lab) traffic(node string, pods map[string]string) {
	l.t.Helper()
	dropped := l.drops()
	for name, address := range pods {
		for to, want := range map[string]string{"http://203.0.113.10": "198.51.100.1", "http://" + l.vpcHost(): address} {
			if got := l.said("node-1/"+name, to); !strings.HasSuffix(got, "you are "+want) {
				l.t.Errorf("%s asks %s: %q, want to be seen as %s", name, to, got, want)
			}
		}
	}
	for from, to := range map[string]string{"vpc-host": node, "internet": "198.51.100.1", "node-1/web": node, "node-1": "127.0.0.1"} {
		if got := l.said(from, "http://"+to+":8080"); !strings.HasPrefix(got, "hello from web") {
			l.t.Errorf("%s asks for host port 8080: %q", from, got)
		}
	}
	if more := l.drops() - dropped; more != 0 {
		l.t.Errorf("the VPC dropped %d packets:\n%s", more, l.Must("drops"))
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}

func (l *lab) vpcHost() string {
	l.t.Helper()
	out := l.Must("exec", "vpc-host", "--", "ip", "-4", "-o", "addr", "show", "dev", "eth0")
	address, _, _ := strings.Cut(strings.Fields(out)[3], "/")
	return address
}

// counted wants as many repairs in the daemon's numbers as there were damages, and that they were told.
func (l *lab) counted(least int) {
	l.t.Helper()
	out := l.sh("enichainctl events --format json --since 10m 2>/dev/null || enichainctl events --format json")
	if got := strings.Count(out, "kernel.repaired"); got < least {
		l.t.Errorf("%d events kernel.repaired after %d damages:\n%s", got, least, out)
	}
}
