package portmap

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const compat, upstream = "portmap-compat", "portmap"

var twoPorts = []object{port(8080, 80, "tcp"), port(8053, 53, "udp")}

// TestSameRules: for every key, what portmap-compat makes is what upstream's portmap makes, rule by rule, and the comment
// of its owner.
func TestSameRules(t *testing.T) {
	var many []object
	for i := range 17 {
		many = append(many, port(9000+i, 80, "tcp"))
	}
	tests := []struct {
		name  string
		ports []object
		conf  object
	}{
		{"two ports", twoPorts, nil},
		{"masqAll", twoPorts, object{"masqAll": true}},
		{"no snat", twoPorts, object{"snat": false}},
		{"another bit", twoPorts, object{"markMasqBit": 31}},
		{"somebody's chain", twoPorts, object{"externalSetMarkChain": "KUBE-MARK-MASQ"}},
		{"conditions", twoPorts, object{"conditionsV4": []string{"-i", "eth0", "!", "-s", "10.1.0.0/16"},
			"conditionsV6": []string{"-m", "comment", "--comment", `it's "quoted" \ here`}}},
		{"host addresses", []object{port(80, 8080, "tcp", "10.0.0.1"), port(81, 8081, "udp", "fd00::1"), port(82, 82, "tcp", "0.0.0.0"),
			port(83, 83, "sctp", "::")}, nil},
		{"SCTP", []object{port(36412, 36412, "sctp")}, nil},
		{"more than a rule holds", many, nil},
	}
	eachVariant(t, func(t *testing.T, n *node) {
		n.sh(`for i in iptables ip6tables; do $i -t nat -N KUBE-MARK-MASQ; done`)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				n.t = t
				conf := object{"backend": "iptables"}
				for k, v := range tt.conf {
					conf[k] = v
				}
				rules := map[string]map[string][]string{}
				for _, plugin := range []string{upstream, compat} {
					n.must(plugin, "ADD", podA, tt.ports, conf)
					n.must(plugin, "CHECK", podA, tt.ports, conf)
					rules[plugin] = map[string][]string{"iptables": n.nat("iptables"), "ip6tables": n.nat("ip6tables")}
					n.must(plugin, "DEL", podA, tt.ports, conf)
					n.sh(`for i in iptables ip6tables; do for c in PREROUTING OUTPUT POSTROUTING; do $i -t nat -F $c; done
						for c in $($i-save -t nat | sed -n 's/^:\(CNI-[^ ]*\).*/\1/p'); do $i -t nat -F $c; done
						for c in $($i-save -t nat | sed -n 's/^:\(CNI-[^ ]*\).*/\1/p'); do $i -t nat -X $c; done; done`)
				}
				for program, want := range rules[upstream] {
					if program == "ip6tables" && len(tt.ports) > 15 && strings.HasSuffix(n.name, "legacy") {
						continue // ip6tables-legacy 1.8.9 finds a rule whatever its port is, so upstream makes the first alone
					}
					got := slices.DeleteFunc(rules[compat][program], func(line string) bool {
						return strings.Contains(line, `--comment "net/aaaa/eth0"`)
					})
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s (-upstream +ours):\n%s", program, diff)
					}
				}
			})
		}
	})
}

// TestUpstreamAddsWeEnd: a list changed from portmap to portmap-compat under running containers, whatever is left of the
// DEL that comes, and whatever backend either of them has.
func TestUpstreamAddsWeEnd(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		for _, backend := range []string{"iptables", "nftables"} {
			for _, now := range []string{"iptables", "nftables"} {
				for name, end := range map[string]func(p pod){
					"all is known": func(p pod) { n.must(compat, "DEL", p, twoPorts, object{"backend": now}) },
					"ports lost":   func(p pod) { n.must(compat, "DEL", p, nil, object{"backend": now}) },
					"bare":         func(p pod) { n.bare(compat, p) },
				} {
					t.Run(backend+" to "+now+", "+name, func(t *testing.T) {
						n.t = t
						n.must(upstream, "ADD", podB, []object{port(9000, 80, "tcp")}, object{"backend": backend})
						before := n.kernel()
						n.must(upstream, "ADD", podA, twoPorts, object{"backend": backend})
						end(podA)
						if diff := cmp.Diff(before, n.kernel()); diff != "" {
							t.Errorf("left (-before +after):\n%s", diff)
						}
						end(podA)
						n.must(upstream, "DEL", podB, []object{port(9000, 80, "tcp")}, object{"backend": backend})
					})
				}
			}
		}
	})
}

// otherNetwork and otherInterface are further attachments of podA's container.
var otherNetwork, otherInterface = pod{"aaaa", "other", "net1", 2}, pod{"aaaa", "net", "net1", 2}

