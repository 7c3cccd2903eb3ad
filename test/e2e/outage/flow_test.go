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
)

// background runs a job inside a machine until the test ends, and hands its lines to hear.
func (l *lab) background(machine string, hear func(line string), command ...string) {
	l.t.Helper()
	cmd := l.command(append([]string{"exec", machine, "--"}, command...)...)
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
	old := l.start("old", "--port", "9000:80/udp")[0]

	var byPort, stranger atomic.Int64
	l.background("internet", func(line string) {
		switch {
		case strings.HasPrefix(line, "hello from old;"):
			byPort.Add(1)
		case strings.HasPrefix(line, "hello from"):
			stranger.Add(1)
		}
	}, os.Args[0], insideMark, "talk", "198.51.100.1:9000")
	eventually(t, 5*time.Second, "the client hears the old pod by the host port", func() bool { return byPort.Load() > 0 })

	var streaming atomic.Bool
	l.background("internet", func(line string) {
		if strings.HasPrefix(line, "streaming") {
			streaming.Store(true)
		} else if line == "ready" {
			talk := l.command("exec", "node-1", "--", "ip", "netns", "exec", "old", "timeout", "1", os.Args[0], insideMark, "talk", "203.0.113.10:7777")
			go func() { _ = talk.Run() }() // timeout ends it; without it nothing streams
		}
	}, os.Args[0], insideMark, "stream", ":7777")
	eventually(t, 5*time.Second, "the internet streams to the old pod", streaming.Load)

	l.end("old")
	eventually(t, 20*time.Second, "the address is free again", func() bool {
		for _, a := range l.mustState("node-1").Addresses {
			if a.Address.String() == old.address() {
				return a.State == ipam.Free
			}
		}
		return false
	})
	heir := l.inherit("new", old.address())
	if heir.address() != old.address() {
		t.Fatalf("the new pod has %s, not %s", heir.address(), old.address())
	}
	before := l.noPorts("new")
	l.must("reach", "node-1/new", "udp://203.0.113.10") // it is wired; and by now a packet of the old flows would be here
	time.Sleep(20 * pace)                               // what must not come cannot be waited for
	if n := stranger.Load(); n != 0 {
		t.Errorf("the client of the old pod's host port was answered %d times by the new pod", n)
	}
	if after := l.noPorts("new"); after != before {
		t.Errorf("%d datagrams for the old pod's connection came to the new pod", after-before)
	}
}

// inherit starts a pod with an address of the test's choice.
func (l *lab) inherit(name, address string) pod {
	l.t.Helper()
	text, err := os.ReadFile("../../../conflists/05-enichain.conflist")
	if err != nil {
		l.t.Fatal(err)
	}
	list := strings.Replace(string(text), `"type": "eni-ipam"`, `"type": "eni-ipam", "args": { "cni": { "ips": ["`+address+`"] } }`, 1)
	return l.start(name, "--conflist", l.file("inherit.conflist", list))[0]
}

// noPorts counts the datagrams that came to a pod's ports where nobody listens.
func (l *lab) noPorts(pod string) int {
	l.t.Helper()
	line := l.sh("node-1", "ip netns exec "+pod+" grep ^Udp: /proc/net/snmp | tail -1")
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
