package snat

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

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
		iifgroup 7129-7255 ct direction original jump unsteer-1
	}

	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		iifgroup 7128-7255 jump leave-1
	}

	chain unsteer-1 {
		comment "profile f3ce0786915f9da2"
		ip daddr != @inside-1 meta mark set meta mark & 0xffffff80
	}

	chain leave-1 {
		comment "profile f3ce0786915f9da2"
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
	if text := w.node.Ruleset("inet", "enichain-snat"); !strings.Contains(text, "snat ip to 10.0.0.10\n") {
		t.Errorf("random: none became\n%s", text)
	}
	w.add(request(`,"families":["ipv4","ipv6"],"exclude":["2001:db8::/64"]`))
	if got := w.sees("2001:db8::1"); got != "fd00::11" {
		t.Errorf("an excluded IPv6 network sees %s", got)
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
		{"networks emptied", "nft flush set inet enichain-snat inside-1", "set inside-1 in table enichain-snat holds other networks"},
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
				return // an ADD does not compare all elements; CHECK and repair do
			}
			w.add(r)
			if err := w.do(Stage{}.Check, r); err != nil {
				t.Errorf("Check after Add: %v", err)
			}
			for to, want := range map[string]string{"198.51.100.1": "10.0.0.10", "10.0.9.9": "10.0.0.11"} {
				if got := w.sees(to); got != want {
					t.Errorf("after Add %s sees %s, want %s", to, got, want)
				}
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
		{"no address", func(r *stages.Request) { r.Prev.IPs = nil }, stages.PrevResult, []string{"no address of eth0", "put snat behind"}},
		{"another interface's address", func(r *stages.Request) { r.Prev.Interfaces[1].Name = "net1" }, stages.PrevResult, []string{"no address of eth0"}},
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
