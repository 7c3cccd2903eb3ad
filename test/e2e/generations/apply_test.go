package generations

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/enichain/enichain/test/kernel"
)

// TestNeverWithoutAList reads the runtime's folder as fast as it can while lists are applied: each look finds one whole
// list, and nothing else that a runtime would read.
func TestNeverWithoutAList(t *testing.T) {
	m := begin(t)
	lists := [][]byte{list(ipam, wire, snat, compat), list(ipam, wire, snat)}
	m.apply(lists[0])
	if err := os.MkdirAll(filepath.Join(confDir, "enichain"), 0o755); err != nil {
		t.Fatal(err)
	}
	dropIn := filepath.Join(confDir, "enichain", "10-more.conf")
	if err := os.WriteFile(dropIn, []byte(tuning), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var looks atomic.Int64
	wrong := make(chan string, 1)
	go func() {
		defer close(wrong)
		for ctx.Err() == nil {
			if err := look(); err != "" {
				wrong <- err
				return
			}
			looks.Add(1)
		}
	}()
	for i := range 10 {
		m.apply(lists[(i+1)%2])
	}
	stop()
	if err := <-wrong; err != "" {
		t.Error(err)
	}
	if looks.Load() < 100 {
		t.Errorf("looked only %d times", looks.Load())
	}
	if text, err := os.ReadFile(dropIn); err != nil || string(text) != tuning {
		t.Errorf("the drop-in: %q, %v", text, err)
	}
}

// look reads the folder as libcni does; "" when there is exactly the one list.
func look() string {
	files, err := libcni.ConfFiles(confDir, []string{".conf", ".conflist", ".json"})
	if err != nil || !slices.Equal(files, []string{filepath.Join(confDir, file)}) {
		return "files " + strings.Join(files, " ")
	}
	l, err := libcni.ConfListFromFile(files[0])
	if err != nil {
		return err.Error()
	}
	if n := len(l.Plugins); n != 5 && n != 4 { // with the drop-in
		return l.Name + " has another number of plugins"
	}
	if info, err := os.Lstat(files[0]); err != nil || info.Mode()&fs.ModeSymlink != 0 {
		return "a symbolic link"
	}
	return ""
}

// TestApplyRefusesErrors: a list with errors is told, and the runtime keeps what it has.
func TestApplyRefusesErrors(t *testing.T) {
	m := begin(t)
	good := list(ipam, wire)
	m.apply(good)
	path := filepath.Join(t.TempDir(), file)
	refused := func(name string, text []byte, args ...string) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := m.ctl(append([]string{"chain", "apply", "--conf-dir", confDir, path}, args...)...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "nothing was installed") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if d := m.sameFile(good); d != "" {
			t.Error(d)
		}
	}
	noList, wrong := []byte(`{"name":`), list(wire, ipam)
	refused("no list", noList)
	refused("no list, forced", noList, "--force")
	refused("a stage without its input", wrong)
	m.apply(wrong, "--force")
	if d := m.sameFile(wrong); d != "" {
		t.Error(d)
	}
}

// TestTakeNow takes a stage from running pods: it is gone at once, enichaind does not put it back, and nothing is left to
// be done when the pods end.
func TestTakeNow(t *testing.T) {
	m := begin(t)
	with, without := list(ipam, wire, snat, compat), list(ipam, wire, snat)
	m.start()
	m.warm(swap{first: without, second: with})
	m.settled(0)
	before := m.quiet()
	m.apply(with)
	m.add("web", 8080)
	m.settled(1)
	m.until("enichaind repairs", func() (bool, string) { // so that it would
		return strings.Contains(m.log.String(), "connection=agent"), "not yet"
	})
	held := func() int {
		return len(slices.DeleteFunc(kernel.Diff(before, m.state()), func(c kernel.Change) bool { return !strings.Contains(c.Line, "portmap-compat") }))
	}
	if held() == 0 {
		t.Fatal("no port was mapped")
	}
	out := m.apply(without, "--now", "--dry-run")
	if !strings.Contains(out, "would    take portmap-compat from 1 pod") || held() == 0 {
		t.Fatalf("dry run: %s", out)
	}
	out = m.apply(without, "--now")
	if !strings.Contains(out, "taken    portmap-compat from 1 pod: connections to their host ports break") {
		t.Errorf("said: %s", out)
	}
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); { // repair takes 20 ms
		if n := held(); n != 0 {
			t.Fatalf("%d things of the stage are there again", n)
		}
	}
	if out, err := m.ctl("chain", "generations", "--conf-dir", confDir); err != nil || strings.Contains(out, "portmap-compat  portmap-compat") {
		t.Errorf("generations: %v\n%s", err, out)
	}
	out, err := m.ctl("chain", "apply", "--conf-dir", confDir, "--now", "--force", m.file(list(snat)))
	if err == nil || !strings.Contains(out, "would take") {
		t.Errorf("the wire itself: %v\n%s", err, out)
	}
	m.end("web")
	m.settled(0)
	m.without("portmap-compat") // GC took the empty table with the last list that had the stage
}

