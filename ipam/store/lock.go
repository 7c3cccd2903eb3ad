package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
)

// fileLock is a lock between processes: flock(2) on a sibling of the pool file, so that the pool file itself can be
// replaced under it. bbolt's own lock polls at 50 ms; this one blocks in the kernel.
//
// flock has no deadline of its own. A blocked call therefore sits in a goroutine of its own and a timer gives up on it:
// the goroutine lets go as soon as it gets the lock. (Rejected: a signal to interrupt the call, because Go's handlers
// restart it; F_OFD_SETLKW, which has no deadline either and whose owner is not shown.) At most one goroutine per
// fileLock is ever left behind so; a later Lock waits for that one to end before it starts another.
type fileLock struct {
	path    string
	command string
	wait    time.Duration // for one holder
	most    time.Duration // in all, while holders come and go: fifty pods at once on a slow disk take their turns

	turn  chan struct{} // one goroutine of this process at a time
	mu    sync.Mutex    // guards stale
	stale chan struct{} // closed when an abandoned wait has ended; nil when there is none
}

var _ Locker = (*fileLock)(nil)

func newFileLock(path, command string, wait, most time.Duration) *fileLock {
	return &fileLock{path: path, command: command, wait: wait, most: most, turn: make(chan struct{}, 1)}
}

// Lock waits at most l.wait for a holder that stays, l.most in all, and no longer than ctx.
func (l *fileLock) Lock(ctx context.Context) (func(), error) {
	if f, err := l.atOnce(ctx); err != nil {
		return nil, err
	} else if f != nil {
		return l.held(f), nil
	}
	began := time.Now()
	patient, stop := l.patience(ctx, began)
	defer stop()
	give := func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("cannot lock %s: %w", l.path, context.Cause(ctx))
		}
		return l.holder(time.Since(began))
	}
	select {
	case l.turn <- struct{}{}:
	case <-patient.Done():
		return nil, give()
	}
	f, err := l.take(patient)
	if err != nil {
		<-l.turn
		return nil, err
	}
	if f == nil {
		<-l.turn
		return nil, give()
	}
	l.sign(f)
	return l.held(f), nil
}

// held is how the lock ends.
func (l *fileLock) held(f *os.File) func() { return func() { f.Close(); <-l.turn } }

// atOnce is the lock where nobody has it: without a goroutine that waits. nil: somebody has it.
func (l *fileLock) atOnce(ctx context.Context) (*os.File, error) {
	select {
	case l.turn <- struct{}{}:
	default:
		return nil, nil
	}
	var f *os.File
	var locked bool
	var err error
	if ctx.Err() == nil {
		f, locked, err = l.try()
	}
	if locked {
		l.sign(f)
		return f, nil
	}
	f.Close()
	<-l.turn
	return nil, err
}

// try opens the file and asks for the lock; locked is false where somebody else has it.
func (l *fileLock) try() (f *os.File, locked bool, err error) {
	f, err = open(l.path, unix.O_RDWR|unix.O_CREAT)
	if os.IsPermission(err) { // a reader may lock what it cannot write
		f, err = open(l.path, unix.O_RDONLY)
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot open lock file: %w", err)
	}
	switch err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return f, true, nil
	case unix.EWOULDBLOCK:
		return f, false, nil
	}
	f.Close()
	return nil, false, fmt.Errorf("cannot lock %s: %w", l.path, err)
}

// patience is ctx until the waiting is over. At the end of l.wait the lock bears the same sign as half of it before, or
// the lock moves from holder to holder, and those before us get their turns.
func (l *fileLock) patience(ctx context.Context, began time.Time) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		defer stop()
		look := time.NewTicker(max(l.wait/2, 1))
		defer look.Stop()
		for first, seen := true, ""; ; first = false {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
			text, _ := os.ReadFile(l.path)
			if !first && (string(text) == seen || time.Since(began) >= l.most) {
				return
			}
			seen = string(text)
		}
	}()
	return ctx, stop
}

// take returns the locked file, or nil when ctx ended first.
func (l *fileLock) take(ctx context.Context) (*os.File, error) {
	for {
		f, locked, err := l.try()
		if locked || err != nil {
			return f, err
		}
		l.mu.Lock()
		stale := l.stale
		l.mu.Unlock()
		if stale != nil {
			f.Close()
			select {
			case <-stale:
				continue
			case <-ctx.Done():
				return nil, nil
			}
		}
		return l.block(ctx, f)
	}
}

// block waits in the kernel, and leaves the wait behind when ctx ends.
func (l *fileLock) block(ctx context.Context, f *os.File) (*os.File, error) {
	got := make(chan error) // unbuffered: whoever receives owns the lock
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		for err == unix.EINTR {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		select {
		case got <- err:
		case <-gone:
			f.Close()
		}
	}()
	abandon := func() {
		l.mu.Lock()
		l.stale = ended
		l.mu.Unlock()
		close(gone)
		go func() {
			<-ended
			l.mu.Lock()
			l.stale = nil
			l.mu.Unlock()
		}()
	}
	select {
	case err := <-got:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", l.path, err)
		}
		return f, nil
	case <-ctx.Done():
	}
	abandon()
	return nil, nil
}

// sign writes who holds the lock and since when. It is for people: that it fails for a mere reader is no error.
func (l *fileLock) sign(f *os.File) {
	line := fmt.Sprintf("%d %d %s\n", os.Getpid(), int64(bootTime()), l.command)
	if _, err := f.WriteAt([]byte(line), 0); err == nil {
		_ = f.Truncate(int64(len(line)))
	}
}

// holder is who has the lock, as far as it signed.
func (l *fileLock) holder(waited time.Duration) *LockedError {
	e := &LockedError{Path: l.path, Waited: waited}
	text, err := os.ReadFile(l.path)
	if err != nil {
		return e
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.SplitN(line, []byte(" "), 3)
	if len(fields) != 3 {
		return e
	}
	pid, err1 := strconv.Atoi(string(fields[0]))
	since, err2 := strconv.ParseInt(string(fields[1]), 10, 64)
	// A holder that did not sign leaves the words of the one before it, which has ended as a rule.
	if err1 == nil && err2 == nil && unix.Kill(pid, 0) != unix.ESRCH {
		e.PID, e.Command = pid, string(fields[2])
		e.Age = time.Duration(bootTime() - ipam.Instant(since))
	}
	return e
}
