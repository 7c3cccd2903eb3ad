package blackbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestStagesInWrongPlaces gives each stage the place that it must refuse (R1–R3, R7–R9, F7, N5, M3), before any effect.
func TestStagesInWrongPlaces(t *testing.T) {
	begin(t)
	c := sandbox(t, "order")
	given := object{"ips": []object{{"address": "10.110.10.20/32"}}}
	wired := object{"ips": []object{{"address": "10.110.10.20/32", "interface": 0}}, "interfaces": []object{{"name": "eth0", "sandbox": c.netns}}}
	listed := object{"ips": []object{{"address": "10.110.10.20/32"}}, "interfaces": []object{{"name": "eth0", "sandbox": c.netns}}}
	bridged := object{"interfaces": []object{{"name": "eth0", "sandbox": c.netns}}}
	for _, tt := range []struct {
		id, stage string
		conf      object
		code      int
		words     []string
	}{
		{"R1", "snat", nil, 7, []string{"NO_PREVRESULT", "never first"}},
		{"R1", "portmap-compat", nil, 7, []string{"NO_PREVRESULT", "never first"}},
		{"R2", "routed-veth", nil, 7, []string{"NO_PREVRESULT", "eni-ipam", "ipam.type"}},
		{"R2", "routed-veth", object{"prevResult": object{}}, 7, []string{"NO_PREVRESULT"}},
		{"R2", "routed-veth", object{"ipam": object{}}, 7, []string{"NO_PREVRESULT"}},
		{"R2", "routed-veth", object{"ipam": object{"subnet": "x"}}, 7, []string{"ipam.type"}},
		{"R2", "routed-veth", object{"ipam": object{"type": "../eni-ipam"}}, 7, []string{"ipam.type"}},
		{"R2", "routed-veth", object{"ipam": object{"type": "none-such"}}, 7, []string{"none-such", "CNI_PATH"}},
		{"R3", "eni-ipam", object{"prevResult": given}, 7, []string{"first"}},
		{"R9", "eni-ipam", object{"prevResult": wired}, 7, []string{"first"}},
		{"R7", "routed-veth", object{"prevResult": given, "ipam": object{"type": "eni-ipam"}}, 7, []string{"two sources"}},
		{"R8", "routed-veth", object{"prevResult": wired}, 7, []string{"two stages"}},
		{"N5", "routed-veth", object{"prevResult": listed}, 7, []string{"two stages"}},
		{"N5", "routed-veth", object{"prevResult": bridged, "ipam": object{"type": "eni-ipam"}}, 7, []string{"two stages"}},
		{"R14", "portmap-compat", object{"prevResult": wired, "externalSetMarkChain": "X", "markMasqBit": 3}, 7, []string{"externalSetMarkChain"}},
		{"R14", "portmap-compat", object{"prevResult": wired, "backend": "nftables", "conditionsV4": []string{"-s", "10.0.0.0/8"}}, 7, []string{"conditionsV4[0]"}},
		{"bad", "routed-veth", object{"prevResult": given, "mtu": 1 << 20}, 7, []string{"mtu"}},
		{"bad", "routed-veth", object{"prevResult": given, "mtu": "9001"}, 7, []string{"mtu", "integer"}},
		{"bad", "routed-veth", object{"prevResult": given, "vethPrefix": "a/b"}, 7, []string{"vethPrefix"}},
		{"bad", "routed-veth", object{"prevResult": given, "hostVeth": "x", "mtv": 1}, 7, []string{"hostVeth", `"mtu"`}},
		{"bad", "snat", object{"prevResult": wired, "inside": "vpx"}, 7, []string{"inside"}},
		{"bad", "snat", object{"prevResult": wired, "inside": []string{"10.0.0.1/8"}}, 7, []string{"inside[0]", "10.0.0.0/8"}},
		{"bad", "snat", object{"prevResult": wired, "inside": "vpc"}, 7, []string{"inside", "routes"}},
		{"bad", "snat", object{"prevResult": wired, "random": "maybe"}, 7, []string{"random"}},
		{"bad", "portmap-compat", object{"prevResult": wired, "backend": "ipset"}, 7, []string{"backend", "nftables"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": 70000, "containerPort": 80, "protocol": "tcp"}), 7, []string{"hostPort"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": 80, "containerPort": 0, "protocol": "tcp"}), 7, []string{"containerPort"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}), 7, []string{"protocol", "icmp"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": 80, "containerPort": 80}), 7, []string{"protocol"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": 80, "containerPort": 80, "protocol": "tcp", "hostIP": "x"}), 7, []string{"hostIP"}},
		{"bad", "portmap-compat", ports(wired, object{"hostPort": "80", "containerPort": 80, "protocol": "tcp"}), 7, []string{"hostPort"}},
	} {
		t.Run(tt.id+"/"+tt.stage+"/"+tt.words[len(tt.words)-1], func(t *testing.T) {
			unchanged(t)
			call{stage: tt.stage, verb: "ADD", conf: tt.conf, ctr: c}.refused(t, tt.code, tt.words...)
			del := call{stage: tt.stage, verb: "DEL", conf: tt.conf, ctr: c}.run(t)
			if del.exit != 0 && !strings.Contains(del.fault.Msg, "ipam.type") { // whose delegate nobody can ask
				t.Errorf("DEL with the same list: %s", del.fault.Msg)
			}
			if sh(t, "ip -n %s -o link show eth0 2>/dev/null || true", c.id) != "" {
				t.Error("eth0 was made")
			}
		})
	}
}

