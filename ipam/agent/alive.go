package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Alive is the file by which others see that the agent lives: locked as long as the process is there, touched as long
// as its loop turns (docs/design.md, "One table each").
type Alive struct {
	path string
	file *os.File
}

// AliveEvery is how often the file is touched; eni-ipam takes an agent for hung after three times that (protocol i6).
const AliveEvery = 30 * time.Second

// TakeAlive makes this process the agent of the node, or says which one is.
func TakeAlive(path string) (*Alive, error) {
	a := &Alive{path: path}
	if err := a.take(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Alive) take() error {
	if err := os.MkdirAll(filepath.Dir(a.path), 0o755); err != nil {
		return fmt.Errorf("cannot make the folder of %s: %w", a.path, err)
	}
	file, err := os.OpenFile(a.path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open agent lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := file.ReadAt(holder, 0)
		file.Close()
		return fmt.Errorf("cannot lock %s: another agent (pid %s) runs on this node: %w", a.path, holder[:n], err)
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(file, "%d", os.Getpid()) // for the error above; it touches the file as well
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write agent lock: %w", err), file.Close())
	}
	a.file = file
	return nil
}

// Touch says that the loop turns. A file that somebody removed is made and locked anew: without it others take the
// agent for dead.
func (a *Alive) Touch() error {
	mine, err := a.file.Stat()
	if err != nil {
		return fmt.Errorf("cannot look at agent lock: %w", err)
	}
	if there, err := os.Stat(a.path); err != nil || !os.SameFile(mine, there) {
		old := a.file
		if err := a.take(); err != nil {
			return err
		}
		return old.Close()
	}
	now := unix.NsecToTimeval(time.Now().UnixNano())
	if err := unix.Futimes(int(a.file.Fd()), []unix.Timeval{now, now}); err != nil {
		return fmt.Errorf("cannot touch %s: %w", a.path, err)
	}
	return nil
}

// Close lets the lock go.
func (a *Alive) Close() error { return a.file.Close() }
