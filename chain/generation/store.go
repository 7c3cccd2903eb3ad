package generation

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Store is the folder of lists, and the two folders of the runtime that it goes with.
type Store struct {
	Dir     string // ours
	ConfDir string // where the runtime reads its lists
	Results string // where the runtime keeps its results

	memo memo // of births, for one goroutine that reads again and again; may be nil
}

// Remembering is the store for one goroutine that reads it again and again.
func (s Store) Remembering() Store {
	s.memo = memo{}
	return s
}

// Open fills in the defaults for what is "". It neither makes nor reads a folder.
func Open(s Store) Store {
	return Store{Dir: cmp.Or(s.Dir, DefaultLists), ConfDir: cmp.Or(s.ConfDir, DefaultConfDir), Results: cmp.Or(s.Results, DefaultResults)}
}

// Generation is one list that was installed for a network.
type Generation struct {
	Network   string
	Number    int // from 1, one more with each list that is installed
	Installed time.Time
	Text      []byte // as it was installed
	List      List   // without drop-ins
}

func (g Generation) name() string { return fmt.Sprintf("%s/%d", g.Network, g.Number) }

// Network is what the store knows of one network.
type Network struct {
	Name        string
	Generations []Generation // by number
	Births      []Birth      // oldest first
	Recorded    bool         // an attachment of it was in the runtime's cache once
	Faults      []string     // files of the store that cannot be read
}

// newest is the generation with the highest number; nil where there is none.
func (n Network) newest() *Generation {
	if len(n.Generations) == 0 {
		return nil
	}
	return &n.Generations[len(n.Generations)-1]
}

// Of is the number of the generation that made the attachment: of those with that very list, the newest that was
// installed before it. 0 is a list that was not installed here.
func (n Network) Of(b Birth) (number int) {
	for _, g := range n.Generations {
		if bytes.Equal(g.Text, b.Cached.Config) && (number == 0 || !g.Installed.After(b.At)) {
			number = g.Number
		}
	}
	return number
}

// Read is all that the store knows, by name of the network.
func (s Store) Read() ([]Network, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the generations of lists: %w", err)
	}
	var networks []Network
	for _, e := range entries {
		if !e.IsDir() || !networkName.MatchString(e.Name()) {
			continue
		}
		n, err := s.read(e.Name())
		if err != nil {
			return nil, err
		}
		networks = append(networks, n)
	}
	return networks, nil
}

func (s Store) read(network string) (n Network, err error) {
	n.Name = network
	entries, err := os.ReadDir(filepath.Join(s.Dir, network))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("cannot read the generations of %s: %w", network, err)
	}
	for _, e := range entries {
		stem, is := strings.CutSuffix(e.Name(), ".conflist")
		number, err := strconv.Atoi(stem)
		if !is || err != nil || number < 1 {
			continue
		}
		g, err := s.readGeneration(network, number)
		if errors.Is(err, fs.ErrNotExist) {
			continue // given up meanwhile
		}
		if err != nil {
			n.Faults = append(n.Faults, err.Error())
			continue
		}
		n.Generations = append(n.Generations, g)
	}
	slices.SortFunc(n.Generations, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	n.Recorded = slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == filepath.Base(s.births(network)) })
	births, faults, err := s.readBirths(network)
	n.Births, n.Faults = births, append(n.Faults, faults...)
	return n, err
}

func (s Store) generationFile(network string, number int) string {
	return filepath.Join(s.Dir, network, strconv.Itoa(number)+".conflist")
}

func (s Store) readGeneration(network string, number int) (g Generation, err error) {
	path := s.generationFile(network, number)
	info, err := os.Stat(path)
	if err == nil {
		g = Generation{Network: network, Number: number, Installed: info.ModTime()}
		g.Text, err = os.ReadFile(path)
	}
	if err == nil {
		g.List, err = ParseList(g.Text)
	}
	if err != nil {
		return g, fmt.Errorf("cannot read generation %d of %s: %w", number, network, err)
	}
	return g, nil
}

// addGeneration keeps a list as the next generation, in a file of its own that is on the disk when this returns.
func (s Store) addGeneration(n *Network, l List, text []byte, at time.Time) (Generation, error) {
	number := 1
	if last := n.newest(); last != nil {
		number = last.Number + 1
	}
	path := s.generationFile(n.Name, number)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return Generation{}, fmt.Errorf("cannot keep the list of %s: %w", n.Name, err)
	}
	if err := replace(path, text, 0o600, true); err != nil { // some lists hold credentials
		return Generation{}, err
	}
	if !at.IsZero() {
		if err := os.Chtimes(path, at, at); err != nil {
			return Generation{}, fmt.Errorf("cannot keep the list of %s: %w", n.Name, err)
		}
	}
	g, err := s.readGeneration(n.Name, number)
	if err == nil {
		n.Generations = append(n.Generations, g)
	}
	return g, err
}

// since is the number of the generation that was the runtime's when all births that live were last seen in its cache.
// Lists before that one deleted none of them. 0: not known.
func (s Store) since(network string) int {
	text, err := os.ReadFile(filepath.Join(s.Dir, network, "since"))
	if err != nil {
		return 0
	}
	number, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return number
}

func (s Store) setSince(network string, number int) error {
	return replace(filepath.Join(s.Dir, network, "since"), fmt.Appendln(nil, number), 0o644, false)
}

// temporary is an ending that no runtime takes for a list.
const temporary = ".tmp"

// replace makes path hold text, in one step for whoever reads it. The temporary file is in the same folder: containerd
// looks up on a rename inside its folder, and on nothing that comes from another one.
func replace(path string, text []byte, mode fs.FileMode, durable bool) error {
	return replaceAs(path, text, mode, -1, -1, durable)
}

// replaceAs is replace that also says whose the file is; -1 leaves that as it comes.
func replaceAs(path string, text []byte, mode fs.FileMode, uid, gid int, durable bool) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".enichain-*"+temporary)
	if err != nil {
		return fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if uid >= 0 || gid >= 0 {
		err = errors.Join(err, f.Chown(uid, gid))
	}
	err = errors.Join(err, f.Chmod(mode))
	if durable {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("cannot put %s in place: %w", path, err)
	}
	if !durable {
		return nil
	}
	return syncFolder(dir)
}

// replaceLike is replace for a runtime's list: whoever could read the file before can read it now, and nobody else.
func replaceLike(path string, text []byte) error {
	mode, uid, gid := fs.FileMode(0o644), -1, -1
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	}
	return replaceAs(path, text, mode, uid, gid, true)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot write %s to the disk: %w", dir, err)
	}
	return nil
}

// lock lets one at a time change generations and the runtime's list: apply, and the daemon when it takes over a list
// that somebody else put there.
func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of lists: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the folder of lists: %w", err)
	}
	const patience, step = 10 * time.Second, 10 * time.Millisecond // of somebody who installs a list
	for deadline := time.Now().Add(patience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(step):
		}
	}
}

// BootID is the kernel's name for this boot.
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// drop gives a generation up, and the network with its last one.
func (s Store) drop(g Generation) error {
	if err := os.Remove(s.generationFile(g.Network, g.Number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot give up generation %d of %s: %w", g.Number, g.Network, err)
	}
	n, err := s.read(g.Network)
	if err != nil || len(n.Generations) > 0 || len(n.Births) > 0 || len(n.Faults) > 0 {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, g.Network)); err != nil {
		return fmt.Errorf("cannot give up %s: %w", g.Network, err)
	}
	return nil
}
