package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam"
)

func TestValidate(t *testing.T) {
	good := Pool{Target: ipam.Target{Warm: 4, UsePrimary: true}}
	for _, test := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"good", Config{Cluster: "c", Pools: []Pool{good}}, nil},
		{"cluster and durations", Config{Resync: -1, Orphans: Orphans{MinAge: -time.Second, PerRound: -1}, Pools: []Pool{good}}, []string{
			"cluster: is empty; set the value that every network interface is to be tagged with",
			"resync: is -1ns; set a positive duration", "orphans.minAge: is -1s; set a positive duration", "orphans.perRound: is -1; set 0 or more",
		}},
		{"tags of ours", Config{Cluster: "c", Tags: map[string]string{TagSlot: "1", "aws:x": "y"}, Pools: []Pool{good}}, []string{
			`tags: "aws:x": "y"; EC2 takes keys of 1..128 characters that do not begin with aws:, and values of up to 256`,
			"tags: enichain.io/slot is one that this program sets or reads itself; take another key",
		}},
		{"numbers", Config{Cluster: "c", Pools: []Pool{good, {Name: "x", Window: -1, Target: ipam.Target{Warm: 1, WarmENIs: 1, Minimum: 9, Maximum: 4, AtOnce: 17, Cards: []int{0, 0}, MaxENIs: -1}}}}, []string{
			"pools[1].release.window: is -1ns; set a positive duration", "pools[1].enis.max: is -1; set 0 or more",
			"pools[1].release.atOnce: is 17; set 1..16", "pools[1].warm: free is 1 and enis is 1; set one of them",
			"pools[1].warm.minimum: is 9, above pools[1].warm.maximum 4",
			"pools[1].cards: has 0 at place 1; set different network cards' indexes, 0..63",
		}},
		{"MTU", Config{Cluster: "c", Pools: []Pool{
			{Name: "a", MTU: 575}, {Name: "b", MTU: 576}, {Name: "c", MTU: 9001}, {Name: "d", MTU: 9002}, {Name: "e", MTU: -1},
			{Name: "f", MTU: 1279, Target: ipam.Target{Families: []ipam.Family{ipam.IPv4, ipam.IPv6}}},
			{Name: "g", MTU: 1280, Target: ipam.Target{Families: []ipam.Family{ipam.IPv6}, UsePrimary: true}},
		}}, []string{
			"pools[0].enis.mtu: is 575; set 576..9001 bytes, or 0 to leave what the machine gives",
			"pools[3].enis.mtu: is 9002; set 576..9001 bytes, or 0 to leave what the machine gives",
			"pools[4].enis.mtu: is -1; set 576..9001 bytes, or 0 to leave what the machine gives",
			"pools[5].enis.mtu: is 1279; set 1280..9001 bytes, or 0 to leave what the machine gives",
		}},
		{"modes and families", Config{Cluster: "c", Pools: []Pool{
			{Target: ipam.Target{WarmPrefixes: 1}}, {Name: "b", Target: ipam.Target{Mode: "both"}},
			{Name: "d", Target: ipam.Target{Families: []ipam.Family{ipam.IPv6, 5}}},
		}}, []string{
			"pools[0].warm.prefixes: is 1, but mode is secondary; set mode auto or prefix, or warm.free",
			`pools[1].mode: is "both"; set auto, prefix or secondary`,
			"pools[2].families: has 5 at place 1; set ipv4, ipv6 or both, once each",
			"pools[2].families: is ipv6 alone, which lives on the primary network interface, but usePrimary is false; set usePrimary true or add ipv4",
		}},
		{"names and selectors", Config{Cluster: "c", Pools: []Pool{
			good, {Nodes: map[string]string{"a": "["}, Target: good.Target}, {Name: "a b", Groups: []string{"web"}, Subnets: Subnets{IDs: []ipam.SubnetID{"a"}}},
		}}, []string{
			`pools[1].name: is "default" as is that of pools[0], which is for all nodes; this one can never be used`,
			`pools[1].nodes: "a": "["; set a tag's key, node.kubernetes.io/instance-type or topology.kubernetes.io/zone, and a shell pattern for its value`,
			`pools[2].name: is "a b"; set up to 63 letters, digits and signs without spaces`,
			`pools[2].subnets.ids: "a" is no subnet's id; set subnet-…`, `pools[2].securityGroups.ids: "web" is no security group's id; set sg-…`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			if err := test.cfg.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	row := Instance{ID: "i-1", Type: "m5.large", Zone: "eu-1a", Tags: map[string]string{"team": "a/b"}}
	for _, test := range []struct {
		nodes map[string]string
		want  bool
	}{
		{nil, true},
		{map[string]string{LabelType: "m5.*"}, true},
		{map[string]string{LabelType: "c5.*"}, false},
		{map[string]string{LabelType: "m5.*", LabelZone: "eu-1b"}, false},
		{map[string]string{LabelZone: "eu-1[ab]"}, true},
		{map[string]string{"team": "*"}, true},
		{map[string]string{"team": "a/?"}, true},
		{map[string]string{"absent": "*"}, false},
	} {
		if got := (Pool{Nodes: test.nodes}).selects(row); got != test.want {
			t.Errorf("%v selects %t, want %t", test.nodes, got, test.want)
		}
	}
}
