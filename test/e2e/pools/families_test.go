package pools_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/enichain/enichain/test/e2e/live"
)

const families = `
vpc: 10.110.0.0/16
ipv6: 2001:db8:110::/56
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, ipv6: "2001:db8:110:10::/64", zone: lab-1a }
  - { name: subnet-b, cidr: 10.110.20.0/24, ipv6: "2001:db8:110:20::/64", zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: t3.medium, subnet: subnet-b }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
enichaind:
  pools:
    - name: default
      mode: secondary
      families: [ipv4, ipv6]
` + hurry

// TestFamilies: pods of both families, and of either one alone, from one pool that EC2 gave both: each reaches each, the
// hosts reach them, by their own addresses, from the primary network interface and from a further one.
func TestFamilies(t *testing.T) {
	t.Parallel()
	l := live.Up(t, "families", families)
	for _, node := range []string{"node-1", "node-2"} {
		l.Pool(node, "default", "both families", func(p live.Pool) bool { return p.Counts.Free >= 4 && p.IPv6.Free >= 256 })
	}
	pods := l.Start("both", "--count", "8", "--node", "node-1", "--conflist", l.List("dual-stack.conflist", nil))
	pods = append(pods, l.Start("six", "--node", "node-2", "--conflist", l.List("ipv6.conflist", nil), "--port", "8081:80")...)
	pods = append(pods, l.Start("four", "--node", "node-2", "--conflist", l.List("05-enichain.conflist", nil))...)
	wantFamilies(t, pods)

	wires := map[string]bool{} // network interfaces by subnet address
	for _, i := range l.Interfaces("node-1") {
		for _, prefix := range i.IPv6Prefixes {
			for _, p := range pods[:8] {
				if within(p.Addresses[1], []string{prefix}) {
					wires[i.ID] = true
				}
			}
		}
	}
	if len(wires) != 2 {
		t.Errorf("pods have IPv6 addresses of %d network interfaces, want 2", len(wires))
	}
	ask := []live.Pod{pods[0], pods[7], pods[8], pods[9]}
	for _, from := range ask {
		for _, to := range ask {
			for _, a := range to.Addresses {
				own := ofFamily(from.Addresses, a)
				if own == "" || from.Name == to.Name {
					continue
				}
				l.Reach(from.Node+"/"+from.Name, url("http", a), "hello from "+to.Name+"; you are "+own)
				l.Reach(from.Node+"/"+from.Name, url("udp", a), "hello from "+to.Name+"; you are "+own)
			}
		}
	}
	for _, to := range ask {
		for _, a := range to.Addresses {
			for _, host := range []string{"vpc-host", "node-1", "node-2"} {
				l.Reach(host, url("http", a), "hello from "+to.Name)
			}
		}
	}
	for _, p := range ask { // IPv6 has no translation: a pod is itself everywhere
		if own := ofFamily(p.Addresses, "::"); own != "" {
			l.Reach(p.Node+"/"+p.Name, "http://[2001:db8:cb00:7100::10]", "hello from internet; you are "+own)
			l.Reach("client", url("http", own), "hello from "+p.Name)
		}
	}
	node2 := l.Interfaces("node-2")[0].IPv6[0]
	l.Reach("vpc-host", "http://["+node2+"]:8081", "hello from six")
	l.Reach("node-1/"+pods[7].Name, "http://["+node2+"]:8081", "hello from six; you are "+pods[7].Addresses[1])
	if dropped := l.Dropped(); len(dropped) > 0 {
		t.Errorf("the VPC dropped packets: %v", dropped)
	}
}

// wantFamilies wants of each pod the families that its list asked for.
func wantFamilies(t *testing.T, pods []live.Pod) {
	t.Helper()
	for i, p := range pods {
		var got string
		for _, a := range p.Addresses {
			got += fmt.Sprintf("%t ", netip.MustParseAddr(a).Is4())
		}
		want := "true false "
		switch i {
		case 8:
			want = "false "
		case 9:
			want = "true "
		}
		if got != want {
			t.Fatalf("%s has %v", p.Name, p.Addresses)
		}
	}
}

// ofFamily is the one of some addresses that is of a's family.
func ofFamily(all []string, a string) string {
	for _, one := range all {
		if netip.MustParseAddr(one).Is4() == netip.MustParseAddr(a).Is4() {
			return one
		}
	}
	return ""
}

func url(scheme, a string) string {
	if netip.MustParseAddr(a).Is6() {
		a = "[" + a + "]"
	}
	if scheme == "udp" {
		a += ":80"
	}
	return scheme + "://" + a
}
