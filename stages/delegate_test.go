package stages_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/stages"
)

// script puts a shell script into a folder of its own, as a plugin.
func script(t *testing.T, name, body string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDelegate(t *testing.T) {
	for _, tc := range []struct {
		name, plugin, body, command string
		code                        uint // 0: success
		want                        string
	}{
		{"result", "d", `echo '{"ips":[{"address":"10.0.0.7/24"}]}'`, "ADD", 0, "10.0.0.7"},
		{"environment and command", "d", `[ "$CNI_COMMAND" = DEL ] && [ "$TRACEPARENT" = tp ] && grep -q '"k":1' || exit 9`, "DEL", 0, ""},
		{"a child left behind", "d", `sleep 20 & echo '{"ips":[{"address":"10.0.0.7/24"}]}'`, "ADD", 0, "10.0.0.7"},
		{"its own error", "d", `echo '{"code":11,"msg":"no","details":"not found"}'; exit 1`, "ADD", 11, "DELEGATE d: no; missing"},
		{"no error object", "d", `echo one >&2; echo two >&2; exit 3`, "ADD", 5, "DELEGATE d failed at ADD (exit status 3): two"},
		{"silence", "d", `exit 1`, "CHECK", 5, "DELEGATE d failed at CHECK (exit status 1): it said nothing"},
		{"garbage", "d", `echo hello`, "ADD", 6, "DELEGATE cannot read the result of d for n/c/e"},
		{"result of another line", "d", `echo '{"cniVersion":"0.4.0"}'`, "ADD", 6, "0.4.0"},
		{"missing", "e", ``, "ADD", 7, `CONFIG ipam.type: no "e" in CNI_PATH`},
		{"path as a name", "../d", ``, "ADD", 7, `CONFIG ipam.type: "../d" is no plugin's file name`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &stages.Request{Version: "1.0.0", Path: []string{"/nowhere", script(t, "d", tc.body)},
				Attachment: stages.Attachment{Network: "n", Container: "c", IfName: "e"},
				Environ:    []string{"PATH=" + os.Getenv("PATH"), "CNI_COMMAND=ADD", "TRACEPARENT=tp"}}
			result, err := stages.Delegate(t.Context(), r, tc.plugin, []byte(`{"k":1}`), tc.command)
			if tc.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if tc.want != "" && (len(result.IPs) != 1 || result.IPs[0].Address.IP.String() != tc.want) {
					t.Errorf("result %v", result)
				}
				return
			}
			e, ok := err.(*stages.Error)
			if !ok || e.Code != tc.code || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("code %d of %v, want %d %q", e.Code, err, tc.code, tc.want)
			}
		})
	}
}

func TestDelegateEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &stages.Request{Version: "1.0.0", Path: []string{script(t, "d", "exec sleep 60")}}
	_, err := stages.Delegate(ctx, r, "d", nil, "ADD")
	if err == nil {
		t.Fatal("a cancelled delegate succeeded")
	}
	if diff := cmp.Diff("DELEGATE cannot run d for ADD: context canceled", err.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDelegateIsUndone(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"its own failure", `echo "$CNI_COMMAND" >> "$LOG"; [ "$CNI_COMMAND" = DEL ]`, "ADD DEL"},
		{"a result nobody can read", `echo "$CNI_COMMAND" >> "$LOG"; echo hello`, "ADD DEL"},
		{"success", `echo "$CNI_COMMAND" >> "$LOG"; echo '{"ips":[{"address":"10.0.0.7/24"}]}'`, "ADD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := script(t, "d", tc.body)
			log := filepath.Join(dir, "log")
			r := &stages.Request{Version: "1.0.0", Path: []string{dir}, Environ: []string{"PATH=" + os.Getenv("PATH"), "LOG=" + log}}
			_, _ = stages.Delegate(t.Context(), r, "d", nil, "ADD")
			got, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, strings.Join(strings.Fields(string(got)), " ")); diff != "" {
				t.Errorf("called with (-want +got)\n%s", diff)
			}
		})
	}
}

// TestDelegateIsHeard wants a delegate's standard error at the stage's, also when all went well (CNI specification,
// section 4).
func TestDelegateIsHeard(t *testing.T) {
	dir := script(t, "d", `echo remark >&2; echo '{"ips":[{"address":"10.0.0.7/24"}]}'`)
	s := &spy{add: func(r *stages.Request) (*stages.Result, error) {
		return stages.Delegate(t.Context(), r, "d", r.Config, "ADD")
	}}
	got := run(t, s, with(environment("ADD"), "CNI_PATH", dir), minimal)
	if got.exit != 0 || !strings.Contains(got.stderr, "remark") {
		t.Errorf("exit %d, standard error %q, standard output %s", got.exit, got.stderr, got.stdout)
	}
}
