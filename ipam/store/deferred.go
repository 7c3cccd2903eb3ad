package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/enichain/enichain/ipam"
)

// deferredDEL is one DEL that could not reach the pool file.
type deferredDEL struct {
	ipam.Attachment
	Cause string
}

func (s *Store) deferredPath() string { return s.path + ".deferred" }

// Defer writes down, beside the pool file and without its lock, that an attachment has ended. Whoever next changes the
// pool, an ADD of the same attachment included, settles it first: a runtime may forget a sandbox whose DEL failed, so
// DEL does not fail because somebody else sits on the lock.
func (s *Store) Defer(a ipam.Attachment, cause string) error {
	text, err := json.Marshal(deferredDEL{Attachment: a, Cause: cause})
	if err != nil {
		return fmt.Errorf("cannot defer the end of %s: %w", a, err)
	}
	if err := os.Mkdir(s.deferredPath(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot defer the end of %s: %w", a, err)
	}
	sum := fnv.New128a()
	sum.Write(leaseKey(a))
	name := filepath.Join(s.deferredPath(), hex.EncodeToString(sum.Sum(nil)))
	temp := fmt.Sprintf("%s.%d.new", name, os.Getpid())
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return fmt.Errorf("cannot defer the end of %s: %w", a, err)
	}
	if err := os.Rename(temp, name); err != nil {
		return fmt.Errorf("cannot defer the end of %s: %w", a, err)
	}
	return nil
}

// settleDeferred ends what DEL left behind; the caller holds the lock.
func (s *Store) settleDeferred() error {
	entries, err := os.ReadDir(s.deferredPath())
	if err != nil || len(entries) == 0 {
		return nil // none: the usual case, and an unreadable folder must not stop pods
	}
	var names []string
	var ended []deferredDEL
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".new" {
			continue // being written, or left by one that was killed
		}
		name := filepath.Join(s.deferredPath(), e.Name())
		text, err := os.ReadFile(name)
		var d deferredDEL
		if err == nil && json.Unmarshal(text, &d) == nil {
			ended = append(ended, d)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	now := ReadClock()
	err = s.run(true, func(t *Tx) error {
		for _, d := range ended {
			t.Release(now, d.Attachment, d.Cause)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		_ = os.Remove(name) // what stays is settled again, to no effect
	}
	return nil
}