// TestWait: apply --wait ends with the last pod of the older list, or in vain.
func TestWait(t *testing.T) {
	m := begin(t)
	with, without := list(ipam, wire, compat), list(ipam, wire)
	m.apply(with)
	m.start()
	m.add("old", 8080)
	out, err := m.ctl("chain", "apply", "--conf-dir", confDir, "--wait", "--timeout", "300ms", m.file(without))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("in vain: %v\n%s", err, out)
	}
	m.add("new", 8081)
	done := make(chan string, 1)
	go func() {
		out, err := m.ctl("chain", "apply", "--conf-dir", confDir, "--wait", "--timeout", "20s", m.file(without))
		if err != nil {
			out += err.Error()
		}
		done <- out
	}()
	m.end("old")
	if out := <-done; !strings.Contains(out, "no pod of an older generation is left") {
		t.Errorf("waited: %s", out)
	}
	m.end("new")
}

// TestRename gives the network another name under a living pod: its runtime tells the stages a name that they do not
// know, and keeps its cached result for ever. The daemon cleans up by the old name once the pod is gone.
func TestRename(t *testing.T) {
	m := begin(t)
	old := list(ipam, wire, snat, compat)
	renamed := []byte(strings.Replace(string(old), `"name":"enichain"`, `"name":"other"`, 1))
	m.start()
	m.warm(swap{first: old, second: old})
	m.settled(0)
	m.add("old", 8080)
	out := m.apply(renamed)
	if !strings.Contains(out, "renamed  pods of network enichain") {
		t.Errorf("said: %s", out)
	}
	m.add("new", 8081)
	m.settled(2)
	m.end("old")
	m.settled(1)
	m.end("new")
	m.settled(0)
	m.without("373b7e98b5a1") // in every container's id here
	left, err := os.ReadDir("/var/lib/cni/results")
	if err != nil || len(left) != 0 {
		t.Errorf("cached results %v, %v", left, err)
	}
	leases, err := m.node.Leases(t.Context())
	if err != nil || len(leases) != 0 {
		t.Errorf("leases %v, %v", leases, err)
	}
	m.until("the old network given up", func() (bool, string) {
		found := strings.Join(m.births(), "\n")
		return !strings.Contains(found, "enichain "), found
	})
}

// TestLostCacheHarmsNobody takes the runtime's cache away under living pods: their departed stages stay until they end.
func TestLostCacheHarmsNobody(t *testing.T) {
	m := begin(t)
	with, without := list(ipam, wire, compat), list(ipam, wire)
	m.start()
	m.warm(swap{first: with, second: without})
	m.settled(0)
	m.add("old", 8080)
	m.settled(1)
	m.apply(without)
	alive := m.state()
	if err := os.RemoveAll("/var/lib/cni/results"); err != nil {
		t.Fatal(err)
	}
	m.until("the daemon sees it", func() (bool, string) {
		return strings.Contains(m.log.String(), "while its pod seems to live"), m.log.String()
	})
	if changed := kernel.Diff(alive, m.state()); len(changed) > 0 {
		t.Errorf("the living pod lost:\n%s", kernel.Text(changed))
	}
	m.end("old")
	m.settled(0)
	m.without("portmap-compat")
}

// TestMissingBinaryIsTold: a departed stage whose binary went with it cannot clean up; that is told, and done once the
// binary is back.
func TestMissingBinaryIsTold(t *testing.T) {
	m := begin(t)
	own := t.TempDir()
	for _, name := range []string{"eni-ipam", "routed-veth", "portmap-compat", "enichaind", "enichainctl"} {
		if err := os.Symlink(filepath.Join(m.bin, name), filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	bin := m.bin
	m.bin = own
	with, without := list(ipam, wire, compat), list(ipam, wire)
	m.start()
	m.warm(swap{first: with, second: without})
	m.add("old", 8080)
	m.apply(without)
	if err := os.Remove(filepath.Join(own, "portmap-compat")); err != nil {
		t.Fatal(err)
	}
	m.end("old")
	m.until("it is told", func() (bool, string) {
		out, err := m.ctl("chain", "generations", "--conf-dir", confDir, "--format", "json")
		var views any
		bad := json.Unmarshal([]byte(out), &views)
		return err != nil && bad == nil && strings.Contains(out, "its binary is gone from "+own), out
	})
	if err := os.Symlink(filepath.Join(bin, "portmap-compat"), filepath.Join(own, "portmap-compat")); err != nil {
		t.Fatal(err)
	}
	m.settled(0)
	m.without("portmap-compat")
}

// file is a list in a file.
func (m *machine) file(text []byte) string {
	m.Helper()
	path := filepath.Join(m.TempDir(), file)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		m.Fatal(err)
	}
	return path
}

// without waits until no rule, link or element of the node's names a stage or a pod.
func (m *machine) without(word string) {
	m.Helper()
	m.until("nothing left of "+word, func() (bool, string) {
		var left []string
		for _, section := range m.state().Sections {
			left = append(left, slices.DeleteFunc(slices.Clone(section.Lines), func(line string) bool { return !strings.Contains(line, word) })...)
		}
		return len(left) == 0, strings.Join(left, "\n")
	})
}