func ports(prev object, list ...object) object {
	return object{"prevResult": prev, "runtimeConfig": object{"portMappings": list}}
}

// TestDelegationInRoutedVeth is the chain R of one stage with ipam.type (N6 N7 N8, W11).
func TestDelegationInRoutedVeth(t *testing.T) {
	begin(t)
	c := sandbox(t, "inner")
	l := chain{version: "1.0.0", name: "bb", members: []object{{"type": "routed-veth", "ipam": object{"type": "eni-ipam", "wait": "0s"}}}}
	result := l.up(t, c)
	judge(t, result, "1.0.0", c)
	before := traces(t)
	if _, again := l.add(t, c); again.fault.Code != 100 { // N1: refused without effect
		t.Errorf("second ADD: %+v", again.fault)
	}
	if after := traces(t); after != before {
		t.Errorf("the refused ADD changed\n%s\nto\n%s", before, after)
	}
	if f := l.check(t, c, result); f.Msg != "" {
		t.Errorf("CHECK: %s", f.Msg)
	}
	l.member(0, "STATUS", c, nil).ok(t)
	sh(t, "ip netns del %s", c.id)
	l.del(t, container{id: c.id, ifname: c.ifname}, nil)

	c2 := sandbox(t, "inner2")
	sh(t, "ip -n inner2 link add eth0 type veth peer name x")
	link := sh(t, "ip -n inner2 -o link show eth0")
	if _, failed := l.add(t, c2); failed.fault.Code != 100 || !strings.HasPrefix(failed.fault.Msg, "IFNAME_TAKEN") {
		t.Errorf("ADD beside another eth0: %+v", failed.fault)
	}
	if now := sh(t, "ip -n inner2 -o link show eth0"); now != link {
		t.Errorf("the other eth0 was changed:\n%s%s", link, now)
	}
	l.members[0]["ipam"].(object)["pool"] = "gold"
	if _, failed := l.add(t, sandbox(t, "inner3")); failed.fault.Code != 11 || !strings.HasPrefix(failed.fault.Msg, "DELEGATE") { // N7
		t.Errorf("a delegate's error: %+v", failed.fault)
	}
}

