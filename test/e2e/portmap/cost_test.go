package portmap

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// resultV4 is the prevResult of the first pod with its IPv4 address alone.
func resultV4() object {
	return object{"cniVersion": "1.0.0", "interfaces": []object{{"name": "eth0", "sandbox": "/somewhere"}},
		"ips": []object{{"address": "10.0.1.1/32", "interface": 0}}}
}

// counting puts a folder first in PATH whose iptables, ip6tables and nft note each process, and returns their count since
// it was last asked.
func (n *node) counting() func() int {
	n.t.Helper()
	folder, log := n.t.TempDir(), filepath.Join(n.t.TempDir(), "log")
	for _, dir := range []string{strings.Split(n.path, ":")[0], "/usr/sbin"} {
		for _, name := range []string{"iptables", "ip6tables", "nft"} {
			for _, end := range []string{"", "-restore", "-save", "-nft", "-legacy", "-nft-restore", "-legacy-restore"} {
				real, at := filepath.Join(dir, name+end), filepath.Join(folder, name+end)
				if _, err := os.Stat(real); err != nil {
					continue
				}
				if _, err := os.Stat(at); err == nil {
					continue
				}
				text := fmt.Sprintf("#!/bin/sh\necho %s >> %s\nexec %s \"$@\"\n", name+end, log, real)
				if err := os.WriteFile(at, []byte(text), 0o755); err != nil {
					n.t.Fatal(err)
				}
			}
		}
	}
	n.path = folder + ":" + n.path
	return func() int {
		text, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			n.t.Fatal(err)
		}
		os.Remove(log)
		return strings.Count(string(text), "\n")
	}
}

// on is a configuration with a backend.
func on(backend string, extra object) object {
	conf := object{"backend": backend}
	maps.Copy(conf, extra)
	return conf
}

// TestProcesses counts what one verb starts, for a container with one port behind others, and compares with upstream's.
func TestProcesses(t *testing.T) {
	web := []object{port(8080, 80, "tcp")}
	five := slices.Clone(web)
	for i := range 4 {
		five = append(five, port(9000+i, 80, "tcp"))
	}
	eachVariant(t, func(t *testing.T, n *node) {
		count := n.counting()
		v4 := object{"prevResult": resultV4()}
		took := func(plugin, verb string, ports []object, conf object) int {
			t.Helper()
			count()
			n.must(plugin, verb, podA, ports, conf)
			return count()
		}
		first := took(compat, "ADD", web, on("iptables", nil))
		if t.Logf("the first ADD of a node, both families: %d", first); first > 4 {
			t.Errorf("%d processes, want at most 4", first)
		}
		n.must(compat, "DEL", podA, web, on("iptables", nil))
		for _, tt := range []struct {
			name            string
			ports           []object
			conf            object
			add, check, del int // at most
		}{
			{"IPv4, one port", web, on("iptables", v4), 1, 3, 1},
			{"IPv4, five ports", five, on("iptables", v4), 1, 3, 1},
			{"both families, one port", web, on("iptables", nil), 2, 6, 2},
			{"nftables", web, on("nftables", nil), 0, 0, 0},
			{"no ports", nil, on("iptables", nil), 0, 0, 0},
			{"reject", web, on("iptables", object{"prevResult": v4["prevResult"], "hostPortConflict": "reject"}), 4, 3, 1},
		} {
			n.must(compat, "ADD", podB, []object{port(7070, 80, "tcp")}, on("iptables", nil))
			add, check, del := took(compat, "ADD", tt.ports, tt.conf), took(compat, "CHECK", tt.ports, tt.conf), took(compat, "DEL", tt.ports, tt.conf)
			n.must(compat, "ADD", podA, tt.ports, tt.conf)
			unknown := took(compat, "DEL", nil, object{"prevResult": nil})
			nothing := took(compat, "DEL", tt.ports, tt.conf)
			n.must(compat, "DEL", podB, nil, nil)
			line := fmt.Sprintf("%s: ADD %d, CHECK %d, DEL %d, DEL without ports and prevResult %d, DEL of nothing %d",
				tt.name, add, check, del, unknown, nothing)
			if _, ours := tt.conf["hostPortConflict"]; tt.ports != nil && !ours {
				n.must(upstream, "ADD", podB, []object{port(7070, 80, "tcp")}, tt.conf)
				theirs := []int{took(upstream, "ADD", tt.ports, tt.conf), took(upstream, "CHECK", tt.ports, tt.conf),
					took(upstream, "DEL", tt.ports, tt.conf)}
				n.must(upstream, "DEL", podB, tt.ports, tt.conf)
				line += fmt.Sprintf("; upstream %d, %d, %d", theirs[0], theirs[1], theirs[2])
				if add >= theirs[0] || check >= theirs[1] || del >= theirs[2] {
					t.Errorf("not fewer than upstream: %s", line)
				}
			}
			t.Log(line)
			if add > tt.add || check > tt.check || del > tt.del || unknown > 4*tt.del || nothing > 0 {
				t.Errorf("%s; want at most %d, %d, %d, %d and 0", line, tt.add, tt.check, tt.del, 4*tt.del)
			}
		}
	})
}

// TestBesideKubeProxy has a node with many services: nothing of theirs changes, and the time does not grow with them.
func TestBesideKubeProxy(t *testing.T) {
	eachVariant(t, func(t *testing.T, n *node) {
		var b strings.Builder
		b.WriteString("*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n" +
			"-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n" +
			"-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE-POSTROUTING -j MASQUERADE --random-fully\n" +
			"-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n" +
			"-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n" +
			"-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n")
		for i := range 1000 {
			if i%100 == 0 && i > 0 { // root of a user namespace has a small buffer
				b.WriteString("COMMIT\n*nat\n")
			}
			fmt.Fprintf(&b, ":KUBE-SVC-%d - [0:0]\n-A KUBE-SERVICES -d 172.20.%d.%d/32 -p tcp --dport 80 -j KUBE-SVC-%d\n"+
				"-A KUBE-SVC-%d -p tcp -j DNAT --to-destination 10.1.%d.%d:80\n", i, i/250, i%250, i, i, i/250, i%250)
		}
		b.WriteString("COMMIT\n")
		rules := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(rules, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		n.sh("iptables-restore --noflush < " + rules)
		conf := object{"backend": "iptables", "externalSetMarkChain": "KUBE-MARK-MASQ",
			"prevResult": resultV4()}
		kube := func() []string {
			return slices.DeleteFunc(n.nat("iptables"), func(line string) bool { return strings.Contains(line, "CNI-") })
		}
		before := kube()
		for _, plugin := range []string{compat, upstream} {
			var took []string
			for _, verb := range []string{"ADD", "CHECK", "DEL", "DEL"} {
				start := time.Now()
				n.must(plugin, verb, podA, twoPorts, conf)
				took = append(took, fmt.Sprintf("%s %.1f ms", verb, time.Since(start).Seconds()*1000))
			}
			t.Logf("%s beside 1,000 services: %s", plugin, strings.Join(took, ", "))
		}
		if !slices.Equal(before, kube()) {
			t.Error("kube-proxy's rules have changed")
		}
	})
}
