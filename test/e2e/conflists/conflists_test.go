// Package conflists runs every list that we ship as it lies, with cnitool and the built binaries, on a throw-away node: no
// daemon, no AWS.
package conflists

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
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
	dual    bool   // pods have IPv6 addresses beside
}

const nodeAddress = "10.110.10.5"

var lists = map[string]expected{
	"05-enichain.conflist":      {"enichain", nodeAddress, "pod", true, false},
	"minimal.conflist":          {"minimal", "pod", "pod", false, false},
	"external-snat.conflist":    {"external-snat", "pod", "pod", true, false},
	"upstream-portmap.conflist": {"upstream-portmap", nodeAddress, "pod", true, false},
	"laptop.conflist":           {"laptop", nodeAddress, nodeAddress, true, false}, // its inside is the pods' own network alone
	"ptp.conflist":              {"ptp", nodeAddress, "pod", true, false},
	"bridge.conflist":           {"mynet", nodeAddress, "pod", true, false},
	"limits.conflist":           {"limits", nodeAddress, "pod", true, false},
	"dual-stack.conflist":       {"dual-stack", nodeAddress, "pod", true, true},
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

// TestLists runs each list on a node made new for it.
func TestLists(t *testing.T) {
	need.NetAdmin(t)
	for tool, from := range map[string]string{"nft": "nftables", "ip": "iproute2", "iptables": "iptables"} {
		need.Tool(t, tool, from)
	}
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "cnitool")); err != nil {
		t.Fatalf("%v: the lists run the built binaries: make build", err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	n, err := node.New(t.Context(), node.Options{IPv6: true, NoDAD: true, Prefix: true})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range lists {
		t.Run(file, func(t *testing.T) {
			if err := n.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			(&machine{t, n, bin}).try(file, want)
		})
	}
}

func TestMain(m *testing.M) {
	if err := node.Enter(); err != nil && !errors.Is(err, node.ErrRefused) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
