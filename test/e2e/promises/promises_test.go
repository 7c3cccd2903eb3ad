// Package promises proves what the README promises, one script per promise, with the real binaries in a lab of the
// script's own.
package promises

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/enichain/enichain/test/need"
)

// root is the top of the checkout.
const root = "../../.."

func TestPromises(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "vpclab")); err != nil {
		t.Fatalf("%v: the scripts run the built binaries: make build", err)
	}
	flag.Set("test.parallel", "2") // labs are heavy; the machine is shared with other packages' tests
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			lab := fmt.Sprintf("p-%s", strings.TrimPrefix(filepath.Base(env.WorkDir), "script-"))
			env.Setenv("PATH", bin+":/usr/local/sbin:/usr/sbin:/sbin:"+env.Getenv("PATH"))
			env.Setenv("VPCLAB", lab)
			env.Setenv("TOP", absolute(root))
			env.Setenv("XDG_RUNTIME_DIR", os.Getenv("XDG_RUNTIME_DIR"))
			short, err := os.MkdirTemp("", "p-") // of its own, and short: a socket's path may have 107 bytes
			if err != nil {
				return err
			}
			env.Setenv("TMPDIR", short)
			env.Defer(func() { // the labs go even when the script failed in the middle
				down := exec.Command(filepath.Join(bin, "vpclab"), "down", "--all")
				down.Env = append(os.Environ(), "TMPDIR="+short)
				if out, err := down.CombinedOutput(); err != nil {
					fmt.Fprintf(os.Stderr, "vpclab down --all: %v: %s\n", err, out)
				}
				os.RemoveAll(short)
			})
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "ci" { // where nothing may be skipped
				return os.Getenv("CI") == "true", nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"eventually": eventually},
	})
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

// eventually runs a command until it succeeds (or fails, with "!") and its output has every TEXT in it, for 30 s at
// most: eventually [-has TEXT]… -- COMMAND ARGUMENT…
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	var texts []string
	for len(args) > 1 && args[0] == "-has" {
		texts, args = append(texts, args[1]), args[2:]
	}
	if len(args) < 2 || args[0] != "--" {
		ts.Fatalf("usage: eventually [-has TEXT]… -- COMMAND ARGUMENT…")
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if (err == nil) != neg && hasAll(out, texts) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it did not come true within 30 s; the last time: %v\n%s", err, out)
		}
		time.Sleep(200 * time.Millisecond) // a condition of other processes: nothing to wait on but asking
	}
}

func hasAll(s string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(s, text) {
			return false
		}
	}
	return true
}
