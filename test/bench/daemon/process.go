package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/bench/figure"
)

// process is a running enichaind.
type process struct {
	pid  int
	role string // agent, control, all
}

// daemons are all that run in this process namespace.
func daemons() (all []process, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(name)) != "enichaind" {
			continue
		}
		role, err := roleOf(pid)
		if err != nil {
			return nil, err
		}
		all = append(all, process{pid, role})
	}
	return all, nil
}

func roleOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/enichain/enichaind.yaml", pid))
	if err != nil {
		return "", err
	}
	var c struct{ Roles []string }
	if err := yaml.Unmarshal(text, &c); err != nil {
		return "", err
	}
	switch {
	case len(c.Roles) == 3:
		return "all", nil
	case slices.Contains(c.Roles, "agent"):
		return "agent", nil
	}
	return "control", nil
}

// cpu is what the process has used, ns: the kernel's clock of a process, clock_getcpuclockid(3).
func (p process) cpu() (int64, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid<<3|scheduled), &at); err != nil {
		return 0, fmt.Errorf("cannot read the clock of process %d: %w", p.pid, err)
	}
	return at.Nano(), nil
}

// wakes is how often its threads have begun to wait, so far.
func (p process) wakes() (n int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended: Go ends few threads
		}
		n += number(string(text), "voluntary_ctxt_switches:")
	}
	return n, err
}

// number is that behind a label at a line's begin; 0 = there is none.
func number(text, label string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, label); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// memory is the kernel's account of the process in MB, by the names of figures.
func (p process) memory() (map[string]float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return nil, err
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return nil, err
	}
	mb := func(text []byte, label string) float64 { return float64(number(string(text), label)) * 1024 / 1e6 }
	return map[string]float64{"resident": mb(status, "VmRSS:"), "private": mb(status, "RssAnon:"), "program": mb(status, "RssFile:"),
		"share": mb(rollup, "Pss:")}, nil
}

// said is what each measure is, for people.
func said(measure string) (what, unit string) {
	switch measure {
	case "resident":
		return "resident memory", figure.Megabytes
	case "private":
		return "of it private: heap, stacks", figure.Megabytes
	case "program":
		return "of it pages of the program's file", figure.Megabytes
	case "share":
		return "proportional share of memory", figure.Megabytes
	case "idle-cpu":
		return "CPU when idle, per cent of one", "%"
	}
	return "wake-ups a minute when idle", "1/min"
}

// watchIdle reads all daemons over a while in which nothing is asked of them.
func watchIdle(ctx context.Context, o figure.Options, s *figure.Section) error {
	settle, window := 20*time.Second, time.Duration(o.Samples(45))*time.Second
	if o.Smoke() {
		settle, window = 0, time.Second
	}
	o.Progress(fmt.Sprintf("daemon: idle for %s", settle+window))
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return watch(ctx, window, "", s)
}

// watch adds the figures of a window; only agents are told of after the pods came.
func watch(ctx context.Context, window time.Duration, suffix string, s *figure.Section) error {
	all, err := daemons()
	if err != nil {
		return err
	}
	type reading struct{ cpu, wakes int64 }
	before := map[int]reading{}
	for _, p := range all {
		var r reading
		if r.cpu, err = p.cpu(); err != nil {
			return err
		}
		if r.wakes, err = p.wakes(); err != nil {
			return err
		}
		before[p.pid] = r
	}
	began := time.Now()
	if err := pause(ctx, window); err != nil {
		return err
	}
	samples := map[string]map[string][]float64{}
	for _, p := range all {
		took := time.Since(began)
		cpu, err := p.cpu()
		if err != nil {
			return err
		}
		wakes, err := p.wakes()
		if err != nil {
			return err
		}
		memory, err := p.memory()
		if err != nil {
			return err
		}
		memory["idle-cpu"] = float64(cpu-before[p.pid].cpu) / float64(took) * 100
		memory["wakes"] = float64(wakes-before[p.pid].wakes) / took.Minutes()
		if samples[p.role] == nil {
			samples[p.role] = map[string][]float64{}
		}
		for measure, v := range memory {
			samples[p.role][measure] = append(samples[p.role][measure], v)
		}
	}
	for _, role := range []string{"agent", "control", "all"} {
		if suffix != "" && role != "agent" {
			continue
		}
		for _, measure := range []string{"resident", "private", "program", "share", "idle-cpu", "wakes"} {
			what, unit := said(measure)
			if v := samples[role][measure]; len(v) > 0 {
				s.Add(figure.Of(Name+"/"+role+suffix+"/"+measure, "enichaind, "+role+suffix+": "+what, unit, v))
			}
		}
	}
	return nil
}
