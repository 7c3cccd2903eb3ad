package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/sim"
)

// recorded is a run with faults, as a file.
func recorded(t *testing.T) []byte {
	t.Helper()
	r, err := sim.Run(sim.Generate(7, 10*time.Minute, 2), sim.Settings{Dir: t.TempDir(), Record: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Recording
}

func replay(t *testing.T, text []byte) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.record")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := replayCommand()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs([]string{file})
	err := c.Execute()
	return out.String(), err
}

func TestReplay(t *testing.T) {
	text := recorded(t)
	out, err := replay(t, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"the agent starts", "leads with revision 1", ": AssignPrivateIpAddresses i-", "the same effects"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the timeline", want)
		}
	}
}

// TestReplayDiffers is the control: an input that was another one has other effects, and the step is named.
func TestReplayDiffers(t *testing.T) {
	text := bytes.Replace(recorded(t), []byte(`"class":"done"`), []byte(`"class":"limit"`), 1)
	out, err := replay(t, text)
	if err == nil || exitCode(err) != exitWrong || !strings.Contains(err.Error(), "differs") {
		t.Errorf("got %v\n%s", err, out[max(len(out)-500, 0):])
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "something else": "{}\n", "no steps": `{"enichain":"record","v":1,"core":"agent","config":{}}` + "\n"} {
		t.Run(name, func(t *testing.T) {
			if out, err := replay(t, []byte(text)); err == nil || exitCode(err) != exitBlind {
				t.Errorf("got %v\n%s", err, out)
			}
		})
	}
}
