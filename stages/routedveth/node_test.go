package routedveth_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/routedveth"
)

// The node of these tests: eth0 is the primary network interface, eth1 a secondary one in another subnet, each with its
// other end in a namespace that stands for the VPC. The secondary one is as it comes: no address, down.
const (
	mac0, mac1 = "0a:00:00:00:00:10", "0a:00:00:00:00:20"
	setup      = `
		ip link set lo up
		ip link add eth0 address 0a:00:00:00:00:10 mtu 9001 type veth peer name vpc0 netns VPC
		ip link add eth1 address 0a:00:00:00:00:20 mtu 9001 type veth peer name vpc1 netns VPC
		ip link set eth0 up; ip address add 10.0.0.10/24 dev eth0; ip route add default via 10.0.0.1 dev eth0`
	setup6 = `
		ip address add fd00:1::10/64 dev eth0 nodad; ip -6 route add default via fe80::ff dev eth0`
)

var eni1 = routedveth.ENI{
	N: 1, MAC: mac1, Primary: netip.MustParseAddr("10.0.1.20"), Gateway: netip.MustParseAddr("10.0.1.1"),
	Subnet: netip.MustParsePrefix("10.0.1.0/24"),
}

var eni1six = routedveth.ENI{
	N: 1, MAC: mac1, Primary: netip.MustParseAddr("10.0.1.20"), Gateway: netip.MustParseAddr("10.0.1.1"),
	Primary6: netip.MustParseAddr("fd00:2::20"), Gateway6: netip.MustParseAddr("fe80::fe"),
}

type node struct {
	*linktest.NS
	t   *testing.T
	vpc *linktest.NS
}

func newNode(t *testing.T, more ...string) *node {
	t.Helper()
	n := &node{NS: linktest.New(t), t: t, vpc: linktest.New(t)}
	n.vpc.Run("ip", "link", "set", "lo", "up")
	script := setup + strings.Join(more, "\n")
	n.Script(strings.ReplaceAll(script, "netns VPC", "netns "+n.vpc.Name()))
	n.vpc.Script("ip link set vpc0 up; ip link set vpc1 up")
	return n
}

// in runs f in the node and fails the test with its error.
func (n *node) in(f func() error) {
	n.t.Helper()
	if err := n.try(f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) try(f func() error) (err error) {
	n.t.Helper()
	n.Do(func(*link.Conn) { err = f() })
	return err
}

func (n *node) prepare(e routedveth.ENI) {
	n.t.Helper()
	n.in(func() error { return routedveth.Prepare(n.t.Context(), e) })
}

// request is an ADD by hand; prev is prevResult in JSON.
func request(t *testing.T, container string, ns *linktest.NS, prev string) *stages.Request {
	t.Helper()
	r := &stages.Request{
		Command: "ADD", Attachment: stages.Attachment{Network: "enichain", Container: container, IfName: "eth0"},
		Netns: ns.Path(), Version: "1.0.0", Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"routed-veth"}`),
	}
	if prev != "" {
		r.Prev = result(t, prev)
	}
	return r
}

func result(t *testing.T, text string) *stages.Result {
	t.Helper()
	var out stages.Result
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	out.CNIVersion = "1.0.0"
	return &out
}

// onENI is what eni-ipam says of an address.
func onENI(name, mac string, addrs ...string) string {
	var ips []string
	for _, a := range addrs {
		bits, gw := "/32", "169.254.1.1"
		if strings.Contains(a, ":") {
			bits, gw = "/128", "fe80::1"
		}
		ips = append(ips, `{"address":"`+a+bits+`","gateway":"`+gw+`","interface":0}`)
	}
	return `{"cniVersion":"1.0.0","interfaces":[{"name":"` + name + `","mac":"` + mac + `"}],"ips":[` + strings.Join(ips, ",") +
		`],"routes":[{"dst":"10.0.0.0/16"},{"dst":"0.0.0.0/0"}]}`
}

func (n *node) add(r *stages.Request) *stages.Result {
	n.t.Helper()
	out, err := n.tryAdd(r)
	if err != nil {
		n.t.Fatalf("ADD: %v", err)
	}
	return out
}

func (n *node) tryAdd(r *stages.Request) (out *stages.Result, err error) {
	n.t.Helper()
	err = n.try(func() (err error) { out, err = routedveth.Stage{}.Add(n.t.Context(), r); return err })
	return out, err
}

func (n *node) del(r *stages.Request) {
	n.t.Helper()
	n.in(func() error { return routedveth.Stage{}.Del(n.t.Context(), r) })
}

// check runs CHECK with the result of the ADD, as a runtime does.
func (n *node) check(r *stages.Request, result *stages.Result) error {
	n.t.Helper()
	c := *r
	c.Command, c.Prev = "CHECK", result
	return n.try(func() error { return routedveth.Stage{}.Check(n.t.Context(), &c) })
}

func same(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func isToken(err error, token stages.Token, parts ...string) string {
	if err == nil {
		return "no error, want " + string(token)
	}
	for _, want := range append([]string{string(token)}, parts...) {
		if !strings.Contains(err.Error(), want) {
			return "error " + err.Error() + "\nlacks " + want
		}
	}
	return ""
}
