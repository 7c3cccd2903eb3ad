package chain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
)

// seen is what one reader makes of a file.
type seen struct {
	Refused                             bool
	Name, Version                       string
	DisableCheck, DisableGC, OnlyInline bool
	Types                               []string
	Configs                             []any
}

func ours(l *List) seen {
	if l == nil {
		return seen{Refused: true}
	}
	s := seen{Name: l.Name, Version: l.Version(), DisableCheck: l.DisableCheck, DisableGC: l.DisableGC,
		OnlyInline: l.LoadOnlyInlined}
	for _, st := range l.Stages {
		s.Types = append(s.Types, st.Type)
		s.Configs = append(s.Configs, loose(st.Config))
	}
	return s
}

func loose(raw []byte) any {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err.Error()
	}
	return v
}

// libcnis is what libcni makes of a file, as containerd has it read.
func libcnis(path string) (seen, error) {
	var l *libcni.NetworkConfigList
	var err error
	if ext := filepath.Ext(path); ext == ".conf" || ext == ".json" {
		var one *libcni.NetworkConfig
		//lint:ignore SA1019 containerd calls it
		if one, err = libcni.ConfFromFile(path); err == nil {
			//lint:ignore SA1019 containerd calls it
			l, err = libcni.ConfListFromConf(one)
		}
	} else {
		l, err = libcni.ConfListFromFile(path)
	}
	if err != nil {
		return seen{Refused: true}, err
	}
	s := seen{Name: l.Name, Version: l.CNIVersion, DisableCheck: l.DisableCheck, DisableGC: l.DisableGC,
		OnlyInline: l.LoadOnlyInlinedPlugins}
	for _, p := range l.Plugins {
		s.Types = append(s.Types, p.Network.Type)
		s.Configs = append(s.Configs, loose(p.Bytes))
	}
	return s, nil
}

// files writes a folder: path below it → content.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// texts are lists, good and bad, in all the ways that libcni tells apart.
var texts = []string{
	`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"n","plugins":[{"type":"a","mtu":1}]}`,
	`{"cniVersions":["0.4.0"],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":["9.0.0"],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"9.0.0","cniVersions":["9.0.0"],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"9.0.0","name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"garbage","name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"garbage","cniVersions":["1.0.0"],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":["x"],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":[""],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":[],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":[1],"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":"1.0.0","name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":"1.0.0","cniVersions":null,"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":1,"name":"n","plugins":[{"type":"a"}]}`,
	`{"cniVersion":null,"name":"n","plugins":[{"type":"a"}]}`,
	`{"name":"n","plugins":[{"type":"a"}]}`,
	`{"name":"","plugins":[{"type":"a"}]}`,
	`{"name":7,"plugins":[{"type":"a"}]}`,
	`{"name":null,"plugins":[{"type":"a"}]}`,
	`{"plugins":[{"type":"a"}]}`,
	`{"name":"n","plugins":[]}`,
	`{"name":"n","plugins":null}`,
	`{"name":"n","plugins":{}}`,
	`{"name":"n"}`,
	`{"name":"n","loadOnlyInlinedPlugins":true}`,
	`{"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]}`,
	`{"name":"n","loadOnlyInlinedPlugins":"TRUE","plugins":[{"type":"a"}]}`,
	`{"name":"n","loadOnlyInlinedPlugins":"no","plugins":[{"type":"a"}]}`,
	`{"name":"n","disableCheck":true,"disableGC":"False","plugins":[{"type":"a"}]}`,
	`{"name":"n","disableCheck":null,"plugins":[{"type":"a"}]}`,
	`{"name":"n","disableGC":1,"plugins":[{"type":"a"}]}`,
	`{"name":"n","plugins":[{}]}`,
	`{"name":"n","plugins":[null]}`,
	`{"name":"n","plugins":["a"]}`,
	`{"name":"n","plugins":[{"type":5}]}`,
	`{"name":"n","plugins":[{"Type":"a"}]}`,
	`{"name":"n","plugins":[{"Type":"a","type":"b"}]}`,
	`{"name":"n","plugins":[{"type":"b","Type":"a"}]}`,
	`{"name":"n","plugins":[{"type":5,"type":"a"}]}`,
	`{"name":"n","plugins":[{"type":"a","capabilities":{"x":1}}]}`,
	`{"name":"n","plugins":[{"type":"a","capabilities":["x"]}]}`,
	`{"name":"n","plugins":[{"type":"a","capabilities":null}]}`,
	`{"name":"n","plugins":[{"type":"a","ipam":[]}]}`,
	`{"name":"n","plugins":[{"type":"a","ipam":{"type":1}}]}`,
	`{"name":"n","plugins":[{"type":"a","dns":{"nameservers":"x"}}]}`,
	`{"name":"n","plugins":[{"type":"a","name":3}]}`,
	`{"name":"n","name":"m","plugins":[{"type":"a"}],"plugins":[{"type":"b"}]}`,
	`{"cniVersion":"1.0.0","name":"n","type":"a"}`,
	`{"cniVersion":"1.0.0","type":"a"}`,
	`{"type":5,"type":"a"}`,
	`{"type":"a","cniVersions":["1.0.0"]}`,
	"{\"type\":\"\\u00fc\\\"\\\\\",\"name\":\"\xff\"}",
	`[]`, `null`, `"x"`, `7`, `{`, ``, ` `, `{"name":"n","plugins":[{"type":"a"}]} x`, `{"name":"n","plugins":[{"type":"a"},]}`,
	`{"name":"n","plugins":[{"type":"a","big":123456789012345678901234567890,"deep":[[[{"x":[{}]}]]]}]}`,
}

