package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// patience is how long a condition may take to come true.
const patience = 20 * time.Second

// lab is a VPC with one node, in namespaces of its own; its process namespace ends everything that ran in it.
type lab struct {
	t       *testing.T
	env     []string
	dir     string // in the machine's own file system, seen from the node under the same path
	address string // the node's primary
	public  string // and the address that the internet knows it by
	root    string // the node's file system as seen from here
	netns   string // the node's network namespace, likewise
}

// newLab starts a lab whose node has a type (its limits are EC2's) and a pool's policy.
func newLab(t *testing.T, instanceType, warm string) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctr-") // short: a socket's path may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir, env: append(os.Environ(), "TMPDIR="+dir, "VPCLAB=")}
	t.Cleanup(func() {
		if _, err := l.try(l.vpclab("down", "--all")); err != nil {
			t.Error(err)
		}
		l.removeCgroups()
		os.RemoveAll(dir)
	})
	file := filepath.Join(dir, "lab.yaml")
	l.write(file, fmt.Sprintf(`
vpc: 10.110.0.0/16
subnets: [{ name: subnet-a, cidr: 10.110.0.0/20, zone: lab-1a }]
nodes: [{ name: node-1, type: %s, subnet: subnet-a }]
enichaind:
  cni: { binDir: %s }
  pools: [{ name: default, warm: { %s }, cooldown: 1s, release: { window: 1h, minAge: 1h } }]
`, instanceType, bin, warm))
	l.must(l.vpclab("up", "--name", "ctr", "--speed", "0", file))
	l.locate()
	return l
}

// locate finds the node's namespaces by the processes that hold them.
func (l *lab) locate() {
	l.t.Helper()
	var state struct{ PID int }
	files, _ := filepath.Glob(filepath.Join(l.dir, "vpclab-*", "ctr", "state.json"))
	if len(files) != 1 {
		l.t.Fatalf("want one lab in %s, there are %v", l.dir, files)
	}
	text, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	var dump struct {
		View struct {
			Nodes []struct {
				Name, Address, Public string
				PID                   int
			}
		}
	}
	if err := json.Unmarshal([]byte(l.must(l.vpclab("dump", "--format", "json"))), &dump); err != nil {
		l.t.Fatal(err)
	}
	for _, n := range dump.View.Nodes {
		if n.Name == "node-1" {
			l.address, l.public = n.Address, n.Public
			proc := fmt.Sprintf("/proc/%d/root/proc/%d", state.PID, n.PID)
			l.root, l.netns = proc+"/root", proc+"/ns/net"
		}
	}
}

func (l *lab) vpclab(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, "vpclab"), args...)
	cmd.Env, cmd.Dir = l.env, "/"
	return cmd
}

// node prepares a command inside the node.
func (l *lab) node(args ...string) *exec.Cmd {
	return l.vpclab(append([]string{"exec", "node-1", "--"}, args...)...)
}

func (l *lab) try(cmd *exec.Cmd) (string, error) {
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args[1:], " "), err, out.String(), words.String())
	}
	return strings.TrimSpace(out.String()), err
}

func (l *lab) must(cmd *exec.Cmd) string {
	l.t.Helper()
	out, err := l.try(cmd)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// sh runs a script in the node.
func (l *lab) sh(script string) string {
	l.t.Helper()
	return l.must(l.node("sh", "-ec", script))
}

func (l *lab) write(path, text string) {
	l.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// reachLimit is how long a server in a pod may take: it starts a program for each answer, beside thirty others on two busy
// cores. Who refuses does so at once.
const reachLimit = "10s"

// reach asks a server from a machine of the lab and returns what it said.
func (l *lab) reach(from, url string) (string, error) {
	out, err := l.try(l.vpclab("reach", from, url, "--timeout", reachLimit, "--format", "json"))
	if err != nil {
		return "", err
	}
	var r struct{ Said string }
	err = json.Unmarshal([]byte(out), &r)
	return r.Said, err
}

// eventually waits until a condition holds: until it returns "", which otherwise says what is not so yet.
func eventually(t *testing.T, what string, missing func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		if last = missing(); last == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s it is still not so: %s: %s", patience, what, last)
		case <-tick.C:
		}
	}
}

// needRoot wants the machine's own root: a container needs device nodes and cgroups.
func needRoot(t *testing.T) {
	t.Helper()
	need.MachinesRoot(t, "for device nodes and cgroups: run 'make e2e-containerd' as root")
	need.NetAdmin(t)
}
