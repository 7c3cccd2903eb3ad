package chain

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// kind is what values a key takes: a contract's words, read by a program (contract.Contract.Keys has the grammar).
type kind struct {
	words string // without the note
	any   []alternative
}

// alternative is one of the forms that a value may have.
type alternative struct {
	form    string // "boolean", "string", "integer", "duration", "prefix", "address", "object", "list", "literal", "anything"
	least   string // of integer and duration; "" for no bound
	most    string
	literal string // compact JSON
	items   *kind  // of list
}

// readKind reads a kind. Words that it does not know stand for anything: a contract may be younger than this program.
func readKind(words string) kind {
	words = strings.TrimSpace(withoutNote(words))
	k := kind{words: words}
	rest := words
	for rest != "" {
		if items, ok := strings.CutPrefix(rest, "list of "); ok {
			inner := readKind(items)
			k.any = append(k.any, alternative{form: "list", items: &inner})
			break
		}
		var one string
		one, rest = cutKind(rest)
		k.any = append(k.any, readAlternative(one))
	}
	return k
}

// withoutNote cuts the note for people: what follows the first parenthesis, colon or semicolon that is in no string.
func withoutNote(words string) string {
	quoted := false
	for i, c := range words {
		switch {
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune("(:;", c):
			return words[:i]
		}
	}
	return words
}

// cutKind takes the first of several kinds off.
func cutKind(words string) (first, rest string) {
	quoted := false
	for i := 0; i < len(words); i++ {
		if words[i] == '"' {
			quoted = !quoted
		}
		if quoted {
			continue
		}
		for _, sign := range []string{", or ", ", ", " or "} {
			if strings.HasPrefix(words[i:], sign) {
				return strings.TrimSpace(words[:i]), strings.TrimSpace(words[i+len(sign):])
			}
		}
	}
	return strings.TrimSpace(words), ""
}

func readAlternative(words string) alternative {
	name, limits, limited := strings.Cut(words, " ")
	least, most, ranged := strings.Cut(limits, "..")
	switch {
	case json.Valid([]byte(words)):
		return alternative{form: "literal", literal: compact([]byte(words))}
	case slices.Contains([]string{"boolean", "string", "integer", "duration", "prefix", "address", "object"},
		name) && !limited:
		return alternative{form: name}
	case (name == "integer" || name == "duration") && ranged:
		return alternative{form: name, least: least, most: most}
	}
	return alternative{form: "anything"}
}

// takes says whether a value is of the kind. null always is: it leaves the default.
func (k kind) takes(raw json.RawMessage) bool {
	return len(k.any) == 0 || isNull(raw) || slices.ContainsFunc(k.any,
		func(a alternative) bool { return a.takes(raw) })
}

func (a alternative) takes(raw json.RawMessage) bool {
	word, isText := text(raw)
	switch a.form {
	case "boolean":
		return string(raw) == "true" || string(raw) == "false"
	case "string":
		return isText
	case "integer":
		return a.integer(raw)
	case "duration":
		return isText && a.duration(word)
	case "prefix":
		_, err := netip.ParsePrefix(word)
		return isText && err == nil
	case "address":
		_, err := netip.ParseAddr(word)
		return isText && err == nil
	case "object":
		return len(raw) > 0 && raw[0] == '{'
	case "literal":
		return compact(raw) == a.literal
	case "list":
		var items []json.RawMessage
		return !isText && json.Unmarshal(raw, &items) == nil && !slices.ContainsFunc(items,
			func(i json.RawMessage) bool { return !a.items.takes(i) })
	}
	return true
}

// integer is strict about the form, as Go's decoder is: neither 1.0 nor 1e3.
func (a alternative) integer(raw json.RawMessage) bool {
	n, ok := new(big.Int).SetString(string(raw), 10)
	if !ok {
		return false
	}
	least, ok := new(big.Int).SetString(a.least, 10)
	if ok && n.Cmp(least) < 0 {
		return false
	}
	most, ok := new(big.Int).SetString(a.most, 10)
	return !ok || n.Cmp(most) <= 0
}

func (a alternative) duration(word string) bool {
	d, err := time.ParseDuration(word)
	if err != nil {
		return false
	}
	if least, err := time.ParseDuration(a.least); err == nil && d < least {
		return false
	}
	most, err := time.ParseDuration(a.most)
	return err != nil || d <= most
}

func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}
