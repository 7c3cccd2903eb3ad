// Package linktest gives tests network namespaces of their own and the state in them as text that people can read.
package linktest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/internal/link"
)

// NS is a network namespace without a name. It ends with the test.
type NS struct {
	t      testing.TB
	file   *os.File
	holder *exec.Cmd // a process inside, where a tool wants one; nil until asked for
}

// New makes an empty namespace: a loopback link that is down, and the rules the kernel makes.
func New(t testing.TB) *NS {
	t.Helper()
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() { // the goroutine keeps its locked thread and takes it along when it ends
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		done <- made{f, err}
	}()
	m := <-done
	if m.err != nil {
		missing(t, "cannot make a network namespace (root, or root of a user namespace, can; 'make test' enters one): "+m.err.Error())
	}
	t.Cleanup(func() { m.file.Close() })
	return &NS{t: t, file: m.file}
}

// Path leads any process on this machine to the namespace while the test lives: for CNI_NETNS.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// Name is the namespace as ip(8) takes it where it wants a process: for "ip link … netns NAME".
func (n *NS) Name() string {
	n.t.Helper()
	if n.holder == nil {
		n.holder = exec.Command("cat") // it ends when this process does, by whatever death
		stdin, err := n.holder.StdinPipe()
		if err != nil {
			n.t.Fatal(err)
		}
		n.Do(func(*link.Conn) {
			if err := n.holder.Start(); err != nil {
				n.t.Fatal(err)
			}
		})
		n.t.Cleanup(func() { stdin.Close(); _ = n.holder.Wait() })
	}
	return strconv.Itoa(n.holder.Process.Pid)
}

// Do runs f on a thread inside the namespace and waits for it. f may fail the test; it must start no goroutine.
//
// The thread ends with the goroutine: root of a user namespace could not go back to a namespace that it does not own.
func (n *NS) Do(f func(*link.Conn)) {
	n.t.Helper()
	done := make(chan struct{})
	finished := false
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("cannot enter the network namespace: %v", err)
			return
		}
		c, err := link.Open()
		if err != nil {
			n.t.Error(err)
			return
		}
		defer c.Close()
		f(c)
		finished = true
	}()
	<-done
	if !finished {
		n.t.FailNow() // f did, or could not begin
	}
}

// Run runs a program inside and returns what it printed; the test fails with it.
func (n *NS) Run(program string, args ...string) string {
	n.t.Helper()
	out, err := n.Try(program, args...)
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for what may fail; both of its outputs are returned.
func (n *NS) Try(program string, args ...string) (string, error) {
	n.t.Helper()
	var out []byte
	var failure error
	n.Do(func(*link.Conn) { out, failure = exec.Command(program, args...).CombinedOutput() })
	return string(out), failure
}

// Script runs lines of a shell inside and stops at the first that fails: for set-up that reads as one would type it.
func (n *NS) Script(lines string) string {
	n.t.Helper()
	return n.Run("sh", "-euc", lines)
}

// Rules are the routing rules of one family ("-4" or "-6") in ip's words, one per line, without the kernel's first.
func (n *NS) Rules(family string) string {
	n.t.Helper()
	return strings.Replace(tidy(n.Run("ip", family, "rule")), "0: from all lookup local\n", "", 1)
}

// Routes are the routes of protocol enichain in all tables, in ip's words, but for "linkdown": the kernel takes that
// off some time after a veth's other end came up.
func (n *NS) Routes(family string) string {
	n.t.Helper()
	return tidy(strings.ReplaceAll(n.Run("ip", family, "route", "show", "table", "all", "proto", "233"), " linkdown", ""))
}

// Ruleset is one nft table as nft lists it; empty where it is not there.
func (n *NS) Ruleset(family, table string) string {
	n.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		missing(n.t, "nft is not installed: apt-get install nftables")
	}
	out, err := n.Try("nft", "list", "table", family, table)
	if err != nil {
		return ""
	}
	return out
}

// missing skips, or fails where all must run, as test/need does. Its own, because nothing that is not a test of its own
// imports test.
func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI accepts no skip: " + reason)
	}
	t.Skip(reason)
}

// tidy makes text comparable with a literal: tabs to blanks, no blanks at the ends.
func tidy(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
