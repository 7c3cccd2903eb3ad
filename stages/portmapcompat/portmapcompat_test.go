package portmapcompat

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/linktest"
)

const (
	web = `{"hostPort":8080,"containerPort":80,"protocol":"tcp"}`
	dns = `{"hostPort":8053,"containerPort":80,"protocol":"UDP"}`
)

func TestPortsLeadToThePod(t *testing.T) {
	w := newWorld(t)
	r := request("a", "", web+","+dns)
	for range 2 {
		if diff := cmp.Diff(r.Prev, w.add(r)); diff != "" {
			t.Errorf("result (-prevResult +got):\n%s", diff)
		}
		w.must(Stage{}.Check, r)
	}
	if diff := cmp.Diff(webAndDNS, w.table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	a, b := w.pods["a"], w.pods["b"]
	for _, tt := range []struct{ name, network, source, to, want string }{
		{"outside", "tcp", "198.51.100.1", "10.0.0.10:8080", "a sees 198.51.100.1"},
		{"outside, other address", "tcp", "198.51.100.1", "10.0.0.20:8080", "a sees 198.51.100.1"},
		{"outside, UDP", "udp", "198.51.100.1", "10.0.0.10:8053", "a sees 198.51.100.1"},
		{"outside, IPv6", "tcp", "2001:db8::1", "[fd00::10]:8080", "a sees 2001:db8::1"},
		{"outside, UDP over IPv6", "udp", "2001:db8::1", "[fd00::10]:8053", "a sees 2001:db8::1"},
		{"outside, another port", "tcp", "198.51.100.1", "10.0.0.10:8081", "nothing"},
	} {
		if got := ask(t, w.outside, tt.network, tt.source, tt.to); got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	if got := ask(t, w.node, "tcp", "", "127.0.0.1:8080"); !strings.HasPrefix(got, "a sees 1") {
		t.Errorf("node by 127.0.0.1: %s", got)
	}
	if got := ask(t, w.node, "udp", "", "127.0.0.1:8053"); !strings.HasPrefix(got, "a sees 1") {
		t.Errorf("node by 127.0.0.1, UDP: %s", got)
	}
	if got := ask(t, w.node, "tcp", "", "10.0.0.10:8080"); got != "a sees 10.0.0.10" {
		t.Errorf("node by its own address: %s", got)
	}
	for name, to := range map[string]string{"hairpin": "10.0.0.10:8080", "hairpin, IPv6": "[fd00::10]:8080"} {
		if got := ask(t, a, "tcp", "", to); !strings.HasPrefix(got, "a sees ") || strings.Contains(got, "10.0.1.1") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := ask(t, b, "tcp", "", "10.0.0.10:8080"); got != "a sees 10.0.1.2" {
		t.Errorf("other pod: %s", got)
	}
	for range 2 {
		w.must(Stage{}.Del, bare("a"))
	}
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "nothing" {
		t.Errorf("after DEL: %s", got)
	}
	if text := w.table(); strings.Contains(text, "elements") {
		t.Errorf("after DEL:\n%s", text)
	}
}

const webAndDNS = `table inet enichain-portmap-compat {
  comment "ports of this node that lead to pods"
  map addrports {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }

  map ports {
    type inet_proto . inet_service : ipv4_addr . inet_service
    elements = {
      tcp . 8080 comment "enichain/a/eth0" : 10.0.1.1 . 80
      udp . 8053 comment "enichain/a/eth0" : 10.0.1.1 . 80 }
  }

  map addrports6 {
    type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
  }

  map ports6 {
    type inet_proto . inet_service : ipv6_addr . inet_service
    elements = {
      tcp . 8080 comment "enichain/a/eth0" : fd00:1::1 . 80
      udp . 8053 comment "enichain/a/eth0" : fd00:1::1 . 80 }
  }

  set pods {
    type ether_addr
    comment "attachments that have host ports"
    elements = {
      02:56:60:24:2e:69 comment "enichain/a/eth0" }
  }

  set hairpin {
    type ipv4_addr . ipv4_addr
    elements = {
      10.0.1.1 . 10.0.1.1 comment "enichain/a/eth0"
      127.0.0.1 . 10.0.1.1 comment "enichain/a/eth0" }
  }

  set masqall {
    type ipv4_addr
  }

  set hairpin6 {
    type ipv6_addr . ipv6_addr
    elements = {
      fd00:1::1 . fd00:1::1 comment "enichain/a/eth0" }
  }

  set masqall6 {
    type ipv6_addr
  }

  map made {
    type ether_addr : ipv4_addr . ipv6_addr . ether_addr
    comment "what ADD made: addresses, and a hash of the keys"
    elements = {
      02:56:60:24:2e:69 comment "enichain/a/eth0" : 10.0.1.1 . fd00:1::1 . f6:25:d5:19:2c:ea }
  }

  chain to-pods {
    dnat ip to ip daddr . meta l4proto . th dport map @addrports
    dnat ip to meta l4proto . th dport map @ports
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @addrports6
    dnat ip6 to meta l4proto . th dport map @ports6
  }

  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump to-pods
  }

  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump to-pods
  }

  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ip daddr @masqall masquerade
    ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade
    ct status dnat ip6 daddr @masqall6 masquerade
  }
}
`

func TestHostIP(t *testing.T) {
	w := newWorld(t)
	w.add(request("a", "", `{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.20"}`))
	w.add(request("b", "", web))
	for to, want := range map[string]string{"10.0.0.20:8080": "a", "10.0.0.10:8080": "b", "[fd00::10]:8080": "b"} {
		source := "198.51.100.1"
		if strings.Contains(to, "::") {
			source = "2001:db8::1"
		}
		if got := ask(t, w.outside, "tcp", source, to); got != want+" sees "+source {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	if got := w.node.Run("cat", "/proc/sys/net/ipv4/conf/pod-a/route_localnet"); strings.TrimSpace(got) != "0" {
		t.Errorf("route_localnet of a pod that 127.0.0.1 does not reach = %s", got)
	}
	w.must(Stage{}.Del, request("b", "", web))
	w.add(request("b", "", `{"hostPort":9999,"containerPort":99,"protocol":"Sctp"},{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"0.0.0.0"},`+
		`{"hostPort":9090,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}`))
	if got := ask(t, w.outside, "tcp", "2001:db8::1", "[fd00::10]:8080"); got != "nothing" {
		t.Errorf("0.0.0.0 by IPv6: %s", got)
	}
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "b sees 198.51.100.1" {
		t.Errorf("0.0.0.0: %s", got)
	}
	if text := w.table(); !strings.Contains(text, `sctp . 9999 comment "enichain/b/eth0" : 10.0.1.2 . 99`) {
		t.Errorf("no element for SCTP in\n%s", text)
	}
	if got := ask(t, w.node, "tcp", "", "127.0.0.1:9090"); !strings.HasPrefix(got, "b sees") {
		t.Errorf("hostIP 127.0.0.1: %s", got)
	}
}

// TestLateDELKeepsTheNewPodsPort is the reason for owners in comments.
func TestLateDELKeepsTheNewPodsPort(t *testing.T) {
	w := newWorld(t)
	w.add(request("a", "", web))
	w.add(request("b", "", web))
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "b sees 198.51.100.1" {
		t.Errorf("last wins: %s", got)
	}
	err := w.do(Stage{}.Check, request("a", "", web))
	if err == nil || !strings.Contains(err.Error(), "DRIFT enichain/a/eth0: host port 8080/tcp belongs to enichain/b/eth0 now") {
		t.Errorf("Check of the loser = %v", err)
	}
	// The loser's own address went to a third pod, which has a port as well.
	third := request("a", "", `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`)
	third.Container = "c"
	w.add(third)
	for range 2 {
		w.must(Stage{}.Del, bare("a"))
	}
	w.must(Stage{}.Check, request("b", "", web))
	w.must(Stage{}.Check, third)
	if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "b sees 198.51.100.1" {
		t.Errorf("after the late DEL: %s", got)
	}
	other := bare("b")
	other.Network = "another"
	w.must(Stage{}.Del, other)
	other = bare("b")
	other.IfName = "eth1"
	w.must(Stage{}.Del, other)
	w.must(Stage{}.Check, request("b", "", web))
}

func TestReject(t *testing.T) {
	w := newWorld(t)
	config := `,"hostPortConflict":"reject"`
	w.add(request("a", config, web))
	w.add(request("a", config, web))
	before := w.table()
	localnet := func(want string) {
		t.Helper()
		if got := strings.TrimSpace(w.node.Run("cat", "/proc/sys/net/ipv4/conf/pod-b/route_localnet")); got != want {
			t.Errorf("route_localnet of b's link is %s, want %s", got, want)
		}
	}
	_, err := w.tryAdd(request("b", config, dns+","+web))
	var e *stages.Error
	if !errors.As(err, &e) || e.Token != stages.PortTaken || e.Code != 101 ||
		!strings.Contains(e.Text, "host port 8080/tcp for enichain/b/eth0: enichain/a/eth0 holds it and leads it to 10.0.1.1:80") {
		t.Errorf("Add of a port that is taken = %v", err)
	}
	if diff := cmp.Diff(before, w.table()); diff != "" {
		t.Errorf("a refused ADD changed the table:\n%s", diff)
	}
	localnet("0")
	w.must(Stage{}.Del, bare("a"))
	w.add(request("b", config, dns+","+web))
	localnet("1")
}

func TestPodWithoutPortsLeavesNothing(t *testing.T) {
	w := newWorld(t)
	for _, ports := range []string{"", " "} {
		r := request("a", "", ports)
		w.add(r)
		w.must(Stage{}.Check, r)
		w.must(Stage{}.Del, r)
		w.must(Stage{}.Del, bare("a"))
	}
	if text := w.table(); text != "" {
		t.Errorf("pods without ports made\n%s", text)
	}
}

func TestMasquerading(t *testing.T) {
	bothBackends(t, func(t *testing.T, config string) {
		w := newWorld(t)
		w.add(request("a", config+`,"masqAll":true`, web))
		w.add(request("b", config+`,"snat":false`, `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`))
		for _, tt := range []struct {
			name string
			from *linktest.NS
			to   string
			want string
		}{
			{"masqAll", w.outside, "10.0.0.10:8080", "a sees 10.0.0."},
			{"masqAll, IPv6", w.outside, "[fd00::10]:8080", "a sees f"},
			{"masqAll by 127.0.0.1", w.node, "127.0.0.1:8080", "a sees "},
			{"snat false", w.outside, "10.0.0.10:8081", "b sees 10.0.0.1"},
			{"snat false, to itself", w.pods["b"], "10.0.0.10:8081", "nothing"},
		} {
			got := ask(t, tt.from, "tcp", "", tt.to)
			if !strings.HasPrefix(got, tt.want) || got == "a sees 2001:db8::1" {
				t.Errorf("%s: %s", tt.name, got)
			}
		}
		if text := w.table(); strings.Contains(text, "10.0.1.2 . 10.0.1.2") || strings.Contains(text, "127.0.0.1 . 10.0.1.2") {
			t.Errorf("snat false masquerades:\n%s", text)
		}
	})
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	config := `,"conditionsV4":["ip","saddr","!=","198.51.100.1"]`
	w.add(request("a", config, web))
	w.add(request("a", config, web))
	w.add(request("b", "", `{"hostPort":8081,"containerPort":80,"protocol":"tcp"}`))
	w.must(Stage{}.Check, request("a", config, web))
	for _, tt := range []struct{ source, to, want string }{
		{"198.51.100.1", "10.0.0.10:8080", "nothing"},
		{"10.0.0.1", "10.0.0.10:8080", "a sees 10.0.0.1"},
		{"198.51.100.1", "10.0.0.10:8081", "b sees 198.51.100.1"}, // another network's ports know no condition
		{"2001:db8::1", "[fd00::10]:8080", "a sees 2001:db8::1"},
	} {
		if got := ask(t, w.outside, "tcp", tt.source, tt.to); got != tt.want {
			t.Errorf("%s → %s: %s, want %s", tt.source, tt.to, got, tt.want)
		}
	}
	before := w.table()
	_, err := w.tryAdd(request("b", `,"conditionsV4":["ip","sadr","10.0.0.0/8"]`, web))
	var e *stages.Error
	if !errors.As(err, &e) || e.Code != 7 || !strings.Contains(e.Text, "ip sadr 10.0.0.0/8") {
		t.Errorf("Add with a condition that nft does not take = %v", err)
	}
	if diff := cmp.Diff(before, w.table()); diff != "" {
		t.Errorf("it changed the table:\n%s", diff)
	}
	w.must(Stage{}.Del, bare("a"))
	if text := w.table(); strings.Contains(text, "enichain/a/eth0") {
		t.Errorf("after DEL:\n%s", text)
	}
}

// TestManyAtOnce starts and ends pods at one time on a node that has no table yet; all want one port besides their own.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	const pods = 40
	failed := make(chan error, pods)
	for i := range pods {
		go func() {
			failed <- link.InNetns(w.node.Path(), func(*link.Conn) error {
				own := string(rune('A'+i/26)) + string(rune('a'+i%26))
				r := request("a", "", web+`,{"hostPort":`+strings.Repeat("1", 1+i%3)+pad(i)+`,"containerPort":80,"protocol":"udp"}`)
				r.Container = own
				if _, err := (Stage{}).Add(context.Background(), r); err != nil {
					return err
				}
				if i%2 == 0 {
					return Stage{}.Del(context.Background(), r)
				}
				return nil
			})
		}()
	}
	for range pods {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	text := w.table()
	owners := map[string]bool{}
	for _, field := range strings.Fields(text) {
		if strings.HasPrefix(field, `"enichain/`) {
			owners[field] = true
		}
	}
	if len(owners) != pods/2 {
		t.Errorf("%d owners left, want %d:\n%s", len(owners), pods/2, text)
	}
}

func pad(i int) string { return string(rune('0'+i/10)) + string(rune('0'+i%10)) }

// TestAsRuntimesSendIt: go-cni sends its structures with capital letters.
func TestAsRuntimesSendIt(t *testing.T) {
	r := request("a", "", `{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":""}`)
	c, err := read(r)
	if err != nil || len(c.ports) != 1 || c.ports[0].String() != "8080/tcp" {
		t.Errorf("read = %+v, %v", c.ports, err)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.must(Stage{}.Status, request("a", "", ""))
	if err := w.do(Stage{}.Status, request("a", `,"backend":"ebpf"`, "")); err == nil || !strings.HasPrefix(err.Error(), "CONFIG") {
		t.Errorf("Status = %v", err)
	}
}
