package vpc

import (
	"encoding/base64"
	"strings"
)

// properties are what a list can be filtered by: a name, and the values that an item has for it. Besides them there are
// tag:KEY, tag-key and tag-value for what has tags.
type properties[T any] struct {
	of   map[string]func(T) []string
	tags func(T) map[string]string // nil: no tags
}

// mostFilterValues is EC2's limit for the values of one filter (EC2 user guide, "Filtering your resources").
const mostFilterValues = 200

// matcher turns filters into a test.
func (p properties[T]) matcher(filters []Filter) (func(T) bool, *Error) {
	type test struct {
		values func(T) []string
		wanted patterns
	}
	var tests []test
	for _, f := range filters {
		if len(f.Values) > mostFilterValues {
			return nil, Refuse(CodeFilterLimit, "the filter '%s' has %d values; at most %d are allowed",
				f.Name, len(f.Values), mostFilterValues)
		}
		values := p.property(f.Name)
		if f.Name == "" || values == nil {
			return nil, invalid("The filter '%s' is invalid", f.Name)
		}
		if len(f.Values) == 0 {
			return nil, invalid("The filter '%s' has no value", f.Name)
		}
		tests = append(tests, test{values, newPatterns(f.Values)})
	}
	return func(item T) bool {
		for _, t := range tests {
			if !t.wanted.any(t.values(item)) {
				return false
			}
		}
		return true
	}, nil
}

func (p properties[T]) property(name string) func(T) []string {
	if values := p.of[name]; values != nil || p.tags == nil {
		return values
	}
	if key, ok := strings.CutPrefix(name, "tag:"); ok && key != "" {
		return func(item T) []string {
			if v, ok := p.tags(item)[key]; ok {
				return []string{v}
			}
			return nil
		}
	}
	if name != "tag-key" && name != "tag-value" {
		return nil
	}
	return func(item T) (all []string) {
		for k, v := range p.tags(item) {
			if name == "tag-key" {
				all = append(all, k)
			} else {
				all = append(all, v)
			}
		}
		return all
	}
}

// patterns is a set of wanted values, most of them plain text.
type patterns struct {
	plain map[string]bool
	wild  []string
}

func newPatterns(values []string) patterns {
	p := patterns{plain: map[string]bool{}}
	for _, v := range values {
		if strings.ContainsAny(v, `*?\`) {
			p.wild = append(p.wild, v)
		} else {
			p.plain[v] = true
		}
	}
	return p
}

func (p patterns) any(values []string) bool {
	for _, v := range values {
		if p.plain[v] {
			return true
		}
		for _, pattern := range p.wild {
			if wildcard(pattern, v) {
				return true
			}
		}
	}
	return false
}

// wildcard matches text with a pattern of * (any text), ? (any character) and \ (the next character itself). It goes
// back to the last star only, so it takes at most len(pattern)·len(text) steps.
func wildcard(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			t++
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == text[t]:
			p += 2
			t++
		case p < len(pattern) && pattern[p] != '\\' && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			p, t, mark = star+1, mark+1, mark+1
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// listed is a list request's common part: which ids, which page.
type listed struct {
	page      Page
	least     int  // of MaxResults
	most      int  //
	exclusive bool // MaxResults may not come with ids
	ids       []string
}

// paged walks sorted ids and collects a page of the items that keep lets through. It returns the token of the next
// page, or an empty one at the end.
func paged[T any](l listed, sorted []string, item func(id string) (T, bool), keep func(T) bool) ([]T, string, *Error) {
	if l.page.MaxResults != 0 && (l.page.MaxResults < l.least || l.page.MaxResults > l.most) {
		return nil, "", invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value of %d to %d.",
			l.page.MaxResults, l.least, l.most)
	}
	if l.page.MaxResults != 0 && l.exclusive && len(l.ids) > 0 {
		return nil, "", Refuse(CodeCombination, "The parameter maxResults cannot be used with a list of ids")
	}
	after, err := readToken(l.page.NextToken)
	if err != nil {
		return nil, "", err
	}
	var items []T
	for i, id := range sorted[firstAfter(sorted, after):] {
		one, ok := item(id)
		if !ok || !keep(one) {
			continue
		}
		if l.page.MaxResults > 0 && len(items) == l.page.MaxResults {
			return items, makeToken(sorted[firstAfter(sorted, after)+i-1]), nil
		}
		items = append(items, one)
	}
	return items, "", nil
}

func firstAfter(sorted []string, after string) int {
	low, high := 0, len(sorted)
	for low < high {
		if middle := (low + high) / 2; sorted[middle] <= after {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

const tokenMark = "enichain lab, after "

func makeToken(last string) string {
	return base64.URLEncoding.EncodeToString([]byte(tokenMark + last))
}

func readToken(token string) (string, *Error) {
	if token == "" {
		return "", nil
	}
	text, err := base64.URLEncoding.DecodeString(token)
	last, ok := strings.CutPrefix(string(text), tokenMark)
	if err != nil || !ok || last == "" {
		return "", Refuse(CodeNextToken, "The token '%s' is invalid", token)
	}
	return last, nil
}
