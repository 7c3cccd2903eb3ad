package routedveth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// TestRoutes: a route that is more than "that network, too" is made with all that it says, and the result says no more.
func TestRoutes(t *testing.T) {
	n := newNode(t)
	n.prepare(routedveth.ENI{N: 0, MAC: mac0})
	pod := linktest.New(t)
	r := request(t, "c1", pod, `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.21/24"}],"routes":[{"dst":"10.0.0.0/16"},
		{"dst":"0.0.0.0/0","gw":"10.0.0.1","mtu":1400,"priority":7},{"dst":"192.0.2.0/24","gw":"10.0.0.9"},
		{"dst":"198.51.100.0/24","mtu":1300,"advmss":1200,"priority":50,"table":100,"scope":253},{"dst":"2001:db8::/32","mtu":1300}]}`)
	added := n.add(r)
	shown := func(args ...string) string {
		all := pod.Run("ip", append([]string{"route", "show"}, args...)...)
		return strings.ReplaceAll(strings.ReplaceAll(all, " proto 233", ""), " \n", "\n")
	}
	same(t, "routes", `default via 169.254.1.1 dev eth0 mtu 1400
169.254.1.1 dev eth0 scope link
192.0.2.0/24 via 169.254.1.1 dev eth0`, shown())
	same(t, "table 100", "198.51.100.0/24 via 169.254.1.1 dev eth0 metric 50 onlink mtu 1300 advmss 1200", shown("table", "100"))
	text, _ := json.Marshal(added.Routes)
	same(t, "result", `[{"dst":"10.0.0.0/16"},{"dst":"0.0.0.0/0","gw":"169.254.1.1","mtu":1400},{"dst":"192.0.2.0/24","gw":"169.254.1.1"},`+
		`{"dst":"198.51.100.0/24","gw":"169.254.1.1","mtu":1300,"advmss":1200,"priority":50,"table":100}]`, string(text))
	if err := n.check(r, added); err != nil {
		t.Error(err)
	}
	pod.Run("ip", "route", "flush", "table", "100")
	if f := isToken(n.check(r, added), stages.Drift, `the route "198.51.100.0/24 via 169.254.1.1 dev eth0" is missing`); f != "" {
		t.Error(strings.TrimSpace(f))
	}
}
