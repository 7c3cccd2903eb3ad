package chain

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompose(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages []string
		set    []string
		want   string
	}{
		{name: "the flagship", stages: []string{"eni-ipam", "routed-veth", "snat", "portmap-compat"},
			set: []string{"routed-veth.mtu=9001"},
			want: `    { "type": "eni-ipam" },
    { "type": "routed-veth", "mtu": 9001 },
    { "type": "snat" },
    { "type": "portmap-compat", "capabilities": { "portMappings": true } }
`},
		{name: "a delegate, and settings of it", stages: []string{"ptp{eni-ipam}", "snat"},
			set: []string{"eni-ipam.gateway=reserve", "ptp.mtu=9001", "2.exclude=10.0.0.0/8,192.168.0.0/16"},
			want: `    { "type": "ptp", "mtu": 9001, "ipam": { "type": "eni-ipam", "gateway": "reserve" } },
    { "type": "snat", "exclude": ["10.0.0.0/8", "192.168.0.0/16"] }
`},
		{name: "host-local reads ipam", stages: []string{"host-local", "routed-veth", "snat", "bandwidth"},
			set: []string{"host-local.ranges=10.244.1.0/24", "snat.inside=10.244.0.0/16"},
			want: `    { "type": "host-local", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] } },
    { "type": "routed-veth" },
    { "type": "snat", "inside": ["10.244.0.0/16"] },
    { "type": "bandwidth", "capabilities": { "bandwidth": true } }
`},
		{name: "a word instead of a list", stages: []string{"eni-ipam", "routed-veth", "snat"},
			set: []string{"snat.inside=vpc"},
			want: `    { "type": "eni-ipam" },
    { "type": "routed-veth" },
    { "type": "snat", "inside": "vpc" }
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compose(t.Context(), c.stages, ComposeOptions{Name: "net", Set: c.set, Contracts: declared{}})
			if err != nil {
				t.Fatal(err)
			}
			want := "{\n  \"cniVersion\": \"1.0.0\",\n  \"cniVersions\": [\"1.0.0\", \"1.1.0\"],\n  \"name\": \"net\",\n  \"plugins\": [\n" + c.want + "  ]\n}\n"
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			l, problems := Parse("x.conflist", got)
			if problems = append(problems, Lint(t.Context(), l, declared{}, Options{})...); len(problems) > 0 {
				t.Errorf("it does not lint:\n%s", spoken(problems))
			}
		})
	}
}

func TestComposeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want  string
		stages, set []string
	}{
		{name: "nothing", want: "cannot compose a list without stages"},
		{name: "half a brace", stages: []string{"ptp{x"},
			want: `cannot read stage "ptp{x": want a type such as ptp, or caller{delegate} such as ptp{eni-ipam}`},
		{name: "a path", stages: []string{"../x"}, want: `cannot read stage "../x": want the name of a plugin's file`},
		{name: "no key", stages: []string{"a"}, set: []string{"a=1"},
			want: `cannot read "a=1": want stage.key=value, such as routed-veth.mtu=1500`},
		{name: "no such stage", stages: []string{"a", "b"}, set: []string{"c.x=1"},
			want: `cannot set "c.x=1": no stage is called c; there are a, b`},
		{name: "two of them", stages: []string{"a", "a"}, set: []string{"a.x=1"},
			want: `cannot set "a.x=1": 2 stages are called a; say which by its number`},
		{name: "number", stages: []string{"a"}, set: []string{"2.x=1"},
			want: `cannot set "2.x=1": there is no stage 2, only 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compose(t.Context(), c.stages, ComposeOptions{Set: c.set})
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

const written = `{
  "cniVersion": "1.0.0", "cniVersions": ["1.0.0","1.1.0"],
  "name":  "odd   spacing",   "x-note": "<kept>",
  "plugins": [
    { "type": "eni-ipam" },
    {"type":"routed-veth",
       "mtu" : 9001, "hostVeth": "pod" },
    {"type": "portmap-compat", "snat": false, "hostPortConflict": "reject", "capabilities": {"portMappings":true} }
  ]
}
`

func TestSwap(t *testing.T) {
	for _, c := range []struct {
		name, list, old, new string
		set                  []string
		want                 string // lines that change
		carried, dropped     []string
	}{
		{name: "portmap for ours", list: written, old: "portmap-compat", new: "portmap",
			want: `-     {"type": "portmap-compat", "snat": false, "hostPortConflict": "reject", "capabilities": {"portMappings":true} }
+     {"type": "portmap", "snat": false, "capabilities": {"portMappings":true} }
`, carried: []string{"snat", "capabilities.portMappings"}, dropped: []string{"hostPortConflict: portmap knows no such key"}},
		{name: "by number, with a setting", list: written, old: "2", new: "routed-veth", set: []string{"mtu=1500",
			"vethPrefix=eth"},
			want: `-        "mtu" : 9001, "hostVeth": "pod" },
+        "mtu" : 1500, "hostVeth": "pod", "vethPrefix": "eth" },
`, carried: []string{"mtu", "hostVeth"}},
		{name: "ptp takes eni-ipam in", list: written, old: "routed-veth", new: "ptp",
			want: `-     { "type": "eni-ipam" },
-     {"type":"routed-veth",
-        "mtu" : 9001, "hostVeth": "pod" },
+     {"type":"ptp",
+        "mtu" : 9001, "ipam": { "type": "eni-ipam" } },
`, carried: []string{"mtu", "stage 1 eni-ipam → ipam"}, dropped: []string{"hostVeth: ptp knows no such key"}},
		{name: "host-local for eni-ipam", list: written, old: "eni-ipam", new: "host-local",
			set: []string{"ranges=10.244.1.0/24"},
			want: `-     { "type": "eni-ipam" },
+     { "type": "host-local", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] } },
`},
		{name: "routed-veth for ptp keeps the delegate",
			list: of(`{ "type": "ptp", "ipMasq": false, "ipam": { "type": "eni-ipam", "gateway": "reserve", "wait": "5s" } }`), old: "ptp", new: "routed-veth",
			want: `- { "type": "ptp", "ipMasq": false, "ipam": { "type": "eni-ipam", "gateway": "reserve", "wait": "5s" } }
