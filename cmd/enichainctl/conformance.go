package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enichain/enichain/test/conformance"
)

// judging is the command line of conformance.
type judging struct {
	profile, config, prev, declared string
	kind                            string
	only                            []string
	path                            string
	color                           string
	table, list, shell, failures    bool
	parallel                        int
}

func (a *app) conformanceCommand() *cobra.Command {
	j := &judging{}
	c := &cobra.Command{
		Use:   "conformance BINARY…",
		Short: "judge CNI plugins by the specification, assertion by assertion",
		Long: "conformance runs any CNI plugin as a runtime does, in network and mount namespaces of its own, and holds what it\n" +
			"answers and what it does to the kernel against the CNI specification 1.1.0. Nothing outside is touched.\n" +
			"It needs root, or user namespaces. docs/conformance.md has the assertions and the profile of a plugin.",
		Example: "  enichainctl conformance /opt/cni/bin/bridge\n" +
			"  enichainctl conformance --profile mine.yaml --failures ./my-plugin\n" +
			"  enichainctl conformance --only C16,M1 --format junit ./my-plugin > report.xml",
		PersistentPreRunE: func(*cobra.Command, []string) error { return j.check(a.format) },
		RunE:              func(c *cobra.Command, args []string) error { return a.judge(c.Context(), j, args) },
	}
	f := c.Flags()
	f.StringVar(&a.format, "format", "text", "text, json or junit")
	f.StringVar(&j.profile, "profile", "", "how to call the plugin: a YAML or JSON file; known plugins have one built in")
	f.StringVar(&j.config, "config", "", "a JSON file with the plugin's configuration, over the profile's")
	f.StringVar(&j.prev, "prev", "", "a JSON file with the prevResult that ADD gets, over the profile's")
	f.StringVar(&j.kind, "kind", "", "ipam, interface or chained; else the profile says it, or it is found out")
	f.StringVar(&j.declared, "declared", "", "a YAML file of known deviations: a list of plugin, id and reason")
	f.StringSliceVar(&j.only, "only", nil, "try these assertions only, for example C16,M1")
	f.StringVar(&j.path, "cni-path", "", "where delegates are found; the plugin's own folder if not given")
	f.StringVar(&j.color, "color", "auto", "auto or never")
	f.BoolVar(&j.failures, "failures", false, "print failures only")
	f.BoolVar(&j.table, "table", false, "print a Markdown table of all plugins")
	f.BoolVar(&j.list, "list", false, "print the assertions and try none")
	f.BoolVar(&j.shell, "shell", false, "open a shell where the plugin would be tried, for the lines behind 'try'")
	f.IntVar(&j.parallel, "parallel", 0, "how many assertions at once; 0: one for each processor")
	return c
}

func (j *judging) check(format string) error {
	if !slices.Contains([]string{"text", "json", "junit"}, format) {
		return fmt.Errorf("--format %q: want text, json or junit", format)
	}
	if j.kind != "" && !slices.Contains(conformance.Kinds(), conformance.Kind(j.kind)) {
		return fmt.Errorf("--kind %q: want ipam, interface or chained", j.kind)
	}
	for _, id := range j.only {
		if !slices.ContainsFunc(conformance.Suite(), func(a conformance.Assertion) bool { return a.ID == id }) {
			return fmt.Errorf("--only %s: there is no such assertion; see: enichainctl conformance --list", id)
		}
	}
	if j.color != "auto" && j.color != "never" {
		return fmt.Errorf("--color %q: want auto or never", j.color)
	}
	return nil
}

// judge runs the suite over each plugin.
func (a *app) judge(ctx context.Context, j *judging, binaries []string) error {
	switch {
	case j.list:
		return a.listAssertions(conformance.Kind(j.kind))
	case len(binaries) == 0:
		return fmt.Errorf("conformance wants the path of a plugin")
	case j.shell && len(binaries) != 1:
		return fmt.Errorf("--shell wants one plugin, but got %d", len(binaries))
	case j.profile != "" && len(binaries) != 1:
		return fmt.Errorf("--profile is of one plugin, but got %d", len(binaries))
	}
	for _, b := range binaries {
		path, _ := conformance.Variant(b)
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return blind(fmt.Errorf("cannot find the plugin %s", b), "give the path of a binary, for example /opt/cni/bin/bridge")
		}
	}
	if err := conformance.Enter(); err != nil {
		return blind(err, "try again as root")
	}
	style := conformance.Style{Color: j.color == "auto" && a.terminal(), Quiet: j.failures}
	var reports []*conformance.Report
	for _, binary := range binaries {
		o, err := j.options(binary)
		if err != nil {
			return err
		}
		if j.shell {
			return a.openShell(ctx, o)
		}
		r, err := conformance.Run(ctx, o)
		if err != nil {
			return blind(err, "try again as root, on Linux with ip, nft and tc installed")
		}
		reports = append(reports, r)
		if a.format == "text" && !j.table {
			style.Text(a.out, r)
			a.printf("\n")
		} else if j.table {
			fmt.Fprintf(a.err, "%s %s\n", r.Plugin, r.Took.Round(1e8))
		}
	}
	return a.reported(j, reports)
}

