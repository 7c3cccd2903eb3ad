package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeShowsTheList wants the flagship list in the README byte for byte as it is shipped.
func TestReadmeShowsTheList(t *testing.T) {
	list := read(t, "conflists/05-enichain.conflist")
	if !strings.Contains(read(t, "README.md"), "```json\n"+strings.TrimRight(list, "\n")+"\n```") {
		t.Error("README.md does not show conflists/05-enichain.conflist as it lies there")
	}
}

// TestLinksLead follows every relative link of the README and of docs.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`)
	found := 0
	for _, page := range tracked(t) {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			found++
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found only %d links: this test looks at nothing", found)
	}
}

// TestReadmeTargetsExist wants every make target and every subcommand that the README tells to type.
func TestReadmeTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, m := range regexp.MustCompile(`(?m)^    make ([a-z]+)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("README.md says make %s, and the Makefile has no such target", m[1])
		}
	}
}

// TestEveryStageHasAManual wants a page of the same form in the folder of each stage that is built.
func TestEveryStageHasAManual(t *testing.T) {
	for folder, name := range map[string]string{"eniipam": "eni-ipam", "routedveth": "routed-veth", "snat": "snat",
		"portmapcompat": "portmap-compat", "fastpath": "fastpath"} {
		page := read(t, "stages/"+folder+"/README.md")
		at := 0
		for _, head := range []string{"# " + name, "## Name", "## Description", "## Syntax", "## Examples", "## Contract", "## Bugs"} {
			i := strings.Index(page[at:], head+"\n")
			if i < 0 {
				t.Errorf("stages/%s/README.md has no %q behind what has to come before it", folder, head)
				break
			}
			at += i
		}
		if !strings.Contains(read(t, "README.md"), "(stages/"+folder+"/README.md)") {
			t.Errorf("README.md does not lead to the manual of %s", name)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
