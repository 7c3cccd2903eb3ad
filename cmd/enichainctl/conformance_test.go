package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enichain/enichain/test/need"
)

// judged runs the subcommand over upstream's host-local.
func judged(t *testing.T, args ...string) (out, errors string, code int) {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	const plugin = "../../bin/host-local"
	if _, err := os.Stat(plugin); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return conform(t, append([]string{plugin}, args...)...)
}

func conform(t *testing.T, args ...string) (out, errors string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp()
	a.out, a.err = &stdout, &stderr
	code = a.run(t.Context(), append([]string{"conformance"}, args...))
	return stdout.String(), stderr.String(), code
}

func TestConformance(t *testing.T) {
	declared := filepath.Join(t.TempDir(), "declared.yaml")
	if err := os.WriteFile(declared, []byte("[{plugin: host-local, id: C27, reason: nobody looks}]"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"all kept", []string{"--only", "C1,C9"}, exitOK, []string{"host-local  ipam plugin", "✓ C1   MUST ", "✓ C9   convention ", "MUST 1 of 1, SHOULD 0 of 0, convention 1 of 1"}},
		{"one not kept", []string{"--only", "C27"}, exitWrong, []string{"✗ C27  MUST", "expected cniVersion 0.4.0", "seen     cniVersion 1.1.0", "--shell", "CNI_COMMAND=VERSION"}},
		{"a convention is no failure", []string{"--only", "C24"}, exitOK, []string{"✗ C24  convention"}},
		{"declared", []string{"--only", "C27", "--declared", declared}, exitOK, []string{"~ C27  MUST", "DEVIATES (declared): nobody looks", "MUST 0 of 1 (1 declared)"}},
		{"not run", []string{"--only", "C32"}, exitOK, []string{"– C32", "not run: the profile names no invalid value", "not run 1"}},
		{"a table", []string{"--only", "C27,C1", "--table"}, exitWrong, []string{"| host-local | ipam | 1/2 |", "**C27**"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errors, code := judged(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out, errors)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestConformanceOfNoPlugin(t *testing.T) {
	judged(t, "--only", "C9") // needs what this needs
	out, errors, code := conform(t, "/bin/true")
	if code != exitBlind || !strings.Contains(out, "not run: it does not answer VERSION") || !strings.Contains(errors, "cannot judge true") {
		t.Errorf("%d %s%s", code, out, errors)
	}
}

func TestConformanceBadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"unknown.yaml": "plugin: x\nnone: 1\n", "nameless.yaml": "kind: ipam\n", "kind.yaml": "plugin: x\nkind: main\n",
		"world.yaml": "plugin: x\nworld: aws\n", "list.json": "[]", "declared.yaml": "[{plugin: x}]"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ flag, file, word string }{
		{"--profile", "unknown.yaml", "field none not found"},
		{"--profile", "nameless.yaml", "plugin: the plugin's type is missing"},
		{"--profile", "kind.yaml", `got "main"`},
		{"--profile", "world.yaml", `got "aws"`},
		{"--profile", "absent.yaml", "cannot read the profile"},
		{"--config", "list.json", "want one JSON object"},
		{"--prev", "absent.json", "cannot read"},
		{"--declared", "declared.yaml", "entry 1 needs plugin, id and reason"},
	} {
		need.NetAdmin(t)
		_, errors, code := conform(t, "/bin/true", tt.flag, filepath.Join(dir, tt.file))
		if code != exitBlind || !strings.Contains(errors, tt.word) {
			t.Errorf("%s %s: exit code %d, %s, want %q", tt.flag, tt.file, code, errors, tt.word)
		}
	}
}

func TestConformanceForms(t *testing.T) {
	out, _, _ := judged(t, "--only", "C27,C1", "--format", "json")
	var v struct {
		Plugins []struct {
			Plugin   string
			Conforms bool
			Findings []struct{ ID, Outcome, Expected string }
		}
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Plugins) != 1 || v.Plugins[0].Conforms || len(v.Plugins[0].Findings) != 2 ||
		v.Plugins[0].Findings[1].Outcome != "failed" || v.Plugins[0].Findings[1].Expected == "" {
		t.Errorf("JSON: %v\n%s", err, out)
	}
	out, _, _ = judged(t, "--only", "C27,C1,C32", "--format", "junit")
	var suites struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(out), &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests != 3 ||
		suites.Suites[0].Failures != 1 || suites.Suites[0].Skipped != 1 {
		t.Errorf("JUnit: %v\n%s", err, out)
	}
}

func TestConformanceCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		word string
	}{
		{"", exitUsage, "wants the path of a plugin"},
		{"--format yaml x", exitUsage, "want text, json or junit"},
		{"--kind main x", exitUsage, "want ipam, interface or chained"},
		{"--only C0 x", exitUsage, "C0: there is no such assertion"},
		{"--color always x", exitUsage, "want auto or never"},
		{"--profile p x y", exitUsage, "--profile is of one plugin"},
		{"--shell x y", exitUsage, "--shell wants one plugin"},
		{"/none/plugin", exitBlind, "cannot find the plugin /none/plugin"},
	} {
		_, errors, code := conform(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(errors, tt.word) {
			t.Errorf("conformance %s: exit code %d, want %d; %s, want %q", tt.args, code, tt.code, errors, tt.word)
		}
	}
	out, _, code := conform(t, "--list", "--kind", "chained")
	if code != exitOK || !strings.Contains(out, "M1 ") || strings.Contains(out, "\nI1 ") {
		t.Errorf("--list: %d\n%s", code, out)
	}
}
