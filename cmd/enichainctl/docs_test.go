package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs is the folder of the pages that these tests hold to what is true.
const docs = "../../docs"

// daemonBinary builds enichaind: the pages and plans are judged by the program that will read them.
func daemonBinary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "github.com/enichain/enichain/cmd/enichaind")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build enichaind: %v\n%s", err, out)
	}
	return filepath.Join(dir, "enichaind")
}

// check gives a configuration to enichaind --check.
func check(t *testing.T, enichaind, config string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "enichaind.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(enichaind, "--check", "--config", file).CombinedOutput(); err != nil {
		t.Errorf("enichaind refuses it: %v\n%s\n%s", err, out, config)
	}
}

// TestPoolsPageIsAccepted gives every configuration that docs/pools.md shows to enichaind.
func TestPoolsPageIsAccepted(t *testing.T) {
	enichaind := daemonBinary(t)
	page, err := os.ReadFile(filepath.Join(docs, "pools.md"))
	if err != nil {
		t.Fatal(err)
	}
	head, found := "", 0
	for _, m := range regexp.MustCompile("(?ms)^## (.*?)$|^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if m[1] != "" {
			head = m[1]
			continue
		}
		found++
		t.Run(head, func(t *testing.T) { check(t, enichaind, m[2]) })
	}
	if found < 6 {
		t.Errorf("found only %d configurations: this test looks at nothing", found)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("cluster: c\npools: [{name: default, subnets: {ids: [vpc-1]}}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(enichaind, "--check", "--config", bad).CombinedOutput(); err == nil || !strings.Contains(string(out), "vpc-1") {
		t.Errorf("enichaind --check takes what no subnet is: %s", out)
	}
}

// TestComparisonIsProven reads the tables of docs/amazon-vpc-cni-k8s.md: each of the 80 settings and the 20 complaints has
// a row, and each row names a test that is there or says why there is none.
func TestComparisonIsProven(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "amazon-vpc-cni-k8s.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !regexp.MustCompile(`^\| W?[0-9]+ \|`).MatchString(line) {
			continue
		}
		name := strings.TrimSpace(cells[0])
		rows[name]++
		if len(cells) != 4 {
			t.Errorf("row %s has %d cells; want 4", name, len(cells))
			continue
		}
		proofs := regexp.MustCompile("`([a-z0-9/]+) (Test\\w+|[a-z-]+\\.txtar)`").FindAllStringSubmatch(cells[3], -1)
		if len(proofs) == 0 && (!strings.HasPrefix(strings.TrimSpace(cells[3]), "no") || strings.HasPrefix(name, "W")) {
			t.Errorf("row %s names no test and no reason", name)
		}
		for _, p := range proofs {
			if !proofThere(t, p[1], p[2]) {
				t.Errorf("row %s: %s has no %s", name, p[1], p[2])
			}
		}
	}
	for n := 1; n <= 80; n++ {
		if rows[fmt.Sprint(n)] != 1 {
			t.Errorf("row %d is there %d times", n, rows[fmt.Sprint(n)])
		}
	}
	for n := 1; n <= 20; n++ {
		if rows[fmt.Sprintf("W%d", n)] != 1 {
			t.Errorf("row W%d is there %d times", n, rows[fmt.Sprintf("W%d", n)])
		}
	}
}

// proofThere says whether a folder has a test function or script of that name.
func proofThere(t *testing.T, folder, name string) bool {
	t.Helper()
	dir := filepath.Join("..", "..", filepath.FromSlash(folder))
	if strings.HasSuffix(name, ".txtar") {
		_, err := os.Stat(filepath.Join(dir, "testdata", name))
		return err == nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}
