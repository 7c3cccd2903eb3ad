// Package spelling finds the word that somebody meant.
package spelling

import "strings"

// longest is the most bytes of a word that are looked at: a key is shorter, and the work grows with the square.
const longest = 64

// Nearest is the candidate with the least edit distance to a word, letter case apart, the first where several are; ""
// where none is so near that a slip of the hand explains it: one letter in three, or one in a shorter word.
func Nearest(word string, candidates []string) string {
	best, limit := "", max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= limit && (best == "" || d < limit) {
			best, limit = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with two letters swapped counted once: the commonest slip of all.
func distance(a, b string) int {
	if most := max(len(a), len(b)); most > longest {
		return most
	}
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
