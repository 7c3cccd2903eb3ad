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
	Folder  Namespace `json:"folder,omitzero"`   // that Netns stands in: a folder of another mount tells nothing of it
	Seen    int       `json:"seen"`              // the newest generation when it was written down: no list before that one deleted it
	DropIns []Stage   `json:"dropIns,omitempty"` // what the folder's drop-ins added to the list
	Taking  []int     `json:"taking,omitempty"`  // stages that are being, or were, taken from the living pod
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

// Namespace tells a network namespace, or a folder, from others that stand at the same path later. The zero value: never seen.
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

// folderOf is the folder that a path is in; zero when there is none.
func folderOf(path string) Namespace {
	var st unix.Stat_t
	if path == "" || unix.Stat(filepath.Dir(path), &st) != nil {
		return Namespace{}
	}
	return Namespace{Dev: uint64(st.Dev), Ino: st.Ino}
}

// namespaceFinding says whether a birth's network namespace is still there. In a mount namespace that does not show
// the runtime's, a path proves nothing.
func namespaceFinding(b Birth) Finding {
	path := b.Cached.Netns
	here := namespaceAt(path)
	seen := b.Netns != Namespace{}
	info, err := os.Stat(path)
	switch {
	case here != Namespace{} && (!seen || here == b.Netns):
		return There
	case b.Folder == Namespace{} || folderOf(path) != b.Folder:
		return Unknown // we see another folder of namespaces than when it was written down, or none
	case here != Namespace{}: // another one
		return Gone
	case err == nil && info.Mode().IsRegular():
		return Unknown // a mount point that may carry the namespace in the runtime's own mount namespace
	case err == nil: // such as /dev/null: the attachment never had one
		return Gone
	case errors.Is(err, fs.ErrNotExist):
		return Gone
	}
	return Unknown
}

// birthOf is the birth that a cached result tells of.
func birthOf(e *Entry, boot string, n Network, dropIns []Stage) (Birth, error) {
	b := Birth{File: e.Name, ID: e.ID, At: e.At, Boot: boot, Netns: namespaceAt(e.Cached.Netns),
		Folder: folderOf(e.Cached.Netns), DropIns: dropIns, Text: e.Text}
	if last := n.newest(); last != nil {
		b.Seen = last.Number
	}
	return b, b.complete()
}

// leasesFrom says whether the birth's address is from the pool in that file, so that no lease there means none.
func (b Birth) leasesFrom(file string) bool {
	return slices.ContainsFunc(b.Stages, func(s Stage) bool { return s.pool() == file && file != "" })
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
	for _, i := range slices.Concat(b.Taking, b.Done, b.left()) {
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

// done says whether the attachment is gone and nothing is left to be done for it.
func (b Birth) done() bool { return b.Ended != nil && len(b.Ended.Left) == 0 }

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
	err := os.Remove(filepath.Join(s.births(b.Cached.Network), b.key()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget the birth of %s: %w", b.File, err)
	}
	return nil
}

// readBirths are a network's, oldest first. A file that cannot be read is a fault of its own: it stays, and with it the
// generations.
func (s Store) readBirths(network string) (births []Birth, faults []string, err error) {
	folder := s.births(network)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the births of %s: %w", network, err)
	}
	known := make(map[string]remembered, len(entries))
	for _, e := range entries {
		if filepath.Ext(e.Name()) == temporary {
			continue
		}
		r, err := s.readBirth(folder, e)
		if errors.Is(err, fs.ErrNotExist) {
			continue // cleaned up meanwhile
		}
		if err != nil {
			faults = append(faults, fmt.Sprintf("cannot read %s: %v", filepath.Join(folder, e.Name()), err))
			continue
		}
		known[e.Name()] = r
		births = append(births, r.birth)
	}
	if s.memo != nil {
		s.memo[folder] = known
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

// memo remembers births by their files, as long as these stay as they are: by folder, and name in it.
type memo map[string]map[string]remembered

type remembered struct {
	at    time.Time
	inode uint64
	size  int64
	birth Birth
}

func (s Store) readBirth(folder string, e fs.DirEntry) (r remembered, err error) {
	info, err := e.Info()
	if err != nil {
		return r, err
	}
	r = remembered{at: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		r.inode = st.Ino
	}
	if was, ok := s.memo[folder][e.Name()]; ok && was.at.Equal(r.at) && was.inode == r.inode && was.size == r.size {
		return was, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, e.Name()))
	if err == nil {
		err = json.Unmarshal(text, &r.birth)
	}
	if err == nil {
		err = r.birth.complete()
	}
	return r, err
}
