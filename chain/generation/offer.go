package generation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// lasting is what is remembered of one file of the runtime's folder.
type lasting struct {
	Network string `json:"network"`           // of the list that was installed there last
	Number  int    `json:"generation"`        // and its generation
	Offered string `json:"offered,omitempty"` // hash of what a configuration offered last
}

func (s Store) lastingFile(file string) string { return filepath.Join(s.Dir, file+".last") }

func (s Store) last(file string) (l lasting) {
	text, err := os.ReadFile(s.lastingFile(file))
	if err == nil {
		_ = json.Unmarshal(text, &l) // a damaged one costs only that an offer is taken again
	}
	return l
}

func (s Store) setLast(file string, l lasting) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("cannot encode what stands in %s: %w", file, err)
	}
	return replace(s.lastingFile(file), append(text, '\n'), 0o644, false)
}

// Offer applies a list that a configuration names for a file of the runtime's folder: when it is another than the one
// it offered before, and when nothing stands in that file. In the second case what stood there last comes back, which
// may be a list that was applied by hand since. A network that somebody gave another file stays in that one.
func (s Store) Offer(ctx context.Context, file string, text []byte) (c Change, changed bool, err error) {
	sum := sha256.Sum256(text)
	offered := hex.EncodeToString(sum[:])
	l, err := ParseList(text)
	if err != nil {
		return c, false, err
	}
	folder, err := ReadFolder(s.ConfDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, false, err
	}
	target, err := folder.Target(l.Name, file, "")
	if err != nil {
		return c, false, err
	}
	was := s.last(file)
	if was.Offered == offered {
		_, err := os.Stat(filepath.Join(s.ConfDir, file))
		if err == nil || folder.Lists[was.Network].File != "" {
			return c, false, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return c, false, fmt.Errorf("cannot look for the runtime's list: %w", err)
		}
		if g, err := s.readGeneration(was.Network, was.Number); err == nil {
			text = g.Text
		}
	}
	before, readErr := os.ReadFile(filepath.Join(s.ConfDir, target))
	if c, err = s.Apply(ctx, target, text, false); err != nil {
		return c, false, err
	}
	return c, readErr != nil || string(before) != string(text), s.setLast(file, lasting{c.Network, c.Number, offered})
}
