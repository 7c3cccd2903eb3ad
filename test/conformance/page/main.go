// Command page writes the generated parts of docs/conformance.md and docs/conformance-upstream.md: it runs the suite over
// our five plugins and all reference plugins in bin/.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/enichain/enichain/test/conformance"
)

func main() {
	if err := conformance.Enter(); err == nil {
		err = write(context.Background())
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, err)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

func write(ctx context.Context) error {
	var reports []*conformance.Report
	for _, plugin := range conformance.Known() {
		r, err := conformance.Run(ctx, conformance.Options{Binary: filepath.Join("bin", plugin), Declared: conformance.Declared()})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s %s\n", plugin, r.Took.Round(1e8))
		reports = append(reports, r)
	}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("cannot find the folder: %w", err)
	}
	var table, failures strings.Builder
	conformance.Table(&table, reports)
	conformance.Failures(&failures, reports)
	if err := replace("docs/conformance.md", "assertions", conformance.Assertions()); err != nil {
		return err
	}
	if err := replace("docs/conformance.md", "table", table.String()); err != nil {
		return err
	}
	return replace("docs/conformance-upstream.md", "failures", strings.ReplaceAll(failures.String(), here+"/", ""))
}

// replace puts text between a page's marks.
func replace(page, name, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("cannot read the page: %w", err)
	}
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("cannot write %s: it has no marks for %s", page, name)
	}
	if err := os.WriteFile(page, []byte(before+begin+"\n"+strings.TrimSpace(text)+"\n\n"+end+after), 0o644); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}
