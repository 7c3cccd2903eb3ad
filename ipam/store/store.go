// Package store is the pool file of a node: which address is in which state, and which attachment holds it. One file,
// one short transaction per change, under a lock with a deadline; docs/protocol.md, A2 and A4, is its law.
//
// The agent creates the file and moves supply in it; eni-ipam moves leases; everybody else reads. Nothing in here reads
// a clock: each call is told the time, so that the same transaction runs in a stage, in the agent and in a simulation.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/enichain/enichain/ipam"
)

// DefaultPath is where stages, agent and tools look for the pool file when nobody says otherwise.
const DefaultPath = "/run/enichain/pool.db"

// DefaultLockWait is how long a transaction waits for a holder of the lock before it names it, and queueLockWait how
// long in all where one holder follows another.
const (
	DefaultLockWait = 2 * time.Second
	queueLockWait   = 10 * DefaultLockWait
)

// Now is one reading of both clocks. Decisions use Boot; Wall is for people only.
type Now struct {
	Boot ipam.Instant
	Wall time.Time
}

// After is the instant d later.
func (n Now) After(d time.Duration) ipam.Instant { return n.Boot + ipam.Instant(d) }

// Locker guards one pool file against other users of it.
type Locker interface {
	// Lock returns once the caller is alone, or with an error when ctx ends first.
	Lock(ctx context.Context) (unlock func(), err error)
}

// Options are how a pool file is opened; the zero value is right for a tool.
type Options struct {
	Boot     string        // this kernel's boot id; a file of another boot is refused. "" = not looked at
	LockWait time.Duration // in all; 0 = DefaultLockWait for one holder, ten of it for a queue of them
	Command  string        // who we are, written into the lock file for others to read; "" = the program's name
	Locker   Locker        // nil = a lock between processes beside the file; else the caller's own
	// Keep leaves the file open between transactions until Close: for a simulation, where nobody else uses it.
	Keep bool
	// Audit sees each change at its end, before it is committed; nil = nobody.
	Audit func(*Tx)
}

// Store is one pool file. It keeps nothing open between transactions and is safe for concurrent use.
type Store struct {
	path string
	opts Options
	lock Locker
	kept *bbolt.DB // with Options.Keep: used under the lock, like the file
}

// Close closes a file that Options.Keep left open; it is opened again when it is used again.
func (s *Store) Close() error {
	if s.kept == nil {
		return nil
	}
	err := s.kept.Close()
	s.kept = nil
	return err
}

// New names a pool file without looking at it; each transaction makes all the checks of Open.
func New(path string, o Options) *Store {
	most := o.LockWait
	if o.LockWait == 0 {
		o.LockWait, most = DefaultLockWait, queueLockWait
	}
	if o.Command == "" {
		o.Command = filepath.Base(os.Args[0])
	}
	s := &Store{path: path, opts: o, lock: o.Locker}
	if s.lock == nil {
		s.lock = newFileLock(path+".lock", o.Command, o.LockWait, most)
	}
	return s
}

// Open names an existing pool file after reading it once. It never creates one. Errors: *NotReadyError, *LockedError,
// *SchemaError, *DamagedError.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s := New(path, o)
	return s, s.View(ctx, func(*Tx) error { return nil })
}

// Path is the pool file's path.
func (s *Store) Path() string { return s.path }

// View runs f in a transaction that changes nothing.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	return s.locked(ctx, func() error {
		err := s.run(false, f)
		if errors.Is(err, errOld) {
			return s.older(f)
		}
		return err
	})
}

// Update runs f in a transaction that is committed when f returns nil and undone when it does not. What DEL could not
// say while the file was locked (see Defer) is settled first, in a transaction of its own.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	return s.locked(ctx, func() error {
		if err := s.settleDeferred(); err != nil {
			return err
		}
		return s.run(true, f)
	})
}

func (s *Store) locked(ctx context.Context, f func() error) error {
	// A missing folder would make the lock file fail with a less telling error.
	if _, err := os.Stat(s.path); err != nil {
		return s.notReady(err)
	}
	unlock, err := s.lock.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	info, err := os.Stat(s.path) // again: it may have been moved aside while we waited
	if err != nil {
		return s.notReady(err)
	}
	if !info.Mode().IsRegular() {
		return &DamagedError{Path: s.path, Cause: "it is no regular file"}
	}
	if info.Size() == 0 {
		return &NotReadyError{Path: s.path, Reason: Empty}
	}
	return f()
}

func (s *Store) notReady(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &NotReadyError{Path: s.path, Reason: Missing}
	}
	return fmt.Errorf("cannot look at pool file %s: %w", s.path, err)
}

// MoveAside renames a pool file that cannot be used to path.aside, replacing an earlier one, so that a new one can be
// made at the same path. The agent alone does this.
func MoveAside(ctx context.Context, path string, o Options) error {
	unlock, err := New(path, o).lock.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	err = os.Rename(path, path+".aside")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot move pool file %s aside: %w", path, err)
	}
	return nil
}
