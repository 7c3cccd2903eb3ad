package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/enichain/enichain/ipam"
)

// FileBus is a bus that ends on this node: a file says what the node has, and is read anew whenever it changes. It is
// for nodes whose addresses somebody else manages, and for tests.
//
// The file is one ipam.Supply in JSON. What only a reconciler can know may be left out and is filled in: iid (this
// node's), epoch and rev (rising), basis (the newest snapshot before the file was read: the file takes the place of the
// list that a reconciler would have made then). A file that cannot be read changes nothing, and is named in Faults.
type FileBus struct {
	path   string
	faults func(error)

	mu      sync.Mutex // guards the rest
	last    ipam.Snapshot
	some    bool // there was a snapshot
	sent    []byte
	basis   ipam.Basis
	seen    ipam.Seen
	again   time.Time // earliest moment to send what did not change
	changed chan struct{}
}

var _ Bus = (*FileBus)(nil)

// NewFileBus makes one. faults is told, once per content, why the file cannot be used; nil = nobody wants to know.
func NewFileBus(path string, faults func(error)) *FileBus {
	if faults == nil {
		faults = func(error) {}
	}
	return &FileBus{path: path, faults: faults, changed: make(chan struct{}, 1)}
}

// Connected is always true.
func (b *FileBus) Connected() bool { return true }

// Reconnects is always 0.
func (b *FileBus) Reconnects() uint64 { return 0 }

// Changed is nil: there is nothing to tell.
func (b *FileBus) Changed() <-chan struct{} { return nil }

// PublishEvent drops the record: nobody listens.
func (b *FileBus) PublishEvent(context.Context, ipam.InstanceID, ipam.Inc, ipam.Record) error {
	return nil
}

// PublishSnapshot keeps the snapshot as the basis of the next reading.
func (b *FileBus) PublishSnapshot(_ context.Context, s ipam.Snapshot) error {
	b.mu.Lock()
	b.last, b.some = s, true
	b.mu.Unlock()
	b.wake()
	return nil
}

func (b *FileBus) wake() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// fileAgain is how often the same content is sent anew while addresses wait to be proven gone, or to come back.
const fileAgain = 5 * time.Second

// Supplies sends what the file says whenever it says something else, and after that only while something waits for it.
func (b *FileBus) Supplies(ctx context.Context, instance ipam.InstanceID, f func(ipam.Supply)) error {
	base := filepath.Base(b.path)
	err := watchFolder(ctx, filepath.Dir(b.path), func(name string) {
		if name == base || name == "" {
			b.wake()
		}
	})
	if err != nil {
		return err
	}
	ticker := time.NewTicker(fileAgain)
	defer ticker.Stop()
	var fault string
	for {
		supply, send, err := b.next(instance, time.Now())
		switch {
		case err != nil && err.Error() != fault:
			fault = err.Error()
			b.faults(err)
		case err == nil:
			fault = ""
		}
		if send {
			f(supply)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-b.changed:
		}
	}
}

// next reads the file and says whether there is something to send.
func (b *FileBus) next(instance ipam.InstanceID, now time.Time) (ipam.Supply, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.some {
		return ipam.Supply{}, false, nil // the file must be read after a snapshot
	}
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ipam.Supply{}, false, nil // not there yet: that is no order to give up everything
	}
	if err != nil {
		return ipam.Supply{}, false, fmt.Errorf("cannot read supply file: %w", err)
	}
	fresh := !bytes.Equal(text, b.sent) || b.last.Inc != b.basis.Inc
	due := b.last.Seen.Less(b.seen) || waits(b.last, b.basis)
	if !fresh && (!due || now.Before(b.again)) {
		return ipam.Supply{}, false, nil
	}
	s, err := readSupply(text, b.path)
	if err != nil {
		return ipam.Supply{}, false, err
	}
	if bytes.Equal(text, b.sent) {
		s.Release = nil // a wish is said once
	}
	b.stamp(&s, instance)
	b.sent, b.basis, b.again = slices.Clone(text), s.Basis, now.Add(fileAgain)
	b.seen = ipam.Seen{Epoch: s.Epoch, Rev: s.Rev}
	return s, true, nil
}

// waits is true while a pool holds or has fenced addresses and has moved on since it was told of them.
func waits(s ipam.Snapshot, told ipam.Basis) bool {
	held := slices.ContainsFunc(s.ENIs, func(e ipam.ENISummary) bool {
		return e.Held+e.IPv6.Held+len(e.Fenced)+len(e.FencedPrefixes()) > 0
	})
	return held && s.Seq > told.Seq
}

func readSupply(text []byte, path string) (s ipam.Supply, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("cannot read supply file %s: %w", path, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("cannot read supply file %s: something follows its end", path)
	}
	return s, nil
}

// stamp fills in what the file leaves open.
func (b *FileBus) stamp(s *ipam.Supply, instance ipam.InstanceID) {
	if s.Instance == "" {
		s.Instance = instance
	}
	if b.basis.Inc != b.last.Inc {
		s.First = true // nobody but the file speaks for this node: there is no older word that could be meant
	}
	if s.Basis == (ipam.Basis{}) {
		s.Basis = ipam.Basis{Inc: b.last.Inc, Seq: b.last.Seq}
	}
	if s.Epoch == 0 && s.Rev == 0 {
		s.Epoch, s.Rev = max(b.last.Seen.Epoch, b.seen.Epoch), max(b.last.Seen.Rev, b.seen.Rev)+1
		if s.Epoch == 0 {
			s.Epoch = 1
		}
	}
}
