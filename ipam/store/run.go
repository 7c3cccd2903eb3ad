package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// run opens the file, runs one transaction and closes it again. The caller holds the lock. bbolt panics on pages that
// make no sense, and a file cut short under its map is a fault: both come back as *DamagedError.
func (s *Store) run(write bool, f func(*Tx) error) (err error) {
	var file *os.File
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			if !damaging(p) {
				panic(p)
			}
			err = &DamagedError{Path: s.path, Cause: fmt.Sprint(p)}
		}
		if err != nil && file != nil && !s.opts.Keep {
			// bbolt's own Close would wait for a transaction that just died. Its map stays behind then, and keeps the open
			// file alive: the lock on it has to be taken off by hand. On a file that was closed both do nothing.
			_ = unix.Flock(int(file.Fd()), unix.LOCK_UN)
			_ = file.Close()
		}
	}()
	db := s.kept
	if db == nil {
		if db, err = s.open(write || s.opts.Keep, &file); err != nil {
			return err
		}
	}
	if s.opts.Keep {
		s.kept = db
	}
	committed, err := s.transact(db, write, f)
	if !s.opts.Keep {
		if cerr := db.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("cannot close pool file %s: %w", s.path, cerr)
		}
	}
	if err == nil && committed != nil {
		s.ring(committed)
	}
	return err
}

// transact runs one transaction. committed is what stands in the file then; nil where nothing was written.
func (s *Store) transact(db *bbolt.DB, write bool, f func(*Tx) error) (committed *Meta, err error) {
	whole := func(b *bbolt.Tx) error {
		t, err := s.begin(b, write)
		if err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		if !write {
			return t.err
		}
		if s.opts.Audit != nil && t.err == nil {
			s.opts.Audit(t)
		}
		committed = &t.meta
		return t.flush()
	}
	run := db.View
	if write {
		run = db.Update
	}
	if err = run(whole); errors.Is(err, errUnchanged) {
		return nil, nil
	}
	return committed, err
}

// open opens an existing file only: bbolt would make a missing one. Nothing is synced to a disk: leases end with the boot,
// and so does the file, wherever it lies; a process that is killed loses nothing that it has written.
func (s *Store) open(write bool, file **os.File) (*bbolt.DB, error) {
	db, err := bbolt.Open(s.path, 0o644, &bbolt.Options{
		Timeout:      time.Second, // never contended: every user holds the sibling lock first
		ReadOnly:     !write,
		NoSync:       true,
		NoGrowSync:   true,
		NoStatistics: true,
		FreelistType: bbolt.FreelistArrayType,
		OpenFile: func(name string, flag int, _ os.FileMode) (*os.File, error) {
			f, err := open(name, flag&^os.O_CREATE)
			*file = f
			return f, err
		},
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NotReadyError{Path: s.path, Reason: Missing}
	case errors.Is(err, berrors.ErrTimeout):
		return nil, &LockedError{Path: s.path, Waited: time.Second}
	case errors.Is(err, fs.ErrPermission), isIO(err):
		return nil, fmt.Errorf("cannot open pool file %s: %w", s.path, err)
	}
	// What is left are bbolt's own verdicts on the content: magic, version, checksum, size.
	return nil, &DamagedError{Path: s.path, Cause: err.Error()}
}

func isIO(err error) bool {
	var path *fs.PathError
	var call *os.SyscallError
	return errors.As(err, &path) || errors.As(err, &call)
}

// begin reads what each transaction needs and refuses what it must not touch.
func (s *Store) begin(b *bbolt.Tx, write bool) (*Tx, error) {
	root := b.Bucket(bucketMeta)
	if root == nil {
		return nil, &DamagedError{Path: s.path, Cause: "it has no meta bucket"}
	}
	if err := checkSchema(s.path, root.Get(keySchema)); err != nil {
		return nil, err
	}
	old := outdated(root.Get(keySchema))
	if old && !write {
		return nil, errOld
	}
	t := &Tx{path: s.path, b: b, write: write}
	t.decode(root.Get(keyMeta), &t.meta)
	if t.err != nil {
		return nil, t.err
	}
	if s.opts.Boot != "" && t.meta.Boot != s.opts.Boot {
		return nil, &NotReadyError{Path: s.path, Reason: OtherBoot}
	}
	for _, name := range buckets {
		if b.Bucket(name) == nil && (!old || !slices.ContainsFunc(newBuckets, func(n []byte) bool { return bytes.Equal(n, name) })) {
			return nil, &DamagedError{Path: s.path, Cause: fmt.Sprintf("it has no bucket %q", name)}
		}
	}
	if old {
		return t, migrate(b, t)
	}
	return t, nil
}

// damaging tells a panic that the file's content caused from a fault of this program, which must not be taken for one.
func damaging(p any) bool {
	if _, fault := p.(interface{ Addr() uintptr }); fault {
		return true // the map behind the file is gone
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicked := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicked && !inRuntime {
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return false
		}
	}
}
