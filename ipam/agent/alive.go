package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Alive is the file by which others see that the agent lives: locked as long as the process is there, touched as long
// as its loop turns (docs/design.md, "One table each").
type Alive struct {
	file *os.File
}

// AliveEvery is how often the file is touched; eni-ipam takes an agent for hung after three times that (protocol i6).
const AliveEvery = 30 * time.Second

// TakeAlive makes this process the agent of the node, or says which one is.
func TakeAlive(path string) (*Alive, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open agent lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := file.ReadAt(holder, 0)
		file.Close()
		return nil, fmt.Errorf("cannot lock %s: another agent (pid %s) runs on this node: %w", path, holder[:n], err)
	}
	a := &Alive{file: file}
	if err := file.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(file, "%d", os.Getpid()) // for the error above alone
	}
	return a, a.Touch()
}

// Touch says that the loop turns.
func (a *Alive) Touch() error {
	now := unix.NsecToTimeval(time.Now().UnixNano())
	if err := unix.Futimes(int(a.file.Fd()), []unix.Timeval{now, now}); err != nil {
		return fmt.Errorf("cannot touch %s: %w", a.file.Name(), err)
	}
	return nil
}

// Close lets the lock go.
func (a *Alive) Close() error { return a.file.Close() }
