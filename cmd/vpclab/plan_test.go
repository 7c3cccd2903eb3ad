package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuiltInLabsAreGood(t *testing.T) {
	for _, name := range []string{"one-node", "two-nodes", "demo"} {
		p, err := loadPlan(name)
		if err != nil {
			t.Error(err)
		}
		if p.Name != name || len(p.Nodes) == 0 || len(p.Subnets) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestLabFile(t *testing.T) {
	const good = "vpc: 10.0.0.0/16\nsubnets: [{name: subnet-a, cidr: 10.0.1.0/24, zone: z}]\nnodes: [{name: n, type: t3.small, subnet: subnet-a}]\n"
	for _, test := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"unknown key", good + "nodez: []\n", "field nodez not found"},
		{"no node", strings.Replace(good, "[{name: n, type: t3.small, subnet: subnet-a}]", "[]", 1), "nodes: at least one is needed"},
		{"reserved name", strings.Replace(good, "name: n,", "name: control,", 1), `nodes[0].name "control"`},
		{"network with host bits", strings.Replace(good, "10.0.0.0/16", "10.0.0.1/16", 1), "vpc 10.0.0.1/16: an IPv4 network is needed"},
		{"everything", good + `ipv6: 2001:db8:1::/56
groups: [{ name: pods, tags: { team: a } }]
hosts: [{name: h, type: m5.metal, subnet: subnet-a, groups: [pods], tags: { k: v } }]
ec2: { deletedToken: another, tokenKept: 24h, throttledStatus: 400, quotas: { networkInterfaces: 9 } }
`, ""},
		{"IPv6 of the wrong size", good + "ipv6: 2001:db8:1::/64\n", "ipv6 2001:db8:1::/64: an IPv6 network of /56"},
		{"subnet's IPv6 without the VPC's", strings.Replace(good, "zone: z", "zone: z, ipv6: '2001:db8::/64'", 1), "the lab itself has no ipv6"},
		{"unknown group", strings.Replace(good, "type: t3.small", "type: t3.small, groups: [x]", 1), `there is no group "x"`},
		{"unknown answer", good + "ec2: { deletedToken: none }\n", `ec2.deletedToken "none"`},
		{"subnet larger than the VPC", strings.Replace(good, "10.0.1.0/24", "10.0.0.0/8", 1), "subnets[0].cidr 10.0.0.0/8: not inside vpc 10.0.0.0/16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mine.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := loadPlan(file)
			switch {
			case test.want == "" && (err != nil || p.Name != "mine"):
				t.Errorf("lab %q: %v", p.Name, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestParsePort(t *testing.T) {
	for _, test := range []struct {
		text string
		want portMapping
	}{
		{"8080:80", portMapping{8080, 80, "tcp"}},
		{"53:5353/udp", portMapping{53, 5353, "udp"}},
		{"80", portMapping{}}, {"0:80", portMapping{}}, {"70000:80", portMapping{}}, {"8080:80/icmp", portMapping{}}, {"a:b", portMapping{}},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parsePort(test.text)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if bad := test.want == (portMapping{}); bad != (err != nil) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestOverlay(t *testing.T) {
	below := section{"log": section{"level": "info", "format": "json"}, "roles": []string{"agent"}, "cluster": "a"}
	above := section{"log": section{"level": "debug"}, "roles": []any{"bus"}, "pools": 1}
	want := section{"log": section{"level": "debug", "format": "json"}, "roles": []any{"bus"}, "cluster": "a", "pools": 1}
	if diff := cmp.Diff(want, overlay(below, above)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if below["log"].(section)["level"] != "info" {
		t.Error("the lower layer was changed")
	}
}

func TestPodNames(t *testing.T) {
	for _, test := range []struct {
		pod, name string
		want      bool
	}{
		{"default/web", "web", true}, {"default/web", "default/web", true}, {"shop/web", "web", false}, {"shop/web", "shop/web", true},
		{"default/burst-9", "burst", true}, {"default/burst-9", "burst-9", true}, {"default/burst-x", "burst", false}, {"default/web", "we", false},
	} {
		namespace, name, _ := strings.Cut(test.pod, "/")
		if got := (podResult{podOrder: podOrder{Namespace: namespace, Name: name}}).matches(test.name); got != test.want {
			t.Errorf("pod %s and the name %s: %v, want %v", test.pod, test.name, got, test.want)
		}
	}
}

func TestScale(t *testing.T) {
	for speed, want := range map[string]float64{"1x": 1, "10x": 0.1, "0": 0, "0.5x": 2, "4": 0.25} {
		if got, err := scale(speed); err != nil || got != want {
			t.Errorf("--speed %s: %v %v, want %v", speed, got, err, want)
		}
	}
	for _, speed := range []string{"", "x", "-1x", "fast"} {
		if _, err := scale(speed); err == nil {
			t.Errorf("--speed %q was taken", speed)
		}
	}
}

func TestLineDiff(t *testing.T) {
	if diff := lineDiff("a\nb", "b\na"); diff != "" {
		t.Errorf("the same lines in another order differ: %s", diff)
	}
	if diff := lineDiff("a\nb", "b\nc"); diff != "\n      - a\n      + c" {
		t.Errorf("diff: %q", diff)
	}
}

func TestLossOf(t *testing.T) {
	for _, test := range []struct {
		text string
		want float64
	}{{"10%", 10}, {"0.5%", 0.5}, {"0%", 0}, {"100%", 100}, {"10", -1}, {"101%", -1}, {"-1%", -1}, {"ten%", -1}, {"NaN%", -1}} {
		t.Run(test.text, func(t *testing.T) {
			got, err := lossOf(test.text)
			if (err == nil) != (test.want >= 0) || err == nil && got != test.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
