package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// test runs 'go test' with as many rights as this user can get: as root, or as root of a user namespace of its own,
// or plainly. It prints a line per package, the output of what failed, and why each skipped test was skipped.
func test(patterns []string) error {
	if err := download(); err != nil {
		return err
	}
	// -count=1: what the end-to-end tests run are the binaries in bin/, which go's cache of results does not know.
	args := append([]string{"go", "test", "-json", "-count=1", "-vet=off", "-timeout=40m"}, raceFlag()...)
	rights, wrap := rights()
	fmt.Printf("running as %s\n", rights)
	started := time.Now()
	cmd := exec.Command("env", append(wrap, append(args, patterns...)...)...)
	cmd.Env = append(os.Environ(), "PATH="+path(), atOnce)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start go test: %w", err)
	}
	sum := read(out)
	err = cmd.Wait()
	sum.print(time.Since(started))
	switch {
	case err != nil || sum.failed > 0:
		return fmt.Errorf("the tests failed")
	case sum.passed == 0:
		return fmt.Errorf("no test ran")
	case os.Getenv("CI") == "true" && len(sum.skips) > 0:
		return fmt.Errorf("CI accepts no skipped test")
	}
	return nil
}

// download fetches what tests read from the module cache, before any of them runs without a network.
func download() error {
	for _, module := range []string{"github.com/aws/aws-sdk-go@v1.55.8"} {
		cmd := exec.Command("go", "mod", "download", "-json", module)
		cmd.Dir = os.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot download %s, whose EC2 model the lab's answers are checked against: %w: %s", module, err, out)
		}
	}
	return nil
}

// raceFlag turns the race detector on where its C compiler is.
func raceFlag() []string {
	if _, err := exec.LookPath("gcc"); err != nil {
		fmt.Println("no gcc here: running without the race detector")
		return nil
	}
	return []string{"-race"}
}

// rights says as whom the tests run, and by which command.
func rights() (string, []string) {
	if os.Geteuid() == 0 {
		return "root", []string{"unshare", "--mount", "--propagation", "private"}
	}
	inside := []string{"unshare", "--user", "--map-root-user", "--mount"}
	probe := append(inside[1:], "sh", "-c", "mount -t tmpfs none /run && unshare -n true")
	if err := exec.Command(inside[0], probe...).Run(); err == nil {
		return "root of a user namespace", inside
	}
	return "an ordinary user; user namespaces are refused here, so most tests of the kernel are skipped", nil
}

// atOnce lets a program with the race detector end when it ends, and not a second later: some tests run themselves
// many hundred times, as a plugin or as a node. What is raced for in that second alone no test of ours waits for.
const atOnce = "GORACE=atexit_sleep_ms=0"

// path has our binaries first and Debian's system folders, which an ordinary user's PATH may lack.
func path() string {
	bin, _ := filepath.Abs("bin")
	return bin + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"
}

// event is a line of 'go test -json' (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Key, Value                    string // of an attribute
	Elapsed                       float64
}

type skip struct{ test, reason string }

type summary struct {
	passed, failed int
	skips          []skip
}

func read(r io.Reader) *summary {
	sum := &summary{}
	output := map[string][]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // what the build says is not JSON
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "output" || e.Action == "build-output":
			output[key] = append(output[key], e.Output)
		case e.Test == "" && (e.Action == "pass" || e.Action == "fail"):
			fmt.Printf("%-6s %6.1f s  %s\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Elapsed, short(e.Package))
			if e.Action == "fail" {
				fmt.Print(strings.Join(output[key], ""))
				sum.failed++
			}
		case e.Action == "attr": // what a test tells of itself although it passes: how much it tried
			fmt.Printf("          %s %s: %s\n", e.Test, e.Key, e.Value)
		case e.Action == "pass":
			sum.passed++
		case e.Action == "fail":
			fmt.Print(strings.Join(output[key], ""))
			sum.failed++
		case e.Action == "skip" && e.Test != "":
			sum.skips = append(sum.skips, skip{short(e.Package) + " " + e.Test, reason(output[key])})
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			delete(output, key)
		}
	}
	return sum
}

func short(pkg string) string { return strings.TrimPrefix(pkg, "github.com/enichain/enichain/") }

// reason is what the test said when it skipped, without file and line.
func reason(output []string) string {
	for _, line := range output {
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			return strings.TrimSpace(text)
		}
	}
	return "it gave no reason"
}

func (s *summary) print(took time.Duration) {
	byReason := map[string][]string{}
	for _, k := range s.skips {
		byReason[k.reason] = append(byReason[k.reason], k.test)
	}
	var reasons []string
	for r := range byReason {
		reasons = append(reasons, r)
	}
	sort.Strings(reasons)
	for _, r := range reasons {
		fmt.Printf("skipped %d: %s\n", len(byReason[r]), r)
		for _, test := range byReason[r] {
			fmt.Printf("    %s\n", test)
		}
	}
	fmt.Printf("took %s\n", took.Round(time.Second))
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skips))
}
