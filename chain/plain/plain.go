// Package plain reads and writes JSON of one form without reflection: as encoding/json writes it, without white space. A
// process of two milliseconds meets each type once or twice, and encoding/json's plan for it, made by reflection, would
// never pay. What is of another form is left to encoding/json.
//
// A value has one table for both directions: it names the members in order. Reading, a member that is not there is left
// alone; out is for writing, and says that the member is left out.
package plain

import (
	"bytes"
	"encoding"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Members are those of an object under way.
type Members struct {
	text    []byte // reading: what is left; writing: what there is
	reading bool
	strange bool // reading: it is of another form; writing: a value has no JSON
	place
	taken []string // names of members that were read, of this object and those around it
}

// place is where in its object or list the next thing stands.
type place struct {
	comma bool // behind something
	again bool // reading: the table is asked not for the first time, for members in another order
	first int  // in taken, of this object
}

// Table names the members of a value.
type Table func(*Members)

// Write is the JSON of a value; ok is false where it has none, and encoding/json knows why.
func (t Table) Write() (text []byte, ok bool) {
	m := &Members{text: make([]byte, 0, 1<<10)}
	m.object(t)
	return m.text, !m.strange
}

// Read fills a zero value. Where it returns false, encoding/json has to read the text, into a zero value again.
func (t Table) Read(text []byte) bool {
	m := &Members{text: text, reading: true}
	m.object(t)
	return !m.strange && len(m.text) == 0
}

// odd ends reading.
func (m *Members) odd() { m.strange, m.text = true, nil }

// mark is a bracket or a comma.
func (m *Members) mark(c byte) {
	switch {
	case !m.reading:
		m.text = append(m.text, c)
	case len(m.text) > 0 && m.text[0] == c:
		m.text = m.text[1:]
	default:
		m.odd()
	}
}

// object is one with the members of a table. They may come in any order: where the table was asked for those that come
// in its own, it is asked again for the rest.
func (m *Members) object(t Table) {
	outer := m.place
	m.place = place{first: len(m.taken)}
	m.mark('{')
	for {
		left := len(m.text)
		t(m)
		if !m.reading || len(m.text) == left || len(m.text) == 0 || m.text[0] == '}' {
			break
		}
		m.again = true
	}
	m.mark('}')
	m.taken, m.place = m.taken[:m.first], outer
}

// key says whether the value of a member comes next; writing, it does unless it is left out.
func (m *Members) key(name string, out bool) bool {
	if !m.reading {
		if !out {
			m.next()
			m.text = append(m.text, '"')
			m.text = append(m.text, name...)
			m.text = append(m.text, '"', ':')
		}
		return !out
	}
	rest, ok := m.text, true
	if m.comma {
		rest, ok = bytes.CutPrefix(rest, []byte{','})
	}
	n := len(name) + 3
	if !ok || len(rest) < n || rest[0] != '"' || string(rest[1:n-2]) != name || rest[n-2] != '"' || rest[n-1] != ':' {
		return false
	}
	if m.again && slices.Contains(m.taken[m.first:], name) {
		m.odd() // it is there twice
		return false
	}
	m.text, m.comma, m.taken = rest[n:], true, append(m.taken, name)
	return true
}

// next stands before an item of a list, or before a member that is written.
func (m *Members) next() {
	if m.comma {
		m.mark(',')
	}
	m.comma = true
}

// Object is a member with members of its own.
func Object(m *Members, name string, out bool, t Table) {
	if m.key(name, out) {
		m.object(t)
	}
}

// ObjectOf is an object by itself.
func ObjectOf(m *Members, t Table) { m.object(t) }

// Pointer is an object that is left out where the pointer is nil.
func Pointer[T any](m *Members, name string, v **T, table func(*T, *Members)) {
	Optional(m, name, v, func(m *Members, v *T) {
		m.object(func(m *Members) { table(v, m) })
	})
}

// Optional is a value that is left out where the pointer is nil.
func Optional[T any](m *Members, name string, v **T, value func(*Members, *T)) {
	if !m.key(name, *v == nil) {
		return
	}
	if m.reading {
		*v = new(T)
	}
	value(m, *v)
}

// List is a list; nil is null.
func List[T any](m *Members, name string, v *[]T, out bool, item func(*Members, *T)) {
	if !m.key(name, out) {
		return
	}
	if m.null(*v == nil) {
		return
	}
	if m.reading {
		*v = []T{}
	}
	m.items(len(*v), func(i int) {
		if i == len(*v) {
			*v = append(*v, *new(T))
		}
		item(m, &(*v)[i])
	})
}

// null says whether null comes next; writing, it does where there is nothing.
func (m *Members) null(nothing bool) bool {
	const null = "null"
	if !m.reading {
		if nothing {
			m.text = append(m.text, null...)
		}
		return nothing
	}
	rest, ok := bytes.CutPrefix(m.text, []byte(null))
	m.text = rest
	return ok
}

// items are those of a list; writing, there are n.
func (m *Members) items(n int, item func(i int)) {
	outer := m.place
	m.place = place{}
	m.mark('[')
	for i := 0; i < n || m.reading && len(m.text) > 0 && m.text[0] != ']'; i++ {
		m.next()
		item(i)
	}
	m.mark(']')
	m.place = outer
}

// Objects is a list of objects.
func Objects[T any](m *Members, name string, v *[]T, out bool, table func(*T, *Members)) {
	List(m, name, v, out, func(m *Members, v *T) {
		m.object(func(m *Members) { table(v, m) })
	})
}

// Map is a map by texts, written in their order; nil is null.
func Map[T any](m *Members, name string, v *map[string]T, out bool, value func(*Members, *T)) {
	if !m.key(name, out) || m.null(*v == nil) {
		return
	}
	if m.reading {
		*v = map[string]T{}
	}
	m.entries(slices.Sorted(maps.Keys(*v)), func(name string) {
		item, there := (*v)[name]
		if m.reading && there {
			m.odd() // it is there twice
		}
		value(m, &item)
		(*v)[name] = item
	})
}

// entries are those of a map; writing, they have these names.
func (m *Members) entries(names []string, entry func(name string)) {
	outer := m.place
	m.place = place{}
	m.mark('{')
	for i := 0; i < len(names) || m.reading && len(m.text) > 0 && m.text[0] != '}'; i++ {
		m.next()
		var name string
		if !m.reading {
			name = names[i]
		}
		StringOf(m, &name)
		m.mark(':')
		entry(name)
	}
	m.mark('}')
	m.place = outer
}

// String is a text, and StringOf one by itself.
func String[S ~string](m *Members, name string, v *S, out bool) {
	if m.key(name, out) {
		StringOf(m, v)
	}
}

// StringOf: see String.
func StringOf[S ~string](m *Members, v *S) {
	if !m.reading {
		m.quote(string(*v))
		return
	}
	token, simple := m.quoted()
	switch {
	case simple:
		*v = S(token[1 : len(token)-1])
	case m.strange:
	default:
		var s string
		if json.Unmarshal(token, &s) != nil {
			m.odd()
		}
		*v = S(s)
	}
}

// Textual is a value that has a text of its own, such as an address or a time.
type Textual interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}

