// Package manual reads our manuals for tests that do what they show.
package manual

import (
	"os"
	"regexp"
	"testing"
)

// Examples are the code blocks of a kind in a Markdown file, of which there are no fewer than least.
func Examples(t *testing.T, file, kind string, least int) [][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		found = append(found, m[1])
	}
	if len(found) < least {
		t.Fatalf("%s has %d examples of %s, want %d or more", file, len(found), kind, least)
	}
	return found
}
