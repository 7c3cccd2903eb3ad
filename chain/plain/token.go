package plain

import "encoding/json"

// digits are those of an integer as JSON has it: no zero before others, no minus before zero.
func (m *Members) digits() string {
	n := 0
	if len(m.text) > 0 && m.text[0] == '-' {
		n++
	}
	first := n
	for n < len(m.text) && m.text[n] >= '0' && m.text[n] <= '9' {
		n++
	}
	if n == first || m.text[first] == '0' && n > 1 {
		return ""
	}
	text := string(m.text[:n])
	m.text = m.text[n:]
	return text
}

// quoted takes a string with its quotes; simple says that it is what it looks like.
func (m *Members) quoted() (token []byte, simple bool) {
	if len(m.text) == 0 || m.text[0] != '"' {
		m.odd()
		return nil, false
	}
	simple = true
	for n := 1; n < len(m.text); n++ {
		switch c := m.text[n]; {
		case c == '"':
			token, m.text = m.text[:n+1], m.text[n+1:]
			return token, simple
		case c == '\\':
			simple = false
			n++
		case c < ' ' || c > '~':
			simple = false // encoding/json knows what becomes of it
		}
	}
	m.odd()
	return nil, false
}

func (m *Members) quote(s string) { m.text = Quote(m.text, s) }

// Quote appends a text as encoding/json writes it.
func Quote(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(s) // a string has JSON
			return append(to, escaped...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}
