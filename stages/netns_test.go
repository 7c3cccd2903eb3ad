package stages_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/test/need"
)

// TestForeignNetns: a real namespace of another thread is accepted without an override, a namespace of another kind is
// not.
func TestForeignNetns(t *testing.T) {
	need.NetAdmin(t)
	path, done := make(chan string), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		path <- "/proc/self/task/" + strconv.Itoa(unix.Gettid()) + "/ns/net"
		<-done
	}()
	defer close(done)
	s := &spy{}
	if o := run(t, s, with(environment("ADD"), "CNI_NETNS", <-path, "CNI_NETNS_OVERRIDE", ""), minimal); o.exit != 0 || len(s.asked) != 1 {
		t.Errorf("exit %d: %s", o.exit, o.stdout)
	}
}

// TestNotNetns: a file that is no network namespace is refused by a stage that enters the container, before it is asked;
// one that never does, such as an IPAM plugin run by hand, takes it.
func TestNotNetns(t *testing.T) {
	for _, file := range []string{"/proc/self/ns/mnt", "/dev/null"} {
		s := &spy{adds: []contract.Fact{contract.SandboxInterface}}
		o := run(t, s, with(environment("ADD"), "CNI_NETNS", file, "CNI_NETNS_OVERRIDE", ""), minimal)
		if code, msg, _ := refused(t, o); code != 4 || !strings.Contains(msg, "something else") || len(s.asked) != 0 {
			t.Errorf("%s: code %d %q", file, code, msg)
		}
		s = &spy{}
		o = run(t, s, with(environment("ADD"), "CNI_NETNS", file, "CNI_NETNS_OVERRIDE", ""), minimal)
		if o.exit != 0 || len(s.asked) != 1 {
			t.Errorf("%s, by hand: exit %d: %s", file, o.exit, o.stdout)
		}
	}
}

// TestClosedPipe: a real process whose reader is gone is not killed by SIGPIPE; it undoes its ADD and exits 1.
func TestClosedPipe(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "spy")
	if out, err := exec.Command("go", "build", "-o", bin, "./testdata/spy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	marks := t.TempDir()
	cmd := exec.Command("sh", "-c", `{ "$0"; echo $? >"$1/exit"; } | :`, bin, marks)
	cmd.Env = append(cmd.Environ(), "MARKS="+marks)
	for k, v := range environment("ADD") {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stdin = strings.NewReader(minimal)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	matches, _ := filepath.Glob(marks + "/*")
	names := make([]string, 0, 3)
	for _, m := range matches {
		names = append(names, filepath.Base(m))
	}
	if got, want := strings.Join(names, " "), "ADD DEL exit"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
}

// FuzzCall: no environment and no input makes a stage do anything but answer in form, or be asked about a well-formed
// request.
func FuzzCall(f *testing.F) {
	f.Add("ADD", "c1", "eth0", "IgnoreUnknown=1;K8S_POD_NAME=x", []byte(minimal))
	f.Add("DEL", "", "", ";=;a", []byte(`{"cniVersion":"0.3.0","name":"n","prevResult":{"ips":[null]}}`))
	f.Add("GC", "", "", "", []byte(`{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[{}]}`))
	f.Add("CHECK", "c", "eth0", "", []byte(`{"cniVersion":"1.0.0","name":"n","prevResult":{"ips":[{"address":"::1/128","interface":3}]}}`))
	f.Add("STATUS", "c", "e", "", []byte(`{"cniVersion":"1.0.0","name":"n","runtimeConfig":[]}`))
	f.Fuzz(func(t *testing.T, command, container, ifName, args string, stdin []byte) {
		s := &spy{add: func(r *stages.Request) (*stages.Result, error) {
			var into sample
			_ = r.Decode(&into)
			_, _ = r.RuntimeConfig("portMappings", &[]map[string]any{})
			if r.Prev != nil {
				return r.Prev, nil
			}
			return onePod(), nil
		}}
		o := run(t, s, with(environment(command), "CNI_CONTAINERID", container, "CNI_IFNAME", ifName, "CNI_ARGS", args), string(stdin))
		if o.exit != 0 {
			refused(t, o)
			return
		}
		for _, r := range s.asked {
			if r.Network == "" || r.Version == "" || r.Command == "ADD" && (r.Container == "" || r.IfName == "" || len(r.IfName) > 15) {
				t.Errorf("the stage was asked for %+v", r.Attachment)
			}
		}
		if command == "ADD" && !json.Valid([]byte(o.stdout)) {
			t.Errorf("result %q", o.stdout)
		}
	})
}
