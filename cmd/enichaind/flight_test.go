package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
)

// TestTail: whole lines only, once each, over rotation, and none of what was there before.
func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flight.jsonl")
	appendTo := func(path, text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	tail := &tail{path: path, each: func(line []byte) { got = append(got, string(line)) }}
	defer tail.close()
	tail.skip() // nothing there yet
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"no file", func() {}, ""},
		{"two lines and a half", func() { appendTo(path, "a\nb\nc") }, "a b"},
		{"the other half", func() { appendTo(path, "c\n") }, "cc"},
		{"nothing new", func() {}, ""},
		{"moved away, written on by one who had it open", func() {
			appendTo(path, "d\n")
			if _, err := rotate(path, 1); err != nil {
				t.Fatal(err)
			}
			appendTo(path+".1", "e\n")
			appendTo(path, "f\n")
		}, "d e f"},
		{"gone", func() { os.Remove(path) }, ""},
		{"there again", func() { appendTo(path, "g\n") }, "g"},
		{"no end in sight", func() { appendTo(path, strings.Repeat("x", flightLine+1)) }, ""},
	} {
		got = nil
		step.do()
		if err := tail.read(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step.name, diff)
		}
	}
	tail.close()
	tail.skip()
	got = nil
	if err := tail.read(); err != nil || len(got) != 0 {
		t.Errorf("what was there before came: %q, %v", got, err)
	}
}

// TestFlew: runs become numbers; nonsense becomes no label.
func TestFlew(t *testing.T) {
	n := newNumbers(&daemon{config: Config{Roles: []string{RoleAgent}}})
	n.flew(stages.Flight{Stage: "eni-ipam", Command: "ADD", Took: 2000, Lock: 500, Wait: 1_500_000})
	n.flew(stages.Flight{Stage: "eni-ipam", Command: "ADD", Took: 2000, Token: stages.PoolEmpty})
	n.flew(stages.Flight{Stage: "snat", Command: "DEL", Took: 900})
	out := httptest.NewRecorder()
	n.handler().ServeHTTP(out, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`enichain_stage_errors_total{command="ADD",stage="eni-ipam",token="POOL_EMPTY"} 1`,
		`enichain_stage_duration_seconds_count{command="ADD",result="error",stage="eni-ipam"} 1`,
		`enichain_stage_duration_seconds_sum{command="ADD",result="ok",stage="eni-ipam"} 0.002`,
		`enichain_stage_duration_seconds_count{command="DEL",result="ok",stage="snat"} 1`,
		`enichain_add_wait_seconds_sum 1.5`,
		`enichain_pool_lock_wait_seconds_sum 0.0005`,
	} {
		if !strings.Contains(out.Body.String(), want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	for i, f := range []stages.Flight{
		{Stage: "a", Command: "EAT"}, {Command: "ADD"}, {Stage: strings.Repeat("a", 64), Command: "ADD"}, {Stage: "a", Command: "ADD", Took: -1},
	} {
		if known(f) {
			t.Error(fmt.Sprint(i, " would become a label: ", f))
		}
	}
}
