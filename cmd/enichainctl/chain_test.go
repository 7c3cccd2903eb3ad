package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/eniipam"
	"github.com/enichain/enichain/stages/portmapcompat"
	"github.com/enichain/enichain/stages/routedveth"
	"github.com/enichain/enichain/stages/snat"
)

// desk is a folder with lists, and one with plugins that answer VERSION.
type desk struct {
	t        *testing.T
	dir, bin string
	stdin    string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), bin: t.TempDir()}
	for name, s := range map[string]stages.Stage{"eni-ipam": eniipam.Stage{}, "routed-veth": routedveth.New(),
		"snat": snat.Stage{}, "portmap-compat": portmapcompat.Stage{}} {
		d.plugin(name, map[string]any{"cniVersion": "1.1.0", "supportedVersions": stages.Versions(),
			contract.Key: s.Contract()})
	}
	for _, name := range []string{"portmap", "ptp", "host-local", "sbr"} {
		d.plugin(name, map[string]any{"cniVersion": "1.1.0", "supportedVersions": []string{"0.3.1", "0.4.0", "1.0.0",
			"1.1.0"}})
	}
	text, err := os.ReadFile("../../conflists/05-enichain.conflist")
	if err != nil {
		t.Fatal(err)
	}
	d.write("05-enichain.conflist", string(text))
	return d
}

