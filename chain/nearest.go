package chain

import (
	"maps"
	"slices"
	"strings"
)

// nearest is the candidate with the least edit distance to a word, letter case apart; "" where none is so near that a
// slip of the hand explains it: one letter in three.
func nearest(word string, candidates []string) string {
	word = strings.ToLower(word)
	best, limit := "", max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(word, strings.ToLower(c)); d <= limit && (best == "" || d < limit) {
			best, limit = c, d
		}
	}
	return best
}

// distance counts the letters to change, add or remove (Levenshtein's).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// keysOf are the keys of a map in alphabetical order.
func keysOf[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
