package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/sim"
)

// simulate runs 'vpclab sim' with these arguments; both of its outputs come back.
func simulate(t *testing.T, o options, args ...string) (out, told string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := &cobra.Command{Use: "vpclab", SilenceErrors: true, SilenceUsage: true}
	c.AddCommand(simCommand(&o))
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	c.SetArgs(append([]string{"sim"}, args...))
	err = c.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func TestSimFleet(t *testing.T) {
	out, _, err := simulate(t, options{format: "json"}, "fleet", "--nodes", "12", "--pods", "12", "--mode", "both")
	if err != nil {
		t.Fatal(err)
	}
	var all []sim.Comparison
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for i, mode := range []string{"secondary", "prefix"} {
		ours, theirs := all[i].Ours, all[i].Theirs
		if ours.Who != "enichain" || theirs.Who != "per-node daemon" || ours.Mode != mode || theirs.Mode != mode {
			t.Errorf("run %d is of %s and %s, in mode %s and %s", i, ours.Who, theirs.Who, ours.Mode, theirs.Mode)
		}
		if l := ours.Load; ours.Unfinished > 0 || theirs.Unfinished > 0 || l == nil || l.CPU == 0 || l.Most == 0 || l.Messages["supply"] < 12 {
			t.Errorf("%s: %d of ours and %d of theirs are not full; the load is %+v", mode, ours.Unfinished, theirs.Unfinished, l)
		}
	}
	alone, _, err := simulate(t, options{format: "text"}, "fleet", "--nodes", "5", "--pods", "3", "--mode", "prefix", "--alone")
	if err != nil || strings.Count(alone, "| 5 | prefix | enichain |") != 2 || strings.Contains(alone, "daemon") {
		t.Errorf("%v\n%s", err, alone)
	}
}

func TestSimSeeds(t *testing.T) {
	out, _, err := simulate(t, options{format: "json"}, "seeds", "--seeds", "3", "--first", "5", "--hours", "0.05")
	var r seedsRun
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || r.Done != 3 || r.First != 5 || len(r.Broken) > 0 {
		t.Errorf("%v in %s", err, out)
	}
	out, _, err = simulate(t, options{format: "text"}, "seeds", "--seeds", "2", "--hours", "0.05", "--nodes", "1")
	if want := "2 seeds of 3m0s with up to 1 nodes: every invariant holds\n"; err != nil || out != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
}

func TestSimRefuses(t *testing.T) {
	for _, args := range [][]string{{"seeds", "--seeds", "0"}, {"seeds", "--hours", "0.001"}, {"fleet", "--nodes", "0"}, {"fleet", "--mode", "x"},
		{"fleet", "--type", "m5.tiny"}, {"fleet", "--pods", "28"}, {"fleet", "--pods", "-1"}, {"fleet", "--type", "t2.medium", "--pods", "15"}} {
		if out, _, err := simulate(t, options{format: "text"}, args...); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
