package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Birth is what made an attachment. It is written down while the attachment lives, and kept until nothing of a departed
// stage can be left of it.
type Birth struct {
	File    string    `json:"file"` // name in the runtime's cache
	ID      string    `json:"id"`   // of the file's content: a container may be added again under the same name
	At      time.Time `json:"at"`   // the file's time
	Boot    string    `json:"boot"` // the kernel's boot id then
	Netns   Namespace `json:"netns"`
	DropIns []Stage   `json:"dropIns,omitempty"` // what the folder's drop-ins added to the list
	Done    []int     `json:"done,omitempty"`    // stages that had their DEL from us already, by their place in Stages
	Ended   *Ended    `json:"ended,omitempty"`   // set once the attachment is gone
	Text    []byte    `json:"cached"`            // the file in the cache, whole

	Cached Cached  `json:"-"` // Text, read
	Stages []Stage `json:"-"` // the list's, and the drop-ins'
}

// Ended is what is still to be done for an attachment that is gone.
type Ended struct {
	At    time.Time      `json:"at"`
	Left  []int          `json:"left"`            // departed stages that need a DEL, in the order in which they get it
	Tries int            `json:"tries,omitempty"` // failed so far
	Next  time.Time      `json:"next,omitzero"`   // not before
	Fault map[int]string `json:"fault,omitempty"` // by stage, of the last try
}

// Namespace tells a network namespace from others that stand at the same path later. The zero value: never seen.
type Namespace struct {
	Dev uint64 `json:"dev,omitempty"`
	Ino uint64 `json:"ino,omitempty"`
}

// namespaceAt is the network namespace that stands at a path; zero when there is none.
func namespaceAt(path string) Namespace {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if path == "" || unix.Statfs(path, &fs) != nil || fs.Type != unix.NSFS_MAGIC || unix.Stat(path, &st) != nil {
		return Namespace{}
	}
	return Namespace{Dev: uint64(st.Dev), Ino: st.Ino}
}

// birthOf is the birth that a cached result tells of.
func birthOf(e *Entry, boot string, dropIns []Stage) (Birth, error) {
	b := Birth{File: e.Name, ID: e.ID, At: e.At, Boot: boot, Netns: namespaceAt(e.Cached.Netns), DropIns: dropIns, Text: e.Text}
	return b, b.complete()
}

// complete fills in what is read from Text.
func (b *Birth) complete() error {
	var ok bool
	if b.Cached, ok = ParseCached(b.Text); !ok {
		return fmt.Errorf("the birth of %s holds no cached result", b.File)
	}
	l, err := ParseList(b.Cached.Config)
	if err != nil {
		if l, err = single(b.Cached.Config); err != nil {
			return fmt.Errorf("the birth of %s: %w", b.File, err)
		}
	}
	b.Stages = l.with(b.DropIns).Stages
	for _, i := range slices.Concat(b.Done, b.left()) {
		if i < 0 || i >= len(b.Stages) {
			return fmt.Errorf("the birth of %s names stage %d of %d", b.File, i+1, len(b.Stages))
		}
	}
	return nil
}

func (b Birth) left() []int {
	if b.Ended == nil {
		return nil
	}
	return b.Ended.Left
}

// key is the name of the birth's own file.
func (b Birth) key() string { return b.File + "." + b.ID }

func (s Store) births(network string) string { return filepath.Join(s.Dir, network, "births") }

// save writes the birth down, in place of what was written of it before.
func (s Store) save(b Birth) error {
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("cannot encode the birth of %s: %w", b.File, err)
	}
	dir := s.births(b.Cached.Network)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot write the birth of %s: %w", b.File, err)
	}
	return replace(filepath.Join(dir, b.key()), text, 0o600, false)
}

func (s Store) forget(b Birth) error {
	path := filepath.Join(s.births(b.Cached.Network), b.key())
	s.memo.drop(path)
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget the birth of %s: %w", b.File, err)
	}
	return nil
}

// readBirths are a network's, oldest first. A file that cannot be read is a fault of its own: it stays, and with it the
// generations.
func (s Store) readBirths(network string) (births []Birth, faults []string, err error) {
	entries, err := os.ReadDir(s.births(network))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the births of %s: %w", network, err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == temporary {
			continue
		}
		path := filepath.Join(s.births(network), e.Name())
		b, err := s.readBirth(path, e)
		if errors.Is(err, fs.ErrNotExist) {
			continue // cleaned up meanwhile
		}
		if err != nil {
			faults = append(faults, fmt.Sprintf("cannot read %s: %v", path, err))
			continue
		}
		births = append(births, b)
	}
	slices.SortFunc(births, func(a, b Birth) int {
		if order := a.At.Compare(b.At); order != 0 {
			return order
		}
		if a.key() < b.key() {
			return -1
		}
		return 1
	})
	return births, faults, nil
}

// memo remembers births by their files, as long as these stay as they are.
type memo struct{ known map[string]remembered }

type remembered struct {
	at    time.Time
	inode uint64
	birth Birth
}

func (s Store) readBirth(path string, e fs.DirEntry) (b Birth, err error) {
	info, err := e.Info()
	if err != nil {
		return b, err
	}
	now := remembered{at: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = st.Ino
	}
	if s.memo != nil {
		if was, ok := s.memo.known[path]; ok && was.at.Equal(now.at) && was.inode == now.inode {
			return was.birth, nil
		}
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err == nil {
		err = b.complete()
	}
	if err == nil && s.memo != nil {
		if s.memo.known == nil {
			s.memo.known = map[string]remembered{}
		}
		now.birth = b
		s.memo.known[path] = now
	}
	return b, err
}

// drop forgets what forget removed.
func (m *memo) drop(path string) {
	if m != nil {
		delete(m.known, path)
	}
}