// TestOrders runs verbs in orders that runtimes really use: twice, before ADD, in subsets, without what ADD had.
func TestOrders(t *testing.T) { // M4 M9 N8 I5 I14
	begin(t)
	l := flagship()
	l.runtime = object{"portMappings": []object{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}, {"hostPort": 8081, "containerPort": 81, "protocol": "udp"}}}
	bare := flagship() // a runtime that lost runtimeConfig
	for i, tt := range []struct {
		name string
		run  func(t *testing.T, c container)
	}{
		{"DEL before ADD", func(t *testing.T, c container) { l.del(t, c, nil); l.del(t, c, l.up(t, c)) }},
		{"twice, the second empty", func(t *testing.T, c container) {
			l.del(t, c, l.up(t, c))
			bare.del(t, container{id: c.id, ifname: c.ifname}, nil)
		}},
		{"without prevResult and runtimeConfig", func(t *testing.T, c container) { l.up(t, c); bare.del(t, c, nil) }},
		{"netns deleted first", func(t *testing.T, c container) {
			l.up(t, c)
			sh(t, "ip netns del %s", c.id)
			bare.del(t, c, nil)
		}},
		{"netns unknown", func(t *testing.T, c container) { l.up(t, c); bare.del(t, container{id: c.id, ifname: c.ifname}, nil) }},
		{"netns is somebody else's", func(t *testing.T, c container) {
			l.up(t, c)
			other := c
			other.netns = "/proc/1/ns/net"
			bare.del(t, other, nil)
		}},
		{"garbage prevResult", func(t *testing.T, c container) { l.up(t, c); l.del(t, c, "garbage") }},
		{"another version's prevResult", func(t *testing.T, c container) {
			l.up(t, c)
			l.del(t, c, object{"cniVersion": "0.4.0", "ips": []object{{"version": "4", "address": "10.0.0.1/32"}}})
		}},
		{"another pod's prevResult", func(t *testing.T, c container) {
			l.up(t, c)
			l.del(t, c, object{"cniVersion": "1.0.0", "interfaces": []object{{"name": "eth0"}}, "ips": []object{{"address": "10.110.10.1/32", "interface": 0}}})
		}},
		{"failed in the middle", func(t *testing.T, c container) {
			broken := flagship()
			broken.members[2]["inside"] = "nonsense"
			if result, _ := broken.add(t, c); result != nil {
				t.Error("ADD with a wrong snat succeeded")
			}
			broken.del(t, c, nil)
		}},
		{"only some stages hear", func(t *testing.T, c container) {
			result := l.up(t, c)
			for range 10 {
				order := rand.Perm(len(l.members))
				for _, i := range order[:2] {
					l.member(i, "DEL", c, result).ok(t)
				}
			}
			l.del(t, c, nil)
		}},
		{"ADD twice", func(t *testing.T, c container) {
			result := l.up(t, c)
			if _, again := l.add(t, c); again.fault.Code != 100 {
				t.Errorf("the second: %+v", again.fault)
			}
			if f := l.check(t, c, result); f.Msg != "" {
				t.Errorf("CHECK after it: %s", f.Msg)
			}
			l.del(t, c, result)
		}},
		{"ADD, DEL, ADD in one netns", func(t *testing.T, c container) {
			l.del(t, c, l.up(t, c))
			l.del(t, c, l.up(t, c))
		}},
		{"the pod's name and everything else lost", func(t *testing.T, c container) {
			named := l
			named.env = map[string]string{"CNI_ARGS": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web"}
			named.up(t, c)
			bare.del(t, container{id: c.id, ifname: c.ifname}, nil)
		}},
		{"ADD into another netns", func(t *testing.T, c container) {
			result := l.up(t, c)
			elsewhere := c
			elsewhere.netns = sandbox(t, c.id+"-b").netns
			if _, failed := l.add(t, elsewhere); failed.fault.Code != 100 || !strings.Contains(failed.fault.Msg, "wired already") {
				t.Errorf("the second: %+v", failed.fault)
			}
			if f := l.check(t, c, result); f.Msg != "" {
				t.Errorf("CHECK after it: %s", f.Msg)
			}
			l.del(t, c, result)
		}},
		{"a late DEL of the old sandbox", func(t *testing.T, c container) {
			named := l
			named.env = map[string]string{"CNI_ARGS": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web"}
			old := named.up(t, c)
			young := sandbox(t, c.id+"-2")
			now := named.up(t, young)
			named.del(t, c, old)
			if f := named.check(t, young, now); f.Msg != "" {
				t.Errorf("the new sandbox after the old one's DEL: %s", f.Msg)
			}
			named.del(t, young, now)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unchanged(t)
			tt.run(t, sandbox(t, fmt.Sprintf("order%d", i)))
		})
	}
}

// TestTwoAttachments: eth0 and net1 of one network, and net2 of another, with upstream's sbr behind it (M7, W8).
func TestTwoAttachments(t *testing.T) {
	begin(t)
	c := sandbox(t, "dual")
	mapped := func(port int) object {
		return object{"portMappings": []object{{"hostPort": port, "containerPort": 80, "protocol": "tcp"}}}
	}
	one, two, three := flagship(), flagship(), flagship()
	one.runtime, two.runtime, three.runtime = mapped(8080), mapped(8081), mapped(8082)
	three.name, three.members = "bb-two", append(three.members, object{"type": "sbr"})
	second, third := c, c
	second.ifname, third.ifname = "net1", "net2"
	results := []object{one.up(t, c), two.up(t, second), three.up(t, third)}
	all := func(want ...int) {
		t.Helper()
		for i, f := range []fault{one.check(t, c, results[0]), two.check(t, second, results[1]), three.check(t, third, results[2])} {
			if ok := f.Msg == ""; ok != slices.Contains(want, i) {
				t.Errorf("attachment %d: CHECK %q, alive %v", i, f.Msg, want)
			}
		}
	}
	all(0, 1, 2)
	if got := sh(t, "ip -n dual route get 192.0.2.1"); !strings.Contains(got, "dev eth0") {
		t.Errorf("the pod's way out: %s", got)
	}
	from, _, _ := strings.Cut(results[2]["ips"].([]any)[0].(object)["address"].(string), "/")
	if got := sh(t, "ip -n dual route get 192.0.2.1 from %s", from); !strings.Contains(got, "dev net2") {
		t.Errorf("the way out of net2's address: %s", got)
	}
	two.del(t, second, nil)
	all(0, 2)
	one.del(t, c, nil)
	all(2)
	three.del(t, third, results[2])
	all()
}

func nonNil(prev object) any {
	if prev == nil {
		return nil
	}
	return prev
}
