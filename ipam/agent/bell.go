package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// watchFolder calls f with the name of each file of the folder that was written, replaced or removed, and with "" when
// the kernel lost count. It returns once the watch is set, which lasts until ctx ends.
func watchFolder(ctx context.Context, folder string, f func(name string)) error {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", folder, err)
	}
	file := os.NewFile(uintptr(fd), "inotify") // non-blocking: Go's poller waits, and Close ends a Read
	mask := uint32(unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_DELETE_SELF)
	if _, err := unix.InotifyAddWatch(fd, folder, mask); err != nil {
		file.Close()
		return fmt.Errorf("cannot watch folder %s: %w", folder, err)
	}
	stop := context.AfterFunc(ctx, func() { file.Close() })
	go func() {
		defer stop()
		defer file.Close()
		buffer := make([]byte, 16<<10)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return // closed: nothing else makes an inotify read fail
			}
			for _, name := range changed(buffer[:n]) {
				f(name)
			}
		}
	}()
	return nil
}

// poolNews tells which names that watchFolder calls are news of the pool file. Each commit writes the file and then rings
// its bell: the bell is the news, and the file itself only when it is another or gone. Taken for two, every commit had a
// second look due, and a burst that is never over before a look that is due.
func poolNews(path string) func(name string) bool {
	base := filepath.Base(path)
	was, _ := os.Stat(path)
	return func(name string) bool {
		if name != base {
			return name == base+".bell" || name == ""
		}
		now, err := os.Stat(path)
		same := err == nil && was != nil && os.SameFile(was, now)
		was = now
		return !same
	}
}

// changed reads the names in inotify(7) events, each once.
func changed(events []byte) []string {
	var names []string
	last := "\x00"
	for len(events) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if end > len(events) {
			return append(names, "")
		}
		name := strings.TrimRight(string(events[unix.SizeofInotifyEvent:end]), "\x00")
		if mask&(unix.IN_Q_OVERFLOW|unix.IN_DELETE_SELF|unix.IN_IGNORED) != 0 {
			name = ""
		}
		if name != last {
			names, last = append(names, name), name
		}
		events = events[end:]
	}
	return names
}
