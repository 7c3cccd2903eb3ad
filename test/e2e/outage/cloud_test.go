package outage_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
)

// clock is a time of day in an error.
const clock = `\d\d:\d\d:\d\d`

// TestOutages takes away what fills the pool, one thing at a time: pods start as long as it holds an address, then the
// error names the cause, and once that is mended the next pod starts.
func TestOutages(t *testing.T) {
	t.Parallel()
	address := `10\.110\.10\.\d+`
	for i, tc := range []struct {
		name, lab string
		fault     []string // kind and argument
		notice    time.Duration
		wait      time.Duration // of the pod that finds the pool empty
		says      string        // pattern of the error after the numbers
		calls     int           // EC2 may be asked so often from the accident to its end
	}{
		{name: "reconciler and bus dead", lab: twoNodes, fault: []string{"kill", "control=enichaind"}, notice: 2 * time.Second, wait: 5 * time.Second, calls: 0,
			says: `enichaind cannot reach the bus nats://` + address + `:4222 since ` + clock + `; it goes on trying; next try in 10 s at most, or when any pod here ends`},
		{name: "bus cut off", lab: twoNodes, fault: []string{"bus", "node-1=down"}, wait: 8 * time.Second, calls: 10,
			says: `enichaind cannot reach the bus nats://` + address + `:4222 since ` + clock + `; it goes on trying; next try in 10 s at most, or when any pod here ends`},
		{name: "daemon dead", lab: oneNode("t3.medium"), fault: []string{"kill", "all=enichaind"}, wait: 2 * time.Second, calls: 0,
			says: `enichaind does not run, last seen at ` + clock + `, so that nobody fills the pool; the runtime tries again`},
		{name: "EC2 throttled to nothing", lab: oneNode("t3.medium"), fault: []string{"throttle", "*=0"}, wait: 30 * time.Second, calls: 30,
			says: `EC2 throttles AssignPrivateIpAddresses since ` + clock + `; next try (now|in \d+ s), or when any pod here ends`},
		{name: "subnet full", lab: oneNode("t3.medium"), fault: []string{"subnet-full", "subnet-a"}, wait: 8 * time.Second, calls: 20,
			says: `subnet-\w+ \(10\.110\.10\.0/24\) .* since ` + clock + `; next try (now|in \d+ s), or when any pod here ends`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, fmt.Sprintf("%s-%d", tc.fault[0], i), tc.lab)
			l.free("node-1", 4)
			before := asked(l.Calls())
			l.Must("fault", "set", tc.fault[0], tc.fault[1])
			time.Sleep(tc.notice) // a pod right after the accident may hear of its first moment: not what is tried here
			l.drain("node-1")
			list := l.impatient(tc.wait.String())
			failed := l.Pods("add", "waits", "--node", "node-1", "--conflist", list)
			pattern := regexp.MustCompile(`POOL_EMPTY no address for default/waits ` +
				fmt.Sprintf(`after %d s: `, tc.wait/time.Second) + `\d+ of \d+ leased(, [^;]*)?; ` + tc.says + `$`)
			if !pattern.MatchString(failed[0].Error) {
				t.Errorf("the pod's error says\n  %s\nwant\n  %s", failed[0].Error, pattern)
			}
			if n := asked(l.Calls()) - before; n > tc.calls {
				t.Errorf("EC2 was asked %d times, at most %d would do", n, tc.calls)
			} else {
				t.Logf("EC2 was asked %d times", n)
			}
			l.Must("fault", "clear")
			began := time.Now()
			eventually(t, time.Minute, "a pod starts", func() bool {
				p := l.Pods("add", "after", "--node", "node-1", "--conflist", list)[0]
				return p.Error == ""
			})
			t.Logf("a pod started %s after it was mended", time.Since(began).Round(time.Millisecond))
			l.Must("reach", "node-1/after", "http://203.0.113.10")
			l.free("node-1", 4)
		})
	}
}

// drain starts pods until the node has no free address; none of them may fail.
func (l *lab) drain(node string) {
	l.t.Helper()
	for i := 0; ; i++ {
		n := count(l.mustState(node), ipam.Free)
		if n == 0 {
			return
		}
		l.Start(fmt.Sprintf("warm%d", i), "--node", node, "--count", fmt.Sprint(n))
	}
}
