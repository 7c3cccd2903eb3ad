package store

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
)

// ReadClock reads both clocks of this machine. The wall's is in UTC: to write a local time down, a stage would load the
// time zone first.
func ReadClock() Now { return Now{Boot: bootTime(), Wall: time.Now().UTC()} }

// BootID reads the kernel's boot id (proc(5), /proc/sys/kernel/random/boot_id).
func BootID() (string, error) {
	f, err := open("/proc/sys/kernel/random/boot_id", unix.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's boot id: %w", err)
	}
	defer f.Close()
	text := make([]byte, 64) // it has 36
	n, err := f.Read(text)
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's boot id: %w", err)
	}
	return strings.TrimSpace(string(text[:n])), nil
}

// open is os.OpenFile without the poller, which would be set up for the first file and refuse regular ones: ten system
// calls and a thread in a process that lives for milliseconds.
func open(path string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

func bootTime() ipam.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // cannot happen: the clock exists since Linux 2.6.39
	}
	return ipam.Instant(ts.Nano())
}
