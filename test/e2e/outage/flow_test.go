package outage_test

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/test/e2e/live"
)

// background runs a job inside a machine until the test ends, and hands its lines to hear.
func (l *lab) background(machine string, hear func(line string), command ...string) {
	l.t.Helper()
	cmd := l.Command(append([]string{"exec", machine, "--"}, command...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			hear(lines.Text())
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	l.t.Cleanup(func() { // before the lab goes down: cleanups run last in, first out
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
	})
}

// TestNoFlowOfTheOldPod gives an address to a new pod while peers of the old one go on sending to a host port, and on
// a connection that the old pod had opened to the internet: the kernel must have forgotten both.
func TestNoFlowOfTheOldPod(t *testing.T) {
	t.Parallel()
	l := newLab(t, "flow", oneNode("t3.medium"))
	old := l.Start("old", "--port", "9000:80/udp")[0]

	var byPort, stranger atomic.Int64
	l.background("internet", func(line string) {
		switch {
		case strings.HasPrefix(line, "hello from old;"):
			byPort.Add(1)
		case strings.HasPrefix(line, "hello from"):
			stranger.Add(1)
		}
	}, os.Args[0], insideMark, "talk", "198.51.100.1:9000")
	eventually(t, time.Minute, "the client hears the old pod by the host port", func() bool { return byPort.Load() > 0 })

	var streaming atomic.Bool
	l.background("internet", func(line string) {
		if strings.HasPrefix(line, "streaming") {
			streaming.Store(true)
		} else if line == "ready" {
			talk := l.Command("exec", "node-1", "--", "ip", "netns", "exec", "old", "timeout", "1", os.Args[0], insideMark, "talk", "203.0.113.10:7777")
			go func() { _ = talk.Run() }() // timeout ends it; without it nothing streams
		}
	}, os.Args[0], insideMark, "stream", ":7777")
	eventually(t, time.Minute, "the internet streams to the old pod", streaming.Load)

	l.End("old")
	eventually(t, time.Minute, "the address is free again", func() bool {
		for _, a := range l.mustState("node-1").Addresses {
			if a.Address.String() == old.Address() {
				return a.State == ipam.Free
			}
		}
		return false
	})
	heir := l.inherit("new", old.Address())
	if heir.Address() != old.Address() {
		t.Fatalf("the new pod has %s, not %s", heir.Address(), old.Address())
	}
	before := l.noPorts("new")
	l.Must("reach", "node-1/new", "udp://203.0.113.10") // it is wired; and by now a packet of the old flows would be here
	time.Sleep(20 * pace)                               // what must not come cannot be waited for
	if n := stranger.Load(); n != 0 {
		t.Errorf("the client of the old pod's host port was answered %d times by the new pod", n)
	}
	if after := l.noPorts("new"); after != before {
		t.Errorf("%d datagrams for the old pod's connection came to the new pod", after-before)
	}
}

// inherit starts a pod with an address of the test's choice.
func (l *lab) inherit(name, address string) live.Pod {
	l.t.Helper()
	list := l.List("05-enichain.conflist", map[string]any{"args": map[string]any{"cni": map[string]any{"ips": []string{address}}}})
	return l.Start(name, "--conflist", list)[0]
}

// noPorts counts the datagrams that came to a pod's ports where nobody listens.
func (l *lab) noPorts(pod string) int {
	l.t.Helper()
	line := l.On("node-1", "ip netns exec "+pod+" grep ^Udp: /proc/net/snmp | tail -1")
	fields := strings.Fields(line)
	if len(fields) < 3 {
		l.t.Fatalf("/proc/net/snmp: %q", line)
	}
	n, err := strconv.Atoi(fields[2])
	if err != nil {
		l.t.Fatalf("/proc/net/snmp: %q", line)
	}
	return n
}
