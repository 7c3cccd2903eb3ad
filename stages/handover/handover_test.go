package handover_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages/handover"
)

// open is a descriptor whose last close somebody can see: the end of what other reads.
func open(t *testing.T) (fd int, other *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	other = os.NewFile(uintptr(fds[0]), "pipe")
	t.Cleanup(func() { other.Close() })
	return fds[1], other
}

// ended waits for the last close.
func ended(t *testing.T, other *os.File) {
	t.Helper()
	if rest, err := io.ReadAll(other); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// keep runs a keeper until stop is called; stop waits for its end.
func keep(t *testing.T, path string) (stop func()) {
	t.Helper()
	k, err := handover.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestGiven: what was handed over outlives its giver's close, and is closed soon: alone, and among hundreds.
func TestGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "handover.sock")
	defer keep(t, path)()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: root alone may hand over", info.Mode(), err)
	}
	for _, n := range []int{1, 600} {
		var others []*os.File
		for range n {
			fd, other := open(t)
			for !handover.Give(path, fd) { // no room at this moment
			}
			unix.Close(fd)
			others = append(others, other)
		}
		for _, other := range others {
			ended(t, other)
		}
	}
}

// TestNobody: without a listener, and after one that died, nothing is taken.
func TestNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handover.sock")
	fd, other := open(t)
	if handover.Give(path, fd) {
		t.Error("taken by nobody")
	}
	keep(t, path)()
	if handover.Give(path, fd) {
		t.Error("taken by a keeper that has ended")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a keeper that has ended leaves its name")
	}
	dead, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(dead, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	unix.Close(dead)
	if handover.Give(path, fd) {
		t.Error("taken by one that was killed")
	}
	unix.Close(fd)
	ended(t, other)
	keep(t, path)() // and the next one takes its place
}

// TestHung: a keeper that does not read costs no wait; what does not fit is refused, and the rest ends with it.
func TestHung(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handover.sock")
	k, err := handover.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	var others []*os.File
	for range 5000 { // beyond any net.unix.max_dgram_qlen in use
		fd, other := open(t)
		given := handover.Give(path, fd)
		unix.Close(fd)
		if !given {
			ended(t, other)
			break
		}
		taken++
		others = append(others, other)
	}
	if taken == 0 || taken == 5000 {
		t.Errorf("%d were taken by one that does not read", taken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Run(ctx); err != nil {
		t.Error(err)
	}
	for _, other := range others {
		ended(t, other)
	}
}

// TestNonsense: datagrams without a descriptor, or with several, neither end it nor leave one open.
func TestNonsense(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handover.sock")
	defer keep(t, path)()
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	to := &unix.SockaddrUnix{Name: path}
	if err := unix.Sendto(s, []byte("hello there"), 0, to); err != nil {
		t.Fatal(err)
	}
	a, first := open(t)
	b, second := open(t)
	if err := unix.Sendmsg(s, nil, unix.UnixRights(a, b), to, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(a)
	unix.Close(b)
	ended(t, first)
	ended(t, second)
}
