package repair_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// lab is a running lab of this test's own, with one node and a host beside it.
type lab struct {
	t    *testing.T
	bin  string
	name string
}

// still is a node whose pool does not move while a test looks.
const still = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
enichaind:
  pools:
    - name: default
      warm: { free: 4 }
      cooldown: 3s
      release: { window: 1h, minAge: 1h }
`

func newLab(t *testing.T, name string) *lab {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "vpclab")); err != nil {
		t.Fatalf("%v: these tests run the built binaries: make build", err)
	}
	l := &lab{t: t, bin: bin, name: fmt.Sprintf("rep-%s-%d", name, os.Getpid())}
	file := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(file, []byte(still), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "vpclab-*", l.name, "log", "*"))
			for _, file := range logs {
				text, _ := os.ReadFile(file)
				t.Logf("%s ends:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
			}
		}
		if _, err := l.run("down"); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	l.must("up", "--speed", "10x", "--name", l.name, file)
	return l
}

func (l *lab) run(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(l.bin, "vpclab"), args...)
	cmd.Env = append(os.Environ(), "VPCLAB="+l.name)
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("vpclab %s: %w: %s%s", strings.Join(args, " "), err, out, words.String())
	}
	return string(out), err
}

func (l *lab) must(args ...string) string {
	l.t.Helper()
	out, err := l.run(args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// sh runs a shell line inside the node.
func (l *lab) sh(line string) string {
	l.t.Helper()
	return l.must("exec", "node-1", "--", "sh", "-c", line)
}

// said is what the server says that is asked once, or the error.
func (l *lab) said(from, to string) string {
	l.t.Helper()
	var answer struct{ Said, Error string }
	out, err := l.run("--format", "json", "reach", from, to)
	if jsonErr := json.Unmarshal([]byte(out), &answer); jsonErr != nil {
		l.t.Fatal(errors.Join(err, jsonErr))
	}
	if answer.Error != "" {
		return "nothing: " + answer.Error
	}
	return answer.Said
}

// drops counts the packets that the VPC dropped for their source.
func (l *lab) drops() int {
	l.t.Helper()
	var all []json.RawMessage
	out, err := l.run("--format", "json", "drops") // exit code 1: there are some
	if jsonErr := json.Unmarshal([]byte(out), &all); jsonErr != nil {
		l.t.Fatal(errors.Join(err, jsonErr))
	}
	return len(all)
}

// kernel is all that the stages have in the node, in an order of its own: what is made anew stands elsewhere.
func (l *lab) kernel() string {
	l.t.Helper()
	text := l.sh(`nft list ruleset | tr ',' '\n' | sed 's/elements = {//; s/ }$//'; ip rule; ip -6 rule; ip route show table all proto 233`)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// settled is the kernel's state once it stays the same for a second.
func (l *lab) settled() string {
	l.t.Helper()
	last, since := l.kernel(), time.Now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		if now := l.kernel(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > time.Second {
			return last
		}
	}
	l.t.Fatal("the node does not settle within 30 s")
	return ""
}
