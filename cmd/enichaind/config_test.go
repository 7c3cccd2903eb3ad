package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		{"impossible together", "cluster: a\nroles: [agent]\npools: [{name: a}, {name: b}]\n", []string{
			"bus.urls is empty, but without the role bus this daemon needs a hub to connect to",
			"pools has 2 entries, but this release serves exactly 1",
		}},
		{"a pool's parts", "cluster: a\npools: [{name: '', warm: {free: -1}, subnets: {ids: [sn-1]}}]\n", []string{
			"pools[0].name is empty, but lists choose their pool by it",
			`pools[0].subnets.ids has "sn-1", but a subnet's id begins with subnet-`,
			"pools[0].warm.free is -1, but must be 0..100000",
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
		if err == nil && (len(c.Roles) == 0 || len(c.Pools) != 1) {
			t.Errorf("accepted a configuration without roles or with %d pools", len(c.Pools))
		}
	})
}
