package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reading is what a watched file was found to be: a new one after every writing, be the text the same or not.
type reading struct {
	text    []byte
	written time.Time // by the machine's clock
	err     error
}

const (
	watchSettle = 30 * time.Millisecond // from news of a folder to a look at the file: a swap of links is several
	watchPoll   = 10 * time.Second      // a look without news: for folders that come late,
	watchRarely = 3                     // and so many times rarer for file systems that tell nothing
)

// watchedFile is a file that somebody else writes.
type watchedFile struct {
	path   string
	most   int64         // bytes; a larger one is not read
	poll   time.Duration // 0 = watchPoll
	settle time.Duration // 0 = watchSettle
	plain  bool          // nobody puts a link there: news of other files of its folder is none
}

// follow hands over what the file is now and after each writing, until ctx ends: in place, by a rename over it, or by a
// swap of the links that lead to it, as Kubernetes changes a ConfigMap.
func (f watchedFile) follow(ctx context.Context, each func(reading)) {
	var last string
	f.wait(ctx, func() {
		stamp, now := f.read()
		if stamp != last {
			last = stamp
			each(now)
		}
	})
}

// wait calls look now and after each reason to: news of the folder, a while ago, or a long time without any.
func (f watchedFile) wait(ctx context.Context, look func()) {
	poll, settle := cmp.Or(f.poll, watchPoll), cmp.Or(f.settle, watchSettle)
	news := make(chan struct{}, 1)
	var watched <-chan struct{} // closed: the folder has gone
	for {
		if watched == nil || isClosed(watched) {
			only := ""
			if f.plain {
				only = filepath.Base(f.path)
			}
			watched = watchFolder(ctx, filepath.Dir(f.path), only, news)
		}
		look()
		pause := poll
		if watched != nil {
			pause *= watchRarely
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			continue
		case <-news:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
	}
}

// read reads the file; the stamp differs after every writing.
func (f watchedFile) read() (stamp string, r reading) {
	info, err := os.Stat(f.path) // through links
	if err == nil && info.Size() > f.most {
		err = fmt.Errorf("%s has %d bytes; more than %d are not read", f.path, info.Size(), f.most)
	}
	if err != nil {
		return err.Error(), reading{err: err}
	}
	r.written = info.ModTime()
	r.text, r.err = os.ReadFile(f.path)
	inode := uint64(0)
	if at, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = at.Ino
	}
	return fmt.Sprint(inode, info.ModTime().UnixNano(), info.Size(), r.err), r
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watchFolder sends to news whenever something in the folder, or only the file of a name, was written, renamed or
// removed, until ctx ends or the folder is gone: then the answer is closed. Nil: it cannot be watched now.
func watchFolder(ctx context.Context, folder, only string, news chan<- struct{}) <-chan struct{} {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), "inotify") // non-blocking: Go's poller waits, and Close ends a Read
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_CREATE | unix.IN_ATTRIB |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(fd, folder, mask); err != nil {
		file.Close()
		return nil
	}
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { file.Close() })
	go func() {
		defer close(gone)
		defer stop()
		defer file.Close()
		buffer := make([]byte, 16<<10)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return
			}
			concerns, over := judgeFolder(buffer[:n], only)
			if concerns {
				select {
				case news <- struct{}{}:
				default: // it is known already
				}
			}
			if over {
				return
			}
		}
	}()
	return gone
}

// judgeFolder looks through inotify(7) events for those of one file ("": of any), and for the end of the folder itself.
func judgeFolder(events []byte, only string) (concerns, gone bool) {
	for len(events) >= unix.SizeofInotifyEvent {
		mask, size := binary.NativeEndian.Uint32(events[4:]), binary.NativeEndian.Uint32(events[12:])
		end := min(unix.SizeofInotifyEvent+int(size), len(events))
		name := strings.TrimRight(string(events[unix.SizeofInotifyEvent:end]), "\x00")
		lost := mask&unix.IN_Q_OVERFLOW != 0
		gone = gone || mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0
		concerns = concerns || only == "" || name == only || lost || gone
		events = events[end:]
	}
	return concerns, gone
}
