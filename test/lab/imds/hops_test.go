package imds_test

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/fabric"
	"github.com/enichain/enichain/test/lab/imds"
	"github.com/enichain/enichain/test/need"
)

// A node gets a token; a pod one hop behind it gets none, though it can reach the service.
func TestHopLimit(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "curl", "curl")
	l := newLab(t)
	f, err := fabric.Up(t.Context(), fabric.Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")},
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.110.10.0/24")}, Services: []netip.Addr{netip.MustParseAddr("169.254.169.254")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	node, err := f.Instance(t.Context(), "node-1")
	if err != nil {
		t.Fatal(err)
	}
	mac, err := net.ParseMAC(l.eth0.MAC)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Attach(t.Context(), "node-1", fabric.Interface{ID: l.eth0.ID, MAC: mac, Addresses: l.eth0.Addresses(), Boot: true}); err != nil {
		t.Fatal(err)
	}
	listener, err := f.Router().Listen("169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: imds.Handler(l.World, l.node.ID, l.clock), ConnContext: imds.ConnContext, ReadHeaderTimeout: time.Second}
	t.Cleanup(func() { server.Close() })
	go server.Serve(listener)
	pod := l.eth0.Secondary[0]
	if _, err := node.Exec(t.Context(), "sh", "-ec", fmt.Sprintf(`ip netns add pod
		ip link add veth0 type veth peer name eth0 netns pod
		ip link set veth0 up; ip addr add 169.254.1.1/32 dev veth0; ip route add %[1]s dev veth0
		ip -n pod link set eth0 up; ip -n pod addr add %[1]s/32 dev eth0
		ip -n pod route add 169.254.1.1 dev eth0; ip -n pod route add default via 169.254.1.1
		sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0`, pod)); err != nil {
		t.Fatal(err)
	}
	const get = `curl -s -o /dev/null -m 5 -w '%{http_code}' http://169.254.169.254/latest/meta-data/mac`
	const put = `curl -s -o /dev/null -m 2 -w '%{http_code}' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token`
	for _, test := range []struct{ name, command, want string }{
		{"token for the node", put, "200"},
		{"token for the pod", "ip netns exec pod " + put, "000"},
		{"another answer for the pod", "ip netns exec pod " + get, "401"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, _ := node.Exec(t.Context(), "sh", "-c", test.command+"; true") // curl fails where no answer comes
			if got := strings.TrimSpace(out); got != test.want {
				t.Errorf("answered %q, want %q", got, test.want)
			}
		})
	}
}

// One attribute can lag or stand still while the others are true: an address that was given back stays in local-ipv4s.
func TestAttributeLagsAndStandsStill(t *testing.T) {
	for _, test := range []struct{ name, kind, argument string }{
		{"lags", "imds-lag", "node-1/local-ipv4s=1m"},
		{"stands still", "imds-stale", "node-1/local-*"},
	} {
		t.Run(test.name, func(t *testing.T) { attribute(t, test.kind, test.argument) })
	}
}
