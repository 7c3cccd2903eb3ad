package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
)

// patience is how long a test waits for what has to come: on a busy machine that runs all tests at once, too.
const patience = time.Minute

// hub runs a daemon with the role bus alone, which needs neither an instance nor EC2, until the test ends.
func hub(t *testing.T) (socket string, stop func() (exit int, log string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "enichaind") // a socket's path has 107 bytes; t.TempDir's may be longer
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "d.sock")
	file := filepath.Join(dir, "enichaind.yaml")
	text := fmt.Sprintf("roles: [bus]\nsocket: %s\nbus: { store: %s }\n", socket, filepath.Join(dir, "bus"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	exit, log := make(chan int, 1), &safeBuffer{}
	go func() { exit <- run(ctx, []string{"--config", file}, io.Discard, log) }()
	stop = sync.OnceValues(func() (int, string) { cancel(); return <-exit, log.String() })
	t.Cleanup(func() { stop() })
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket, stop
		}
		if time.Now().After(end) {
			t.Fatalf("no socket: %s", log)
		}
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func get(t *testing.T, socket, path string) *http.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	r, err := client.Get("http://enichaind" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestHub: a daemon with the role bus comes up, answers on its socket, and ends in order.
func TestHub(t *testing.T) {
	socket, stop := hub(t)
	if mode, err := os.Stat(socket); err != nil || mode.Mode().Perm() != 0o660 {
		t.Errorf("socket %v, %v", mode, err)
	}
	var s Status
	if err := json.Unmarshal([]byte(body(t, get(t, socket, "/v1/status"))), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Bus.Connected || s.Agent != nil || s.Reconciler != nil || s.Version == "" || s.Bus.Connections < 1 {
		t.Errorf("status %+v", s)
	}
	var v View
	if err := json.Unmarshal([]byte(body(t, get(t, socket, "/v1/view"))), &v); err != nil || v.Events == nil || v.Node != nil {
		t.Errorf("view %+v, %v", v, err)
	}
	metrics := body(t, get(t, socket, "/metrics"))
	for _, want := range []string{"enichain_bus_connected 1", `enichain_build_info{component="enichaind"`, "go_goroutines"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if strings.Contains(metrics, "enichain_leader") {
		t.Error("a hub without a reconciler tells of leadership")
	}
	for path, code := range map[string]int{"/v1/events?since=yesterday": 400, "/v1/nothing": 404} {
		if r := get(t, socket, path); r.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, code)
		}
	}
	if exit, log := stop(); exit != exitOK || !strings.Contains(log, "enichaind ends") {
		t.Errorf("exit %d: %s", exit, log)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

// TestSecondDaemon: the socket of a daemon that lives is not taken away.
func TestSecondDaemon(t *testing.T) {
	socket, _ := hub(t)
	if _, err := listenLocal(socket); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("listening twice: %v", err)
	}
}

// TestEventStream: what happened first, then what happens, each as one CloudEvent.
func TestEventStream(t *testing.T) {
	d := &daemon{journal: newJournal()}
	d.numbers = newNumbers(d)
	dir, err := os.MkdirTemp("", "enichaind")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d.config.Socket = filepath.Join(dir, "d.sock")
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- d.serveLocal(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(d.config.Socket); err == nil {
			break
		}
	}
	event := func(n uint64, at time.Time) bus.Event {
		return bus.Event{ID: bus.EventID("inc", n), Instance: "i-a", Record: ipam.Record{N: n, At: at, Verb: ipam.PodAdded}}
	}
	now := time.Now()
	d.journal.add(event(1, now.Add(-time.Hour)))
	d.journal.add(event(2, now.Add(-time.Minute)))
	lines := bufio.NewScanner(get(t, d.config.Socket, "/v1/events?since=10m").Body)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e bus.Event
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Fatal(err)
				}
				return e.ID
			}
		}
		return "the end"
	}
	if got := next(); got != "inc/2" {
		t.Errorf("first event %s, want inc/2", got)
	}
	d.journal.add(event(3, now))
	if got := next(); got != "inc/3" {
		t.Errorf("next event %s, want inc/3", got)
	}
	if got := strings.Count(body(t, get(t, d.config.Socket, "/v1/events?since=2h&follow=false")), "data: "); got != 3 {
		t.Errorf("%d events of 2 h, want 3", got)
	}
}

// TestJournalIsBounded: the oldest goes, and a listener that does not read costs nobody anything.
func TestJournalIsBounded(t *testing.T) {
	j := newJournal()
	_, _, stop := j.listen(time.Now())
	for n := range uint64(journalSize + listenerRoom + 7) {
		j.add(bus.Event{Record: ipam.Record{N: n, At: time.Now()}})
	}
	stop()
	got := j.newest(time.Time{})
	if len(got) != journalSize || got[0].N != listenerRoom+7 || j.lost != journalSize+7 || len(j.listeners) != 0 {
		t.Errorf("%d events from %d, %d lost, %d listeners", len(got), got[0].N, j.lost, len(j.listeners))
	}
}

// TestCommandLine: what is wrong is told, with exit code 2, before anything begins.
func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := write("good", "cluster: a\n"), write("bad", "roles: [agnet]\nclutser: a\n")
	for _, tc := range []struct {
		name string
		args []string
		exit int
		want []string // on either stream
	}{
		{"print", []string{"--print-config"}, exitOK, []string{"# enichaind: every key", "cooldown: 30s"}},
		{"version", []string{"--version"}, exitOK, []string{"enichaind "}},
		{"help", []string{"--help"}, exitOK, []string{"-print-config"}},
		{"good", []string{"--config", good, "--check"}, exitOK, []string{"no faults"}},
		{"role over it", []string{"--config", good, "--check", "--role", "reconciler,bus"}, exitOK, []string{"no faults"}},
		{"all faults", []string{"--config", bad}, exitUsage, []string{`clutser is no key here; the nearest is "cluster"`, `roles has "agnet"`}},
		{"flags are judged too", []string{"--config", good, "--log-level", "loud"}, exitUsage, []string{`log.level is "loud"`}},
		{"no file", []string{"--config", filepath.Join(dir, "none")}, exitUsage, []string{"--print-config"}},
		{"a word", []string{"start"}, exitUsage, []string{`"start" is no flag`}},
		{"unknown flag", []string{"--colour"}, exitUsage, []string{"colour"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if exit := run(t.Context(), tc.args, &out, &out); exit != tc.exit {
				t.Errorf("exit %d, want %d", exit, tc.exit)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q lacks %q", out.String(), want)
				}
			}
		})
	}
}

// TestPrintedConfigIsAccepted: what --print-config prints runs, once the cluster has a name.
func TestPrintedConfigIsAccepted(t *testing.T) {
	text := bytes.Replace(defaultYAML, []byte(`cluster: ""`), []byte(`cluster: a`), 1)
	printed, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c := printed.reconcileConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	p := c.Pools[0]
	if c.Orphans.Keep || p.Target.Warm != 4 || !p.Target.UsePrimary || p.Cooldown != 30*time.Second || p.Target.Mode != ipam.ModeAuto {
		t.Errorf("reconciler's configuration %+v", c)
	}
}
