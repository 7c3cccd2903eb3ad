package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// state is what the machine outside remembers of a lab: a folder with this as state.json, the control socket and logs.
type state struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"`      // of the lab's first process, as seen outside
	Started  string    `json:"started"`  // that process's start time in clock ticks: a PID alone may be anybody's by now
	PIDs     string    `json:"pids"`     // its process namespace, as in /proc/PID/ns/pid
	Rootless bool      `json:"rootless"` // it has a user namespace of its own
	UID      int       `json:"uid"`      // of whoever made it
	Endpoint string    `json:"endpoint"` // of EC2, for programs outside
	Created  time.Time `json:"created"`

	dir string
}

// labsDir is where the labs' folders are: outside of /run, which the nodes cover with their own. TMPDIR decides.
func labsDir() string {
	return filepath.Join(os.TempDir(), "vpclab-"+outerUID())
}

// outerUID is this user's id outside of the user namespace that he may be root of: real root's labs are in the same
// /tmp (user_namespaces(7), "uid_map").
func outerUID() string {
	own := strconv.Itoa(os.Getuid())
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return own
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == own {
			return f[1]
		}
	}
	return own
}

func (s *state) socket() string   { return filepath.Join(s.dir, "control.sock") }
func (s *state) logsDir() string  { return filepath.Join(s.dir, "log") }
func (s *state) planFile() string { return filepath.Join(s.dir, "plan.json") }

// makeState makes a lab's folder. It refuses a folder that others may have prepared.
func makeState(name string) (*state, error) {
	if err := os.Mkdir(labsDir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make a folder for labs: %w", err)
	}
	info, err := os.Lstat(labsDir())
	if err != nil {
		return nil, fmt.Errorf("cannot look at the folder for labs: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s must be a folder of yours that nobody else may enter; remove it or set TMPDIR", labsDir())
	}
	s := &state{Name: name, UID: os.Getuid(), Created: time.Now(), dir: filepath.Join(labsDir(), name)}
	if old, err := readState(name); err == nil {
		if old.alive() {
			return nil, fmt.Errorf("lab %s is up since %s; 'vpclab down --lab %s' ends it, --name makes another", name,
				old.Created.Format(time.TimeOnly), name)
		}
		os.RemoveAll(s.dir) // what a killed lab left
	}
	if err := os.MkdirAll(s.logsDir(), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a folder for lab %s: %w", name, err)
	}
	return s, nil
}

func (s *state) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "state.json"), append(b, '\n'), 0o600)
}

func readState(name string) (*state, error) {
	dir := filepath.Join(labsDir(), name)
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, "state.json"), err)
	}
	return s, nil
}

// allStates are the labs of this user, dead ones too.
func allStates() []*state {
	entries, _ := os.ReadDir(labsDir()) // no folder, no labs
	var all []*state
	for _, e := range entries {
		s, err := readState(e.Name())
		if err != nil {
			s = &state{Name: e.Name(), dir: filepath.Join(labsDir(), e.Name())} // it died before it was written
		}
		all = append(all, s)
	}
	return all
}

// findLab is the lab of that name, or the only one that is up.
func findLab(name string) (*state, error) {
	up := map[string]*state{}
	for _, s := range allStates() {
		if s.alive() {
			up[s.Name] = s
		}
	}
	names := slices.Sorted(maps.Keys(up))
	switch {
	case up[name] != nil:
		return up[name], nil
	case name != "" && name == os.Getenv("VPCLAB") && len(up) > 0:
		return nil, fail(exitBlind, "lab %s is not up, but VPCLAB names it; up is %s: unset VPCLAB, or set it anew", name,
			strings.Join(names, ", "))
	case name != "":
		return nil, fail(exitBlind, "lab %s is not up; 'vpclab up --name %s' makes one", name, name)
	case len(up) == 0:
		return nil, fail(exitBlind, "no lab is up; 'vpclab up' makes one")
	case len(up) > 1:
		return nil, fail(exitUsage, "which lab? %s are up; say --lab NAME or set VPCLAB", strings.Join(names, ", "))
	}
	return up[names[0]], nil
}

// alive tells whether the lab's first process is there, and is that process.
func (s *state) alive() bool {
	return s.PID > 0 && processStart(s.PID) == s.Started
}

// processStart is the 22nd field of /proc/PID/stat (proc(5)); "" when there is no such process or it is a zombie.
func processStart(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(string(b), ") ") // the name before may contain anything
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// members counts the living processes of the lab's process namespace. The dead may lie about for as long as this
// machine's process 1 likes.
func (s *state) members() int {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	count := 0
	for _, link := range links {
		var pid int
		ns, err := os.Readlink(link)
		if _, scanned := fmt.Sscanf(link, "/proc/%d/", &pid); err == nil && scanned == nil && ns == s.PIDs && processStart(pid) != "" {
			count++
		}
	}
	return count
}
