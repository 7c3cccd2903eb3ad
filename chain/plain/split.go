package plain

import (
	"bytes"
	"encoding/json"
)

// Split takes an object apart into its members as they stand there, which share its memory. Where ok is false
// encoding/json has to do it: what it would refuse is refused, and so is what is too unusual.
func Split(text []byte) (members map[string]json.RawMessage, ok bool) {
	members = map[string]json.RawMessage{}
	s := &splitter{text: text}
	ok = s.object(0, func(key, value []byte) { members[string(key)] = value }) && s.end()
	return members, ok
}

// Items are those of a list, like Split.
func Items(text []byte) (items []json.RawMessage, ok bool) {
	items = []json.RawMessage{}
	s := &splitter{text: text}
	ok = s.list(0, func(item []byte) { items = append(items, item) }) && s.end()
	return items, ok
}

// Simple is the text of a JSON string that is what it looks like.
func Simple(text []byte) (s string, ok bool) {
	m := &Members{text: text, reading: true}
	token, ok := m.quoted()
	if !ok || len(m.text) > 0 {
		return "", false
	}
	return string(token[1 : len(token)-1]), true
}

// splitter finds where values end.
type splitter struct {
	text []byte
	at   int
}

// deepest is the deepest value that is looked into; encoding/json goes to 10000.
const deepest = 100

// next is the first byte that is no white space; 0 at the end.
func (s *splitter) next() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take goes past c.
func (s *splitter) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

func (s *splitter) end() bool { return s.next() == 0 && s.at == len(s.text) }

// value goes past a value, which it returns.
func (s *splitter) value(depth int) (value []byte, ok bool) {
	c := s.next()
	from := s.at
	switch {
	case depth > deepest:
	case c == '{':
		ok = s.object(depth+1, func(_, _ []byte) {})
	case c == '[':
		ok = s.list(depth+1, func([]byte) {})
	case c == '"':
		ok = s.quoted()
	case c == '-' || c >= '0' && c <= '9':
		ok = s.number()
	default:
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(s.text[s.at:], []byte(word)) {
				s.at += len(word)
				return s.text[from:s.at:s.at], true
			}
		}
	}
	return s.text[from:s.at:s.at], ok
}

func (s *splitter) object(depth int, member func(key, value []byte)) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		s.next()
		from := s.at
		if !s.quoted() {
			return false
		}
		key := s.text[from+1 : s.at-1]
		if bytes.ContainsFunc(key, func(c rune) bool { return c == '\\' || c > '~' }) || !s.take(':') {
			return false
		}
		value, ok := s.value(depth)
		if !ok {
			return false
		}
		member(key, value)
		if !s.take(',') {
			return s.take('}')
		}
	}
}

func (s *splitter) list(depth int, item func([]byte)) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		value, ok := s.value(depth)
		if !ok {
			return false
		}
		item(value)
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// quoted goes past a string; of escapes only those of one character are usual enough.
func (s *splitter) quoted() bool {
	if s.at == len(s.text) || s.text[s.at] != '"' {
		return false
	}
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return true
		case c < ' ':
			return false
		case c == '\\':
			s.at++
			if s.at == len(s.text) || bytes.IndexByte([]byte(`"\/bfnrt`), s.text[s.at]) < 0 {
				return false
			}
		}
	}
	return false
}

// number goes past an integer.
func (s *splitter) number() bool {
	m := &Members{text: s.text[s.at:], reading: true}
	n := len(m.digits())
	s.at += n
	return n > 0 && (s.at == len(s.text) || bytes.IndexByte([]byte(".eE"), s.text[s.at]) < 0)
}
