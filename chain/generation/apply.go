package generation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Change is what Apply does, or would do.
type Change struct {
	Network string `json:"network"`
	File    string `json:"file"`              // name in the runtime's folder
	Before  int    `json:"before"`            // the network's generation that the runtime had; 0 for none
	Number  int    `json:"generation"`        // its generation now; the same as Before when the very list was there already
	Renamed string `json:"renamed,omitempty"` // the network whose list stood in that file before, when it is another one
	// Shadowed is a file that the runtime reads before this one: it is that network's pods that are made.
	Shadowed string `json:"shadowed,omitempty"`
}

// Changed says whether the runtime has another list than before.
func (c Change) Changed() bool { return c.Number != c.Before || c.Renamed != "" }

// What Target refuses.
var (
	// ErrName: it is not clear which file of the runtime's folder a list is to stand in.
	ErrName = errors.New("it is not clear in which file of the runtime's folder the list is to stand")
	// ErrSecond: another file of the folder has the network already.
	ErrSecond = errors.New("the runtime would have the network twice")
	// ErrSingle: what has the network is one plugin's configuration, whose file cannot hold a list.
	ErrSingle = errors.New("the runtime has the network as one plugin's configuration")
)

// Target is the file of the runtime's folder that a list is for: as, if given; the file that holds the network's list
// now; else one of the same name as the list's own (name, "" where it has none).
func (f Folder) Target(network, name, as string) (string, error) {
	there, known := f.Lists[network]
	switch {
	case known && filepath.Ext(there.File) != ".conflist":
		return "", fmt.Errorf("%w: %s, in %s", ErrSingle, network, there.File)
	case as != "" && known && there.File != as:
		return "", fmt.Errorf("%w: %s stands in %s already, and %s would be a second one", ErrSecond, network, there.File, as)
	case as != "":
		name = as
	case known:
		name = there.File
	case name == "":
		return "", fmt.Errorf("%w: it was read from no file", ErrName)
	}
	if filepath.Base(name) != name || filepath.Ext(name) != ".conflist" || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%w: %q, but a list's file ends in .conflist", ErrName, name)
	}
	return name, nil
}

// Apply makes text the runtime's list in one step, as the next generation of its network; file is its name in the
// runtime's folder (Folder.Target). What the living were born with is written down first: from here on nothing is lost,
// with a daemon about or not. With dry it only says what it would do.
func (s Store) Apply(ctx context.Context, file string, text []byte, dry bool) (Change, error) {
	c := Change{File: file}
	l, err := ParseList(text)
	if err != nil {
		return c, err
	}
	c.Network = l.Name
	if !dry {
		unlock, err := s.lock(ctx)
		if err != nil {
			return c, err
		}
		defer unlock()
	}
	folder, err := ReadFolder(s.ConfDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	n, err := s.read(l.Name)
	if err != nil {
		return c, err
	}
	old := folder.in(file)
	if old.File != "" && old.List.Name != l.Name {
		c.Renamed = old.List.Name
	}
	c.Shadowed = folder.before(file, l.Name)
	if dry {
		c.Before, c.Number = n.foresee(old, l.Name, text)
		return c, nil
	}
	return c, s.install(&c, &n, l, folder, text)
}

// install is Apply under its lock.
func (s Store) install(c *Change, n *Network, l List, folder Folder, text []byte) error {
	old := folder.in(c.File)
	if c.Renamed != "" {
		if err := s.adopt(old); err != nil {
			return err
		}
	} else if old.File != "" {
		g, err := s.current(n, old)
		if err != nil {
			return err
		}
		c.Before = g.Number
	}
	tracked := slices.DeleteFunc([]string{l.Name, c.Renamed}, func(name string) bool { return name == "" })
	if err := s.recordBirths(folder, tracked); err != nil {
		return err
	}
	if old.File != "" && bytes.Equal(old.Text, text) {
		c.Number = c.Before
		return s.installed(*c)
	}
	if last := n.newest(); last != nil && bytes.Equal(last.Text, text) {
		c.Number = last.Number // kept already: somebody took it out of the runtime's folder, or died on the way there
	} else {
		g, err := s.addGeneration(n, l, text, time.Time{})
		if err != nil {
			return err
		}
		c.Number = g.Number
	}
	if err := os.MkdirAll(s.ConfDir, 0o755); err != nil {
		return fmt.Errorf("cannot make the runtime's folder: %w", err)
	}
	if err := s.sweep(); err != nil {
		return err
	}
	if err := replaceLike(filepath.Join(s.ConfDir, c.File), text); err != nil {
		return err
	}
	if err := s.installed(*c); err != nil {
		return err
	}
	return s.recordBirths(folder, tracked) // of those that were on their way
}

// sweep removes what an Apply that was killed left in the runtime's folder. Only who holds the lock writes there.
func (s Store) sweep() error {
	left, err := filepath.Glob(filepath.Join(escapeGlob(s.ConfDir), ".enichain-*"+temporary))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("cannot clean up the runtime's folder: %w", err)
	}
	return nil
}