func (d *desk) plugin(name string, answer any) {
	d.t.Helper()
	text, err := json.Marshal(answer)
	if err != nil {
		d.t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\ncat > /dev/null\ncat <<'EOF'\n%s\nEOF\n", text)
	if err := os.WriteFile(filepath.Join(d.bin, name), []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// run is one command line below "chain"; @ stands for the folder of lists.
func (d *desk) run(line string) (out, errs string, code int) {
	d.t.Helper()
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(d.stdin), out: &o, err: &e, zone: time.UTC,
		getenv: func(key string) string { return map[string]string{"CNI_PATH": d.bin}[key] }}
	code = a.run(d.t.Context(), append([]string{"chain"}, strings.Fields(strings.ReplaceAll(line, "@", d.dir))...))
	short := strings.NewReplacer(d.dir+"/", "", d.bin, "BIN")
	return short.Replace(o.String()), short.Replace(e.String()), code
}

// says compares what is printed.
func (d *desk) says(line string, wantCode int, wantOut, wantErr string) {
	d.t.Helper()
	out, errs, code := d.run(line)
	trim := func(s string) []string {
		lines := strings.Split(strings.Trim(s, "\n"), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		return lines
	}
	if diff := cmp.Diff(trim(wantOut), trim(out)); diff != "" || code != wantCode {
		d.t.Errorf("chain %s: exit %d, want %d; stdout (-want +got):\n%s\n%s", line, code, wantCode, diff, out)
	}
	if diff := cmp.Diff(trim(wantErr), trim(errs)); diff != "" {
		d.t.Errorf("chain %s: stderr (-want +got):\n%s\n%s", line, diff, errs)
	}
}

func TestChainLint(t *testing.T) {
	d := newDesk(t)
	d.says("lint @/05-enichain.conflist", exitOK, "0 errors, 0 warnings", "")

	composed, _, _ := d.run("compose eni-ipam ptp portmap")
	d.stdin = composed
	d.says("lint -", exitWrong, `
stdin:7 stage 2 ptp: C103 takes no address from the stage before it; it calls its own "ipam"
        the address that eni-ipam takes would be held and never used
   fix  move eni-ipam into ptp:   { "type": "ptp", "ipam": { "type": "eni-ipam", "gateway": "reserve" } }
   fix  or use routed-veth:       enichainctl chain swap ptp=routed-veth -
1 error, 0 warnings`, "")

	d.stdin = `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"eni-ipam"},{"type":"routed-veth"},{"type":"sbr"}]}`
	if out, _, code := d.run("lint -"); code != exitOK || !strings.Contains(out,
		"C202 (warning) its DEL fails") || !strings.HasSuffix(out, "0 errors, 2 warnings\n") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, _, code := d.run("lint --strict -"); code != exitWrong {
		t.Errorf("--strict: exit %d", code)
	}

	d.write("10-old.conflist",
		`{"cniVersion":"0.3.1","name":"enichain","plugins":[{"type":"ptp","ipam":{"type":"host-local","subnet":"10.1.0.0/24","routes":[{"dst":"0.0.0.0/0"}]}}]}`)
	d.says("lint @", exitWrong, `
10-old.conflist: C301 (warning) no pod gets it: 05-enichain.conflist sorts first
        containerd reads the first file alone
   fix  give it a name that sorts first, or move one of the two away
10-old.conflist:1 name: C302 "enichain" is the name of 05-enichain.conflist, too
        DEL finds a pod's results and addresses by the network's name: one list would be asked to delete what the other made
   fix  "name": "enichain-2"
1 error, 1 warning`, "")
	d.says("lint @/nothing", exitBlind, "",
		"enichainctl: cannot read the list: open nothing: no such file or directory")
	d.says("lint --runtime docker @", exitUsage, "", `
enichainctl: --runtime "docker": want one of containerd-1.7, containerd-2, crio
try: enichainctl chain lint --help`)
	d.says("lint", exitUsage, "",
		"enichainctl: lint takes a file, a folder, or - for standard input\ntry: enichainctl chain lint --help")
}

func TestChainUsage(t *testing.T) {
	d := newDesk(t)
	d.says("frobnicate", exitUsage, "", "enichainctl: chain has no command \"frobnicate\"\ntry: enichainctl chain --help")
	d.says("diff a", exitUsage, "", "enichainctl: diff takes two lists, but got 1\ntry: enichainctl chain diff --help")
	d.says("swap a=b c d", exitUsage, "", "enichainctl: swap takes OLD=NEW and at most one file\ntry: enichainctl chain swap --help")
	if out, errs, code := d.run(""); code != exitOK || errs != "" || !strings.Contains(out, "Available Commands:") {
		t.Errorf("chain alone: exit %d\n%s%s", code, out, errs)
	}
}

func TestChainLintJSON(t *testing.T) {
	d := newDesk(t)
	d.stdin = `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"eni-ipam"},{"type":"routed-vet"}]}`
	d.says("lint - --format json", exitOK, `
{
  "problems": [
    {
      "file": "stdin",
      "line": 1,
      "stage": 2,
      "type": "routed-vet",
      "key": "type",
      "code": "C115",
      "severity": "warning",
      "text": "routed-vet is not in CNI_PATH, and nothing is known of what it needs and adds",
      "why": "its ADD fails where it is not installed",
      "fixes": [
        "\"type\": \"routed-veth\"",
        "install it, or say where it is: --cni-path DIR"
      ]
    }
  ],
  "errors": 0,
  "warnings": 1
}`, "")
}

func TestChainExplain(t *testing.T) {
	d := newDesk(t)
	out, errs, code := d.run("explain @/05-enichain.conflist")
	for _, want := range []string{"network enichain · offers cniVersion 1.0.0, 1.1.0 · capabilities portMappings\n",
		"  4  portmap-compat  ips sandbox-interface",
		"A pod ends with: 1 IPv4 address of the VPC · a way out as the node's primary address · host ports.\n", "CRI-O does host ports itself: stage 4"} {
		if !strings.Contains(out, want) || code != exitOK || errs != "" {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	d.stdin = "{"
	d.says("explain -", exitWrong, "", `
stdin:1: C002 not JSON: unexpected end of JSON input
        a runtime reads nothing of it
enichainctl: - is no list that a runtime reads`)
	d.says("explain", exitUsage, "",
		"enichainctl: explain takes one file, but got 0\ntry: enichainctl chain explain --help")
}

func TestChainSwap(t *testing.T) {
	d := newDesk(t)
	d.says("swap portmap-compat=portmap --conf-dir @", exitOK, `
{
  "cniVersion": "1.0.0",
  "cniVersions": ["1.0.0", "1.1.0"],
  "name": "enichain",
  "plugins": [
    { "type": "eni-ipam" },
    { "type": "routed-veth", "mtu": 9001 },
    { "type": "snat" },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}`, `
-     { "type": "portmap-compat", "capabilities": { "portMappings": true } }
+     { "type": "portmap", "capabilities": { "portMappings": true } }
carried over: capabilities.portMappings
lint: ok, 4 stages`)

	link := filepath.Join(d.dir, "link")
	if err := os.Symlink("05-enichain.conflist", link); err != nil {
		t.Fatal(err)
	}
	d.says("swap -w eni-ipam=host-local --set ranges=10.244.1.0/24 @/link", exitWrong, "", `
-     { "type": "eni-ipam" },
+     { "type": "host-local", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.1.0/24" }]] } },
link:8 stage 3 snat inside: C111 "vpc" means the networks that eni-ipam names, and here host-local gives the addresses
        snat does not know which destinations see a pod's own address, and refuses ADD
   fix  "inside": ["10.244.0.0/16"]
enichainctl: the list would have 1 error; nothing was written
take it all the same:  --force`)
	if text, _ := os.ReadFile(link); strings.Contains(string(text), "host-local") {
		t.Errorf("written all the same:\n%s", text)
	}
	if _, errs, code := d.run("swap -w --force eni-ipam=host-local --set ranges=10.244.1.0/24 @/link"); code != exitOK {
		t.Errorf("--force: exit %d %s", code, errs)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is a %v (%v)", info.Mode(), err)
	}
	path := filepath.Join(d.dir, "05-enichain.conflist")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if text, _ := os.ReadFile(path); !strings.Contains(string(text), "host-local") {
		t.Errorf("not written:\n%s", text)
	}
	if left, _ := filepath.Glob(filepath.Join(d.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	d.says("swap a @/05-enichain.conflist", exitUsage, "",
		"enichainctl: \"a\": want OLD=NEW, such as portmap-compat=portmap\ntry: enichainctl chain swap --help")
	d.says("swap a=b @/05-enichain.conflist", exitWrong, "",
		"enichainctl: no stage a in 05-enichain.conflist; there are host-local, routed-veth, snat, portmap-compat")
	d.says("swap a=b -w -", exitUsage, "",
		"enichainctl: -w needs a file to write, and standard input is none\ntry: enichainctl chain swap --help")
}

func TestChainFuse(t *testing.T) {
	d := newDesk(t)
	apart, err := os.ReadFile(filepath.Join(d.dir, "05-enichain.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("../../conflists/fused.conflist")
	if err != nil {
		t.Fatal(err)
	}
	fused := strings.Replace(string(shipped), `"name": "fused"`, `"name": "enichain"`, 1)
	missing := `05-enichain.conflist:7 stage 1 enichain: C115 (warning) enichain is not in CNI_PATH
        its ADD fails where it is not installed
   fix  install it, or say where it is: --cni-path DIR`
	d.says("fuse @/05-enichain.conflist", exitOK, fused, `
one process (enichain): eni-ipam, routed-veth, snat, portmap-compat
`+missing)
	d.plugin("enichain", map[string]any{"cniVersion": "1.1.0", "supportedVersions": stages.Versions(), contract.Key: ours()[contract.Fused].Contract()})
	d.says("fuse -w @/05-enichain.conflist", exitOK, "", "one process (enichain): eni-ipam, routed-veth, snat, portmap-compat")
	d.says("fuse @/05-enichain.conflist", exitOK, fused, "one process (enichain): eni-ipam, routed-veth, snat, portmap-compat")
	d.says("diff @/05-enichain.conflist "+filepath.Join("..", "..", "conflists", "05-enichain.conflist"), exitOK,
		"list  processes: enichain → eni-ipam, routed-veth, snat, portmap-compat", "")
	d.says("lint @/05-enichain.conflist", exitOK, "0 errors, 0 warnings", "")
	d.says("fuse --undo @/05-enichain.conflist", exitOK, string(apart), "taken apart (enichain): eni-ipam, routed-veth, snat, portmap-compat")
	d.stdin, _, _ = d.run("compose host-local tuning portmap-compat --set host-local.ranges=10.244.1.0/24 --set tuning.mtu=1400")
	d.says("fuse --force -", exitOK, d.stdin, `
nothing to fuse: no two stages of enichain stand side by side
as they were: host-local, tuning, portmap-compat
stdin:7 stage 2 tuning: C101 needs sandbox-interface, which no stage before it adds
        its ADD fails, and no pod starts
   fix  { "type": "eni-ipam" }, { "type": "routed-veth" } before it
stdin:7 stage 2 tuning: C115 (warning) tuning is not in CNI_PATH
        its ADD fails where it is not installed
   fix  install it, or say where it is: --cni-path DIR
stdin:8 stage 3 portmap-compat: C101 needs routed, which no stage before it adds
        nothing on the node sends packets to the pod's address, and what it makes would lead nowhere
   fix  { "type": "eni-ipam" }, { "type": "routed-veth" } before it`)
	if _, errs, code := d.run("fuse -"); code != exitWrong || !strings.Contains(errs, "the list has 2 errors; nothing was written") {
		t.Errorf("exit %d %s", code, errs)
	}
	d.says("fuse -w -", exitUsage, "", "enichainctl: -w needs a file to write, and standard input is none\ntry: enichainctl chain fuse --help")
}

func TestChainDiff(t *testing.T) {
	d := newDesk(t)
	d.stdin, _, _ = d.run("compose eni-ipam routed-veth portmap-compat --set routed-veth.mtu=9001")
	out, errs, code := d.run("diff @/05-enichain.conflist -")
	want := `
stages    - snat
facts     - masquerade   pods leave the VPC under their own address (needs a NAT gateway or private peers)
new pods  no snat
          a pod ends with 1 IPv4 address of the VPC · a way out under its own address · host ports
running   keep what snat made until they end`
	if !strings.HasPrefix("\n"+out, want) || code != exitOK || errs != "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestChainJSONKeys(t *testing.T) {
	d := newDesk(t)
	for _, line := range []string{"explain @/05-enichain.conflist", "swap snat=sbr --force @/05-enichain.conflist",
		"fuse @/05-enichain.conflist", "diff @/05-enichain.conflist @/05-enichain.conflist", "lint @"} {
		out, errs, _ := d.run(line + " --format json")
		var v any
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&v); err != nil && err != io.EOF {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for key, inner := range v {
					if strings.ToLower(key[:1]) != key[:1] || strings.Contains(key, "_") {
						t.Errorf("%s has the key %s", line, key)
					}
					walk(inner)
				}
			case []any:
				for _, inner := range v {
					walk(inner)
				}
			}
		}
		walk(v)
		if out == "" {
			t.Errorf("%s printed nothing: %s", line, errs)
		}
	}
}
