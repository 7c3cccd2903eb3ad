// Package vpclab_test drives the real vpclab: what its help promises, as root and as an ordinary user.
package vpclab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/e2e/live"
	"github.com/enichain/enichain/test/need"
)

// programs is the folder of the binaries, built once; anybody may enter it.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "vpclab-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	programs = filepath.Join(dir, "bin")
	upstream := "github.com/containernetworking/plugins/plugins/"
	ours := "github.com/enichain/enichain/cmd/"
	build := exec.Command("go", "build", "-o", programs+"/", ours+"vpclab", ours+"enichaind", ours+"eni-ipam", ours+"routed-veth",
		ours+"snat", ours+"portmap-compat", "github.com/containernetworking/cni/cnitool",
		upstream+"main/ptp", upstream+"ipam/host-local", upstream+"meta/portmap")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic("cannot build: " + string(out))
	}
	return m.Run()
}

// bench is a user with labs of its own.
type bench struct {
	t   *testing.T
	env []string
	as  []string // put before each command
}

func newBench(t *testing.T) *bench {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	dir, err := os.MkdirTemp("", "lab-") // short: a socket's path may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, env: append(os.Environ(), "TMPDIR="+dir, "VPCLAB=")}
	t.Cleanup(func() {
		if r := b.run("down", "--all"); r.code != 0 {
			t.Errorf("down --all: %s", r.errors)
		}
		os.RemoveAll(dir)
	})
	return b
}

// needDaemons needs what the stages use on a node.
func (b *bench) needDaemons() {
	b.t.Helper()
	need.Tool(b.t, "iptables", "iptables")
	need.Tool(b.t, "conntrack", "conntrack")
}

type result struct {
	out, errors string
	code        int
}

// run runs vpclab to its end.
func (b *bench) run(args ...string) result {
	b.t.Helper()
	line := append(append([]string{}, b.as...), filepath.Join(programs, "vpclab"))
	line = append(line, args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir = b.env, "/"
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return result{strings.TrimSpace(out.String()), strings.TrimSpace(words.String()), cmd.ProcessState.ExitCode()}
}

// must runs vpclab and wants exit code 0.
func (b *bench) must(args ...string) string {
	b.t.Helper()
	r := b.run(args...)
	if r.code != 0 {
		b.t.Fatalf("vpclab %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.out, r.errors)
	}
	return r.out
}

// aws runs the unmodified aws CLI against a lab.
func (b *bench) aws(lab string, args ...string) string {
	b.t.Helper()
	var env map[string]string
	if err := json.Unmarshal([]byte(b.must("env", "--lab", lab, "--format", "json")), &env); err != nil {
		b.t.Fatal(err)
	}
	return live.EC2(b.t, env, args...)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("after a minute it is still not so: %s", what)
}

// labState is a lab's state.json.
type labState struct {
	PID  int    `json:"pid"`
	PIDs string `json:"pids"`
}

func (b *bench) state(lab string) labState {
	b.t.Helper()
	var s labState
	for _, line := range b.env {
		if dir, ok := strings.CutPrefix(line, "TMPDIR="); ok {
			files, _ := filepath.Glob(filepath.Join(dir, "vpclab-*", lab, "state.json"))
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err == nil {
					err = json.Unmarshal(text, &s)
				}
				if err != nil {
					b.t.Fatal(err)
				}
			}
		}
	}
	if s.PID == 0 {
		b.t.Fatalf("there is no state of lab %s", lab)
	}
	return s
}

// members counts the processes of a process namespace.
func members(pids string) int {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	count := 0
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil && ns == pids {
			count++
		}
	}
	return count
}
