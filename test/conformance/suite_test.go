package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOursConform wants every assertion of the specification kept by our own plugins, but for what is declared.
func TestOursConform(t *testing.T) {
	begin(t)
	used := map[Deviation]bool{}
	for _, plugin := range []string{"eni-ipam", "routed-veth", "snat", "portmap-compat"} {
		r := ran(t, plugin)
		for _, f := range r.Findings {
			if f.Outcome == Failed {
				t.Errorf("%s %s %s: %s\nexpected %s\nseen %s\ntry:\n%s", plugin, f.ID, f.Strength, f.Sentence, f.Expected, f.Seen, strings.Join(f.Try, "\n"))
			}
			for _, d := range Declared() {
				used[d] = used[d] || d.Plugin == plugin && d.ID == f.ID && f.Outcome == Deviates
			}
			if f.Outcome == NotRun && strings.Contains(f.Why, "(") {
				t.Errorf("%s %s was not run: %s", plugin, f.ID, f.Why)
			}
		}
	}
	for d, needed := range used {
		if !needed {
			t.Errorf("%s keeps %s: take it out of declared.yaml", d.Plugin, d.ID)
		}
	}
}

// racing are assertions whose outcome may differ from run to run where a plugin is not sure of itself: a kill hits where
// it hits.
var racing = []string{"K1", "K2", "C19"}

// TestUpstreamIsAsItWas runs the suite over containernetworking's plugins and compares the outcomes with what they were:
// a difference is a change of theirs or of the suite. UPDATE=true writes the file anew.
func TestUpstreamIsAsItWas(t *testing.T) {
	begin(t)
	var b strings.Builder
	for _, plugin := range upstream() {
		r := ran(t, plugin, racing...)
		if r.NotRun != "" {
			fmt.Fprintf(&b, "%s: not run: %s\n", plugin, r.NotRun)
			continue
		}
		for _, o := range []Outcome{Failed, NotRun} {
			var ids []string
			for _, f := range r.Findings {
				if f.Outcome == o {
					ids = append(ids, f.ID)
				}
			}
			fmt.Fprintf(&b, "%s: %s: %s\n", plugin, o, strings.Join(ids, " "))
		}
	}
	const golden = "testdata/upstream.golden"
	if os.Getenv("UPDATE") == "true" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func upstream() []string {
	return slices.DeleteFunc(Known(), func(p string) bool {
		return slices.Contains([]string{"eni-ipam", "routed-veth", "snat", "portmap-compat"}, p)
	})
}

func ran(t *testing.T, plugin string, without ...string) *Report {
	t.Helper()
	var only []string
	for _, a := range Suite() {
		if !slices.Contains(without, a.ID) {
			only = append(only, a.ID)
		}
	}
	r, err := Run(context.Background(), Options{Binary: filepath.Join("../../bin", plugin), Only: only, Declared: Declared()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s", plugin, r.Took)
	return r
}

// TestSuiteIsSound wants every assertion complete, and every id once.
func TestSuiteIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Suite() {
		if seen[a.ID] {
			t.Errorf("%s stands twice", a.ID)
		}
		seen[a.ID] = true
		if a.Section == "" || a.Sentence == "" || len(a.Kinds) == 0 || a.try == nil {
			t.Errorf("%s is not complete", a.ID)
		}
	}
	for _, d := range Declared() {
		if !seen[d.ID] {
			t.Errorf("%s declares %s, which is no assertion", d.Plugin, d.ID)
		}
	}
}
