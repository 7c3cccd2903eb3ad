// Package need says what a test cannot do without. Where the machine lacks it the test is skipped with the reason;
// with CI=true that is a failure, because CI's machine has everything.
package need

import (
	"os"
	"os/exec"
	"runtime"
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

// Tool needs a program in PATH.
func Tool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed: apt-get install "+debianPackage)
	}
	return path
}

func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI accepts no skip: " + reason)
	}
	t.Skip(reason)
}
