package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
)

func TestParse(t *testing.T) {
	c, err := Parse([]byte("cluster: prod\nroles: [reconciler, bus]\npools:\n  - name: default\n    warm: { free: 8 }\n"))
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		Cluster  string
		Agent    bool
		Free     int
		Cooldown time.Duration
		Max      Bytes
	}
	got := part{c.Cluster, c.Has(RoleAgent), c.Pools[0].Warm.Free, time.Duration(c.Pools[0].Cooldown), c.Flight.Max}
	if diff := cmp.Diff(part{"prod", false, 8, 30 * time.Second, 8 << 20}, got); diff != "" {
		t.Errorf("given keys over defaults (-want +got):\n%s", diff)
	}
}

// TestNoCleanup: no deletion a round, or no round, is no cleanup at all.
func TestNoCleanup(t *testing.T) {
	for text, keep := range map[string]bool{"cluster: a\n": false, "cluster: a\nreconciler: { cleanup: { perRound: 0 } }\n": true,
		"cluster: a\nreconciler: { cleanup: { every: 0s } }\n": true} {
		c, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.reconcileConfig().Orphans.Keep; got != keep {
			t.Errorf("%q: orphans are kept: %t", text, got)
		}
	}
}

// TestWarmENIs: asking for whole interfaces takes the place of the default number of addresses.
func TestWarmENIs(t *testing.T) {
	c, err := Parse([]byte("cluster: a\npools: [{warm: {enis: 1}, subnets: {tags: {a: b}}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Pools[0].Warm; w.Free != 0 || w.ENIs != 1 || c.Pools[0].Subnets.Tags["a"] != "b" || c.Pools[0].Name != "default" {
		t.Errorf("pool %+v", c.Pools[0])
	}
}

// TestSeveralPools: every entry starts from the default one, and none from another.
func TestSeveralPools(t *testing.T) {
	c, err := Parse([]byte(`
cluster: a
pools:
  - subnets: { tags: { team: none } }
    nodes: { node.kubernetes.io/instance-type: "m5.*" }
    securityGroups: { tags: { for: pods } }
  - name: db
    mode: secondary
    families: [ipv4, ipv6]
    warm: { prefixes: 0, minimum: 8 }
    cards: [1, 0]
    enis: { mtu: 1500 }
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []reconcile.Pool{{
		Name: "default", Cooldown: 30 * time.Second, Window: 10 * time.Minute, MinAge: 10 * time.Minute,
		Target: ipam.Target{Warm: 4, UsePrimary: true, AtOnce: 16, Mode: ipam.ModeAuto, Families: []ipam.Family{4}, Cards: []int{0}},
		Nodes:  map[string]string{"node.kubernetes.io/instance-type": "m5.*"}, Subnets: reconcile.Subnets{Tags: map[string]string{"team": "none"}},
		GroupTags: map[string]string{"for": "pods"}, About: "enichain {cluster} {node} {pool}", MTU: 9001,
	}, {
		Name: "db", Cooldown: 30 * time.Second, Window: 10 * time.Minute, MinAge: 10 * time.Minute,
		Target: ipam.Target{Minimum: 8, UsePrimary: true, AtOnce: 16, Mode: ipam.ModeSecondary, Families: []ipam.Family{4, 6}, Cards: []int{1, 0}},
		About:  "enichain {cluster} {node} {pool}", MTU: 1500,
	}}
	if diff := cmp.Diff(want, c.reconcileConfig().Pools, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
}

const knownActions = "AssignIpv6Addresses AssignPrivateIpAddresses AttachNetworkInterface CreateNetworkInterface DeleteNetworkInterface " +
	"DescribeInstanceTypes DescribeInstances DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets DescribeVpcs " +
	"DetachNetworkInterface ModifyNetworkInterfaceAttribute UnassignIpv6Addresses UnassignPrivateIpAddresses"

func TestParseNamesEveryFault(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown keys", "cluster: a\nkernel: { repairs: true }\nposl: []\n", []string{
			`line 2: kernel.repairs is no key here; the nearest is "repair"`,
			`line 3: posl is no key here; the nearest is "pool"`,
		}},
		{"wrong kinds", "cluster: a\npool: { maxPods: many }\nflight: { max: 8 }\nkernel: { repairDelay: 5 }\n", []string{
			`line 2: pool.maxPods is "many", but must be an integer`,
			`line 3: flight.max is "8", but must be a size with its unit, such as 8MiB`,
			`line 4: kernel.repairDelay is "5", but must be a duration with its unit, such as 30s or 10m`,
		}},
		{"twice", "cluster: a\ncluster: b\n", []string{"line 2: cluster stands twice"}},
		{"no cluster", "roles: [reconciler, bus]\n", []string{
			"cluster is empty, but the reconciler needs it: it is the tag by which it knows its own network interfaces",
		}},
		{"impossible together", "cluster: a\nroles: [agent]\npools: [{name: a}, {name: b}, {name: a}]\n", []string{
			"bus.urls is empty, but without the role bus this daemon needs a hub to connect to",
			`pools[2].name: is "a" as is that of pools[0], which is for all nodes; this one can never be used`,
		}},
		{"a pool's parts", "cluster: a\npools: [{name: '', warm: {free: -1}, subnets: {ids: [sn-1]}, families: [ip4], mode: both}]\n", []string{
			`pools[0].families has "ip4", but must have ipv4, ipv6 or both`,
			`pools[0].mode: is "both"; set auto, prefix or secondary`,
			"pools[0].name is empty, but lists choose their pool by it",
			`pools[0].subnets.ids: "sn-1" is no subnet's id; set subnet-…`,
			"pools[0].warm.free: is -1; set 0 or more",
		}},
		{"targets that exclude one another", "cluster: a\npools: [{warm: {free: 1, enis: 1}}, {name: b, mode: secondary, warm: {prefixes: 1}}]\n", []string{
			"pools[0].warm: free is 1 and enis is 1; set one of them",
			"pools[1].warm.prefixes: is 1, but mode is secondary; set mode auto or prefix, or warm.free",
		}},
		{"MTUs", "cluster: a\npools: [{enis: {mtu: 575}}, {name: b, enis: {mtu: 1279}, families: [ipv4, ipv6]}, {name: c, enis: {mtu: jumbo}},\n" +
			"  {name: d, enis: {mtu: 0}}, {name: e, enis: {mtu: 576}}]\n", []string{
			`line 2: pools[2].enis.mtu is "jumbo", but must be an integer`,
			"pools[0].enis.mtu: is 575; set 576..9001 bytes, or 0 to leave what the machine gives",
			"pools[1].enis.mtu: is 1279; set 1280..9001 bytes, or 0 to leave what the machine gives",
		}},
		{"the reconciler's part", "cluster: a\nreconciler:\n  tags: { enichain.io/node: x }\n  demand: { file: pods }\n  ec2:\n    endpoint: lab\n" +
			"    rates:\n      AttachENI: { burst: 1, perSecond: 1 }\n      AttachNetworkInterface: { bust: 1 }\n", []string{
			`line 9: reconciler.ec2.rates.AttachNetworkInterface.bust is no key here; the nearest is "burst"`,
			`reconciler.demand.file is "pods", but must be an absolute path or empty`,
			`reconciler.ec2.endpoint: is "lab"; set a URL such as https://ec2.eu-central-1.amazonaws.com`,
			"reconciler.ec2.rates.AttachENI: is no action of ours; known are [" + knownActions + "]",
			"reconciler.ec2.rates.AttachNetworkInterface: burst is 0 and perSecond 0; set 1 or more, and more than 0",
			"reconciler.tags: enichain.io/node is one that this program sets or reads itself; take another key",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Parse gave %v, want faults", err)
			}
			if diff := cmp.Diff(test.want, []string(faults)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOneFileForAll: hub and nodes may share a file; each role reads its own part.
func TestOneFileForAll(t *testing.T) {
	text := "cluster: a\nbus: { listen: 10.0.0.1:4222, users: /u, urls: [nats://10.0.0.1:4222], credentials: /k }\n"
	for _, roles := range [][]string{{"agent"}, {"reconciler", "bus"}, {"bus"}, {"reconciler"}} {
		if _, err := parse([]byte(text), func(c *Config) { c.Roles = roles }); err != nil {
			t.Errorf("%v: %v", roles, err)
		}
	}
}

// TestDefaultsAreWhole wants every key of Config in default.yaml: a key that is not there has no default that anybody
// can read.
func TestDefaultsAreWhole(t *testing.T) {
	var walk func(t reflect.Type) []string
	walk = func(t reflect.Type) []string {
		var keys []string
		for i := range t.NumField() {
			field := t.Field(i)
			keys = append(keys, field.Tag.Get("yaml"))
			inner := field.Type
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				keys = append(keys, walk(inner)...)
			}
		}
		return keys
	}
	for _, key := range walk(reflect.TypeFor[Config]()) {
		if !strings.Contains(string(defaultYAML), key+":") {
			t.Errorf("default.yaml lacks %s", key)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("cluster: a\n")
	f.Add("pools: [{name: *x}]\n")
	f.Add("roles: {a: b}\nbus: []\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text))
		if err == nil && (len(c.Roles) == 0 || len(c.Pools) == 0) {
			t.Errorf("accepted a configuration without roles or with %d pools", len(c.Pools))
		}
	})
}
