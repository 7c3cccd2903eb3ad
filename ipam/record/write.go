package record

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Writer writes a record, of several cores at once if need be. It is safe for concurrent use. Its first error stays.
type Writer struct {
	mu    sync.Mutex // guards all below, and the order of what is written
	to    io.Writer
	steps map[key]uint64
	err   error
}

// NewWriter writes to to, one line in each call.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to, steps: map[key]uint64{}} }

// Begin writes the header of a core's life. Config is agent.Options or reconcile.Config; seed is that of the core's
// random source, nil if it has none.
func (w *Writer) Begin(core, node string, seed *[2]uint64, config any) error {
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("cannot encode configuration of %s: %w", key{core, node}, err)
	}
	if err := checkCore(core); err != nil {
		return fmt.Errorf("cannot write record: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps[key{core, node}] = 0
	return w.write(Header{Enichain: "record", V: Version, Core: core, Node: node, Seed: seed, Config: text})
}

// Step writes one step of a core whose life has begun here.
func (w *Writer) Step(core, node string, now, in, out any) error {
	k := key{core, node}
	line := Line{Core: core, Node: node}
	for _, part := range []struct {
		into *json.RawMessage
		from any
	}{{&line.Now, now}, {&line.In, in}, {&line.Out, out}} {
		text, err := json.Marshal(part.from)
		if err != nil {
			return fmt.Errorf("cannot encode step of %s: %w", k, err)
		}
		*part.into = text
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, begun := w.steps[k]
	if !begun {
		return fmt.Errorf("cannot write step of %s: its life has not begun in this record", k)
	}
	line.N = n + 1
	if err := w.write(line); err != nil {
		return err
	}
	w.steps[k] = line.N
	return nil
}

// Close says why a record ends before its cores do. It does not close what is written to.
func (w *Writer) Close(reason string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(End{Enichain: "end", Reason: reason})
}

func (w *Writer) write(line any) error {
	if w.err != nil {
		return w.err
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("cannot encode line of record: %w", err)
	}
	if _, err := w.to.Write(append(text, '\n')); err != nil {
		w.err = fmt.Errorf("cannot write record: %w", err)
	}
	return w.err
}
