package stages

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Standard input and output of a stage's process go past package os. An os.File costs the poller's set-up, ends the
// process at a broken pipe unless a goroutine (and mostly a thread) listens for the signal, and has no deadline where
// it is a terminal.

// input is standard input. Its deadline is for VERSION.
type input struct{ until time.Time }

// SetReadDeadline makes a Read fail that has nothing to read at t; the zero time is none.
func (in *input) SetReadDeadline(t time.Time) error { in.until = t; return nil }

// Read waits for input, its end or the deadline.
func (in *input) Read(b []byte) (int, error) {
	for {
		if !in.until.IsZero() {
			left := max(time.Until(in.until).Milliseconds(), 0)
			switch n, err := unix.Poll([]unix.PollFd{{Fd: int32(unix.Stdin), Events: unix.POLLIN}}, int(left)); {
			case err == unix.EINTR:
				continue
			case n == 0:
				return 0, os.ErrDeadlineExceeded
			}
		}
		n, err := unix.Read(unix.Stdin, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN: // somebody made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(unix.Stdin), Events: unix.POLLIN}}, -1)
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// output is standard output or standard error.
type output int

// Write writes all of b.
func (fd output) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := unix.Write(int(fd), b[n:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return n, os.NewSyscallError("write", err)
		default:
			n += m
		}
	}
	return n, nil
}
