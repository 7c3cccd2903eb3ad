package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeByRename makes path hold text; false when it held it already. The temporary name has no ending that a runtime
// would load.
func writeByRename(path string, text []byte) (changed bool, err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return false, nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("cannot make %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, ".enichain-*.tmp")
	if err != nil {
		return false, fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return false, fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return false, fmt.Errorf("cannot put %s in place: %w", path, err)
	}
	return true, nil
}

// rotate moves the flight record aside once it is larger than most bytes: stages append to whatever stands under the
// name, so a line is lost to nobody. One old record is kept.
func rotate(record string, most Bytes) (rotated bool, err error) {
	info, err := os.Stat(record)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look at the flight record: %w", err)
	}
	if info.Size() <= int64(most) {
		return false, nil
	}
	if err := os.Rename(record, record+".1"); err != nil {
		return false, fmt.Errorf("cannot rotate the flight record: %w", err)
	}
	return true, nil
}
