package pools_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/e2e/live"
)

// wholeMark makes this test program send or answer one datagram, inside a pod.
const wholeMark = "whole-inside"

// whole answers every datagram with itself at an address that begins with a colon. To another it sends one that fills a
// packet of 9001 bytes, until it is back; on its way it must not be cut into pieces.
func whole(at string) int {
	c, err := datagrams(at)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	text := make([]byte, 9001-28) // the headers of IPv4 and UDP
	if strings.HasPrefix(at, ":") {
		fmt.Println("listening")
		for {
			if n, from, err := c.ReadFromUDPAddrPort(text); err == nil {
				_, _ = c.WriteToUDPAddrPort(text[:n], from)
			}
		}
	}
	for range 50 {
		_, sent := c.Write(text)
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, back := c.Read(text)
		if err = fmt.Errorf("sent: %v, back: %d bytes, %v", sent, n, back); n == len(text) {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// datagrams is a socket whose packets bear "don't fragment" and are sent whatever the path took before.
func datagrams(at string) (*net.UDPConn, error) {
	to, err := net.ResolveUDPAddr("udp4", at)
	if err != nil {
		return nil, err
	}
	var c *net.UDPConn
	if strings.HasPrefix(at, ":") {
		c, err = net.ListenUDP("udp4", to)
	} else {
		c, err = net.DialUDP("udp4", nil, to)
	}
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	})
	if err == nil {
		err = refused
	}
	return c, err
}

const wide = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: t3.medium, subnet: subnet-a }
enichaind:
  pools:
    - name: default
      usePrimary: false
      mode: secondary
      warm: { free: 2 }
`

// TestHotPluggedMTU: an interface comes with its driver's MTU, and turns ready with the pool's; then packets of 9001 bytes
// pass between pods of it. What others change is put back, and a change of the file reaches every link.
func TestHotPluggedMTU(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "mtu", wide)
	link := func(node, mtu string) {
		t.Helper()
		l.Eventually(live.Patience, "eth1 of "+node+" has MTU "+mtu, func() (bool, string) {
			got := l.On(node, "cat /sys/class/net/eth1/mtu")
			return got == mtu, got
		})
	}
	for _, node := range []string{"node-1", "node-2"} {
		l.Pool(node, "default", "two free addresses", func(p live.Pool) bool { return p.Counts.Free == 2 })
		if got := l.On(node, "cat /sys/class/net/eth1/mtu"); got != "9001" {
			t.Errorf("%s: ready with MTU %s", node, got)
		}
	}
	l.Start("asks", "--node", "node-1")
	answers := l.Start("answers", "--node", "node-2")[0]
	ready := background(t, l, "node-2", "--", "ip", "netns", "exec", answers.Name, os.Args[0], wholeMark, ":7000")
	l.Eventually(live.Patience, "the other end listens", func() (bool, string) { return ready.Load() > 0, "" })
	ask := func() live.Said {
		return l.Run("exec", "node-1", "--", "ip", "netns", "exec", "asks", os.Args[0], wholeMark, answers.Address()+":7000")
	}
	passes := func() {
		t.Helper()
		if r := ask(); r.Code != 0 {
			t.Errorf("9001 bytes do not pass: %s", r.Err)
		}
	}
	passes()
	l.On("node-1", "ip link set eth1 mtu 1500")
	link("node-1", "9001")
	passes()
	for _, mtu := range []int{1500, 9001} {
		l.Configure("control", func(c map[string]any) {
			c["pools"].([]any)[0].(map[string]any)["enis"] = map[string]any{"mtu": mtu}
		})
		for _, node := range []string{"node-1", "node-2"} {
			link(node, fmt.Sprint(mtu))
		}
		if r := ask(); (r.Code == 0) != (mtu == 9001) {
			t.Errorf("with MTU %d: exit %d, %s", mtu, r.Code, r.Err)
		}
	}
}
