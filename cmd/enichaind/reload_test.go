package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestMain lets this program be the daemon itself, where a test needs a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("ENICHAIND_TEST") == "daemon" {
		main()
	}
	os.Exit(m.Run())
}

// process is a daemon in a process of its own.
type process struct {
	dir, socket, file string
	log               *safeBuffer
	cmd               *exec.Cmd
}

// startProcess runs a daemon with the role bus, whose configuration has these lines beside.
func startProcess(t *testing.T, lines string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "enichaind") // a socket's path has 107 bytes; t.TempDir's may be longer
	if err != nil {
		t.Fatal(err)
	}
	p := &process{dir: dir, socket: filepath.Join(dir, "d.sock"), file: filepath.Join(dir, "etc", "enichaind.yaml"), log: &safeBuffer{}}
	if err := os.Mkdir(filepath.Dir(p.file), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write(t, lines)
	p.cmd = exec.Command(os.Args[0], "--config", p.file)
	p.cmd.Env = append(os.Environ(), "ENICHAIND_TEST=daemon")
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t); os.RemoveAll(dir) })
	p.until(t, "it answers", func() bool { _, err := os.Stat(p.socket); return err == nil })
	return p
}

// stop asks it to end, and waits.
func (p *process) stop(t *testing.T) {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v: %s", err, p.log)
	}
}

// write puts the configuration in place by a rename.
func (p *process) write(t *testing.T, lines string) {
	t.Helper()
	text := fmt.Sprintf("roles: [bus]\nsocket: %s\nbus: { store: %s }\n%s\n", p.socket, filepath.Join(p.dir, "bus"), lines)
	write(t, p.file+".tmp", text)
	if err := os.Rename(p.file+".tmp", p.file); err != nil {
		t.Fatal(err)
	}
}

func (p *process) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %s", what, p.log)
		}
	}
}

func (p *process) state(t *testing.T) ConfigState {
	t.Helper()
	var s Status
	if err := json.Unmarshal([]byte(body(t, get(t, p.socket, "/v1/status"))), &s); err != nil {
		t.Fatal(err)
	}
	return s.Config
}

