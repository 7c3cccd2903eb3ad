package chain

import (
	"bytes"
	"encoding/json"
)

// source is a text with the places of its JSON values, so that a problem can name a line and an edit can leave the rest
// of the text alone.
type source struct {
	file string
	text []byte
	root *value
}

// value is one JSON value: text[start:end].
type value struct {
	start, end int
	members    []member // of an object, in the order of the text
	items      []*value // of an array
}

// member is one key of an object with its value; start is where the key's quote stands.
type member struct {
	key   string
	start int
	value *value
}

// read finds the places of all values of a text. The error is encoding/json's own, *json.SyntaxError where the text is
// no JSON: what that package accepts is accepted, and nothing else.
func read(file string, text []byte) (*source, error) {
	s := &source{file: file, text: text}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return s, err
	}
	p := &scanner{text: text}
	s.root = p.value()
	return s, nil
}

// line is the number of the line, from 1, in which an offset lies; 0 where there is no text.
func (s *source) line(offset int) int {
	if s == nil || s.text == nil {
		return 0
	}
	return 1 + bytes.Count(s.text[:min(max(offset, 0), len(s.text))], []byte("\n"))
}

// bytes is the text of a value.
func (s *source) bytes(v *value) []byte { return s.text[v.start:v.end] }

// member finds a key of an object. A key that stands twice counts where it stands last, as encoding/json has it.
func (v *value) member(key string) (member, bool) {
	if v == nil {
		return member{}, false
	}
	for i := len(v.members) - 1; i >= 0; i-- {
		if v.members[i].key == key {
			return v.members[i], true
		}
	}
	return member{}, false
}

// repeated lists the members of an object, and of the objects in it, whose key stands there again further down.
func (v *value) repeated() []member {
	if v == nil {
		return nil
	}
	var out []member
	last := map[string]int{}
	for i, m := range v.members {
		last[m.key] = i
	}
	for i, m := range v.members {
		if last[m.key] != i {
			out = append(out, m)
		}
		out = append(out, m.value.repeated()...)
	}
	for _, item := range v.items {
		out = append(out, item.repeated()...)
	}
	return out
}

// scanner walks a text that encoding/json found valid, so it asks no questions.
type scanner struct {
	text []byte
	at   int
}

func (p *scanner) space() {
	for p.at < len(p.text) && bytes.IndexByte([]byte(" \t\r\n"), p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *scanner) value() *value {
	p.space()
	v := &value{start: p.at}
	switch p.text[p.at] {
	case '{':
		p.list('}', func() {
			m := member{start: p.at}
			p.word()
			_ = json.Unmarshal(p.text[m.start:p.at], &m.key) // valid
			p.space()
			p.at++ // the colon
			m.value = p.value()
			v.members = append(v.members, m)
		})
	case '[':
		p.list(']', func() { v.items = append(v.items, p.value()) })
	case '"':
		p.word()
	default:
		for p.at < len(p.text) && bytes.IndexByte([]byte(" \t\r\n,]}"), p.text[p.at]) < 0 {
			p.at++
		}
	}
	v.end = p.at
	return v
}

// list walks what stands between brackets, one call for each element.
func (p *scanner) list(closing byte, element func()) {
	p.at++
	for {
		p.space()
		switch p.text[p.at] {
		case closing:
			p.at++
			return
		case ',':
			p.at++
		default:
			element()
		}
	}
}

// word walks a string.
func (p *scanner) word() {
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	p.at++
}
