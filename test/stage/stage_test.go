// Package stage runs docs/writing-a-stage.md: the stage that it shows is built as a stranger would build it, and every
// command does what the page says.
package stage

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/manual"
	"github.com/enichain/enichain/test/need"
)

const page = "../../docs/writing-a-stage.md"

// most is how many lines a whole stage may have, blank ones and comments not counted.
const most = 60

// blocks are the page's code blocks of a kind.
func blocks(t *testing.T, kind string) []string {
	t.Helper()
	var found []string
	for _, text := range manual.Examples(t, page, kind, 1) {
		found = append(found, string(text))
	}
	return found
}

// files are what the page shows, and where it lies in the template's folder.
func files() map[string]string {
	return map[string]string{"go": "main.go", "json": "05-enichain.conflist", "yaml": "conformance.yaml"}
}

func TestPageShowsTheTemplate(t *testing.T) {
	for kind, name := range files() {
		text, err := os.ReadFile(filepath.Join("pod-hosts", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{string(text)}, blocks(t, kind)); diff != "" {
			t.Errorf("%s shows another %s than pod-hosts/%s (-want +got):\n%s", page, kind, name, diff)
		}
	}
	count := 0
	for line := range strings.Lines(blocks(t, "go")[0]) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			count++
		}
	}
	if count >= most {
		t.Errorf("the stage has %d lines, want fewer than %d", count, most)
	}
	if text, _ := os.ReadFile(page); !strings.Contains(string(text), fmt.Sprintf("It has %d lines", count)) {
		t.Errorf("%s does not say that the stage has %d lines", page, count)
	}
}

// stranger is a folder outside of this module with the page's files, and the environment for the page's commands.
type stranger struct {
	t        *testing.T
	dir, bin string
	env      []string
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	temp, err := os.MkdirTemp("", "stage-") // short: a lab's socket lies below it
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{t: t, dir: filepath.Join(temp, "pod-hosts"), bin: filepath.Join(temp, "bin")}
	s.env = append(os.Environ(), "TMPDIR="+temp, "VPCLAB=", "BIN="+s.bin, "PATH="+s.bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(s.bin, "vpclab")); err == nil {
			s.run("vpclab down --all")
		}
		os.RemoveAll(temp)
	})
	for kind, name := range files() {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(blocks(t, kind)[0]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs a script of bash in the folder and returns all that it wrote.
func (s *stranger) run(script string) string {
	s.t.Helper()
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// build builds the stage by the page's commands, with this checkout for the module's latest release.
func (s *stranger) build() {
	s.t.Helper()
	const latest = "go get github.com/enichain/enichain@latest"
	top, err := filepath.Abs("../..")
	if err != nil {
		s.t.Fatal(err)
	}
	script := blocks(s.t, "sh")[0]
	if !strings.Contains(script, latest+"\n") {
		s.t.Fatalf("%s does not say: %s", page, latest)
	}
	sums, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "go.sum"), sums, 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	script = strings.ReplaceAll(script, latest, "go mod edit -require=github.com/enichain/enichain@v0.0.0 -replace=github.com/enichain/enichain="+top)
	s.run("set -e; export GOFLAGS=-mod=mod\n" + script)
	if listed := s.run("go list -m"); strings.TrimSpace(listed) != "example.com/pod-hosts" {
		s.t.Fatalf("the stage is of module %q", listed)
	}
}

// ours builds enichain's own programs, and upstream's cnitool, where the page's $BIN is.
func (s *stranger) ours() {
	s.t.Helper()
	build := exec.Command("go", "build", "-o", s.bin+"/", "github.com/enichain/enichain/cmd/...",
		"github.com/containernetworking/cni/cnitool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("cannot build: %v\n%s", err, out)
	}
}

// command is a line of the page behind a "$", and the lines that it shows below.
type command struct {
	line string
	want []string
}

func commands(block string) []command {
	var all []command
	for line := range strings.Lines(strings.TrimRight(block, "\n")) {
		line = strings.TrimRight(line, "\n")
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, command{line: text})
		} else if len(all) > 0 {
			last := &all[len(all)-1]
			last.want = append(last.want, line)
		}
	}
	return all
}

// between parts what a block's commands wrote.
const between = "=== the next command ==="

// TestPageRuns runs the page from its beginning to its end.
func TestPageRuns(t *testing.T) {
	need.NetAdmin(t)
	for program, pkg := range map[string]string{"nft": "nftables", "ip": "iproute2", "iptables": "iptables", "conntrack": "conntrack"} {
		need.Tool(t, program, pkg)
	}
	s := newStranger(t)
	s.build()
	s.ours()
	for _, block := range blocks(t, "console") {
		all := commands(block)
		var script bytes.Buffer
		for _, c := range all {
			fmt.Fprintf(&script, "%s\necho; echo '%s'\n", c.line, between)
		}
		outputs := strings.Split(s.run(script.String()), between+"\n")
		for i, c := range all {
			if !shows(c.want, outputs[i]) {
				t.Errorf("%s shows\n$ %s\n%s\nand it wrote\n%s", page, c.line, strings.Join(c.want, "\n"), outputs[i])
			}
			for _, m := range regexp.MustCompile(`(\d+) of (\d+)`).FindAllStringSubmatch(outputs[i], -1) {
				if m[1] != m[2] {
					t.Errorf("$ %s: %s", c.line, m[0])
				}
			}
		}
	}
}

// shows says whether a command wrote what the page shows, numbers and hashes apart; "…" stands for any text.
func shows(want []string, got string) bool {
	volatile := regexp.MustCompile(`[0-9a-f]{12,}|[0-9][0-9.]*m?s?`)
	plain := func(s string) string { return strings.Join(strings.Fields(volatile.ReplaceAllString(s, "0")), " ") }
	parts := strings.Split(plain(strings.Join(want, "\n")), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
	}
	return regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `$`).MatchString(plain(got))
}