func TestReadsAsLibcni(t *testing.T) {
	for _, suffix := range []string{".conflist", ".conf", ".json"} {
		for _, text := range texts {
			t.Run(suffix+" "+text, func(t *testing.T) { compare(t, text, suffix) })
		}
	}
}

func compare(t *testing.T, text, suffix string) {
	t.Helper()
	path := filepath.Join(files(t, map[string]string{"x" + suffix: text}), "x"+suffix)
	want, err := libcnis(path)
	l, problems := Load(path)
	if diff := cmp.Diff(want, ours(l)); diff != "" {
		t.Errorf("libcni: %v\nours: %v\n(-libcni +ours):\n%s", err, problems, diff)
	}
	if l == nil && Errors(problems, false) == 0 {
		t.Errorf("no list, and no problem says why")
	}
	for _, p := range problems {
		if p.Severity == Error && p.Code != codeRead && p.Line == 0 {
			t.Errorf("no line: %v", p)
		}
	}
}

func FuzzReadsAsLibcni(f *testing.F) {
	for _, text := range texts {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, list bool) {
		if list {
			compare(t, text, ".conflist")
		} else {
			compare(t, text, ".conf")
		}
	})
}

// TestDropInsAsLibcni compares whole folders.
func TestDropInsAsLibcni(t *testing.T) {
	for _, content := range []map[string]string{
		{"x.conflist": texts[0], "n/b.conf": `{"type":"b"}`, "n/a.conf": `{"type":"c","name":"other"}`,
			"n/c.conflist": texts[0], "n/d.json": `{"type":"d"}`},
		{"x.conflist": `{"name":"n"}`, "n/a.conf": `{"type":"a"}`},
		{"x.conflist": `{"name":"n"}`, "m/a.conf": `{"type":"a"}`},
		{"x.conflist": `{"name":"n","plugins":[]}`, "n/a.conf": `{"type":"a"}`},
		{"x.conflist": `{"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]}`, "n/a.conf": `{`},
		{"x.conflist": texts[0], "n/a.conf": `{`},
		{"x.conflist": texts[0], "n/a.conf": `{}`},
		{"x.conflist": texts[0], "n/a.conf": `[]`},
		{"x.conflist": texts[0], "n/a.conf": ``},
		{"x.conflist": texts[0], "n/a.conf": `{"type":"b","type":5}`},
		{"x.conflist": texts[0], "n/sub.conf/a.conf": `{"type":"b"}`},
		{"x.conflist": texts[0], "n": "a file"},
		{"x.conflist": `{"name":"../n","plugins":[{"type":"a"}]}`},
		{"x.conflist": `{"name":"","plugins":[{"type":"a"}]}`, "a.conf": `{"type":"b"}`},
	} {
		path := filepath.Join(files(t, content), "x.conflist")
		want, err := libcnis(path)
		l, problems := Load(path)
		if diff := cmp.Diff(want, ours(l)); diff != "" {
			t.Errorf("%v\nlibcni: %v\nours: %v\n(-libcni +ours):\n%s", content, err, problems, diff)
		}
	}
}

// FuzzNothingPanics hands all that can be read to all that reads it. What Swap makes can be read again.
func FuzzNothingPanics(f *testing.F) {
	for _, text := range texts {
		f.Add(text, "b", "portmap")
	}
	for _, stages := range [][]string{{eniIPAM, routedVeth, snatStage, compat}, {hostLocal, `{"mtu":5,"type":"ptp"}`,
		portmap}} {
		f.Add(of(stages...), "2", "ptp")
		f.Add(of(stages...), "3", "ptp{eni-ipam}")
	}
	f.Fuzz(func(t *testing.T, text, old, replacement string) {
		l, _ := Parse("x", []byte(text))
		if l == nil {
			return
		}
		for _, runtime := range append(Runtimes(), AnyRuntime) {
			Lint(t.Context(), l, declared{}, Options{Runtime: runtime})
		}
		_ = Explain(t.Context(), l, declared{}).Text()
		_ = Diff(t.Context(), l, l, declared{}).Text()
		s, err := Swap(t.Context(), l, old, replacement, SwapOptions{Set: []string{"mtu=5"}, Contracts: declared{}})
		if err != nil {
			return
		}
		after, problems := Parse("x", s.Text)
		if after == nil || len(after.Stages) > len(l.Stages) {
			t.Errorf("%s → %s\n%s\nbecame\n%s\n%v", old, replacement, text, s.Text, problems)
		}
	})
}
