package portmapcompat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/test/need"
)

const byIptables = `,"backend":"iptables"`

// eachVariant runs a test with both iptables: a PATH in which iptables, ip6tables and their -restore and -save are the one
// or the other.
func eachVariant(t *testing.T, test func(t *testing.T)) {
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			be(t, variant)
			test(t)
		})
	}
}

// be makes iptables the variant, with a lock of its own for the older one.
func be(t *testing.T, variant string) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		real, err := filepath.EvalSymlinks(need.Tool(t, name+"-"+variant, "iptables"))
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"", "-restore", "-save"} {
			if err := os.Symlink(real, filepath.Join(folder, name+end)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(folder, "lock"))
}

// nat is a family's table nat as iptables-save prints it: chains of ours and all rules.
func (w *world) nat(program string) string {
	w.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(w.node.Run(program+"-save", "-t", "nat")) {
		if strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, ":CNI") {
			b.WriteString(strings.Replace(line, " - [0:0]", "", 1))
		}
	}
	return b.String()
}

func TestIptables(t *testing.T) {
	tests := []struct {
		name, config, ports string
		four, six           string
	}{
		{"a port", "", web, sharedNAT + `-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -s 10.0.1.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.1.1:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -m comment --comment "enichain/a/eth0"
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8080 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
` + markNAT("0x2000"), sharedNAT + `-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -s fd00:1::1/128 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:1::1]:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -m comment --comment "enichain/a/eth0"
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8080 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
` + markNAT("0x2000")},
		{"masqAll, another bit, an address", `,"masqAll":true,"markMasqBit":0`,
			`{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.20"}`,
			sharedNAT + `-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -d 10.0.0.20/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -d 10.0.0.20/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.1.1:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -m comment --comment "enichain/a/eth0"
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8080 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
` + markNAT("0x1"), ""},
		{"no snat, conditions, all protocols", `,"snat":false,"conditionsV4":["!","-s","10.9.0.0/16"],"conditionsV6":["-i","eth0"]`,
			web + `,` + dns + `,{"hostPort":36412,"containerPort":36412,"protocol":"sctp","hostIP":"::"}`,
			plainNAT + `-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.1.1:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p udp -m udp --dport 8053 -j DNAT --to-destination 10.0.1.1:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -m comment --comment "enichain/a/eth0"
-A CNI-HOSTPORT-DNAT ! -s 10.9.0.0/16 -p sctp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 36412 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
-A CNI-HOSTPORT-DNAT ! -s 10.9.0.0/16 -p tcp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8080 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
-A CNI-HOSTPORT-DNAT ! -s 10.9.0.0/16 -p udp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8053 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
`, plainNAT + `-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:1::1]:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p udp -m udp --dport 8053 -j DNAT --to-destination [fd00:1::1]:80
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -p sctp -m sctp --dport 36412 -j DNAT --to-destination [fd00:1::1]:36412
-A CNI-DN-5a77a2ffb3e3e4b3abbf1 -m comment --comment "enichain/a/eth0"
-A CNI-HOSTPORT-DNAT -i eth0 -p sctp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 36412 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
-A CNI-HOSTPORT-DNAT -i eth0 -p tcp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8080 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
-A CNI-HOSTPORT-DNAT -i eth0 -p udp -m comment --comment "dnat name: \"enichain\" id: \"a\"" -m multiport --dports 8053 -j CNI-DN-5a77a2ffb3e3e4b3abbf1
`},
	}
	eachVariant(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w := newWorld(t)
				r := request("a", byIptables+tt.config, tt.ports)
				for range 2 { // the second finds the first's, and changes nothing
					w.add(r)
					w.must(Stage{}.Check, r)
					if diff := cmp.Diff(tt.four, w.nat("iptables")); diff != "" {
						t.Errorf("iptables (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(tt.six, w.nat("ip6tables")); diff != "" {
						t.Errorf("ip6tables (-want +got):\n%s", diff)
					}
				}
				w.must(Stage{}.Del, r)
				w.ended()
			})
		}
	})
}

// sharedNAT begins the list of a table that masquerades, plainNAT that of one that does not: chains, then rules by chain.
const (
	sharedNAT = `:CNI-DN-5a77a2ffb3e3e4b3abbf1
:CNI-HOSTPORT-DNAT
:CNI-HOSTPORT-MASQ
:CNI-HOSTPORT-SETMARK
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
`
	plainNAT = `:CNI-DN-5a77a2ffb3e3e4b3abbf1
:CNI-HOSTPORT-DNAT
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
`
)

func markNAT(bit string) string {
	return "-A CNI-HOSTPORT-MASQ -m mark --mark " + bit + "/" + bit + " -j MASQUERADE\n" +
		"-A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark " + bit + "/" + bit + "\n"
}

// ended wants nothing of any container in table nat.
func (w *world) ended() {
	w.t.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		if text := w.nat(program); strings.Contains(text, "CNI-DN-") || strings.Contains(text, "CNI-SN-") {
			w.t.Errorf("%s still has\n%s", program, text)
		}
	}
}

// TestIptablesPackets sends real ones, as TestPortsLeadToThePod does it for nftables.
func TestIptablesPackets(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		r := request("a", byIptables, web+","+dns)
		w.add(r)
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
		for _, tt := range []struct{ name, network, to string }{
			{"node by 127.0.0.1", "tcp", "127.0.0.1:8080"}, {"node by 127.0.0.1, UDP", "udp", "127.0.0.1:8053"},
			{"node by its own address", "tcp", "10.0.0.10:8080"}, {"node by IPv6", "tcp", "[fd00::10]:8080"},
		} {
			if got := ask(t, w.node, tt.network, "", tt.to); !strings.HasPrefix(got, "a sees ") {
				t.Errorf("%s: %s", tt.name, got)
			}
		}
		for name, to := range map[string]string{"hairpin": "10.0.0.10:8080", "hairpin, IPv6": "[fd00::10]:8080"} {
			if got := ask(t, w.pods["a"], "tcp", "", to); !strings.HasPrefix(got, "a sees ") || strings.Contains(got, "10.0.1.1") {
				t.Errorf("%s: %s", name, got)
			}
		}
		w.must(Stage{}.Del, bare("a"))
		w.ended()
		if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "nothing" {
			t.Errorf("after DEL: %s", got)
		}
	})
}