// reported prints what is printed of all plugins together.
func (a *app) reported(j *judging, reports []*conformance.Report) error {
	var err error
	switch {
	case j.table:
		conformance.Table(a.out, reports)
		conformance.Failures(a.out, reports)
	case a.format == "json":
		err = conformance.JSON(a.out, reports)
	case a.format == "junit":
		err = conformance.JUnit(a.out, reports)
	}
	if err != nil {
		return blind(err, "")
	}
	ran := false
	for _, r := range reports {
		if r.NotRun == "" && !r.Conforms() {
			return errWrong
		}
		ran = ran || r.NotRun == ""
	}
	if !ran {
		return blind(fmt.Errorf("cannot judge %s: %s", reports[0].Plugin, reports[0].NotRun), "docs/conformance.md says what a profile is")
	}
	return nil
}

// options are what the command line says about one plugin.
func (j *judging) options(binary string) (conformance.Options, error) {
	o := conformance.Options{Binary: binary, Kind: conformance.Kind(j.kind), Only: j.only, Parallel: j.parallel, Declared: conformance.Declared()}
	if j.path != "" {
		o.Path = filepath.SplitList(j.path)
	}
	var err error
	if j.profile != "" {
		o.Profile, err = conformance.LoadProfile(j.profile)
	} else {
		_, name := conformance.Variant(binary)
		o.Profile, err = conformance.BuiltIn(name)
	}
	if err == nil && j.declared != "" {
		var more []conformance.Deviation
		more, err = conformance.LoadDeclared(j.declared)
		o.Declared = append(o.Declared, more...)
	}
	if err == nil && j.config != "" {
		err = readObject(j.config, &o.Profile.Config)
	}
	if err == nil && j.prev != "" {
		err = readObject(j.prev, &o.Profile.PrevResult)
	}
	if err != nil {
		return o, blind(err, "docs/conformance.md shows the form of these files")
	}
	return o, nil
}

func readObject(path string, into *map[string]any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	*into = nil
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot read %s: want one JSON object: %w", path, err)
	}
	return nil
}

// listAssertions prints the suite.
func (a *app) listAssertions(kind conformance.Kind) error {
	suite := conformance.Suite()
	if kind != "" {
		suite = slices.DeleteFunc(suite, func(s conformance.Assertion) bool { return !slices.Contains(s.Kinds, kind) })
	}
	if a.format == "json" {
		return a.json(suite)
	}
	rows := [][]string{{"ID", "STRENGTH", "KINDS", "SECTION", "SENTENCE"}}
	for _, s := range suite {
		kinds := "all"
		if len(s.Kinds) < len(conformance.Kinds()) {
			words := []string{}
			for _, k := range s.Kinds {
				words = append(words, string(k))
			}
			kinds = strings.Join(words, " ")
		}
		rows = append(rows, []string{s.ID, string(s.Strength), kinds, s.Section, s.Sentence})
	}
	a.table(rows)
	return nil
}

// openShell runs a shell in the world in which the plugin would be tried.
func (a *app) openShell(ctx context.Context, o conformance.Options) error {
	return conformance.Shell(ctx, o, func() error {
		a.printf("namespaces of their own: what you do here touches nothing outside; paste the lines behind 'try', leave with exit\n")
		cmd := exec.CommandContext(ctx, "bash", "--norc")
		cmd.Env = append(os.Environ(), "PS1=conformance# ")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		_ = cmd.Run() // its exit code is the last command's
		return nil
	})
}

// terminal says whether the answer goes to a terminal.
func (a *app) terminal() bool {
	w := a.out
	if out, ok := w.(*answer); ok {
		w = out.Writer
	}
	f, ok := w.(*os.File)
	if !ok || a.getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
