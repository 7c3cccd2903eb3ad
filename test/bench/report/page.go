package report

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
)

// block is what a page has generated: from <!-- bench: NAME --> to <!-- /bench -->. NAME is that of a table; or machine;
// or section-SECTION, all tables and pictures of one; or targets-SECTION.
var block = regexp.MustCompile(`(?s)(<!-- bench: ([a-z0-9-]+) -->\n).*?(<!-- /bench -->)`)

// Update writes the generated blocks of a page anew. A block of a section that was not measured now stays as it is.
func (r *Report) Update(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the page: %w", err)
	}
	return os.WriteFile(file, []byte(r.fill(string(text))), 0o644)
}

func (r *Report) fill(page string) string {
	return block.ReplaceAllStringFunc(page, func(old string) string {
		m := block.FindStringSubmatch(old)
		now, ok := r.block(m[2])
		if !ok {
			return old
		}
		return m[1] + now + m[3]
	})
}

func (r *Report) block(name string) (text string, ok bool) {
	if name == "machine" {
		return fmt.Sprintf("%s, %s.\n", r.When.UTC().Format("2006-01-02 15:04"), r.Machine), true
	}
	for _, s := range r.Sections {
		switch name {
		case "targets-" + s.Name:
			return r.Targets(s.Name), true
		case "section-" + s.Name:
			return r.chapter(s), true
		}
		for _, t := range s.Tables {
			if t.Name == name {
				return r.Table(t), true
			}
		}
	}
	return "", false
}

// pictures is where a page in docs finds them.
const pictures = "performance/"

// chapter is a section as a page has it: how it was measured, its tables, its pictures.
func (r *Report) chapter(s figure.Section) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.Method)
	for _, missing := range s.Missing {
		fmt.Fprintf(&b, "\nNot measured: %s\n", missing)
	}
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "\n### %s\n\n%s", t.Title, r.Table(t))
	}
	for _, p := range s.Pictures {
		fmt.Fprintf(&b, "\n![%s](%s%s.svg)\n", p.Title, pictures, p.Name)
	}
	return b.String()
}

// Draw writes all pictures as SVG into a folder.
func (r *Report) Draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range r.Sections {
		for _, p := range s.Pictures {
			if err := os.WriteFile(filepath.Join(dir, p.Name+".svg"), []byte(SVG(p)), 0o644); err != nil {
				return fmt.Errorf("cannot draw %q: %w", p.Title, err)
			}
		}
	}
	return nil
}
