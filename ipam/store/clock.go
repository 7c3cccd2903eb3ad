package store

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/ipam"
)

// ReadClock reads both clocks of this machine.
func ReadClock() Now { return Now{Boot: bootTime(), Wall: time.Now()} }

// BootID reads the kernel's boot id (proc(5), /proc/sys/kernel/random/boot_id).
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func bootTime() ipam.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // cannot happen: the clock exists since Linux 2.6.39
	}
	return ipam.Instant(ts.Nano())
}
