package generation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch hears changes in folders. One goroutine uses it.
type watch struct {
	folders []string
	file    *os.File // inotify instance
	armed   map[int32]string
	buf     [16 << 10]byte
}

// heard are the changes that matter: a file was written, came by a rename, or went.
const heard = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// newWatch listens to nothing yet.
func newWatch(folders ...string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch folders: inotify: %w", err)
	}
	return &watch{folders: folders, file: os.NewFile(uintptr(fd), "inotify"), armed: map[int32]string{}}, nil
}

func (w *watch) Close() error { return w.file.Close() }

// arm listens to each folder that it does not listen to yet. One that is missing is made where a mode says how its owner
// would, and else left out. Changes from then on are heard, so whoever arms looks afterwards.
func (w *watch) arm(modes map[string]os.FileMode) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch folders: %w", err)
	}
	at := map[string]bool{}
	for _, folder := range w.armed {
		at[folder] = true
	}
	var errs []error
	for _, folder := range w.folders {
		if at[folder] {
			continue
		}
		mode, make := modes[folder]
		if make {
			if err := os.MkdirAll(folder, mode); err != nil {
				errs = append(errs, fmt.Errorf("cannot watch %s: %w", folder, err))
				continue
			}
		}
		var wd int
		var werr error
		if err := raw.Control(func(fd uintptr) { wd, werr = unix.InotifyAddWatch(int(fd), folder, heard) }); err != nil || werr != nil {
			if !make && errors.Is(werr, unix.ENOENT) {
				continue
			}
			errs = append(errs, fmt.Errorf("cannot watch %s: %w", folder, errors.Join(err, werr)))
			continue
		}
		w.armed[int32(wd)] = folder
	}
	return errors.Join(errs...)
}

// wait returns after a change, at until (zero: never), or when ctx ends.
func (w *watch) wait(ctx context.Context, until time.Time) error {
	_ = w.file.SetReadDeadline(until)
	stop := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := w.file.Read(w.buf[:])
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		return fmt.Errorf("cannot hear changes of folders: %w", err)
	}
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&w.buf[at]))
		if e.Mask&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
			if e.Mask&unix.IN_MOVE_SELF != 0 {
				if raw, err := w.file.SyscallConn(); err == nil { // it would go on with a folder of another name
					_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(e.Wd)) })
				}
			}
			delete(w.armed, e.Wd)
		}
		at += unix.SizeofInotifyEvent + int(e.Len)
	}
	return nil
}

// Run looks at each change of the runtime's folders, until ctx ends. Until a list was installed there is nothing to do,
// and it makes no folder.
func (k *Keeper) Run(ctx context.Context) error {
	w, err := newWatch(k.Store.Results, k.Store.ConfDir)
	if err != nil {
		return err
	}
	defer w.Close()
	const settle, retry = 5 * time.Millisecond, 10 * time.Second
	said := ""
	for ctx.Err() == nil {
		err := k.arm(w)
		again, failed := k.Round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err = errors.Join(err, failed); err != nil && err.Error() != said {
			k.Log.Error("departed stages are not looked after", "error", err, "retry", retry)
		}
		said = ""
		if err != nil {
			said = err.Error()
		}
		if at := time.Now().Add(retry); (err != nil || len(w.armed) < len(w.folders)) && (again.IsZero() || at.Before(again)) {
			again = at
		}
		if err := w.wait(ctx, again); err != nil && ctx.Err() == nil {
			return err
		}
		// Changes come in swarms; a little later there is one look for all of them.
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
	}
	return nil
}

// arm listens; the runtime's folders are made as it would once there is something to listen for.
func (k *Keeper) arm(w *watch) error {
	var modes map[string]os.FileMode
	if _, err := os.Stat(k.Store.Dir); err == nil {
		modes = map[string]os.FileMode{k.Store.Results: 0o700, k.Store.ConfDir: 0o755} // as libcni makes the one, packages the other
	}
	return w.arm(modes)
}
