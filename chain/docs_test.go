package chain

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryCodeIsDocumented holds docs/lint.md and this package together: each code has its section and its cell in the
// table, and nothing is described that no rule says.
func TestEveryCodeIsDocumented(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		said = append(said, matches(t, path, `"(C\d{3})"`)...)
	}
	slices.Sort(said)
	said = slices.Compact(said)
	if diff := cmp.Diff(said, matches(t, "../docs/lint.md", `(?m)^### (C\d{3})$`)); diff != "" {
		t.Errorf("sections (-code +docs):\n%s", diff)
	}
	cells := matches(t, "../docs/lint.md", `\[(C\d{3})\]\(#c\d{3}\)`)
	slices.Sort(cells)
	if diff := cmp.Diff(said, cells); diff != "" {
		t.Errorf("table (-code +docs):\n%s", diff)
	}
}

func matches(t *testing.T, path, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestExamplesOfTheDocs runs each section's two lists: the first has the problem, the second has not, and no error.
func TestExamplesOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```json(?: runtime=([a-z]+))?\n(.*?)^```$")
	tried := 0
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		code := section[:4]
		examples := block.FindAllStringSubmatch(section, -1)
		t.Run(code, func(t *testing.T) {
			switch len(examples) {
			case 0:
				return // a folder's, or a file's
			case 2:
			default:
				t.Fatalf("%d lists, want the bad one and the good one", len(examples))
			}
			for i, e := range examples {
				l, problems := Parse("list.conflist", []byte(e[2]))
				if l != nil {
					problems = append(problems, Lint(t.Context(), l, declared{}, Options{Runtime: e[1]})...)
				}
				has := slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == code })
				others := slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Error })
				if has != (i == 0) || i == 1 && others {
					t.Errorf("list %d:\n%s", i+1, spoken(problems))
				}
			}
		})
		tried += len(examples) / 2
	}
	if tried < 20 {
		t.Errorf("only %d examples: this test looks at nothing", tried)
	}
}