// TestReload: a daemon takes what may change while it runs, names what needs a restart, and lets a file with faults
// change nothing, whichever way the file is written.
func TestReload(t *testing.T) {
	p := startProcess(t, "log: { level: info }")
	if s := p.state(t); s.File != p.file || s.Changes != 0 {
		t.Fatalf("at the start: %+v", s)
	}

	p.write(t, "log: { level: debug }\npools: [{ warm: { free: 9 } }, { name: db }]")
	p.until(t, "two keys have changed", func() bool { return p.state(t).Changes == 1 })
	p.until(t, "the log names the keys", func() bool { return strings.Contains(p.log.String(), `"keys":["log.level","pools"]`) })

	p.write(t, "log: { levle: info }\npools: [{ warm: { free: many } }]")
	want := []string{
		`line 4: log.levle is no key here; the nearest is "level"`,
		`line 5: pools[0].warm.free is "many", but must be an integer`,
	}
	p.until(t, "the faults are told", func() bool { return len(p.state(t).Faults) > 0 })
	if s := p.state(t); s.Changes != 1 || s.Refused != 1 || cmp.Diff(want, s.Faults) != "" {
		t.Errorf("with faults: %+v", s)
	}
	metrics := body(t, get(t, p.socket, "/metrics"))
	for _, line := range []string{"enichain_config_faults 2", `enichain_config_changes_total{result="refused"} 1`, `enichain_config_changes_total{result="taken"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	p.until(t, "the log tells the faults", func() bool {
		return strings.Contains(p.log.String(), "the one before stays in force") && strings.Contains(p.log.String(), `log.levle is no key here`)
	})

	p.write(t, "log: { level: debug, format: text }\npools: [{ warm: { free: 9 } }, { name: db }]\nkernel: { names: false }")
	p.until(t, "the faults are gone", func() bool { return len(p.state(t).Faults) == 0 })
	if s := p.state(t); s.Changes != 1 || cmp.Diff([]string{"kernel.names", "log.format"}, s.Restart) != "" {
		t.Errorf("with keys that need a restart: %+v", s)
	}
	p.stop(t)
	if !strings.Contains(p.log.String(), `"level":"DEBUG"`) {
		t.Errorf("the changed level is not in force: %s", p.log)
	}
}

// TestReloadLinks: a ConfigMap's new text is taken, a file that is missing for a while changes nothing.
func TestReloadLinks(t *testing.T) {
	const lines = "pools: [{ warm: { free: 9 } }]"
	p := startProcess(t, lines)
	// As Kubernetes changes a ConfigMap.
	etc := filepath.Dir(p.file)
	text, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	for version, free := range map[string]string{"..1": "9", "..2": "10"} {
		if err := os.Mkdir(filepath.Join(etc, version), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(etc, version, "enichaind.yaml"), strings.ReplaceAll(string(text), "free: 9", "free: "+free))
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(etc, "tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(etc, "tmp"), filepath.Join(etc, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/enichaind.yaml", "enichaind.yaml")
	link("..2", "..data")
	p.until(t, "the links' new text is in force", func() bool { return p.state(t).Changes == 1 })

	if err := os.Remove(p.file); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the missing file is told", func() bool { return len(p.state(t).Faults) == 1 })
	p.write(t, strings.ReplaceAll(lines, "free: 9", "free: 10"))
	p.until(t, "the file is there again", func() bool { return len(p.state(t).Faults) == 0 })
	if s := p.state(t); s.Changes != 1 {
		t.Errorf("the same text again is no change: %+v", s)
	}
}

// TestAgentBeginsAnew: a key of the agent's ends its round; the next one has the new value.
func TestAgentBeginsAnew(t *testing.T) {
	before, err := Parse([]byte("cluster: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{config: before, log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	began, ended := make(chan Config), make(chan error)
	go func() {
		ended <- d.agentRounds.run(ctx, func(ctx context.Context) error { began <- d.now(); <-ctx.Done(); return nil })
	}()
	if c := <-began; !c.Kernel.Repair {
		t.Fatalf("at first %+v", c.Kernel)
	}
	after, err := Parse([]byte("cluster: a\nkernel: { repair: false }\nsocket: /other\n"))
	if err != nil {
		t.Fatal(err)
	}
	d.take(ctx, after)
	if c := <-began; c.Kernel.Repair || c.Socket != before.Socket {
		t.Errorf("then repair %v, socket %s", c.Kernel.Repair, c.Socket)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestMetricsListen: the metrics are there by TCP, and nothing else is.
func TestMetricsListen(t *testing.T) {
	p := startProcess(t, "metrics: { listen: 127.0.0.1:0 }")
	at := regexp.MustCompile(`"listen":"(127\.0\.0\.1:\d+)"`)
	p.until(t, "the log names the port", func() bool { return at.MatchString(p.log.String()) })
	url := "http://" + at.FindStringSubmatch(p.log.String())[1]
	for path, code := range map[string]int{"/metrics": 200, "/v1/status": 404, "/v1/record": 404} {
		r, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, code)
		}
	}
}

// TestDifferences names keys by their paths; what is empty either way is no difference.
func TestDifferences(t *testing.T) {
	a, err := Parse([]byte("cluster: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse([]byte("cluster: b\nbus: { urls: [], retain: { age: 1h } }\nreconciler: { ec2: { share: 0.5 }, tags: { a: b } }\npools: [{ cooldown: 1s }]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bus.retain.age", "cluster", "pools", "reconciler.ec2.share", "reconciler.tags"}
	if diff := cmp.Diff(want, differences(a, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bus.retain.age", "cluster"}, differences(a.with(b), b)); diff != "" {
		t.Errorf("after a reload (-want +got):\n%s", diff)
	}
}

// TestLiveKeysAreMarked: default.yaml says (live) of exactly those keys that take effect at once.
func TestLiveKeysAreMarked(t *testing.T) {
	a, err := Parse([]byte("cluster: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := a
	change(reflect.ValueOf(&b).Elem())
	var marked []string
	var doc yaml.Node
	if err := yaml.Unmarshal(defaultYAML, &doc); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(defaultYAML), "\n")
	for _, path := range differences(a, b) {
		if path == "pools" || strings.Contains(lines[lineOf(t, doc.Content[0], path)-1], "(live)") {
			marked = append(marked, path)
		}
	}
	if diff := cmp.Diff(differences(a, a.with(b)), marked); diff != "" || len(marked) < 10 {
		t.Errorf("keys that take effect, and keys that are marked (-want +got):\n%s", diff)
	}
}

// change makes every value another one.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			change(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), v.Len()+1, v.Len()+1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("changed"), reflect.Zero(v.Type().Elem()))
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	default:
		v.SetInt(v.Int() + 1)
	}
}

// lineOf is where a key stands.
func lineOf(t *testing.T, n *yaml.Node, path string) int {
	t.Helper()
	first, rest, deeper := strings.Cut(path, ".")
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch {
		case n.Content[i].Value != first:
		case deeper:
			return lineOf(t, n.Content[i+1], rest)
		default:
			return n.Content[i].Line
		}
	}
	t.Fatalf("default.yaml lacks %s", path)
	return 0
}
