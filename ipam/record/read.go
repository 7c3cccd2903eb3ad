package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Entry is one line of a record: exactly one member is set.
type Entry struct {
	Header *Header
	Line   *Line
	End    *End
}

// Reader reads a record and checks its form: a header before the steps of each core, steps without a gap.
type Reader struct {
	from  *bufio.Reader
	line  int
	steps map[key]uint64
	ended bool
}

// maxLine is the longest line that is read, in bytes: a full list of 5,000 nodes has about 20 MB.
const maxLine = 128 << 20

// NewReader reads a record from its beginning.
func NewReader(from io.Reader) *Reader {
	return &Reader{from: bufio.NewReaderSize(from, 1<<16), steps: map[key]uint64{}}
}

// Number is the number of the line that Next has read last; 1 is the first.
func (r *Reader) Number() int { return r.line }

// Next is the next line; io.EOF after the last. Errors name the line. A last line without an end was being written
// when the file was taken, and is left out.
func (r *Reader) Next() (Entry, error) {
	for {
		text, err := r.read()
		if err != nil {
			return Entry{}, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		e, err := r.parse(text)
		if err != nil {
			return Entry{}, fmt.Errorf("cannot read record: line %d: %w", r.line, err)
		}
		return e, nil
	}
}

func (r *Reader) read() ([]byte, error) {
	var text []byte
	for {
		part, err := r.from.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil:
			r.line++
			return text, nil
		case errors.Is(err, io.EOF):
			if r.line == 0 && len(text) == 0 {
				return nil, errors.New("cannot read record: it is empty")
			}
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("cannot read record: %w", err)
		case len(text) > maxLine:
			return nil, fmt.Errorf("cannot read record: line %d is longer than %d bytes", r.line+1, maxLine)
		}
	}
}

func (r *Reader) parse(text []byte) (Entry, error) {
	var kind struct {
		Enichain *string `json:"enichain"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return Entry{}, fmt.Errorf("no JSON object: %w", err)
	}
	if r.ended {
		return Entry{}, errors.New("something follows the line that ends the record")
	}
	switch {
	case kind.Enichain == nil:
		l := new(Line)
		return Entry{Line: l}, r.parseStep(text, l)
	case *kind.Enichain == "record":
		h := new(Header)
		return Entry{Header: h}, r.parseHeader(text, h)
	case *kind.Enichain == "end":
		e := new(End)
		r.ended = true
		return Entry{End: e}, json.Unmarshal(text, e)
	}
	return Entry{}, fmt.Errorf("enichain is %q; want \"record\" in a header or \"end\" in the last line", *kind.Enichain)
}

func (r *Reader) parseHeader(text []byte, h *Header) error {
	if err := json.Unmarshal(text, h); err != nil {
		return err
	}
	if h.V != Version {
		return fmt.Errorf("v is %d; this program reads %d", h.V, Version)
	}
	if err := checkCore(h.Core); err != nil {
		return err
	}
	if len(h.Config) == 0 {
		return errors.New("config is missing")
	}
	r.steps[key{h.Core, h.Node}] = 0
	return nil
}

func (r *Reader) parseStep(text []byte, l *Line) error {
	if err := json.Unmarshal(text, l); err != nil {
		return err
	}
	k := key{l.Core, l.Node}
	n, begun := r.steps[k]
	switch {
	case !begun:
		return fmt.Errorf("a step of %s, and no header of it before: the record does not begin with the core's life", k)
	case l.N != n+1:
		return fmt.Errorf("step %d of %s follows step %d: steps are missing", l.N, k, n)
	case len(l.Now) == 0, len(l.In) == 0, len(l.Out) == 0:
		return fmt.Errorf("step %d of %s has not all of now, in and out", l.N, k)
	}
	r.steps[k] = l.N
	return nil
}
