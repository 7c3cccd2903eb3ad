// Package need says what a test cannot do without. Where the machine lacks it the test is skipped with the reason;
// with CI=true that is a failure, because CI's machine has everything.
package need

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// NetAdmin needs the right to make network namespaces: root, or root of a user namespace (make test enters one).
func NetAdmin(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root or a user namespace: run it by 'make test'")
	}
	probe := make(chan error)
	go func() { // a goroutine that keeps its locked thread dies with it, and so does the namespace
		runtime.LockOSThread()
		probe <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	if err := <-probe; err != nil {
		missing(t, "cannot make a network namespace: "+err.Error())
	}
}

// MachinesRoot needs the machine's own root, who may do what a user namespace's root may not; why says what for.
func MachinesRoot(t testing.TB, why string) {
	t.Helper()
	if !IsMachinesRoot() {
		missing(t, "needs the machine's own root, "+why)
	}
}

// IsMachinesRoot says whether this is the machine's own root, not a user namespace's (user_namespaces(7), "uid_map").
func IsMachinesRoot() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295"
}

// Tool needs a program in PATH.
func Tool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed: apt-get install "+debianPackage)
	}
	return path
}

// Module needs what has to be fetched by the Go module proxy; err is why that failed, nil where it did not.
func Module(t testing.TB, name string, err error) {
	t.Helper()
	if err != nil {
		missing(t, "cannot fetch "+name+": "+err.Error())
	}
}

func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI accepts no skip: " + reason)
	}
	t.Skip(reason)
}
