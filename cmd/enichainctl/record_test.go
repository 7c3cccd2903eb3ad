package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enichain/enichain/ipam/record"
)

// recorder answers GET /v1/record with a text, as enichaind would.
func (n *node) recorder(text string) (asked *string) {
	n.T.Helper()
	l, err := net.Listen("unix", filepath.Join(filepath.Dir(n.Path()), "d.sock"))
	if err != nil {
		n.T.Fatal(err)
	}
	asked = new(string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/record", func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.RawQuery
		fmt.Fprint(w, text)
	})
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	n.T.Cleanup(func() { s.Close() })
	return asked
}

func TestRecord(t *testing.T) {
	var b strings.Builder
	w := record.NewWriter(&b)
	for _, err := range []error{w.Begin(record.Agent, "i-1", nil, struct{}{}), w.Step(record.Agent, "i-1", 1, 2, 3), w.Step(record.Agent, "i-1", 2, 2, 3),
		w.Close("the bound of 1 MiB is reached")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n := newNode(t)
	n.golden(exitBlind, `
enichainctl: cannot ask enichaind at DIR/d.sock: connect: no such file or directory
is enichaind running here?  systemctl status enichaind`, "record")
	asked := n.recorder(b.String())
	text, code := n.run("record", "--for", "90s", "--core", "agent")
	if want := b.String() + "2 steps of 1 core: the bound of 1 MiB is reached\n"; text != want || code != exitOK {
		t.Errorf("exit %d:\n%s\nwant:\n%s", code, text, want)
	}
	if *asked != "core=agent&for=1m30s" {
		t.Errorf("asked for %s", *asked)
	}
	file := filepath.Join(t.TempDir(), "run.jsonl")
	if text, code := n.run("record", "--out", file); code != exitOK || text != "2 steps of 1 core: the bound of 1 MiB is reached\n" {
		t.Errorf("exit %d: %s", code, text)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != b.String() {
		t.Errorf("%v\n%s", err, got)
	}
	if text, code := n.run("record", "--out", file); code != exitBlind || !strings.Contains(text, "file exists") {
		t.Errorf("written over another file: exit %d, %s", code, text)
	}
	n.golden(exitUsage, `
enichainctl: --for 2h0m0s: want 1s to 1h0m0s
try: enichainctl record --help`, "record", "--for", "2h")
	n.golden(exitUsage, `
enichainctl: --core "bus": want agent or reconcile
try: enichainctl record --help`, "record", "--core", "bus")
}

// TestRecordThatIsNone says what came instead.
func TestRecordThatIsNone(t *testing.T) {
	n := newNode(t)
	n.recorder("{\"core\":\"agent\",\"n\":7}\n")
	if text, code := n.run("record"); code != exitBlind || !strings.Contains(text, "the record broke off after 0 steps: cannot read record: line 1") {
		t.Errorf("exit %d: %s", code, text)
	}
	n = newNode(t)
	n.recorder(`{"enichain":"record","v":1,"core":"agent","config":{}}` + "\n")
	if text, code := n.run("record"); code != exitWrong || !strings.Contains(text, "no core of this daemon made a step in 1m0s") {
		t.Errorf("exit %d: %s", code, text)
	}
}
