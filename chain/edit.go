package chain

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// edit replaces text[start:end].
type edit struct {
	start, end int
	with       string
}

// apply makes edits that do not overlap; all else stays byte for byte.
func apply(text []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(text[at:e.start])
		out.WriteString(e.with)
		at = e.end
	}
	out.Write(text[at:])
	return out.Bytes()
}

// without takes elements out of a list of members or items that lie between brackets, with the commas and the white
// space that belonged to them; spans are all elements, drop says which go.
func without(spans [][2]int, open, closing int, drop func(i int) bool) []edit {
	var edits []edit
	kept := -1 // the last element that stays
	for i := 0; i < len(spans); i++ {
		if !drop(i) {
			kept = i
			continue
		}
		last := i
		for last+1 < len(spans) && drop(last+1) {
			last++
		}
		switch {
		case kept >= 0: // from behind what stays to the end of what goes
			edits = append(edits, edit{start: spans[kept][1], end: spans[last][1]})
		case last+1 < len(spans): // to where the next begins
			edits = append(edits, edit{start: spans[i][0], end: spans[last+1][0]})
		default:
			edits = append(edits, edit{start: open, end: closing})
		}
		i = last
	}
	return edits
}

func memberSpans(v *value) [][2]int {
	var out [][2]int
	for _, m := range v.members {
		out = append(out, [2]int{m.start, m.value.end})
	}
	return out
}

func itemSpans(v *value) [][2]int {
	var out [][2]int
	for _, i := range v.items {
		out = append(out, [2]int{i.start, i.end})
	}
	return out
}

// pair is a member that is to be written.
type pair struct {
	key   string
	value json.RawMessage
}

// object writes members in the order given.
func object(pairs []pair) json.RawMessage {
	var words []string
	for _, p := range pairs {
		words = append(words, quote(p.key)+": "+pretty(p.value))
	}
	if len(words) == 0 {
		return json.RawMessage("{}")
	}
	return json.RawMessage("{ " + strings.Join(words, ", ") + " }")
}

// pretty is a value on one line with air in it: { "a": [1, 2] }.
func pretty(raw json.RawMessage) string {
	src, err := read("", raw)
	if err != nil {
		return string(raw)
	}
	return src.pretty(src.root)
}

func (s *source) pretty(v *value) string {
	var words []string
	switch s.text[v.start] {
	case '{':
		for _, m := range v.members {
			words = append(words, quote(m.key)+": "+s.pretty(m.value))
		}
		if len(words) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(words, ", ") + " }"
	case '[':
		for _, i := range v.items {
			words = append(words, s.pretty(i))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	return string(s.bytes(v))
}

// quote is a JSON string; unlike encoding/json's it leaves <, > and & alone.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be
	return strings.TrimSuffix(b.String(), "\n")
}