// installed remembers what stands in the file, and keeps what was offered for it.
func (s Store) installed(c Change) error {
	l := s.last(c.File)
	if l.Network == c.Network && l.Number == c.Number {
		return nil
	}
	l.Network, l.Number = c.Network, c.Number
	return s.setLast(c.File, l)
}

// in is what stands in one file of the folder.
func (f Folder) in(file string) InFolder {
	for _, l := range f.Lists {
		if l.File == file {
			return l
		}
	}
	return InFolder{}
}

// before is a list of another network that the runtime reads before file; "" for none.
func (f Folder) before(file, network string) string {
	for _, name := range slices.Sorted(maps.Keys(f.Lists)) {
		if l := f.Lists[name]; name != network && l.File < file {
			return l.File
		}
	}
	return ""
}

// foresee is what install would make of the numbers.
func (n Network) foresee(old InFolder, network string, text []byte) (before, number int) {
	last, newest := 0, []byte(nil)
	if g := n.newest(); g != nil {
		last, newest = g.Number, g.Text
	}
	if old.File != "" && old.List.Name == network {
		if !bytes.Equal(newest, old.Text) {
			last, newest = last+1, old.Text // the list that stands there would be kept first
		}
		before = last
	}
	if bytes.Equal(newest, text) {
		return before, last
	}
	return before, last + 1
}

// adopt keeps a list of another network that is about to be replaced.
func (s Store) adopt(there InFolder) error {
	n, err := s.read(there.List.Name)
	if err != nil {
		return err
	}
	_, err = s.current(&n, there)
	return err
}

// current is the generation of the list that the runtime has: the newest, or else a list that somebody else put there,
// which is kept as one more generation. So a number never stands for two lists, and a higher one is later.
func (s Store) current(n *Network, there InFolder) (Generation, error) {
	if last := n.newest(); last != nil && bytes.Equal(last.Text, there.Text) {
		return *last, nil
	}
	var at time.Time
	if info, err := os.Stat(filepath.Join(s.ConfDir, there.File)); err == nil {
		at = info.ModTime()
	}
	if last := n.newest(); last != nil && at.Before(last.Installed) {
		at = time.Time{} // a file that was moved there keeps its old time
	}
	l := there.List
	l.Stages = l.Stages[:len(l.Stages)-len(there.DropIns)]
	return s.addGeneration(n, l, there.Text, at)
}

// recordBirths writes down every attachment of these networks that the runtime's cache has.
func (s Store) recordBirths(folder Folder, networks []string) error {
	boot, err := BootID()
	if err != nil {
		return err
	}
	entries, err := NewCache(s.Results).Read()
	if err != nil {
		return err
	}
	for _, network := range networks {
		n, err := s.read(network)
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for _, b := range n.Births {
			have[b.key()] = true
		}
		for _, e := range entries {
			if !e.OK || e.Cached.Network != network {
				continue
			}
			b, err := birthOf(e, boot, n, folder.Lists[network].DropIns)
			if err != nil || have[b.key()] {
				continue // a list that nobody can read was run by nobody
			}
			if err := s.save(b); err != nil {
				return err
			}
		}
	}
	return nil
}
