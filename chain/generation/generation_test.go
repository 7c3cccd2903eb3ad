package generation

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listOf is a list of these stages: a word is a type, "type{…}" has more keys.
func listOf(network string, stages ...string) []byte {
	var plugins []string
	for _, s := range stages {
		kind, keys, _ := strings.Cut(s, "{")
		if keys = strings.TrimSuffix(keys, "}"); keys != "" {
			keys = "," + keys
		}
		plugins = append(plugins, fmt.Sprintf(`{"type":%q%s}`, kind, keys))
	}
	return fmt.Appendf(nil, `{"cniVersion":"1.0.0","name":%q,"plugins":[%s]}`, network, strings.Join(plugins, ","))
}

// cachedText is a file as libcni writes it after ADD of the list.
func cachedText(t *testing.T, network, container, netns, address string, list []byte) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": container, "config": list, "ifName": "eth0", "networkName": network, "netns": netns,
		"cniArgs":        [][2]string{{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", container}},
		"capabilityArgs": map[string]any{"portMappings": []any{map[string]any{"hostPort": 8080}}, "bandwidth": map[string]any{"ingressRate": 1}},
		"result":         map[string]any{"cniVersion": "1.0.0", "ips": []any{map[string]any{"address": address + "/32"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// storeOf is a store of its own, with the folders that go with it.
func storeOf(t *testing.T) Store {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lists") // Apply waits for the disk; here nothing is to last
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := Open(Store{Dir: filepath.Join(dir, "lists"), ConfDir: filepath.Join(dir, "net.d"), Results: filepath.Join(dir, "results")})
	for _, d := range []string{s.ConfDir, s.Results} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}

func TestApply(t *testing.T) {
	s := storeOf(t)
	first, second := listOf("net", "a", "b"), listOf("net", "a")
	byHand, renamed := listOf("net", "a", "c"), listOf("other", "a")
	const file = "05-net.conflist"
	write(t, filepath.Join(s.Results, "net-one-eth0"), cachedText(t, "net", "one", "/gone", "10.0.0.1", first))
	write(t, filepath.Join(s.ConfDir, "net", "10-more.conf"), []byte(`{"type":"drop"}`))
	steps := []struct {
		name   string
		before func()
		text   []byte
		want   Change
		kept   []string
	}{
		{"over a list that somebody else installed", func() { write(t, filepath.Join(s.ConfDir, file), first) }, second,
			Change{Network: "net", File: file, Before: 1, Number: 2}, []string{"1.conflist", "2.conflist", "births"}},
		{"again", func() {}, second, Change{Network: "net", File: file, Before: 2, Number: 2}, []string{"1.conflist", "2.conflist", "births"}},
		{"back to the first", func() {}, first, Change{Network: "net", File: file, Before: 2, Number: 3},
			[]string{"1.conflist", "2.conflist", "3.conflist", "births"}},
		{"somebody edited it", func() { write(t, filepath.Join(s.ConfDir, file), byHand) }, second,
			Change{Network: "net", File: file, Before: 4, Number: 5},
			[]string{"1.conflist", "2.conflist", "3.conflist", "4.conflist", "5.conflist", "births"}},
		{"somebody took it away", func() { os.Remove(filepath.Join(s.ConfDir, file)) }, second,
			Change{Network: "net", File: file, Number: 5},
			[]string{"1.conflist", "2.conflist", "3.conflist", "4.conflist", "5.conflist", "births"}},
		{"another network in the same file", func() {}, renamed, Change{Network: "other", File: file, Number: 1, Renamed: "net"}, []string{"1.conflist"}},
	}
	for _, step := range steps {
		step.before()
		foreseen, err := s.Apply(t.Context(), file, step.text, true)
		if d := cmp.Diff(step.want, foreseen); d != "" || err != nil {
			t.Errorf("%s, dry: %v (-want +got)\n%s", step.name, err, d)
		}
		got, err := s.Apply(t.Context(), file, step.text, false)
		if d := cmp.Diff(step.want, got); d != "" || err != nil {
			t.Fatalf("%s: %v (-want +got)\n%s", step.name, err, d)
		}
		there, err := os.ReadFile(filepath.Join(s.ConfDir, file))
		if d := cmp.Diff(string(step.text), string(there)); d != "" || err != nil {
			t.Fatalf("%s: %v (-want +got)\n%s", step.name, err, d)
		}
		if d := cmp.Diff(step.kept, names(t, filepath.Join(s.Dir, step.want.Network))); d != "" {
			t.Fatalf("%s: kept (-want +got)\n%s", step.name, d)
		}
		if d := cmp.Diff([]string{file, "net"}, names(t, s.ConfDir)); d != "" {
			t.Fatalf("%s: the runtime's folder (-want +got)\n%s", step.name, d)
		}
	}
	n, err := s.read("net")
	if err != nil || len(n.Births) != 1 || n.Of(n.Births[0]) != 1 {
		t.Fatalf("births %+v, %v", n.Births, err)
	}
	if d := cmp.Diff([]string{"a", "b", "drop"}, List{Stages: n.Births[0].Stages}.types()); d != "" {
		t.Errorf("its stages (-want +got)\n%s", d)
	}
}

// TestApplyKeepsTheMode: a list that only root may read stays one, and so does what is kept of it. A symbolic link gives
// way to a file; what it names stays as it is.
func TestApplyKeepsTheMode(t *testing.T) {
	s := storeOf(t)
	path := filepath.Join(s.ConfDir, "05-net.conflist")
	elsewhere := filepath.Join(t.TempDir(), "list")
	before := listOf("net", "a", "b")
	write(t, elsewhere, before)
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.ConfDir, ".enichain-123"+temporary), before) // of one that was killed
	if _, err := s.Apply(t.Context(), "05-net.conflist", listOf("net", "a"), false); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, s.generationFile("net", 1), s.generationFile("net", 2)} {
		if info, err := os.Lstat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v; want a file with mode 0600", file, info.Mode(), err)
		}
	}
	if d := cmp.Diff([]string{"05-net.conflist"}, names(t, s.ConfDir)); d != "" {
		t.Errorf("the runtime's folder (-want +got)\n%s", d)
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != string(before) {
		t.Errorf("what the link named: %s, %v", text, err)
	}
}

func TestTarget(t *testing.T) {
	folder := Folder{Lists: map[string]InFolder{"net": {File: "05-net.conflist"}, "one": {File: "10-one.conf"}}}
	for _, c := range []struct{ name, network, file, as, want, wrong string }{
		{"where its network stands", "net", "no-snat.conflist", "", "05-net.conflist", ""},
		{"a new network", "new", "new.conflist", "", "new.conflist", ""},
		{"a new network from standard input", "new", "", "", "", "read from no file"},
		{"named", "new", "", "10-new.conflist", "10-new.conflist", ""},
		{"a second place", "net", "x.conflist", "10-x.conflist", "", "would be a second one"},
		{"over one plugin's configuration", "one", "one.conflist", "", "", "one, in 10-one.conf"},
		{"a name that no runtime reads", "new", "new.json.txt", "", "", "ends in .conflist"},
		{"another folder", "new", "", "../new.conflist", "", "ends in .conflist"},
	} {
		got, err := folder.Target(c.network, c.file, c.as)
		if got != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, err, c.want, c.wrong)
		}
	}
}
