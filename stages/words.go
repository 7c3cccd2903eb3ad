package stages

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/enichain/enichain/chain/spelling"
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
	if near := spelling.Nearest(key, candidates); near != "" {
		return ", did you mean " + strconv.Quote(near) + "?"
	}
	if len(fields) == 0 {
		return ", this stage has no keys of its own"
	}
	return ", known are " + strings.Join(sortedKeys(fields), ", ")
}