// TestIptablesConflict: the last one wins, and whoever was before gets the port back; or the last one is refused.
func TestIptablesConflict(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(request("a", byIptables, web))
		w.add(request("b", byIptables, web))
		if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "b sees 198.51.100.1" {
			t.Errorf("the last one: %s", got)
		}
		w.must(Stage{}.Del, bare("b"))
		if got := ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:8080"); got != "a sees 198.51.100.1" {
			t.Errorf("after its end: %s", got)
		}
		const strict = byIptables + `,"hostPortConflict":"reject"`
		before := w.nat("iptables")
		for _, ports := range []string{web, `{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.20"}`} {
			_, err := w.tryAdd(request("b", strict, ports))
			var e *stages.Error
			if !errors.As(err, &e) || e.Token != stages.PortTaken || e.Code != 101 || !strings.Contains(e.Text, "enichain/a/eth0 holds it") {
				t.Errorf("Add = %v, want PORT_TAKEN with its holder", err)
			}
		}
		if diff := cmp.Diff(before, w.nat("iptables")); diff != "" {
			t.Errorf("a refused ADD changed (-before +after):\n%s", diff)
		}
		w.add(request("a", strict, web)) // its own port is no conflict
		w.add(request("b", strict, `{"hostPort":8080,"containerPort":80,"protocol":"udp"}`))
		w.must(Stage{}.Del, bare("a"))
		w.must(Stage{}.Del, bare("b"))
		w.ended()
	})
}

// TestIptablesInterfaces gives one container two interfaces in one network, which upstream's chains cannot tell apart.
func TestIptablesInterfaces(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		first := request("a", byIptables, web)
		second := request("b", byIptables, `{"hostPort":9090,"containerPort":80,"protocol":"tcp"}`)
		second.Container, second.IfName = "a", "net1"
		second.Prev.Interfaces[1].Name = "net1"
		other := request("a", byIptables, `{"hostPort":7070,"containerPort":80,"protocol":"tcp"}`)
		other.Network = "other"
		for _, r := range []*stages.Request{first, second, other, second, first} {
			w.add(r)
		}
		open := func(want ...string) {
			t.Helper()
			var got []string
			for _, port := range []string{"8080", "9090", "7070"} {
				got = append(got, strings.Fields(ask(t, w.outside, "tcp", "198.51.100.1", "10.0.0.10:"+port))[0])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("8080, 9090, 7070 (-want +got):\n%s", diff)
			}
		}
		open("a", "b", "a")
		for _, r := range []*stages.Request{first, second, other} {
			w.must(Stage{}.Check, r)
		}
		bareSecond := bare("a")
		bareSecond.IfName = "net1"
		w.must(Stage{}.Del, bareSecond)
		open("a", "nothing", "a")
		w.add(second)
		w.must(Stage{}.Del, bare("a"))
		open("nothing", "b", "a")
		w.must(Stage{}.Check, second)
		gc := &stages.Request{Command: "GC", Attachment: stages.Attachment{Network: "enichain"}, Config: []byte(`{}`)}
		w.must(Stage{}.GC, gc)
		open("nothing", "b", "a")
		w.add(first)
		gc.Valid = []stages.Attachment{second.Attachment}
		w.must(Stage{}.GC, gc)
		open("nothing", "b", "a")
		gc.Valid = []stages.Attachment{}
		w.must(Stage{}.GC, gc)
		open("nothing", "nothing", "a")
		w.must(Stage{}.Del, other)
		w.ended()
	})
}

// TestIptablesManyAtOnce starts ten at a time on a node that has no chains yet, ends them, and wants every shared rule once.
func TestIptablesManyAtOnce(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		const pods = 10
		all := func(do func(r *stages.Request) error) {
			t.Helper()
			failed := make(chan error, pods)
			for i := range pods {
				go func() {
					failed <- link.InNetns(w.node.Path(), func(*link.Conn) error {
						r := request("a", byIptables, fmt.Sprintf(`{"hostPort":%d,"containerPort":80,"protocol":"tcp"}`, 9000+i))
						r.Container = fmt.Sprintf("pod%d", i)
						return do(r)
					})
				}()
			}
			for range pods {
				if err := <-failed; err != nil {
					t.Error(err)
				}
			}
		}
		all(func(r *stages.Request) error {
			_, err := Stage{}.Add(context.Background(), r)
			return err
		})
		text := w.nat("iptables")
		for _, once := range []string{"-A PREROUTING ", "-A OUTPUT ", "-A POSTROUTING ", "-A CNI-HOSTPORT-MASQ ", "-A CNI-HOSTPORT-SETMARK "} {
			if n := strings.Count(text, once); n != 1 {
				t.Errorf("%d rules %q:\n%s", n, once, text)
			}
		}
		if n := strings.Count(text, "-j DNAT"); n != pods {
			t.Errorf("%d of %d ports:\n%s", n, pods, text)
		}
		all(func(r *stages.Request) error { return Stage{}.Check(context.Background(), r) })
		all(func(r *stages.Request) error {
			if r.Container[3]%2 == 0 {
				r.Prev = nil
			}
			return Stage{}.Del(context.Background(), r)
		})
		w.ended()
	})
}
