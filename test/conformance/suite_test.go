package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ours are our own plugins' profiles.
var ours = []string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "portmap-compat@iptables"}

// TestOursConform wants every assertion of the specification kept by our own plugins, but for what is declared.
func TestOursConform(t *testing.T) {
	begin(t)
	used := map[Deviation]bool{}
	for _, plugin := range ours {
		r := ran(t, plugin)
		for _, f := range r.Findings {
			if f.Outcome == Failed {
				t.Errorf("%s %s %s: %s\nexpected %s\nseen %s\ntry:\n%s", plugin, f.ID, f.Strength, f.Sentence, f.Expected, f.Seen, strings.Join(f.Try, "\n"))
			}
			for _, d := range Declared() {
				used[d] = used[d] || strings.HasPrefix(plugin, d.Plugin) && d.ID == f.ID && f.Outcome == Deviates
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
		return slices.Contains(ours, p)
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

// TestTryShows pastes the lines of findings into a world, and looks for what was seen.
func TestTryShows(t *testing.T) {
	begin(t)
	for _, tt := range []struct{ plugin, id, shown string }{
		{"host-local", "C2", `"code": 8`},
		{"ptp", "N11", `"advmss": 1200`},
		{"portmap", "M5", ""}, // CHECK says nothing
		{"sbr", "M4", "no such file or directory"},
		{"portmap@nftables", "C32", "unrecognized backend"},
	} {
		t.Run(tt.plugin+"/"+tt.id, func(t *testing.T) {
			o := Options{Binary: "../../bin/" + tt.plugin, Only: []string{tt.id}}
			r, err := Run(context.Background(), o)
			if err != nil || len(r.Findings) != 1 || r.Findings[0].Outcome != Failed {
				t.Fatalf("%v %+v", err, r)
			}
			lines := r.Findings[0].Try
			if !strings.HasPrefix(lines[0], "enichainctl conformance --shell ") {
				t.Errorf("the first line is %s", lines[0])
			}
			last := len(lines) - 1
			for !strings.Contains(lines[last], "CNI_COMMAND=") {
				last--
			}
			err = Shell(context.Background(), o, func() error {
				if out, err := exec.Command("bash", "-ec", strings.Join(lines[1:last], "\n")+"\ntrue").CombinedOutput(); err != nil && tt.id == "M5" {
					return fmt.Errorf("%w: %s", err, out)
				}
				out, err := exec.Command("bash", "-c", lines[last]).Output()
				if !strings.Contains(string(out), tt.shown) || tt.shown == "" && (err != nil || len(out) > 0) {
					return fmt.Errorf("%v: %s\n%s", err, out, strings.Join(lines, "\n"))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
