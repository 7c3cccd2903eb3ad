package portmapcompat

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
)

// TestIptablesCheck breaks what ADD made, one thing after the other.
func TestIptablesCheck(t *testing.T) {
	const chain = "CNI-DN-5a77a2ffb3e3e4b3abbf1"
	tests := []struct{ name, damage, want string }{
		{"a rule", "iptables -t nat -D " + chain + " 3", "host port 8080/tcp does not lead to 10.0.1.1:80; see iptables -t nat -S " + chain},
		{"another target", "iptables -t nat -R " + chain + " 3 -p tcp --dport 8080 -j DNAT --to-destination 10.0.1.2:80",
			"host port 8080/tcp does not lead to 10.0.1.1:80"},
		{"another target, IPv6", "ip6tables -t nat -R " + chain + " 2 -p tcp --dport 8080 -j DNAT --to-destination [fd00:1::2]:80",
			"host port 8080/tcp does not lead to [fd00:1::1]:80"},
		{"another order", "iptables -t nat -D " + chain + " 1; iptables -t nat -A " + chain + " -s 10.0.1.1 -p tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
			"stand in another order"},
		{"IPv6", "ip6tables -t nat -F " + chain, "does not lead to [fd00:1::1]:80; see ip6tables"},
		{"a mark", "iptables -t nat -D " + chain + " 1", `rule "-p tcp --dport 8080 -s 10.0.1.1/32 -j CNI-HOSTPORT-SETMARK" is missing`},
		{"one more rule", "iptables -t nat -I " + chain + " -j RETURN", "has 5 rules, not 4; see iptables"},
		{"the way in", "iptables -t nat -F CNI-HOSTPORT-DNAT", "no rule of chain CNI-HOSTPORT-DNAT leads its host ports to chain " + chain},
		{"a jump", "iptables -t nat -D OUTPUT 1", `--dst-type LOCAL -j CNI-HOSTPORT-DNAT" is missing; see iptables -t nat -S OUTPUT`},
		{"the mark", "iptables -t nat -F CNI-HOSTPORT-SETMARK", "see iptables -t nat -S CNI-HOSTPORT-SETMARK"},
		{"everything", "iptables -t nat -F; iptables -t nat -X", "chain " + chain + " with its host ports is missing"},
		{"localhost", "echo 0 > /proc/sys/net/ipv4/conf/pod-a/route_localnet", "route_localnet is 0, not 1"},
		{"nothing of ours", "iptables -t nat -N KUBE-SERVICES; iptables -t nat -I PREROUTING -j KUBE-SERVICES; iptables -P FORWARD DROP", ""},
	}
	eachVariant(t, func(t *testing.T) {
		w := newWorld(t)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w.t = t
				r := request("a", byIptables, web)
				w.add(r)
				before := w.node.Run("nft", "list", "ruleset")
				w.must(Stage{}.Check, r)
				if diff := cmp.Diff(before, w.node.Run("nft", "list", "ruleset")); diff != "" {
					t.Errorf("CHECK changed (-before +after):\n%s", diff)
				}
				w.node.Script(tt.damage)
				err := w.do(Stage{}.Check, r)
				var e *stages.Error
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("Check = %v", err)
				case tt.want != "" && (!errors.As(err, &e) || e.Token != stages.Drift || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("Check = %v, want DRIFT, %s", err, tt.want)
				}
				w.add(r) // mends all of it
				w.must(Stage{}.Check, r)
				w.must(Stage{}.Del, bare("a"))
				w.ended()
			})
		}
	})
}

// TestIptablesRefusals are faults that only iptables sees: nothing is left of the other family either.
func TestIptablesRefusals(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"IPv4's conditions", `,"conditionsV4":["-s","10.0.0.0/33"]`, `conditionsV4: iptables does not take "-s 10.0.0.0/33"`},
		{"IPv6's conditions", `,"conditionsV6":["-s","10.0.0.1"]`, `conditionsV6: iptables does not take "-s 10.0.0.1"`},
		{"a match that is none", `,"conditionsV4":["-m","nosuchmatch"]`, `conditionsV4: iptables does not take "-m nosuchmatch"`},
		{"a chain that is not there", `,"externalSetMarkChain":"KUBE-MARK-MASQ"`, "externalSetMarkChain: chain KUBE-MARK-MASQ of table nat is not there"},
	}
	eachVariant(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w := newWorld(t)
				for range 2 { // with and without the shared chains
					_, err := w.tryAdd(request("a", tt.config, web))
					var e *stages.Error
					if !errors.As(err, &e) || e.Token != stages.Config || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("Add = %v, want CONFIG %s", err, tt.want)
					}
					w.ended()
					w.add(request("b", byIptables, dns))
					w.must(Stage{}.Del, bare("b"))
				}
			})
		}
		t.Run("a chain that is there", func(t *testing.T) {
			w := newWorld(t)
			w.node.Script(`for i in iptables ip6tables; do $i -t nat -N KUBE-MARK-MASQ; $i -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
				$i -t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE; done`)
			w.add(request("a", `,"externalSetMarkChain":"KUBE-MARK-MASQ"`, web))
			if text := w.nat("iptables"); strings.Contains(text, "CNI-HOSTPORT-SETMARK") {
				t.Errorf("it has chains of its own:\n%s", text)
			}
			if got := ask(t, w.pods["a"], "tcp", "", "10.0.0.10:8080"); !strings.HasPrefix(got, "a sees ") {
				t.Errorf("hairpin: %s", got)
			}
		})
	})
}
