// Package live starts a lab of the built binaries for a test: EC2, nodes with daemons, and pods by CNI.
package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// Lab is a running lab of one test's own.
type Lab struct {
	t    *testing.T
	bin  string
	name string
	dir  string // files of the test
	home string // of the lab, short: a socket's path may have 107 bytes
}

// Patience is how long to wait for what has to come: on a busy machine that runs all tests at once, too.
const Patience = time.Minute

// Up starts a lab by its file's text, its EC2 ten times as fast as the real one; it ends with the test.
func Up(t *testing.T, name, text string) *Lab {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	bin, err := filepath.Abs("../../../bin")
	if err == nil {
		_, err = os.Stat(filepath.Join(bin, "vpclab"))
	}
	if err != nil {
		t.Fatalf("%v: these tests run the built binaries: make build", err)
	}
	l := &Lab{t: t, bin: bin, name: fmt.Sprintf("%s-%d", name, os.Getpid()), dir: t.TempDir()}
	if l.home, err = os.MkdirTemp("", "live-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.down)
	l.Must("up", "--speed", "10x", "--name", l.name, l.File("lab.yaml", text))
	return l
}

func (l *Lab) down() {
	defer os.RemoveAll(l.home)
	if l.t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(l.home, "vpclab-*", l.name, "log", "*"))
		for _, file := range logs {
			text, _ := os.ReadFile(file)
			l.t.Logf("%s ends:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
		}
	}
	if r := l.Run("down"); r.Code != 0 {
		l.t.Errorf("down: %s", r.Err)
	}
}

// File writes a file of the test's own and returns its path.
func (l *Lab) File(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// Said is what a command printed, and its exit code.
type Said struct {
	Out, Err string
	Code     int
}

// Command is vpclab for this lab, not yet started.
func (l *Lab) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.bin, "vpclab"), args...)
	cmd.Env = append(os.Environ(), "VPCLAB="+l.name, "TMPDIR="+l.home)
	return cmd
}

// Run runs vpclab to its end.
func (l *Lab) Run(args ...string) Said {
	l.t.Helper()
	cmd := l.Command(args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return Said{strings.TrimSpace(out.String()), strings.TrimSpace(words.String()), cmd.ProcessState.ExitCode()}
}

// Must runs vpclab and wants exit code 0.
func (l *Lab) Must(args ...string) string {
	l.t.Helper()
	r := l.Run(args...)
	if r.Code != 0 {
		l.t.Fatalf("vpclab %s: exit %d\n%s\n%s", strings.Join(args, " "), r.Code, r.Out, r.Err)
	}
	return r.Out
}

// On runs a shell line inside a machine.
func (l *Lab) On(machine, line string) string {
	l.t.Helper()
	return l.Must("exec", machine, "--", "sh", "-c", line)
}

// read runs a command that prints JSON.
func (l *Lab) read(into any, args ...string) error {
	r := l.Run(args...)
	if err := json.Unmarshal([]byte(r.Out), into); err != nil {
		return fmt.Errorf("vpclab %s: exit %d: %w\n%s\n%s", strings.Join(args, " "), r.Code, err, r.Out, r.Err)
	}
	return nil
}

// Eventually waits until a condition of other processes is so: there is nothing to wait on but asking. What it says of
// itself last stands in the error.
func (l *Lab) Eventually(most time.Duration, what string, done func() (bool, string)) time.Duration {
	l.t.Helper()
	began, last := time.Now(), ""
	for time.Since(began) < most {
		ok, says := done()
		if ok {
			return time.Since(began)
		}
		last = says
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Fatalf("after %s it is still not so: %s; %s", most, what, last)
	return 0
}

// Reach asks from a machine or a pod, and wants the answer to begin with some words.
func (l *Lab) Reach(from, to, says string) {
	l.t.Helper()
	var got struct {
		OK          bool
		Said, Error string
	}
	if err := l.read(&got, "--format", "json", "reach", from, to); err != nil {
		l.t.Fatal(err)
	}
	if !got.OK || !strings.HasPrefix(got.Said, says) {
		l.t.Errorf("%s asks %s: %q %s, want %q", from, to, got.Said, got.Error, says)
	}
}

// AWS runs the unmodified aws CLI against the lab's EC2, as a person.
func (l *Lab) AWS(args ...string) string {
	l.t.Helper()
	var env map[string]string
	if err := l.read(&env, "env", "--format", "json"); err != nil {
		l.t.Fatal(err)
	}
	return EC2(l.t, env, args...)
}

// EC2 runs the unmodified aws CLI with what 'vpclab env' says of a lab.
func EC2(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	need.Tool(t, "aws", "awscli")
	program := "/usr/bin/aws" // Debian's; a version manager's shim may stand before it
	if _, err := os.Stat(program); err != nil {
		program = "aws"
	}
	cmd := exec.Command(program, append([]string{"--endpoint-url", env["AWS_ENDPOINT_URL_EC2"], "--output", "text", "ec2"}, args...)...)
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("aws ec2 %s: %v\n%s", strings.Join(args, " "), err, words.String())
	}
	return strings.TrimSpace(string(out))
}

// List is a list of conflists/ with keys of its eni-ipam changed, as a file of the test's own.
func (l *Lab) List(name string, keys map[string]any) string {
	l.t.Helper()
	text, err := os.ReadFile("../../../conflists/" + name)
	if err != nil {
		l.t.Fatal(err)
	}
	var list struct {
		CNIVersion  string           `json:"cniVersion"`
		CNIVersions []string         `json:"cniVersions,omitempty"`
		Name        string           `json:"name"`
		Plugins     []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		l.t.Fatal(err)
	}
	maps.Copy(list.Plugins[0], keys)
	changed, err := json.Marshal(list)
	if err != nil {
		l.t.Fatal(err)
	}
	file, err := os.CreateTemp(l.dir, "*-"+name)
	if err == nil {
		_, err = file.Write(changed)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return file.Name()
}
