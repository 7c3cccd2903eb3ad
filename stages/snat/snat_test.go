package snat

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// world is a node with one pod, and everything else behind its uplink: the VPC's host 10.0.9.9 and 198.51.100.1
// outside, which both know the way to the pod.
type world struct {
	node, pod, outside *linktest.NS
	t                  *testing.T
}

var mine = stages.Attachment{Network: "enichain", Container: "c1", IfName: "eth0"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{linktest.New(t), linktest.New(t), linktest.New(t), t}
	mac, _ := link.OwnerMACs(mine.String())
	for _, n := range []*linktest.NS{w.node, w.pod, w.outside} { // nobody is to wait for duplicate address detection
		n.Script("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	}
	w.node.Script(`
		ip link set lo up
		echo 1 > /proc/sys/net/ipv4/ip_forward
		echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		ip link add eth0 type veth peer name wan netns ` + w.outside.Path() + `
		ip addr add 10.0.0.10/24 dev eth0
		ip addr add fd00::10/64 dev eth0 nodad
		ip link set eth0 up
		ip link add enipod address ` + mac.String() + ` type veth peer name eth0 netns ` + w.pod.Path() + `
		ip link set enipod group 7000 up
		ip addr add 169.254.1.1/32 dev enipod
		ip addr add fe80::1/64 dev enipod nodad
		ip route add 10.0.0.11/32 dev enipod
		ip route add fd00::11/128 dev enipod`)
	w.pod.Script(`
		ip link set lo up
		ip addr add 10.0.0.11/32 dev eth0
		ip addr add fd00::11/128 dev eth0 nodad
		ip link set eth0 up
		ip route add 169.254.1.1 dev eth0
		ip route add default via 169.254.1.1 dev eth0
		ip route add default via fe80::1 dev eth0`)
	w.outside.Script(`
		ip link set lo up
		ip addr add 10.0.9.9/32 dev lo
		ip addr add 198.51.100.1/32 dev lo
		ip addr add 2001:db8::1/128 dev lo nodad
		ip addr add 10.0.0.1/24 dev wan
		ip addr add fd00::1/64 dev wan nodad
		ip link set wan up
		ip route add 10.0.0.11/32 via 10.0.0.10
		ip route add fd00::11/128 via fd00::10`)
	w.node.Script(`
		ip route add default via 10.0.0.1
		ip route add default via fd00::1`)
	return w
}

// sees is the source that the listener on to sees when the pod sends.
func (w *world) sees(to string) string {
	w.t.Helper()
	var server net.PacketConn
	var err error
	at := net.JoinHostPort(to, "0")
	w.outside.Do(func(*link.Conn) { server, err = net.ListenPacket("udp", at) })
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	w.pod.Do(func(*link.Conn) {
		var client net.Conn
		if client, err = net.Dial("udp", server.LocalAddr().String()); err == nil {
			_, err = client.Write([]byte("hello"))
			client.Close()
		}
	})
	if err != nil {
		w.t.Fatalf("cannot send from the pod to %s: %v", to, err)
	}
	if err := server.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	_, from, err := server.ReadFrom(make([]byte, 16))
	if err != nil {
		return "nothing"
	}
	return netip.MustParseAddrPort(from.String()).Addr().Unmap().String()
}

// request is what a runtime sends behind routed-veth.
func request(config string) *stages.Request {
	return &stages.Request{
		Attachment: mine, Netns: "/somewhere", Version: "1.0.0",
		Config: []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"snat"` + config + `}`),
		Prev:   previous("enipod"),
	}
}

func previous(host string) *stages.Result {
	mac, podMAC := link.OwnerMACs(mine.String())
	return &stages.Result{
		CNIVersion: "1.1.0",
		Interfaces: []*types100.Interface{{Name: host, Mac: mac.String()}, {Name: "eth0", Mac: podMAC.String(), Sandbox: "/somewhere"}},
		IPs: []*types100.IPConfig{
			{Address: cidr("10.0.0.11/32"), Interface: types100.Int(1), Gateway: net.IPv4(169, 254, 1, 1)},
			{Address: cidr("fd00::11/128"), Interface: types100.Int(1), Gateway: net.ParseIP("fe80::1")},
		},
		Routes: []*types.Route{{Dst: cidr("10.0.0.0/16")}, {Dst: cidr("fd00::/56")},
			{Dst: cidr("0.0.0.0/0"), GW: net.IPv4(169, 254, 1, 1)}, {Dst: cidr("::/0")}},
	}
}

func cidr(s string) net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return net.IPNet{IP: ip, Mask: n.Mask}
}

func (w *world) add(r *stages.Request) *stages.Result {
	w.t.Helper()
	var result *stages.Result
	var err error
	w.node.Do(func(*link.Conn) { result, err = Stage{}.Add(context.Background(), r) })
	if err != nil {
		w.t.Fatalf("Add: %v", err)
	}
	return result
}

func (w *world) do(verb func(context.Context, *stages.Request) error, r *stages.Request) error {
	w.t.Helper()
	var err error
	w.node.Do(func(*link.Conn) { err = verb(context.Background(), r) })
	return err
}

func (w *world) group(name string) (group uint32) {
	w.t.Helper()
	w.node.Do(func(c *link.Conn) {
		l, err := c.LinkByName(name)
		if err != nil {
			w.t.Fatal(err)
		}
		group = l.Group
	})
	return group
}

func TestPodLeavesAsTheNode(t *testing.T) {
	w := newWorld(t)
	if got := w.sees("198.51.100.1"); got != "10.0.0.11" {
		t.Fatalf("before ADD the outside sees %s", got)
	}
	r := request("")
	for range 2 {
		result := w.add(r)
		if diff := cmp.Diff(previous("enipod"), result); diff != "" {
			t.Errorf("result (-prevResult +got):\n%s", diff)
		}
		if err := w.do(Stage{}.Check, r); err != nil {
			t.Errorf("Check right after Add: %v", err)
		}
	}
	if diff := cmp.Diff(flagship, w.node.Ruleset("inet", "enichain-snat")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	for to, want := range map[string]string{"198.51.100.1": "10.0.0.10", "10.0.9.9": "10.0.0.11", "2001:db8::1": "fd00::11"} {
		if got := w.sees(to); got != want {
			t.Errorf("%s sees %s, want %s", to, got, want)
		}
	}
	if err := w.do(Stage{}.Del, r); err != nil {
		t.Errorf("Del: %v", err)
	}
	if got := w.group("enipod"); got != 7128 {
		t.Errorf("group of the host link = %d, want 7128", got)
	}
}

const flagship = `table inet enichain-snat {
	comment "what leaves the VPC leaves as the node"
	set inside-1 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/16 }
	}

	chain unsteer {
		type filter hook prerouting priority -89; policy accept;
		iifgroup 7128-7255 ct direction original jump unsteer-1
	}

	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		iifgroup 7128-7255 jump leave-1
	}

	chain unsteer-1 {
		comment "profile 91a682f6b9f1817c"
		ip daddr != @inside-1 fib daddr type != local meta mark set meta mark & 0xffffff80
	}

	chain leave-1 {
		comment "profile 91a682f6b9f1817c"
		ip daddr != @inside-1 oifname "eth0" snat ip to 10.0.0.10 fully-random
	}
}
`

func TestConfigurationsSideBySide(t *testing.T) {
	w := newWorld(t)
	w.add(request(""))
	w.add(request(`,"exclude":["198.51.100.0/24"]`))
	if got := w.group("enipod"); got != 7256 {
		t.Errorf("group with another configuration = %d, want 7256 (profile 2)", got)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.11" {
		t.Errorf("an excluded network sees %s", got)
	}
	w.add(request(`,"inside":["10.0.0.0/17","10.0.128.0/17"]`))
	if got := w.group("enipod"); got != 7128 {
		t.Errorf("group with the first configuration in other words = %d, want 7128", got)
	}
	w.add(request(`,"families":["ipv4","ipv6"],"random":"none"`))
	if got := w.sees("2001:db8::1"); got != "fd00::10" {
		t.Errorf("with ipv6 configured the outside sees %s", got)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("beside it, IPv4's outside sees %s", got)
	}
}

// TestProfilesRunOut uses more configurations than there are numbers: numbers without pods are used again.
func TestProfilesRunOut(t *testing.T) {
	w := newWorld(t)
	for i := range numbers.MaxProfile + 3 {
		exclude := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		w.add(request(`,"exclude":["` + exclude.String() + `/32"]`))
		if err := w.do(Stage{}.Check, request(`,"exclude":["`+exclude.String()+`/32"]`)); err != nil {
			t.Errorf("Check with configuration %d: %v", i, err)
		}
	}
	var used []string
	for k := 1; k <= numbers.MaxProfile; k++ {
		name := "other" + string(rune('0'+k))
		w.node.Run("ip", "link", "add", name, "type", "veth", "peer", "name", name+"p")
		w.node.Run("ip", "link", "set", name, "up", "group", itoa(numbers.PodLinkGroup(3, k)))
		used = append(used, name)
	}
	w.node.Do(func(*link.Conn) {
		_, err := Stage{}.Add(context.Background(), request(`,"exclude":["192.0.2.1/32"]`))
		var e *stages.Error
		if !errors.As(err, &e) || e.Code != 7 || !strings.Contains(e.Text, "all 7 SNAT profiles") {
			t.Errorf("an eighth configuration in use = %v", err)
		}
	})
	for _, name := range used {
		w.node.Run("ip", "link", "del", name)
	}
}

func itoa(n uint32) string {
	var out []byte
	for ; n > 0; n /= 10 {
		out = append([]byte{byte('0' + n%10)}, out...)
	}
	return string(out)
}

func TestBehindOtherInterfacePlugins(t *testing.T) {
	w := newWorld(t)
	w.node.Run("ip", "link", "set", "enipod", "group", "0")
	r := request("")
	w.add(r)
	w.add(r)
	if err := w.do(Stage{}.Check, r); err != nil {
		t.Errorf("Check: %v", err)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("the outside sees %s", got)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); !strings.Contains(text, `10.0.0.11 comment "enichain/c1/eth0" : jump leave-1`) ||
		!strings.Contains(text, "ip saddr vmap @pods") {
		t.Errorf("no element of the pod in\n%s", text)
	}
	// A new pod takes the address over; the late DEL of the old one, without anything, leaves it alone.
	next := request("")
	next.Container = "c2"
	w.add(next)
	late := &stages.Request{Command: "DEL", Attachment: mine, Config: []byte(`{}`)}
	for range 2 {
		if err := w.do(Stage{}.Del, late); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("after the old pod's DEL the outside sees %s", got)
	}
	if err := w.do(Stage{}.Check, r); err == nil || !strings.Contains(err.Error(), "DRIFT") {
		t.Errorf("Check of the old pod = %v, want DRIFT", err)
	}
	gc := &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"}, Config: []byte(`{}`)}
	if err := w.do(Stage{}.GC, gc); err != nil {
		t.Fatal(err)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("a GC without a list took something: the outside sees %s", got)
	}
	gc.Valid = []stages.Attachment{}
	if err := w.do(Stage{}.GC, gc); err != nil {
		t.Fatal(err)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
		t.Errorf("after GC with an empty list the table is still there:\n%s", text)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.11" {
		t.Errorf("after GC the outside sees %s", got)
	}
}

// TestManyAtOnce starts pods with three configurations at one time on a node that has no table yet.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.node.Run("ip", "link", "set", "enipod", "group", "0")
	const pods = 30
	failed := make(chan error, pods)
	for i := range pods {
		go func() {
			failed <- link.InNetns(w.node.Path(), func(*link.Conn) error {
				r := request([]string{"", `,"random":"none"`, `,"random":"random"`}[i%3])
				r.Container = "c" + itoa(uint32(100+i))
				r.Prev.IPs = r.Prev.IPs[:1]
				r.Prev.IPs[0].Address = cidr("10.0.1." + itoa(uint32(i+1)) + "/32")
				_, err := Stage{}.Add(context.Background(), r)
				if err == nil {
					err = Stage{}.Check(context.Background(), r)
				}
				if err == nil && i%2 == 0 {
					err = Stage{}.Del(context.Background(), r)
				}
				return err
			})
		}()
	}
	for range pods {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	text := w.node.Ruleset("inet", "enichain-snat")
	if got := strings.Count(text, "comment \"enichain/c"); got != pods/2 {
		t.Errorf("%d pods have elements, want %d:\n%s", got, pods/2, text)
	}
	if strings.Contains(text, "leave-4") || !strings.Contains(text, "leave-3") {
		t.Errorf("three configurations did not make three profiles:\n%s", text)
	}
}

func TestGCKeepsWhatPodsUse(t *testing.T) {
	w := newWorld(t)
	w.add(request(""))
	w.add(request(`,"random":"none"`))
	gc := &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"}, Config: []byte(`{}`),
		Valid: []stages.Attachment{mine}}
	if err := w.do(Stage{}.GC, gc); err != nil {
		t.Fatal(err)
	}
	text := w.node.Ruleset("inet", "enichain-snat")
	if strings.Contains(text, "leave-1") || !strings.Contains(text, "leave-2") {
		t.Errorf("GC shall remove profile 1 and keep profile 2:\n%s", text)
	}
	if err := w.do(Stage{}.Check, request(`,"random":"none"`)); err != nil {
		t.Errorf("Check after GC: %v", err)
	}
	if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
		t.Errorf("after GC the outside sees %s", got)
	}
	w.add(request(""))
	if err := w.do(Stage{}.Check, request("")); err != nil {
		t.Errorf("Check after the first configuration came back: %v", err)
	}
	w.node.Run("ip", "link", "set", "enipod", "down") // as routed-veth's DEL leaves it
	gc.Valid = []stages.Attachment{}
	if err := w.do(Stage{}.GC, gc); err != nil {
		t.Fatal(err)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
		t.Errorf("after the last pod GC leaves\n%s", text)
	}
}

func TestCheckFindsDriftAndAddMends(t *testing.T) {
	tests := []struct{ name, damage, want string }{
		{"group gone", "ip link set enipod group 7000", "group 7000, which stands for no SNAT"},
		{"table gone", "nft delete table inet enichain-snat", "no profile 1 of this configuration"},
		{"rules gone", "nft flush chain inet enichain-snat leave-1", "chain leave-1 in table enichain-snat has 0 rules, not 1"},
		{"unsteering gone", "nft flush chain inet enichain-snat unsteer-1", "chain unsteer-1 in table enichain-snat has 0 rules, not 1"},
		{"jumps gone", "nft flush chain inet enichain-snat leave", "chain leave in table enichain-snat has 0 rules, not 1"},
		{"everything flushed", "nft flush table inet enichain-snat", "chain unsteer-1 in table enichain-snat has 0 rules, not 1"},
		{"network added", "nft add element inet enichain-snat inside-1 '{ 198.51.100.0/24 }'",
			"set inside-1 in table enichain-snat holds other networks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r := request("")
			w.add(r)
			w.node.Script(tt.damage)
			err := w.do(Stage{}.Check, r)
			var e *stages.Error
			if !errors.As(err, &e) || e.Token != stages.Drift || !strings.Contains(e.Text, tt.want) {
				t.Errorf("Check = %v, want DRIFT with %q", err, tt.want)
			}
			if tt.name == "network added" {
				return // an ADD does not compare elements; CHECK and repair do
			}
			w.add(r)
			if err := w.do(Stage{}.Check, r); err != nil {
				t.Errorf("Check after Add: %v", err)
			}
			if got := w.sees("198.51.100.1"); got != "10.0.0.10" {
				t.Errorf("after Add the outside sees %s", got)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(*stages.Request)
		token  stages.Token
		want   []string
	}{
		{"no prevResult", func(r *stages.Request) { r.Prev = nil }, stages.NoPrevResult, []string{"never first in a list"}},
		{"all faults at once", func(r *stages.Request) {
			r.Config = []byte(`{"cniVersion":"1.0.0","name":"enichain","type":"snat","inside":"vcp","exclude":["10.0.0.1/16"],` +
				`"random":"full","to":"elastic","families":["ipv5"],"includ":1}`)
		}, stages.Config, []string{"inside", `want "vpc"`, "exclude[0]", "10.0.0.0/16", "random", "to:", "families[0]", "includ"}},
		{"no prefix", func(r *stages.Request) { r.Config = []byte(`{"inside":["10.0.0.0"]}`) }, stages.Config, []string{"item 0: want a prefix"}},
		{"no networks of the VPC", func(r *stages.Request) { r.Prev.Routes = nil }, stages.Config, []string{`inside: "vpc"`, "give a list"}},
		{"another attachment's link", func(r *stages.Request) { r.Container = "c9" }, stages.Drift, []string{"belongs to another attachment"}},
		{"no family", func(r *stages.Request) { r.Config = []byte(`{"families":[]}`) }, stages.Config, []string{"families: want at least one"}},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request("")
			tt.change(r)
			w.node.Do(func(*link.Conn) {
				_, err := Stage{}.Add(context.Background(), r)
				var e *stages.Error
				if !errors.As(err, &e) || e.Token != tt.token {
					t.Fatalf("Add = %v, want %s", err, tt.token)
				}
				for _, want := range tt.want {
					if !strings.Contains(e.Text, want) {
						t.Errorf("Add = %v, want %q in it", err, want)
					}
				}
			})
			if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
				t.Errorf("a refused ADD left\n%s", text)
			}
			if got := w.group("enipod"); got != 7000 {
				t.Errorf("a refused ADD set the group to %d", got)
			}
		})
	}
}

func TestWithoutAWayOut(t *testing.T) {
	w := newWorld(t)
	w.node.Run("ip", "route", "del", "default")
	w.node.Do(func(*link.Conn) {
		_, err := Stage{}.Add(context.Background(), request(""))
		if err == nil || !strings.Contains(err.Error(), "no default route for IPv4") {
			t.Errorf("Add without a default route = %v", err)
		}
	})
	err := w.do(Stage{}.Status, request(""))
	var e *stages.Error
	if !errors.As(err, &e) || e.Code != 50 {
		t.Errorf("Status without a default route = %v, want code 50", err)
	}
	w.node.Run("ip", "route", "add", "default", "via", "10.0.0.1")
	if err := w.do(Stage{}.Status, request("")); err != nil {
		t.Errorf("Status = %v", err)
	}
}

func TestPodWithoutTranslatedFamily(t *testing.T) {
	w := newWorld(t)
	r := request("")
	r.Prev.IPs = r.Prev.IPs[1:]
	w.add(r)
	if err := w.do(Stage{}.Check, r); err != nil {
		t.Errorf("Check: %v", err)
	}
	if text := w.node.Ruleset("inet", "enichain-snat"); text != "" {
		t.Errorf("a pod with IPv6 alone made\n%s", text)
	}
}