// Text is a member with a text of its own.
func Text(m *Members, name string, v Textual, out bool) {
	if m.key(name, out) {
		textOf(m, v)
	}
}

// TextOf is such a value by itself.
func TextOf[T any, P interface {
	*T
	Textual
}](m *Members, v *T) {
	textOf(m, P(v))
}

func textOf(m *Members, v Textual) {
	if m.reading {
		if token, simple := m.quoted(); !simple || v.UnmarshalText(token[1:len(token)-1]) != nil {
			m.odd()
		}
		return
	}
	text, err := v.MarshalText()
	if err != nil {
		m.odd()
	}
	m.quote(string(text))
}

// integer is what Number reads and writes.
type integer interface{ ~int | ~int64 | ~uint64 }

// Number is an integer, and NumberOf one by itself.
func Number[N integer](m *Members, name string, v *N, out bool) {
	if m.key(name, out) {
		NumberOf(m, v)
	}
}

// NumberOf: see Number.
func NumberOf[N integer](m *Members, v *N) {
	signed := N(0)-1 < 0
	switch {
	case m.reading && signed:
		n, err := strconv.ParseInt(m.digits(), 10, 64)
		if *v = N(n); err != nil || int64(*v) != n {
			m.odd()
		}
	case m.reading:
		n, err := strconv.ParseUint(m.digits(), 10, 64)
		if *v = N(n); err != nil {
			m.odd()
		}
	case signed:
		m.text = strconv.AppendInt(m.text, int64(*v), 10)
	default:
		m.text = strconv.AppendUint(m.text, uint64(*v), 10)
	}
}

// Bool is true or false.
func Bool(m *Members, name string, v *bool, out bool) {
	if !m.key(name, out) {
		return
	}
	if !m.reading {
		m.text = strconv.AppendBool(m.text, *v)
		return
	}
	for _, value := range []bool{true, false} {
		if rest, ok := bytes.CutPrefix(m.text, strconv.AppendBool(nil, value)); ok {
			m.text, *v = rest, value
			return
		}
	}
	m.odd()
}
