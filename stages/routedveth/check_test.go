package routedveth_test

import (
	"strings"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// drifts are what people and programs break, and the words in which CHECK must say it. NODE and POD stand for the
// namespaces, LINK for the host end.
var drifts = map[string]struct{ in, do, want string }{
	"default route":  {"POD", "ip route del default", `the route "default via 169.254.1.1 dev eth0" is missing`},
	"next hop's way": {"POD", "ip route del 169.254.1.1", `the route "169.254.1.1 dev eth0" is missing`},
	"address":        {"POD", "ip address flush dev eth0", "the address 10.0.1.21 is missing on eth0"},
	"pod's end down": {"POD", "ip link set eth0 down", "eth0 is down"},
	"pod's end gone": {"POD", "ip link del eth0", "no host end bears the owner's MAC"},
	"renamed inside": {"POD", "ip link set eth0 down; ip link set eth0 name net0", "the link eth0 is missing"},
	"next hop":       {"POD", "ip neigh del 169.254.1.1 dev eth0", "the neighbour 169.254.1.1 lladdr"},
	"host end down":  {"NODE", "ip link set LINK down", "the host end LINK is down"},
	"group":          {"NODE", "ip link set LINK group 0", "LINK is in no pod's link group"},
	"node's route":   {"NODE", "ip route flush table 1000", "the node's route to 10.0.1.21 by LINK is missing or outweighed"},
	"stolen route":   {"NODE", "ip rule add pref 1 lookup main; ip route add 10.0.1.21 dev lo", "missing or outweighed (enichain/c1/eth0); see: ip route get 10.0.1.21"},
	"answer":         {"NODE", "ip neigh del proxy 169.254.1.1 dev LINK", "the neighbour proxy 169.254.1.1 on LINK is missing"},
	"other MAC":      {"NODE", "ip neigh replace 10.0.1.21 lladdr 02:00:00:00:00:99 dev LINK nud permanent", "has the MAC 02:00:00:00:00:99"},
	"pod's rules":    {"POD", "ip rule flush", "no rule leads packets of 10.0.1.21 to table 254"},
	"lost table": {"POD", `ip route add 169.254.1.1 dev eth0 scope link table 100; ip route del default
		ip route add default via 169.254.1.1 dev eth0 table 100`, "no rule leads packets of 10.0.1.21 to table 100"},
	"mark's rule": {"NODE", "ip rule del pref 1500", "packets with the mark of eni-1 do not go by its table"},
	"steering":    {"NODE", "nft delete table inet enichain-routed-veth", "the steering to eni-1 is missing"},
}

// Later stages may do these.
var tolerated = map[string]struct{ in, do string }{
	"snat's profile": {"NODE", "ip link set LINK group 7129"},
	"tuning's mac":   {"POD", "ip link set eth0 address 02:11:22:33:44:55"},
	"tuning's mtu":   {"POD", "ip link set eth0 mtu 1400"},
	"sbr's table": {"POD", `ip rule add from 10.0.1.21 table 100; ip route add 169.254.1.1 dev eth0 scope link table 100
		ip route add default via 169.254.1.1 dev eth0 table 100; ip route del default; ip route del 169.254.1.1`},
	"more of everything": {"POD", "ip address add 10.9.9.9/32 dev eth0; ip route add 10.8.0.0/16 via 169.254.1.1"},
}

func TestCheck(t *testing.T) {
	try := func(t *testing.T, in, do string) (host string, err error) {
		n := newNode(t)
		n.prepare(routedveth.ENI{N: 0, MAC: mac0})
		n.prepare(eni1)
		pod := linktest.New(t)
		r := request(t, "c1", pod, onENI("eth1", mac1, "10.0.1.21"))
		added := n.add(r)
		if err := n.check(r, added); err != nil {
			t.Fatalf("before: %v", err)
		}
		do = strings.ReplaceAll(do, "LINK", n.hostName(r))
		if in == "POD" {
			pod.Script(do)
		} else {
			n.Script(do)
		}
		return n.hostName(r), n.check(r, added)
	}
	for name, c := range drifts {
		t.Run(name, func(t *testing.T) {
			host, err := try(t, c.in, c.do)
			if f := isToken(err, stages.Drift, strings.ReplaceAll(c.want, "LINK", host), "enichain/c1/eth0", "; see: "); f != "" {
				t.Error(f)
			}
		})
	}
	for name, c := range tolerated {
		t.Run(name, func(t *testing.T) {
			if _, err := try(t, c.in, c.do); err != nil {
				t.Error(err)
			}
		})
	}
}
