// Package daemon measures what enichaind costs a machine when nothing happens, and what a burst of pods costs it: memory and
// CPU by role, messages, and the time from a pod's demand to its address.
package daemon

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/enichain/enichain/test/bench/figure"
)

// Name is the section's.
const Name = "daemon"

const method = `Two labs run at once, with EC2 that answers at once: one of two nodes (m5.4xlarge), whose daemons have the role agent,
and a control instance with reconciler and bus; and one of one node whose daemon has all roles. Twenty seconds after they are
up the daemons are looked at for a while in which nobody asks anything of them. Memory is the kernel's account of the process
(/proc/PID/status and smaps_rollup): resident, of it private to the process (heap, stacks) and of it pages of the program's own
file, which the kernel may take back at any time and has only once for all daemons of a machine. CPU is the kernel's clock of
the process in nanoseconds, threads that ended included; wake-ups are the voluntary switches of all its threads. Then pods come
together on one node whose pool has no address left, so that each has to wait for EC2: what eni-ipam wrote down as its wait is
the time from demand to address. Snapshots and events are those that the agent says it published. A pool-file operation is a
transaction from opening the file to closing it, a lease and then its release, without fsync: the file dies with the boot, as the
leases do. Beside it a plain file of 4 KiB, written, synced and renamed, as the least that would survive a power cut. The pool file
lies in memory (/run); on a disk it is for comparison.`

// Limits of issue 5 and docs/design.md.
const (
	mostResident = 25   // MB, of an agent
	mostIdle     = 0.05 // per cent of one CPU: 0.0 in top and ps
)

// Run measures all of it in about three minutes, most of which it waits.
func Run(ctx context.Context, o figure.Options) (figure.Section, error) {
	s := figure.Section{Name: Name, Title: "The daemon", Method: method}
	dir, err := os.MkdirTemp("/run", "bench-daemon-") // the bench's own, in memory
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	disk, err := os.MkdirTemp("", "bench-daemon-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(disk)
	for _, at := range []place{{"", "in memory", dir}, {"-disk", "on a disk", disk}} {
		if err := at.measure(ctx, o, &s); err != nil {
			return s, err
		}
	}
	fleet, err := raise(ctx, o, dir, "two", labOfTwo)
	if err != nil {
		return s, err
	}
	defer fleet.end()
	alone, err := raise(ctx, o, dir, "one", labOfOne)
	if err != nil {
		return s, err
	}
	defer alone.end()
	if err := watchIdle(ctx, o, &s); err != nil {
		return s, err
	}
	if err := bursts(ctx, o, fleet, &s); err != nil {
		return s, err
	}
	s.Aim(Name+"/agent/resident", mostResident, "issue 5, item 5")
	s.Aim(Name+"/agent-with-pods/resident", mostResident, "issue 5, item 5")
	s.Aim(Name+"/agent/idle-cpu", mostIdle, "issue 5, item 5")
	s.Tables = tables(&s)
	return s, nil
}

// sizes are the bursts, in pods.
func sizes(o figure.Options) []int {
	if o.Smoke() {
		return []int{1, 2}
	}
	return []int{1, 10, 50}
}

// pause waits unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func tables(s *figure.Section) []figure.Table {
	idle := figure.Table{Name: "daemon-idle", Title: "enichaind by role", Columns: []string{"role", "resident", "of it private", "of it the program's file",
		"proportional share", "CPU when idle, %", "wake-ups a minute"}}
	for _, row := range []struct{ id, name string }{
		{"agent", "agent"}, {"agent-with-pods", "agent, 40 s after the bursts below"}, {"control", "reconciler and bus"}, {"all", "all three"},
	} {
		r := figure.Row{Name: row.name}
		for _, measure := range []string{"resident", "private", "program", "share", "idle-cpu", "wakes"} {
			r.Cells = append(r.Cells, Name+"/"+row.id+"/"+measure)
		}
		idle.Rows = append(idle.Rows, r)
	}
	burst := figure.Table{Name: "daemon-bursts", Title: "Pods that come together and wait for EC2", Columns: []string{"pods", "demand to address, median",
		"slowest", "snapshots", "events", "calls that change EC2", "failed"}}
	for _, n := range []int{1, 2, 10, 50} {
		id := fmt.Sprintf("%s/burst-%d/", Name, n)
		if _, ok := s.Find(id + "snapshots"); ok {
			burst.Rows = append(burst.Rows, figure.Row{Name: fmt.Sprint(n), Cells: []string{id + "wait", id + "slowest", id + "snapshots", id + "events", id + "calls", id + "failed"}})
		}
	}
	file := figure.Table{Name: "daemon-pool", Title: "One operation on the pool file, open to close", Columns: []string{"leases present", "lease", "release", "lease, on a disk", "release, on a disk"}}
	for _, n := range leasesPresent {
		id := fmt.Sprintf("%s/pool-%d/", Name, n)
		file.Rows = append(file.Rows, figure.Row{Name: fmt.Sprint(n), Cells: []string{id + "lease", id + "release", id + "lease-disk", id + "release-disk"}})
	}
	file.Rows = append(file.Rows, figure.Row{Name: "a plain file, written and renamed", Cells: []string{Name + "/pool/floor", "", Name + "/pool/floor-disk", ""}})
	return []figure.Table{idle, burst, file}
}
