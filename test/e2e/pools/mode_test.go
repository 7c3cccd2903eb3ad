package pools_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enichain/enichain/test/e2e/live"
)

// echoMark makes this test program hold one connection, inside a machine of the lab.
const echoMark = "echo-inside"

// echo connects, and prints a line for each byte that came back: one connection, for ever. With an address that begins
// with a colon it is the other end.
func echo(at string) int {
	if at[0] == ':' {
		l, err := net.Listen("tcp", at)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("ready")
		for {
			c, err := l.Accept()
			if err != nil {
				return 1
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}
	c, err := net.Dial("tcp", at)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for b := []byte{0}; ; time.Sleep(20 * time.Millisecond) {
		if _, err := c.Write(b); err != nil {
			fmt.Println(err)
			return 1
		}
		if _, err := io.ReadFull(c, b); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("back")
	}
}

// background runs this program inside a machine until the test ends, and counts its lines.
func background(t *testing.T, l *live.Lab, args ...string) *atomic.Int64 {
	t.Helper()
	cmd := l.Command(append([]string{"exec"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var lines atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines.Add(1)
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
	})
	return &lines
}

// TestModeChangesOnARunningNode: single addresses become prefixes and prefixes single addresses by a change of the file,
// and no lease or connection notices. In the end a /28 may stay whose free addresses are the warm target's: without it the
// pool would be short, and nothing is swapped for single addresses. So up to 16 are free, where those alone would be 13.
func TestModeChangesOnARunningNode(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "mode", live.OneNode("m5.large", "    - name: default\n      mode: secondary\n"+hurry))
	l.Pool("node-1", "default", "four free addresses", func(p live.Pool) bool { return p.Counts.Free >= 4 })
	old := l.Start("old", "--count", "9", "--node", "node-1")
	ready := background(t, l, "vpc-host", "--", os.Args[0], echoMark, ":7000")
	l.Eventually(live.Patience, "the other end listens", func() (bool, string) { return ready.Load() > 0, "" })
	host := l.On("vpc-host", "ip -4 -br addr show eth0 | grep -o '10\\.110[.0-9]*' | head -1")
	beats := background(t, l, "node-1", "--", "ip", "netns", "exec", "old-1", os.Args[0], echoMark, host+":7000")
	alive := func() {
		t.Helper()
		n := beats.Load()
		l.Eventually(live.Patience, "the connection lives", func() (bool, string) { return beats.Load() > n+2, fmt.Sprintf("%d bytes came back", n) })
	}
	alive()
	mode := func(mode string) {
		l.Configure("node-1", func(c map[string]any) { c["pools"].([]any)[0].(map[string]any)["mode"] = mode })
	}
	mode("prefix")
	l.Start("new", "--count", "6", "--node", "node-1")
	l.Pool("node-1", "default", "a prefix beside the old ones' addresses", func(p live.Pool) bool {
		return len(p.Prefixes()) > 0 && p.Counts.Leased == 15 && p.Counts.Free >= 4
	})
	alive()
	mode("secondary")
	l.End("new-1", "new-2", "new-3", "new-4", "new-5", "new-6", "old-5", "old-6", "old-7", "old-8", "old-9")
	l.Pool("node-1", "default", "four leases, and no more than a prefix beside them", func(p live.Pool) bool {
		return p.Counts.Leased == 4 && p.Counts.Free >= 4 && p.Counts.Free <= 16 && p.Counts.Cooling == 0
	})
	alive()
	for _, p := range old[:4] {
		l.Reach("vpc-host", "http://"+p.Addresses[0], "hello from "+p.Name)
	}
}
