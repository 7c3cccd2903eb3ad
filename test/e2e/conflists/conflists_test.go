// Package conflists runs every list that we ship as it lies, with cnitool and the built binaries, on a node with two
// fake network interfaces and a pool file that the test wrote: no daemon, no AWS.
package conflists

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/need"
)

// root is the top of the checkout.
const root = "../../.."

// expected is what a list does for two pods, the first with host port 8080 to its port 80. "pod" stands for the asking
// pod's own address.
type expected struct {
	network string
	outside string // as whom the outside sees the first pod
	inside  string // as whom a host of the VPC sees it
	port    bool   // the host port leads to it
}

const node = "10.110.10.5"

var lists = map[string]expected{
	"05-enichain.conflist":      {"enichain", node, "pod", true},
	"minimal.conflist":          {"minimal", "pod", "pod", false},
	"external-snat.conflist":    {"external-snat", "pod", "pod", true},
	"upstream-portmap.conflist": {"upstream-portmap", node, "pod", true},
	"laptop.conflist":           {"laptop", node, node, true}, // its inside is the pods' own network alone
	"ptp.conflist":              {"ptp", node, "pod", true},
}

func TestEveryListIsExpected(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "conflists", "*.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, file := range files {
		list, err := libcni.ConfListFromFile(file)
		if err != nil {
			t.Errorf("libcni does not take %s: %v", file, err)
			continue
		}
		got[filepath.Base(file)] = list.Name
	}
	want := map[string]string{}
	for file, e := range lists {
		want[file] = e.network
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lists and their networks (-expected here +shipped):\n%s", diff)
	}
	readme, err := os.ReadFile(filepath.Join(root, "conflists", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for file := range lists {
		if !strings.Contains(string(readme), "## "+file) {
			t.Errorf("conflists/README.md has no paragraph \"## %s\"", file)
		}
	}
}

// TestLists runs each list in a mount and network namespace of its own: this binary again, see TestMain.
func TestLists(t *testing.T) {
	need.NetAdmin(t)
	for _, tool := range []string{"nft", "ip", "unshare", "iptables"} {
		need.Tool(t, tool, map[string]string{"nft": "nftables", "ip": "iproute2", "unshare": "util-linux", "iptables": "iptables"}[tool])
	}
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "cnitool")); err != nil {
		t.Fatalf("%v: the lists run the built binaries: make build", err)
	}
	for file := range lists {
		t.Run(file, func(t *testing.T) {
			cmd := exec.Command("unshare", "--mount", "--net", "--propagation", "private", os.Args[0])
			cmd.Env = append(os.Environ(), "CONFLIST="+file, "BIN="+bin, "PATH="+bin+":/usr/local/sbin:/usr/sbin:/sbin:"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestMain(m *testing.M) {
	switch {
	case os.Getenv("ROLE") != "":
		os.Exit(role())
	case os.Getenv("CONFLIST") != "":
		os.Exit(inside(os.Getenv("CONFLIST")))
	}
	os.Exit(m.Run())
}
