package routedveth_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// TestFirstPacket: when ADD says yes, the wire carries packets. It used to lose the first one of about 30 pods, and a
// connection's first packet is sent again after a second only.
func TestFirstPacket(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1)
	var server net.Listener
	n.in(func() (err error) { server, err = net.Listen("tcp", "10.0.0.10:80"); return err })
	defer server.Close()
	for i := range 60 {
		pod := linktest.New(t)
		r := request(t, fmt.Sprintf("c%d", i), pod, onENI("eth1", mac1, fmt.Sprintf("10.0.1.%d", 30+i)))
		n.add(r)
		pod.Do(func(*link.Conn) {
			c, err := net.DialTimeout("tcp", "10.0.0.10:80", 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if again := retransmitted(t, c.(*net.TCPConn)); again > 0 {
				t.Errorf("pod %d: the first packet was sent %d times again", i, again)
			}
		})
		n.del(r)
	}
}

func retransmitted(t *testing.T, c *net.TCPConn) (packets uint32) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		packets = info.Total_retrans
	}); err != nil {
		t.Fatal(err)
	}
	return packets
}
