package stages

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// briefest is the most bytes of somebody's input that an error repeats.
const briefest = 40

// brief is raw JSON in one short line.
func brief(raw []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return quote(string(raw))
	}
	return shorten(compact.String())
}

func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	if len(s) <= briefest {
		return s
	}
	cut := briefest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// suggest is `, did you mean "x"?` for the nearest known key, or "" when none is near.
func suggest(key string, fields map[string]reflect.Value, known func(string) bool) string {
	candidates := sortedKeys(fields)
	if known != nil {
		for _, k := range runtimeKeys {
			if known(k) {
				candidates = append(candidates, k)
			}
		}
	}
	if near := Nearest(key, candidates); near != "" {
		return ", did you mean " + strconv.Quote(near) + "?"
	}
	if len(fields) == 0 {
		return ", this stage has no keys of its own"
	}
	return ", known are " + strings.Join(sortedKeys(fields), ", ")
}

// Nearest is the candidate with the least edit distance to word, letter case apart; "" when every one is further than
// a third of the word (and two letters) away.
func Nearest(word string, candidates []string) string {
	lower := strings.ToLower(shorten(word))
	best, limit := "", max(2, len(lower)/3)
	for _, c := range candidates {
		if d := distance(lower, strings.ToLower(c)); d <= limit {
			if d < limit || best == "" {
				best = c
			}
			limit = d
		}
	}
	return best
}

// distance is Levenshtein's, with two letters swapped counted once: the commonest slip of all.
func distance(a, b string) int {
	var before []int // two rows up
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := row[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			next[j] = min(change, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
