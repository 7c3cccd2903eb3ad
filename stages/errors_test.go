package stages_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
)

// TestErrorForm: whatever a stage returns leaves as one line with a token and a code.
func TestErrorForm(t *testing.T) {
	sentinel := errors.New("netlink: no such file or directory")
	for _, tc := range []struct {
		name string
		err  error
		code uint
		want string
	}{
		{"typed", stages.Errorf(stages.PoolEmpty, "no address for %s", "a/b"), 11, "POOL_EMPTY no address for a/b"},
		{"lines and blanks", stages.Errorf(stages.Config, "a\n\tb  c"), 7, "CONFIG a b c"},
		{"untyped", errors.New("boom"), 5, "KERNEL boom"},
		{"forbidden words", errors.New("Link Not Found, not found"), 5, "KERNEL Link missing, missing"},
		{"kept cause", stages.Errorf(stages.Kernel, "cannot read: %w", sentinel), 5, "KERNEL cannot read: netlink: does not exist"},
		{"wrapped", errors.Join(stages.Errorf(stages.Drift, "no route"), errors.New("no rule")), 104, "DRIFT no route no rule"},
		{"no code of its own", &stages.Error{Token: stages.PortTaken, Text: "80"}, 101, "PORT_TAKEN 80"},
		{"long", stages.Errorf(stages.Config, "%s", strings.Repeat("ä", 400)), 7, "CONFIG " + strings.Repeat("ä", 145) + "…"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &spy{verb: func(*stages.Request) error { return tc.err }}
			code, msg, version := refused(t, run(t, s, environment("DEL"), minimal))
			if code != tc.code || version != "1.0.0" {
				t.Errorf("code %d of %s, want %d of 1.0.0", code, version, tc.code)
			}
			if diff := cmp.Diff(tc.want, msg); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if err := error(stages.Errorf(stages.Kernel, "cannot read: %w", sentinel)); !errors.Is(err, sentinel) {
		t.Error("the cause is lost")
	}
}

// TestPanic: a panic is an error object too (libcni shows standard error only when there is none).
func TestPanic(t *testing.T) {
	s := &spy{add: func(*stages.Request) (*stages.Result, error) { panic("nil map") }}
	o := run(t, s, environment("ADD"), minimal)
	code, msg, _ := refused(t, o)
	if code != 105 || !strings.Contains(msg, "BUG spy broke down: nil map") || !strings.Contains(o.stderr, "errors_test.go") {
		t.Errorf("code %d %q\n%s", code, msg, o.stderr)
	}
}

// TestResultThatCannotBeWritten: an ADD whose result is nonsense is undone and fails.
func TestResultThatCannotBeWritten(t *testing.T) {
	for name, result := range map[string]*stages.Result{
		"none": nil,
		"index": {IPs: []*types100.IPConfig{{Interface: types100.Int(0),
			Address: net.IPNet{IP: net.IPv4(10, 0, 0, 7), Mask: net.CIDRMask(32, 32)}}}},
		"null":       {Interfaces: []*types100.Interface{nil}},
		"no address": {IPs: []*types100.IPConfig{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &spy{add: func(*stages.Request) (*stages.Result, error) { return result, nil }}
			if code, msg, _ := refused(t, run(t, s, environment("ADD"), minimal)); code != 105 {
				t.Errorf("code %d: %s", code, msg)
			}
			if len(s.asked) != 2 || s.asked[1].Command != "DEL" {
				t.Errorf("the ADD was not undone: %v", s.asked)
			}
		})
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestNobodyReads: the runtime died; its ADD is undone, and the record is there.
func TestNobodyReads(t *testing.T) {
	s, stderr := &spy{}, &bytes.Buffer{}
	flight := filepath.Join(t.TempDir(), "flight.jsonl")
	exit := stages.Run(t.Context(), process(environment("ADD"), minimal, closed{}, stderr, flight), "spy", s)
	if exit != 1 || len(s.asked) != 2 || s.asked[1].Command != "DEL" || s.asked[1].Container != "c1" {
		t.Errorf("exit %d, asked %v: %s", exit, s.asked, stderr)
	}
	if record, err := os.ReadFile(flight); err != nil || !bytes.Contains(record, []byte(`"cmd":"ADD"`)) {
		t.Errorf("record %q: %v", record, err)
	}
}

// TestStatusIsBounded: a stage that hangs at STATUS costs the node one second.
func TestStatusIsBounded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := &spy{status: func(context.Context) error { <-release; return nil }}
	began := time.Now()
	code, msg, _ := refused(t, run(t, s, environment("STATUS"), minimal))
	if took := time.Since(began); code != 50 || took > 3*time.Second {
		t.Errorf("code %d after %s: %s", code, took, msg)
	}
	s = &spy{status: func(context.Context) error {
		return stages.Errorf(stages.PoolNotReady, "no pool").WithCode(stages.CodeUnavailable)
	}}
	if code, msg, _ := refused(t, run(t, s, environment("STATUS"), minimal)); code != 50 || msg != "POOL_NOT_READY no pool" {
		t.Errorf("code %d %q", code, msg)
	}
	s = &spy{status: func(context.Context) error { return os.ErrPermission }}
	if code, msg, _ := refused(t, run(t, s, environment("STATUS"), minimal)); code != 50 || msg != "KERNEL permission denied" {
		t.Errorf("code %d %q", code, msg)
	}
}

// TestFlightRecord: one line per run, with the error's token; none without the folder.
func TestFlightRecord(t *testing.T) {
	env := with(environment("ADD"), "CNI_ARGS", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b",
		"TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	s := &spy{add: func(r *stages.Request) (*stages.Result, error) {
		r.Waited.Lock, r.Waited.Pool = 40*time.Microsecond, 3*time.Second
		return nil, stages.Errorf(stages.PoolEmpty, "none")
	}}
	want := `{"t":"2026-11-20T12:00:00.001000Z","stage":"spy","cmd":"ADD","net":"net","ctr":"c1","if":"eth0","pod":"a/b",` +
		`"took_us":1000,"lock_us":40,"wait_us":3000000,"token":"POOL_EMPTY","trace":"0af7651916cd43dd8448eb211c80319c"}` + "\n"
	if diff := cmp.Diff(want, run(t, s, env, minimal).flight); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want = `{"t":"2026-11-20T12:00:00.001000Z","stage":"spy","cmd":"GC","net":"net","took_us":1000,"lock_us":0}` + "\n"
	if diff := cmp.Diff(want, run(t, &spy{}, environment("GC"), minimal).flight); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var stdout, stderr bytes.Buffer
	missing := filepath.Join(t.TempDir(), "none", "flight.jsonl")
	if exit := stages.Run(t.Context(), process(environment("DEL"), minimal, &stdout, &stderr, missing), "spy", &spy{}); exit != 0 {
		t.Errorf("exit %d without the folder: %s%s", exit, &stdout, &stderr)
	}
	if _, err := os.Stat(filepath.Dir(missing)); err == nil {
		t.Error("the folder was made")
	}
}
