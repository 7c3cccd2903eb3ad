package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listNode is a node with folders of lists and results of its own.
type listNode struct {
	*node
	dir string
}

func newListNode(t *testing.T) *listNode {
	n := &listNode{newNode(t), t.TempDir()}
	for _, d := range []string{"net.d", "results", "bin"} {
		if err := os.Mkdir(filepath.Join(n.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const says = "#!/bin/sh\necho '{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\",\"1.1.0\"]}'\n"
	for _, plugin := range []string{"bridge", "host-local", "portmap", "ptp"} {
		if err := os.Chmod(n.put("bin/"+plugin, says), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// where are the flags that lead a subcommand to the folders.
func (n *listNode) where() []string {
	return []string{"--conf-dir", n.dir + "/net.d", "--lists", n.dir + "/lists", "--results", n.dir + "/results"}
}

// says is what a command line prints, and its exit code.
func (n *listNode) says(want int, args ...string) string {
	n.T.Helper()
	args = append(args, n.where()...)
	if args[1] == "apply" {
		args = append(args, "--cni-path", n.dir+"/bin")
	}
	text, code := n.run(args...)
	if code != want {
		n.T.Errorf("enichainctl %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, text)
	}
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, n.dir, "NODE")), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (n *listNode) put(name string, text string) string {
	n.T.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.T.Fatal(err)
	}
	return path
}

// cached is the runtime's file of a pod that was made by a list.
func (n *listNode) cached(pod, list string) {
	n.T.Helper()
	text, err := json.Marshal(map[string]any{"kind": "cniCacheV1", "containerId": pod, "config": []byte(list), "ifName": "eth0",
		"networkName": "enichain", "netns": "/run/netns/" + pod, "cniArgs": [][2]string{{"K8S_POD_NAMESPACE", "shop"}, {"K8S_POD_NAME", pod}},
		"result": map[string]any{"cniVersion": "1.0.0"}})
	if err != nil {
		n.T.Fatal(err)
	}
	n.put("results/enichain-"+pod+"-eth0", string(text))
}

func plain(types ...string) string {
	var plugins []string
	for _, kind := range types {
		keys := ""
		if kind == "portmap" {
			keys = `,"backend":"nftables","capabilities":{"portMappings":true}`
		}
		if kind == "bridge" {
			keys = `,"bridge":"br0","isDefaultGateway":true,"hairpinMode":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24"}]]}`
		}
		plugins = append(plugins, fmt.Sprintf(`{"type":%q%s}`, kind, keys))
	}
	return `{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"enichain","plugins":[` + strings.Join(plugins, ",") + `]}`
}

// TestApplyTells follows two generations of a list through apply, generations and status.
func TestApplyTells(t *testing.T) {
	n := newListNode(t)
	with, without := plain("bridge", "portmap"), plain("bridge")
	first := n.put("05-enichain.conflist", with)
	second := n.put("no-ports.conflist", without)
	const one = `{"cniVersion":"1.0.0","name":"one","type":"tap"}`
	single := n.put("one.conflist", `{"cniVersion":"1.0.0","name":"one","plugins":[{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}]}`)
	n.put("net.d/10-one.conf", one)
	steps := []struct {
		name string
		want int
		args []string
		text string
	}{
		{"the first list, dry", 0, []string{"chain", "apply", "--dry-run", first}, `
list     generation 1 of enichain would stand in NODE/net.d/05-enichain.conflist
running  0 pods, each with what it was born with`},
		{"the first list", 0, []string{"chain", "apply", first}, `
list     generation 1 of enichain stands in NODE/net.d/05-enichain.conflist
running  0 pods, each with what it was born with`},
		{"once more", 0, []string{"chain", "apply", first}, `
list     generation 1 of enichain stands already in NODE/net.d/05-enichain.conflist
running  2 pods, each with what it was born with`},
		{"the second, dry, at once", 0, []string{"chain", "apply", "--dry-run", "--now", second}, `
list     generation 2 of enichain would stand in NODE/net.d/05-enichain.conflist, after generation 1
running  2 pods, each with what it was born with
would    take portmap from 2 pods: connections to their host ports break, and new ones are refused`},
		{"the second", 0, []string{"chain", "apply", second}, `
list     generation 2 of enichain stands in NODE/net.d/05-enichain.conflist, after generation 1
running  2 pods, each with what it was born with
departed portmap (2 pods): enichaind cleans up as pods end
WARNING  enichaind never ran on this node: nobody cleans up until it does`},
		{"a wire cannot be taken", 1, []string{"chain", "apply", "--now", n.put("other.conflist", plain("ptp"))}, ""},
		{"no list", 1, []string{"chain", "apply", n.put("broken.conflist", `{"name":`)}, ""},
		{"nowhere to put it", 2, []string{"chain", "apply", "--as", "x.json", first}, ""},
		{"a second place", 2, []string{"chain", "apply", "--as", "10-x.conflist", first}, `
enichainctl: the runtime would have the network twice: enichain stands in 05-enichain.conflist already, and 10-x.conflist would be a second one
without --as it goes there`},
		{"over one plugin's configuration", 1, []string{"chain", "apply", single}, `
enichainctl: the runtime has the network as one plugin's configuration: one, in 10-one.conf
move it away first:  mv NODE/net.d/10-one.conf NODE/net.d/10-one.conf.old`},
		{"no file", 3, []string{"chain", "apply", n.dir + "/none"}, `
enichainctl: cannot read the list: open NODE/none: no such file or directory`},
	}
	for i, s := range steps {
		if i == 2 {
			n.cached("web", with)
			n.cached("db", with)
		}
		got := n.says(s.want, s.args...)
		if d := cmp.Diff(strings.TrimSpace(s.text), got); s.text != "" && d != "" {
			t.Errorf("%s (-want +got)\n%s", s.name, d)
		}
	}
	n.cached("new", without)
	var rows []string
	for _, line := range strings.Split(n.says(0, "chain", "generations"), "\n") {
		f := strings.Fields(line)
		if f[0] == "enichain" {
			f = append(f[:2], f[4:]...) // without the time
		}
		rows = append(rows, strings.Join(f, " "))
	}
	want := []string{"NETWORK GENERATION INSTALLED PODS ENDING FILE STAGES STILL THERE",
		"enichain 2 1 - 05-enichain.conflist bridge -", "enichain 1 2 - - bridge portmap portmap"}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("generations (-want +got)\n%s", d)
	}
	const line = "chain   05-enichain.conflist  generation 2 (1 pod), generation 1 (2 pods, portmap still installed)\n"
	if got := n.says(1, "status"); !strings.Contains(got, line) {
		t.Errorf("status lacks %q:\n%s", line, got)
	}
}

func TestNoGenerations(t *testing.T) {
	n := newListNode(t)
	if got := n.says(0, "chain", "generations"); got != "no list was installed by enichain" {
		t.Error(got)
	}
	if got := n.says(0, "chain", "generations", "--format", "json"); got != "[]" {
		t.Error(got)
	}
}