// TestUpstreamsOtherAttachments: what upstream made for the container's other attachments stays.
func TestUpstreamsOtherAttachments(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		for _, backend := range []string{"iptables", "nftables"} {
			t.Run(backend+", two networks", func(t *testing.T) {
				n.t = t
				n.must(upstream, "ADD", otherNetwork, []object{port(7070, 80, "tcp")}, object{"backend": backend})
				before := n.kernel()
				n.must(upstream, "ADD", podA, twoPorts, object{"backend": backend})
				n.must(compat, "DEL", podA, twoPorts, nil)
				if diff := cmp.Diff(before, n.kernel()); diff != "" {
					t.Errorf("the other network (-before +after):\n%s", diff)
				}
				n.must(compat, "DEL", otherNetwork, nil, nil)
			})
		}
		t.Run("a chain of upstream's, and a second interface", func(t *testing.T) {
			n.t = t
			n.must(upstream, "ADD", podA, twoPorts, object{"backend": "iptables"})
			before := n.kernel()
			n.must(compat, "ADD", otherInterface, []object{port(7070, 80, "tcp")}, object{"backend": "iptables"})
			n.must(compat, "DEL", otherInterface, nil, nil)
			if diff := cmp.Diff(before, n.kernel()); diff != "" {
				t.Errorf("the first interface (-before +after):\n%s", diff)
			}
			n.must(compat, "DEL", podA, nil, nil)
		})
	})
}

func TestUpstreamsEarlyChains(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		n.sh("iptables -t nat -N CNI-HOSTPORT-SNAT; iptables -t nat -X CNI-HOSTPORT-SNAT") // makes the table
		before := n.kernel()
		n.sh(`iptables -t nat -N CNI-HOSTPORT-SNAT
				iptables -t nat -N CNI-SN-cc257e9490832c50d1caf
				iptables -t nat -A CNI-SN-cc257e9490832c50d1caf -s 127.0.0.1/32 -d 10.0.1.1/32 -p tcp --dport 80 -j MASQUERADE
				iptables -t nat -A CNI-HOSTPORT-SNAT -m comment --comment "snat name: net id: aaaa" -j CNI-SN-cc257e9490832c50d1caf`)
		n.bare(compat, podA)
		n.sh("iptables -t nat -X CNI-HOSTPORT-SNAT")
		if diff := cmp.Diff(before, n.kernel()); diff != "" {
			t.Errorf("left (-before +after):\n%s", diff)
		}
	})
}

// TestGCOfUpstreams: those of this network whose container is not valid.
func TestGCOfUpstreams(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		for _, p := range []pod{podA, podB, otherNetwork} {
			n.must(upstream, "ADD", p, []object{port(9000+p.number, 80, "tcp")}, object{"backend": "iptables"})
		}
		n.must(compat, "GC", podA, nil, object{"cniVersion": "1.1.0", "prevResult": nil,
			"cni.dev/valid-attachments": []object{{"containerID": "bbbb", "ifname": "eth0"}}})
		text := n.kernel()
		if strings.Contains(text, `name: \"net\" id: \"aaaa\"`) || !strings.Contains(text, `name: \"net\" id: \"bbbb\"`) ||
			!strings.Contains(text, `name: \"other\" id: \"aaaa\"`) {
			t.Errorf("after GC:\n%s", text)
		}
		n.bare(compat, podB)
		n.bare(compat, otherNetwork)
	})
}

// TestWeAddUpstreamEnds: and back.
func TestWeAddUpstreamEnds(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		conf := object{"backend": "iptables"}
		n.must(compat, "ADD", podB, []object{port(9000, 80, "tcp")}, conf)
		before := n.kernel()
		n.must(compat, "ADD", podA, twoPorts, conf)
		n.must(upstream, "CHECK", podA, twoPorts, conf)
		n.must(upstream, "DEL", podA, twoPorts, conf)
		if diff := cmp.Diff(before, n.kernel()); diff != "" {
			t.Errorf("left (-before +after):\n%s", diff)
		}
		n.must(compat, "CHECK", podB, []object{port(9000, 80, "tcp")}, conf)
	})
}

// TestAnotherVariant: the node's iptables became the other one since ADD.
func TestAnotherVariant(t *testing.T) {
	for variant, then := range map[string]string{"nft": "legacy", "legacy": "nft"} {
		t.Run(variant, func(t *testing.T) {
			n := newNode(t, variant)
			conf := object{"backend": "iptables"}
			was := n.path
			n.must(compat, "ADD", podA, twoPorts, conf)
			n.path = variantPath(t, then) + ":" + was
			n.must(compat, "DEL", podA, twoPorts, conf)
			n.bare(compat, podA)
			for _, path := range []string{was, n.path} {
				n.path = path
				if text := n.kernel(); strings.Contains(text, "CNI-DN-") {
					t.Errorf("left:\n%s", text)
				}
			}
		})
	}
}
