package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// How long descriptors are kept. The kernel frees what was deleted within some 20 ms; while deletions go on it is never
// done, and then one close in a batch waits for all.
const (
	quiet  = 100 * time.Millisecond // since the last one came
	oldest = time.Second            // since the first one came
	most   = 256                    // descriptors at once
)

// Keeper takes descriptors and closes them later.
type Keeper struct {
	conn *net.UnixConn
	path string
}

// Listen begins to take descriptors at path, in the place of a daemon that is gone. Root alone may hand over.
func Listen(path string) (*Keeper, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of %s: %w", path, err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot remove the old socket: %w", err)
		}
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set who may write to %s: %w", path, err), conn.Close())
	}
	return &Keeper{conn, path}, nil
}

// Run takes and closes descriptors until ctx ends, and takes the socket's name away.
func (k *Keeper) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { k.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer os.Remove(k.path)
	defer k.conn.Close()
	closing := make(chan struct{}, 1) // a close may wait: somebody else's, while more are taken
	defer func() { closing <- struct{}{} }()
	var kept batch
	for {
		fds, err := k.take(ctx, kept.until())
		kept.add(fds)
		ended := ctx.Err() != nil || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
		if ended || kept.due(err) {
			select {
			case closing <- struct{}{}:
				all := kept.fds
				go func() { closeAll(all); <-closing }()
				kept = batch{}
			default:
				if ended || len(kept.fds) >= most {
					closeAll(kept.fds)
					kept = batch{}
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case ended:
			return fmt.Errorf("cannot take sockets from stages: %w", err)
		}
	}
}

// batch is what is closed together.
type batch struct {
	fds   []int
	first time.Time // when the first one came
}

func (b *batch) add(fds []int) {
	if len(b.fds) == 0 {
		b.first = time.Now()
	}
	b.fds = append(b.fds, fds...)
}

// until is when the batch is closed if no more comes; the zero time for an empty one.
func (b *batch) until() time.Time {
	if len(b.fds) == 0 {
		return time.Time{}
	}
	last, soon := b.first.Add(oldest), time.Now().Add(quiet)
	if last.Before(soon) {
		return last
	}
	return soon
}

// due says whether it is to be closed now; waited is how the waiting for more ended.
func (b *batch) due(waited error) bool {
	return len(b.fds) > 0 && (waited != nil || len(b.fds) >= most || time.Since(b.first) >= oldest)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// take waits for one datagram; with the zero time for ever.
func (k *Keeper) take(ctx context.Context, until time.Time) ([]int, error) {
	if err := k.conn.SetReadDeadline(until); err != nil || ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	var data [1]byte
	rights := make([]byte, unix.CmsgSpace(4)) // one descriptor: the kernel closes what does not fit
	_, n, _, _, err := k.conn.ReadMsgUnix(data[:], rights)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return nil, nil // nonsense is not worth a word, nor an end
	}
	var all []int
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			all = append(all, fds...)
		}
	}
	return all, nil
}
