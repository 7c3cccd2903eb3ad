package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
)

// DefaultLedger is where the ledger is unless somebody says otherwise. It outlives the boot, unlike the pool file.
const DefaultLedger = "/var/lib/enichain/ledger"

// Ledger is what a node must not forget when it loses its pool file or reboots: the snapshot in the stream, which says
// that an address is fenced, survives both (docs/protocol.md, A6). The agent alone writes it. It may say more than is
// true (an address as fenced that is not yet), never less.
type Ledger struct {
	Instance ipam.InstanceID `json:"iid"`
	Boot     string          `json:"boot"`
	Inc      ipam.Inc        `json:"inc"`
	Seq      uint64          `json:"seq"` // when it was written; alone it is no reason to write
	Seen     ipam.Seen       `json:"seen"`
	Gen      uint64          `json:"gen"`
	Fenced   []Gone          `json:"fenced,omitempty"`
	Held     []Gone          `json:"held,omitempty"`
	// HoldAll: nothing was known of an earlier pool file, and the hold-down of everything is not over.
	HoldAll bool `json:"holdAll,omitempty"`
}

// says is true when both would tell a later agent the same.
func (l Ledger) says(m Ledger) bool {
	return l.Instance == m.Instance && l.Boot == m.Boot && l.Inc == m.Inc && l.Seen == m.Seen && l.Gen == m.Gen && l.HoldAll == m.HoldAll &&
		slices.Equal(l.Fenced, m.Fenced) && slices.Equal(l.Held, m.Held)
}

// ReadLedger reads the ledger; found is false when there is none. A ledger that makes no sense is an error: its fences
// are not known then, and the caller must hold everything.
func ReadLedger(path string) (l Ledger, found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Ledger{}, false, nil
	}
	if err != nil {
		return Ledger{}, false, fmt.Errorf("cannot read ledger: %w", err)
	}
	l, err = ParseLedger(text)
	if err != nil {
		return Ledger{}, false, fmt.Errorf("cannot read ledger %s: %w", path, err)
	}
	return l, true, nil
}

// ParseLedger reads a ledger's text. It takes what WriteLedger wrote and nothing else: a doubtful one is worth less than
// none, since none holds everything.
func ParseLedger(text []byte) (l Ledger, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return Ledger{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Ledger{}, errors.New("something follows its end")
	}
	if l.Instance == "" || l.Inc == "" || l.Boot == "" {
		return Ledger{}, fmt.Errorf("iid %q, inc %q and boot %q must all be there", l.Instance, l.Inc, l.Boot)
	}
	for _, g := range slices.Concat(l.Fenced, l.Held) {
		if g.Address.IsValid() == g.Prefix.IsValid() || g.Prefix.IsValid() && !store.IsDelegated(g.Prefix) {
			return Ledger{}, fmt.Errorf("%s has neither one address nor one delegated prefix: %s, %s", g.ENI, g.Address, g.Prefix)
		}
	}
	return l, nil
}

// WriteLedger replaces the ledger so that a crash leaves the old one or the new one, and that the new one is on the
// disk when this returns.
func WriteLedger(path string, l Ledger) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("cannot encode ledger: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the ledger's folder: %w", err)
	}
	if err := writeSynced(path+".new", append(text, '\n')); err != nil {
		return fmt.Errorf("cannot write ledger: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot replace ledger: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync the ledger's folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("cannot sync the ledger's folder: %w", err)
	}
	return nil
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ledgerState is what stands on disk and what is on its way there.
type ledgerState struct {
	onDisk  Ledger
	writing bool
	failed  retry
}

// ledgerOf is the ledger that the pool file asks for.
func (c *Core) ledgerOf(fencing []Gone) Ledger {
	s := c.pool.Snapshot
	l := Ledger{Instance: s.Instance, Boot: s.Boot, Inc: s.Inc, Seq: s.Seq, Seen: s.Seen, Gen: s.Gen,
		Fenced: append(slices.Clone(c.pool.Fenced), fencing...), Held: slices.Clone(c.pool.Held), HoldAll: c.pool.HoldAll}
	slices.SortFunc(l.Fenced, Gone.compare)
	slices.SortFunc(l.Held, Gone.compare)
	l.Fenced = slices.Compact(l.Fenced)
	return l
}

// decideLedger brings the ledger up to the pool file, when no wish is between the two.
func (c *Core) decideLedger() {
	l := &c.ledger
	if c.pool.Snapshot.Inc == "" || l.writing || c.fences.busy() || l.failed.holds(c.now) {
		return
	}
	if want := c.ledgerOf(nil); !want.says(l.onDisk) {
		c.writeLedger(want)
	}
}

func (c *Core) writeLedger(want Ledger) {
	c.ledger.writing = true
	c.do(Effect{Ledger: &want})
}

func (c *Core) ledgerWritten(w Written) {
	c.ledger.writing = false
	if w.Err != "" {
		c.ledger.failed.failed(c.now)
		c.note("error", "cannot write the ledger: %s", w.Err)
		c.fences.drop()
		return
	}
	c.ledger.failed.succeeded()
	c.ledger.onDisk = w.Ledger
	c.ledgerHasWish()
}
