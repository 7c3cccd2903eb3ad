package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// agentGC is the agent's GOGC, percent: beside a megabyte that lives it lets two megabytes be garbage, not four.
	agentGC = 50
	// settled is from the start to the moment when what only the start needed is given back.
	settled = 10 * time.Second
	// heapLook is how often the heap is looked at after that, and heapGrown, in bytes, how much it has grown by when what
	// a burst has left is given back: the runtime itself keeps it for minutes while nothing is allocated.
	heapLook  = 30 * time.Second
	heapGrown = 1 << 20
)

// spare makes an agent's heap small, unless the environment says how large it may be.
func (d *daemon) spare() {
	if !d.seesFleet() && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(agentGC)
	}
}

// giveBack gives the kernel what only the start needed, and later on what bursts have left.
func (d *daemon) giveBack(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(settled):
	}
	d.giveBackNow()
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	for last := heap(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := heap()
		if now > last+heapGrown {
			d.giveBackNow()
			now = heap()
			last = now
		}
		last = min(last, now)
	}
}

// giveBackNow gives back the free heap and the program's own pages. The inits of some two hundred packages touch a page here
// and there in most of the program, and the kernel maps sixteen for each: two thirds of what is mapped then is never used
// again. What is, comes back from the page cache.
func (d *daemon) giveBackNow() {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps")
	if err == nil {
		for _, m := range programPages(text) {
			err = errors.Join(err, unmap(m))
		}
	}
	if err != nil {
		d.log.Debug("the program's pages stay", "error", err)
	}
}

// heap is what the Go runtime has of the kernel's memory, bytes.
func heap() uint64 {
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(all)
	return all[0].Value.Uint64() - all[1].Value.Uint64()
}

// pages are a part of the address space, [from, to).
type pages struct{ from, to uintptr }

// programPages are the mappings of the program's file that nothing can have written to, by proc(5) smaps. One with pages of
// its own is left alone: somebody has put breakpoints into it.
func programPages(smaps []byte) (all []pages) {
	var at pages
	var wanted bool
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 2 && !strings.HasSuffix(f[0], ":") {
			wanted = len(f) == 6 && (f[1] == "r-xp" || f[1] == "r--p") && strings.HasPrefix(f[5], "/")
			from, to, _ := strings.Cut(f[0], "-")
			a, err := strconv.ParseUint(from, 16, 64)
			b, err2 := strconv.ParseUint(to, 16, 64)
			wanted = wanted && err == nil && err2 == nil
			at = pages{uintptr(a), uintptr(b)}
			continue
		}
		if wanted && len(f) == 3 && f[0] == "Anonymous:" && f[1] == "0" {
			all = append(all, at)
		}
	}
	return all
}

// unmap lets the kernel forget that the pages are mapped; the next use of one maps it again.
func unmap(p pages) error {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, p.from, p.to-p.from, unix.MADV_DONTNEED)
	if errno != 0 {
		return fmt.Errorf("cannot give back %#x-%#x: %w", p.from, p.to, errno)
	}
	return nil
}
