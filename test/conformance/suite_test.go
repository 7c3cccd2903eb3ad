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
var ours = []string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "portmap-compat@iptables", "enichain", "fastpath"}

// inapplicable are the assertions that are not run for our own plugins, each because the plugin has nothing of the sort.
var inapplicable = map[string]string{
	"eni-ipam":                "C18 C23 M9", // it speaks no version before 0.3.0; it takes no capability arguments
	"routed-veth":             "C18 C23 M9",
	"snat":                    "C18 C23 M9 M8", // no machine that it runs on makes its ADD impossible
	"portmap-compat":          "C18 M8",
	"portmap-compat@iptables": "C18",
	"enichain":                "C18 N6 N7 N14 N15 N16 N17 N18", // its stages call no delegate here
	"fastpath":                "C32 C18 C23 M9 M8",             // it has no keys
}

// TestOursConform wants every assertion of the specification kept by our own plugins, but for what is declared, and
// none left out but what cannot be asked.
func TestOursConform(t *testing.T) {
	begin(t)
	used := map[Deviation]bool{}
	for _, plugin := range ours {
		r := ran(t, plugin)
		if r.NotRun != "" {
			t.Errorf("%s was not run: %s", plugin, r.NotRun)
			continue
		}
		var not []string
		for _, f := range r.Findings {
			switch f.Outcome {
			case Failed:
				t.Errorf("%s %s %s: %s\nexpected %s\nseen %s\ntry:\n%s", plugin, f.ID, f.Strength, f.Sentence, f.Expected, f.Seen, strings.Join(f.Try, "\n"))
			case NotRun:
				t.Logf("%s %s is not run: %s", plugin, f.ID, f.Why)
				not = append(not, f.ID)
			}
			for _, d := range Declared() {
				used[d] = used[d] || strings.HasPrefix(plugin, d.Plugin) && d.ID == f.ID && f.Outcome == Deviates
			}
		}
		if got := strings.Join(not, " "); got != inapplicable[plugin] {
			t.Errorf("%s: not run are %q, want %q", plugin, got, inapplicable[plugin])
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
// a difference is a change of theirs or of the suite. What this machine's kernel cannot run is told, and so is what was
// never run before. UPDATE=true writes the file anew, but for the plugins that are not run.
func TestUpstreamIsAsItWas(t *testing.T) {
	begin(t)
	const golden = "testdata/upstream.golden"
	known, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	compared := 0
	for _, plugin := range upstream() {
		r := ran(t, plugin, racing...)
		was, is := linesOf(string(known), plugin), outcomes(plugin, r)
		if r.NotRun == "" && was != "" && is != was { // a busy machine may stop a plugin short of what it is known for
			r = ran(t, plugin, racing...)
			is = outcomes(plugin, r)
		}
		switch {
		case r.NotRun != "":
			t.Logf("%s is not run: %s", plugin, r.NotRun)
			all.WriteString(was)
		case was == "":
			t.Logf("never run before:\n%s", is)
			all.WriteString(is)
		default:
			compared++
			if diff := cmp.Diff(was, is); diff != "" {
				t.Errorf("outcomes of %s (-want +got):\n%s", plugin, diff)
			}
			all.WriteString(is)
		}
	}
	if compared < 10 {
		t.Errorf("only %d plugins were compared with what they were", compared)
	}
	if os.Getenv("UPDATE") == "true" {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// outcomes are a plugin's failures and what was not run, as lines.
func outcomes(plugin string, r *Report) string {
	var b strings.Builder
	for _, o := range []Outcome{Failed, NotRun} {
		var ids []string
		for _, f := range r.Findings {
			if f.Outcome == o {
				ids = append(ids, f.ID)
			}
		}
		fmt.Fprintf(&b, "%s: %s: %s\n", plugin, o, strings.Join(ids, " "))
	}
	return b.String()
}

// linesOf are those lines of a golden file that tell of a plugin.
func linesOf(golden, plugin string) string {
	var b strings.Builder
	for line := range strings.Lines(golden) {
		if strings.HasPrefix(line, plugin+": ") {
			b.WriteString(line)
		}
	}
	return b.String()
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
