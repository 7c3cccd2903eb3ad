package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/enichain/enichain/stages"
)

const (
	flightEvery = time.Second // from news of the record to reading it: the lines of many pods are one reading
	flightLine  = 16 << 10    // bytes; a longer line is no line of ours
)

// followFlight counts what the stages write down, and rotates the record. Counting begins with the daemon. Nothing is
// done while no stage runs.
func (d *daemon) followFlight(ctx context.Context) error {
	tail := &tail{path: d.config.Flight.File, each: func(line []byte) {
		var f stages.Flight
		if json.Unmarshal(line, &f) != nil || !known(f) {
			d.numbers.badLines.Inc()
			return
		}
		d.numbers.flew(f)
	}}
	defer tail.close()
	tail.skip()
	watchedFile{path: d.config.Flight.File, settle: flightEvery, plain: true}.wait(ctx, func() {
		if err := tail.read(); err != nil {
			d.log.Debug("cannot read the flight record", "error", err)
		}
		if _, err := rotate(d.config.Flight.File, d.now().Flight.Max); err != nil {
			d.log.Warn("the flight record grows", "error", err)
		}
	})
	return nil
}

// known keeps nonsense in the record from becoming a label.
func known(f stages.Flight) bool {
	switch f.Command {
	case "", "ADD", "DEL", "CHECK", "GC", "STATUS":
	default:
		return false
	}
	return f.Stage != "" && len(f.Stage) < 64 && len(f.Token) < 32 && f.Took >= 0 && f.Lock >= 0 && f.Wait >= 0
}

// tail reads whole lines from a file that grows and is moved away now and then.
type tail struct {
	path string
	each func(line []byte)
	file *os.File
	rest []byte // an unfinished line
}

// skip begins after what is there already.
func (t *tail) skip() {
	if t.open() == nil {
		_, _ = t.file.Seek(0, io.SeekEnd) // a file that cannot be sought is read whole: counted twice at worst
	}
}

func (t *tail) open() (err error) {
	if t.file == nil {
		t.file, err = os.Open(t.path)
	}
	return err
}

func (t *tail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// read passes all new lines on, those of a file that was moved away first.
func (t *tail) read() error {
	for {
		if err := t.open(); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}
		if err := t.drain(); err != nil {
			return err
		}
		here, err := t.file.Stat()
		if err != nil {
			return err
		}
		named, err := os.Stat(t.path)
		if err == nil && os.SameFile(here, named) {
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		t.rest = nil
		t.close()
		if err != nil {
			return nil
		}
	}
}

func (t *tail) drain() error {
	r := bufio.NewReader(t.file)
	for {
		chunk, err := r.ReadBytes('\n')
		if err == nil {
			line := append(t.rest, chunk...)
			t.rest = nil
			t.each(bytes.TrimSpace(line))
			continue
		}
		t.rest = append(t.rest, chunk...)
		if len(t.rest) > flightLine {
			t.rest = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}
