package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The bell is a small file beside the pool file that every commit rewrites: "commits chance" in hex. Those who wait
// watch it and open the pool file only when chance has risen: fifty waiters do not read it fifty times per commit.

func (s *Store) bellPath() string { return s.path + ".bell" }

// ring tells of a commit. It is a hint and has no error: a waiter has a timer as well.
func (s *Store) ring(m *Meta) {
	f, err := open(s.bellPath(), unix.O_WRONLY|unix.O_CREAT)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteAt(fmt.Appendf(nil, "%016x %016x\n", m.Commits, m.Chance), 0)
}

// Bell hears commits to a pool file. One goroutine uses it.
type Bell struct {
	path  string
	file  *os.File // inotify instance
	buf   [4096]byte
	armed bool
}

// Bell begins to listen: commits after this call are heard by Wait.
func (s *Store) Bell() (*Bell, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for changes of %s: inotify: %w", s.path, err)
	}
	b := &Bell{path: s.bellPath(), file: os.NewFile(uintptr(fd), "inotify")}
	if err := b.arm(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close ends it.
func (b *Bell) Close() error { return b.file.Close() }

func (b *Bell) arm() error {
	raw, err := b.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot listen for %s: %w", b.path, err)
	}
	var werr error
	err = raw.Control(func(fd uintptr) {
		_, werr = unix.InotifyAddWatch(int(fd), b.path, unix.IN_MODIFY|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF)
		if errors.Is(werr, unix.ENOENT) { // a pool file made by hand: the first who listens hangs up the bell
			if f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|unix.O_CLOEXEC, 0o644); err == nil {
				f.Close()
				_, werr = unix.InotifyAddWatch(int(fd), b.path, unix.IN_MODIFY|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF)
			}
		}
	})
	if err = errors.Join(err, werr); err != nil {
		return fmt.Errorf("cannot listen for %s: %w", b.path, err)
	}
	b.armed = true
	return nil
}

// Wait returns nil after the next commit or commits, or ctx's error when that ends first.
func (b *Bell) Wait(ctx context.Context) error {
	if !b.armed {
		if err := b.arm(); err != nil {
			return err
		}
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = b.file.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	n, err := b.file.Read(b.buf[:])
	if !stop() { // ctx ended, perhaps just behind a commit: its deadline must not meet the next Wait
		<-ended
		_ = b.file.SetReadDeadline(time.Time{})
		if err != nil {
			return ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("cannot listen for %s: %w", b.path, err)
	}
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b.buf[at]))
		if e.Mask&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
			b.armed = false // replaced under us: listen to the new one from the next Wait on
		}
		at += unix.SizeofInotifyEvent + int(e.Len)
	}
	return nil
}

// Chance reads the counter of Meta.Chance without opening the pool file; ok is false when it cannot be told, which a
// waiter takes for "look yourself".
func (b *Bell) Chance() (chance uint64, ok bool) {
	text, err := os.ReadFile(b.path)
	if err != nil {
		return 0, false
	}
	_, second, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	chance, err = strconv.ParseUint(second, 16, 64)
	return chance, err == nil && len(second) == 16
}
