// Package outage_test breaks what a node leans on, one thing at a time, in labs of the real binaries: pods must go on,
// errors must name the cause, and all must mend by itself.
package outage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/need"
)

// bin is the folder of the built binaries.
var bin = absolute("../../../bin")

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

// hurry is a policy under which minutes of a cluster's life take seconds.
const hurry = `
enichaind:
  pools:
    - name: default
      warm: { free: 4 }
      cooldown: 3s
      release: { window: 1h, minAge: 1h }
`

// oneNode is a lab file with one node of a type.
func oneNode(instanceType string) string {
	return `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: ` + instanceType + `, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
` + hurry
}

// twoNodes has its bus and its reconciler on an instance of their own.
const twoNodes = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: t3.medium, subnet: subnet-a }
` + hurry

// lab is a running lab of this test's own.
type lab struct {
	t    *testing.T
	name string
	dir  string // files of the test
	home string // of the lab, short: a socket's path may have 107 bytes
}

// newLab starts a lab; it ends with the test.
func newLab(t *testing.T, name, text string) *lab {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	if _, err := os.Stat(filepath.Join(bin, "vpclab")); err != nil {
		t.Fatalf("%v: these tests run the built binaries: make build", err)
	}
	l := &lab{t: t, name: fmt.Sprintf("out-%s-%d", name, os.Getpid()), dir: t.TempDir()}
	var err error
	if l.home, err = os.MkdirTemp("", "out-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer os.RemoveAll(l.home)
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(l.home, "vpclab-*", l.name, "log", "*"))
			for _, file := range logs {
				text, _ := os.ReadFile(file)
				t.Logf("%s ends:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
			}
		}
		if r := l.run("down"); r.code != 0 {
			t.Errorf("down: %s", r.errors)
		}
	})
	l.must("up", "--speed", "10x", "--name", l.name, l.file("lab.yaml", text))
	return l
}

// file writes a file of the test's own.
func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

type result struct {
	out, errors string
	code        int
}

// command prepares vpclab for this lab.
func (l *lab) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, "vpclab"), args...)
	cmd.Env = append(os.Environ(), "VPCLAB="+l.name, "TMPDIR="+l.home)
	return cmd
}

// run runs vpclab to its end.
func (l *lab) run(args ...string) result {
	l.t.Helper()
	cmd := l.command(args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return result{strings.TrimSpace(out.String()), strings.TrimSpace(words.String()), cmd.ProcessState.ExitCode()}
}

// must runs vpclab and wants exit code 0.
func (l *lab) must(args ...string) string {
	l.t.Helper()
	r := l.run(args...)
	if r.code != 0 {
		l.t.Fatalf("vpclab %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.out, r.errors)
	}
	return r.out
}

// sh runs a shell line inside a machine.
func (l *lab) sh(machine, line string) string {
	l.t.Helper()
	return l.must("exec", machine, "--", "sh", "-c", line)
}

// pod is what 'pod add', 'pod del' and 'pod ls' print.
type pod struct {
	Node, Name, Error string
	Addresses         []string
	Took              time.Duration
}

func (p pod) address() string { return strings.Join(p.Addresses, " ") }

// pods runs a pod command and reads its answer, whether pods failed or not.
func (l *lab) pods(args ...string) []pod {
	l.t.Helper()
	r := l.run(append([]string{"--format", "json", "pod"}, args...)...)
	var all []pod
	if err := json.Unmarshal([]byte(r.out), &all); err != nil {
		l.t.Fatalf("vpclab pod %s: %v\n%s\n%s", strings.Join(args, " "), err, r.out, r.errors)
	}
	return all
}

// start adds pods that must run.
func (l *lab) start(args ...string) []pod {
	l.t.Helper()
	return l.wellDone("add", args)
}

// end deletes pods, which must succeed.
func (l *lab) end(args ...string) []pod {
	l.t.Helper()
	return l.wellDone("del", args)
}

func (l *lab) wellDone(verb string, args []string) []pod {
	l.t.Helper()
	all := l.pods(append([]string{verb}, args...)...)
	for _, p := range all {
		if p.Error != "" {
			l.t.Errorf("pod %s %s on %s: %s", verb, p.Name, p.Node, p.Error)
		}
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
	return all
}

// impatient is the list of conflists/ whose pods wait for an address only so long.
func (l *lab) impatient(wait string) string {
	l.t.Helper()
	text, err := os.ReadFile("../../../conflists/05-enichain.conflist")
	if err != nil {
		l.t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"type": "eni-ipam"`, `"type": "eni-ipam", "wait": "`+wait+`"`, 1)
	if changed == string(text) {
		l.t.Fatalf("the flagship list has no eni-ipam:\n%s", text)
	}
	return l.file("impatient.conflist", changed)
}

// state reads a node's pool file, inside the node.
func (l *lab) state(node string) (store.State, error) {
	cmd := l.command("exec", node, "--", os.Args[0], insideMark, "state")
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return store.State{}, fmt.Errorf("%w: %s", err, words.String())
	}
	var s store.State
	return s, json.Unmarshal(out, &s)
}

// mustState is state where the file must be readable.
func (l *lab) mustState(node string) store.State {
	l.t.Helper()
	s, err := l.state(node)
	if err != nil {
		l.t.Fatalf("cannot read the pool of %s: %v", node, err)
	}
	return s
}

// count counts a pool's addresses in a state.
func count(s store.State, state ipam.State) (n int) {
	for _, a := range s.Addresses {
		if a.State == state {
			n++
		}
	}
	return n
}

// calls is what EC2 was asked, by whom.
type calls struct {
	Action, Caller               string
	Accepted, Throttled, Refused int
}

// calls asks the lab's books.
func (l *lab) calls() []calls {
	l.t.Helper()
	var dump struct{ Counts []calls }
	if err := json.Unmarshal([]byte(l.must("dump", "--format", "json")), &dump); err != nil {
		l.t.Fatal(err)
	}
	return dump.Counts
}

// asked sums up calls.
func asked(all []calls) (n int) {
	for _, c := range all {
		n += c.Accepted + c.Throttled + c.Refused
	}
	return n
}

// eventually waits for a condition and says how long that took.
func eventually(t *testing.T, most time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < most {
		if done() {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond) // a condition of other processes: nothing to wait on but asking
	}
	t.Fatalf("after %s it is still not so: %s", most, what)
	return 0
}

// free waits until so many addresses may be leased.
func (l *lab) free(node string, n int) {
	l.t.Helper()
	eventually(l.t, 30*time.Second, fmt.Sprintf("%s has %d free addresses", node, n), func() bool {
		s, err := l.state(node)
		return err == nil && count(s, ipam.Free) >= n
	})
}
