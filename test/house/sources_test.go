package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top of the checkout.
const root = "../.."

func TestTopLevel(t *testing.T) {
	allowed := map[string]bool{
		"stages": true, "bus": true, "ipam": true, "chain": true, "conflists": true, "cmd": true, "test": true,
		"docs": true, "go.mod": true, "go.sum": true, "Makefile": true, "README.md": true, "LICENSE": true,
	}
	for _, name := range tracked(t) {
		top := strings.Split(name, "/")[0]
		if !allowed[top] && !strings.HasPrefix(top, ".") {
			t.Errorf("%s stands at the top of the house and has no place there", top)
			allowed[top] = true
		}
	}
}

// tracked are the files git knows, relative to the top.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list the tracked files: %v", err)
	}
	return strings.Fields(string(out))
}

// forbidden must never stand in production code: each would break an invariant that no test can see.
var forbidden = []struct {
	name    string
	pattern *regexp.Regexp
	why     string
}{
	{"reassignment", regexp.MustCompile(`AllowReassignment`), "it takes an address from another node's pod (protocol r7)"},
	{"forced detach", regexp.MustCompile(`\bForce:`), "a device index may stay unusable until the instance is stopped (protocol r7)"},
	{"the lab", regexp.MustCompile(`(?i)vpclab|test/lab`), "production code does not know that a lab exists"},
}

func TestForbiddenWords(t *testing.T) {
	for _, file := range production(t) {
		if strings.HasPrefix(file, "cmd/vpclab/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range forbidden {
			for i, line := range strings.Split(string(text), "\n") {
				code, _, _ := strings.Cut(line, "//")
				if f.pattern.MatchString(code) {
					t.Errorf("%s:%d says %q: %s", file, i+1, strings.TrimSpace(line), f.why)
				}
			}
		}
	}
}

// production are the Go files that people run: no tests, nothing below test.
func production(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, name := range tracked(t) {
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "test/") {
			files = append(files, name)
		}
	}
	return files
}

// TestNoHiddenStart refuses init functions and package-level variables that are made by a call with effects: what a
// program does starts in main.
func TestNoHiddenStart(t *testing.T) {
	for _, file := range production(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", file)
			}
		}
	}
}

// TestPackagesSayWhatTheyAre wants one package comment in every folder of production code.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	said := map[string]bool{}
	for _, file := range production(t) {
		dir := filepath.Dir(file)
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		said[dir] = said[dir] || parsed.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s: no file says what the package is", dir)
		}
	}
}
