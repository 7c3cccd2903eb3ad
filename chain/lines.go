package chain

import "strings"

// LineDiff is what changes from one text to another, line by line: "- " before a line that goes, "+ " before one that
// comes. Lines that stay are not shown.
func LineDiff(before, after []byte) string {
	a, b := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	var out strings.Builder
	for _, step := range align(a, b, func(x, y string) bool { return x == y }) {
		switch {
		case step.b < 0:
			out.WriteString("- " + a[step.a] + "\n")
		case step.a < 0:
			out.WriteString("+ " + b[step.b] + "\n")
		}
	}
	return out.String()
}

// aligned pairs an element of one sequence with one of another; -1 where it has no partner.
type aligned struct{ a, b int }

// align finds a longest common subsequence, and lists both sequences along it: what goes before what comes.
func align[T any](a, b []T, same func(T, T) bool) []aligned {
	length := make([][]int, len(a)+1) // of the longest from a[i:], b[j:]
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if same(a[i], b[j]) {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	var out []aligned
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && same(a[i], b[j]):
			out = append(out, aligned{i, j})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || length[i+1][j] >= length[i][j+1]):
			out = append(out, aligned{i, -1})
			i++
		default:
			out = append(out, aligned{-1, j})
			j++
		}
	}
	return out
}