+ { "type": "routed-veth", "ipam": { "type": "eni-ipam", "wait": "5s" } }
`, carried: []string{"ipam"}, dropped: []string{"ipMasq: routed-veth knows no such key", "ipam.gateway: its default is right under routed-veth"}},
		{name: "a capability is switched on", list: of(eniIPAM, routedVeth, `{"type":"tuning"}`), old: "tuning",
			new: "bandwidth",
			want: `- {"type":"tuning"}
+ {"type":"bandwidth", "capabilities": { "bandwidth": true }}
`},
		{name: "a stranger gets everything", list: of(eniIPAM, `{"type":"routed-veth","mtu":5}`), old: "routed-veth",
			new: "mine",
			want: `- {"type":"routed-veth","mtu":5}
+ {"type":"mine","mtu":5}
`, carried: []string{"mtu"}},
		{name: "the first key goes", list: of(eniIPAM, `{"hostVeth":"pod","type":"routed-veth","mtu":70}`),
			old: "routed-veth", new: "macvlan", set: []string{"master=eth1"},
			want: `- {"hostVeth":"pod","type":"routed-veth","mtu":70}
+ {"type":"macvlan","mtu":70, "master": "eth1"}
`, carried: []string{"mtu"}, dropped: []string{"hostVeth: macvlan knows no such key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, problems := Parse("x.conflist", []byte(c.list))
			if l == nil {
				t.Fatal(problems)
			}
			got, err := Swap(t.Context(), l, c.old, c.new, SwapOptions{Set: c.set, Contracts: declared{}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, LineDiff([]byte(c.list), got.Text)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, got.Text)
			}
			if diff := cmp.Diff([][]string{c.carried, c.dropped}, [][]string{got.Carried, got.Dropped}); diff != "" {
				t.Errorf("carried, dropped (-want +got):\n%s", diff)
			}
			if again, problems := Parse("x.conflist", got.Text); again == nil {
				t.Errorf("what is left cannot be read: %v", problems)
			}
		})
	}
}

func TestSwapAndBackIsTheSameText(t *testing.T) {
	text, err := os.ReadFile("../conflists/05-enichain.conflist")
	if err != nil {
		t.Fatal(err)
	}
	now := text
	for _, swap := range [][2]string{{"portmap-compat", "portmap"}, {"portmap", "portmap-compat"}} {
		l, _ := Parse("x.conflist", now)
		s, err := Swap(t.Context(), l, swap[0], swap[1], SwapOptions{Contracts: declared{}})
		if err != nil {
			t.Fatal(err)
		}
		now = s.Text
	}
	if diff := cmp.Diff(string(text), string(now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
