package routedveth_test

import (
	"net"
	"testing"
	"time"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// answer is how long a first connection may take: a neighbour is asked and answers at once, and what is lost is asked
// again after a second.
const answer = 900 * time.Millisecond

// TestAnotherMAC: a later stage gives the container another MAC, which costs it its neighbours. Connections pass all the
// same, whoever opens the first one.
func TestAnotherMAC(t *testing.T) {
	n := newNode(t, setup6)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	n.prepare(eni1six)
	for _, first := range []string{"node", "pod"} {
		t.Run(first+" first", func(t *testing.T) {
			pod := linktest.New(t)
			r := request(t, "mac-"+first, pod, onENI("eth1", mac1, "10.0.1.21", "fd00:2::21"))
			added := n.add(r)
			defer n.del(r)
			pod.Script("ip link set eth0 address 02:11:22:33:44:55")
			for _, to := range []struct {
				from, at *linktest.NS
				address  string
			}{{n.NS, pod, "10.0.1.21"}, {n.NS, pod, "fd00:2::21"}, {pod, n.NS, "10.0.0.10"}, {pod, n.NS, "fd00:1::10"}} {
				if (to.from == pod) == (first == "pod") {
					connect(t, to.from, to.at, to.address)
				}
			}
			if err := n.check(r, added); err != nil {
				t.Error(err)
			}
		})
	}
}

// connect opens a TCP connection from one namespace to an address of another.
func connect(t *testing.T, from, at *linktest.NS, address string) {
	t.Helper()
	var server net.Listener
	var conn net.Conn
	var err error
	at.Do(func(*link.Conn) { server, err = net.Listen("tcp", net.JoinHostPort(address, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	from.Do(func(*link.Conn) { conn, err = net.DialTimeout("tcp", server.Addr().String(), answer) })
	if err != nil {
		t.Error(err)
		return
	}
	conn.Close()
}
