package chain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFusedRules: a fused entry is judged by its stages, and by what it says itself.
func TestFusedRules(t *testing.T) {
	entry := func(more string, stages ...string) string {
		return `{"type":"enichain",` + more + `"stages":[` + strings.Join(stages, ",\n") + `]}`
	}
	const ports = `"capabilities":{"portMappings":true},`
	for _, c := range []lintCase{
		{name: "the flagship", list: of(entry(ports, eniIPAM, routedVeth, snatStage, compat))},
		{name: "one stage", list: of(entry("", eniIPAM), routedVeth)},
		{name: "others around it", list: of(hostLocal, entry(ports, routedVeth, compat), `{"type":"tuning","mtu":1400}`)},
		{name: "a wrong order inside", list: of(entry(ports, compat, eniIPAM)), want: []string{"1 C101 error", "2 C108 error type"}},
		{name: "a wrong order across", list: of(entry("", eniIPAM, routedVeth), entry("", eniIPAM)), want: []string{"3 C108 error type"}},
		{name: "a key inside", list: of(entry("", eniIPAM, `{"type":"routed-veth","mtuu":9}`)), want: []string{"2 C106 error mtuu"}},
		{name: "a key of the entry", list: of(entry(`"mtu":9,`, eniIPAM, routedVeth)), want: []string{"1 C106 error mtu"}},
		{name: "a capability that the entry lacks", list: of(entry("", eniIPAM, routedVeth, compat)), want: []string{"3 C104 error capabilities.portMappings"}},
		{name: "a capability that no stage has", list: of(entry(ports, eniIPAM, routedVeth)), want: []string{"1 C104 warning capabilities.portMappings"}},
		{name: "somebody else's stage", list: of(entry("", eniIPAM, routedVeth, `{"type":"sbr"}`)), want: []string{"3 C120 error type", "3 C119 warning", "3 C202 warning"}},
		{name: "no stages", list: of(`{"type":"enichain"}`), want: []string{"1 C120 error stages", "0 C113 error plugins"}},
		{name: "an empty list", list: of(entry("")), want: []string{"1 C120 error stages", "0 C113 error plugins"}},
		{name: "no list", list: of(`{"type":"enichain","stages":{"type":"snat"}}`), want: []string{"1 C107 error stages", "1 C120 error stages", "0 C113 error plugins"}},
		{name: "a stage without type", list: of(entry("", eniIPAM, `{"mtu":9}`)), want: []string{"1 C120 error stages", "0 C113 error plugins"}},
		{name: "one in the other", list: of(entry("", entry("", eniIPAM))), want: []string{"1 C120 error stages", "0 C113 error plugins"}},
		{name: "a delegate inside", list: of(entry("", `{"type":"routed-veth","ipam":{"type":"eni-ipam","gateway":"reserve"}}`, snatStage)), want: []string{"1 C109 error ipam.gateway"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			slices.Sort(c.want)
			l, problems := Parse("list.conflist", []byte(c.list))
			if l == nil {
				t.Fatalf("not read: %v", problems)
			}
			got := codes(append(problems, Lint(t.Context(), l, declared{}, Options{})...))
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// lists are all lists that tests of this package know.
func lists(t *testing.T) (all []*List) {
	t.Helper()
	for _, pattern := range []string{"testdata/lists/*/*.conflist", "../conflists/*.conflist"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if l, _ := Parse(path, text); l != nil && len(l.Stages) > 0 {
				all = append(all, l)
			}
		}
	}
	return all
}

// TestFuse: of every list that is known here, the fused one has the same stages with the same keys and the same problems,
// does the same for pods, and becomes the same text when it is taken apart.
func TestFuse(t *testing.T) {
	fusedLists := 0
	for _, l := range lists(t) {
		t.Run(filepath.Base(l.Path), func(t *testing.T) {
			f, err := Fuse(t.Context(), l, declared{})
			if err != nil {
				t.Fatal(err)
			}
			together, problems := Parse(l.Path, f.Text)
			if together == nil {
				t.Fatalf("%v\n%s", problems, f.Text)
			}
			again, err := Unfuse(together)
			if err != nil {
				t.Fatal(err)
			}
			apart, _ := l.apart()
			if diff := cmp.Diff(string(apart.Raw()), string(again.Text)); diff != "" {
				t.Errorf("there and back (-before +after)\n%s", diff)
			}
			if len(f.Groups) == 0 {
				if string(f.Text) != string(l.Raw()) {
					t.Errorf("nothing is fused, and the text changed:\n%s", f.Text)
				}
				return
			}
			fusedLists++
			once, err := Fuse(t.Context(), together, declared{})
			if err != nil || string(once.Text) != string(f.Text) {
				t.Errorf("fused twice: %v\n%s", err, LineDiff(f.Text, once.Text))
			}
			before, after := Lint(t.Context(), l, declared{}, Options{}), Lint(t.Context(), together, declared{}, Options{})
			if diff := cmp.Diff(codes(before), codes(after)); diff != "" {
				t.Errorf("lint (-apart +fused)\n%s\n%s", diff, f.Text)
			}
			d := Diff(t.Context(), l, together, declared{})
			if len(d.Stages)+len(d.Facts)+len(d.Running) > 0 || d.Same() != l.fused() {
				t.Errorf("difference: %s", d.Text())
			}
			x, y := Explain(t.Context(), l, declared{}), Explain(t.Context(), together, declared{})
			for i := range y.Stages {
				x.Stages[i].Within, y.Stages[i].Within = "", ""
			}
			if diff := cmp.Diff(x, y); diff != "" {
				t.Errorf("explain (-apart +fused)\n%s", diff)
			}
		})
	}
	if fusedLists < 10 {
		t.Errorf("only %d lists were fused: this test looks at little", fusedLists)
	}
}

func TestFuseText(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"lines", `{
  "cniVersion": "1.0.0", "name": "n",
  "plugins": [
    { "type": "eni-ipam" },
    { "type": "routed-veth",
      "mtu": 1500 },
    { "type": "sbr" },
    { "type": "snat" }
  ]
}`, `{
  "cniVersion": "1.0.0", "name": "n",
  "plugins": [
    {
      "type": "enichain",
      "stages": [
        { "type": "eni-ipam" },
        { "type": "routed-veth",
          "mtu": 1500 }
      ]
    },
    { "type": "sbr" },
    { "type": "snat" }
  ]
}`},
		{"one line", `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"eni-ipam"},{"type":"routed-veth"},` + compat + `]}`,
			`{"cniVersion":"1.0.0","name":"n","plugins":[{ "type": "enichain", "capabilities": { "portMappings": true }, "stages": [ {"type":"eni-ipam"},{"type":"routed-veth"},` + compat + ` ] }]}`},
		{"grows", `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"eni-ipam"},{"type":"enichain","stages":[{"type":"routed-veth"}]}]}`,
			`{"cniVersion":"1.0.0","name":"n","plugins":[{ "type": "enichain", "stages": [ {"type":"eni-ipam"},{"type":"routed-veth"} ] }]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _ := Parse("l.conflist", []byte(c.list))
			f, err := Fuse(t.Context(), l, declared{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(f.Text)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestSwapInAFusedList: the stage that comes stands beside the fused entry, or in it where it is one of ours.
func TestSwapInAFusedList(t *testing.T) {
	list := of(`{"type":"enichain","capabilities":{"portMappings":true},"stages":[` + strings.Join([]string{eniIPAM, routedVeth, snatStage, compat}, ",") + `]}`)
	l, _ := Parse("l.conflist", []byte(list))
	for _, c := range []struct{ old, replacement, want string }{
		{"portmap-compat", "portmap", "enichain[eni-ipam routed-veth snat] portmap"},
		{"2", "ptp", "ptp enichain[snat portmap-compat]"},
		{"eni-ipam", "host-local", "host-local enichain[routed-veth snat portmap-compat]"},
	} {
		s, err := Swap(t.Context(), l, c.old, c.replacement, SwapOptions{Contracts: declared{}})
		if err != nil {
			t.Fatal(err)
		}
		after, problems := Parse("l.conflist", s.Text)
		if after == nil {
			t.Fatal(problems)
		}
		var got []string
		for _, e := range after.Stages {
			word := e.Type
			if e.Type == "enichain" {
				word += "[" + strings.Join(typesOf(e.parts(1)), " ") + "]"
			}
			got = append(got, word)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s=%s (-want +got)\n%s", c.old, c.replacement, diff)
		}
	}
}

func TestMembers(t *testing.T) {
	for _, c := range []struct{ name, kind, entry, want string }{
		{"as they stand", "enichain", `{"capabilities":{"a":true},"stages":[{"type":"x","k":1},{"type":"y","capabilities":{"a":true}}]}`, `x {"type":"x","k":1} y {"type":"y","capabilities":{"a":true}}`},
		{"a capability that the entry lacks", "enichain", `{"stages":[{"type":"y","capabilities":{"a":true}}]}`, `y {"capabilities":{"a":false},"type":"y"}`},
		{"another plugin", "ptp", `{"stages":[{"type":"x"}]}`, ""},
		{"no stages", "enichain", `{}`, ""},
		{"one without type", "enichain", `{"stages":[{"type":"x"},{}]}`, ""},
		{"one in the other", "enichain", `{"stages":[{"type":"enichain"}]}`, ""},
	} {
		var got []string
		for _, m := range Members(c.kind, json.RawMessage(c.entry)) {
			got = append(got, m.Type, string(m.Config))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}
