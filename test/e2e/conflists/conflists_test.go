// Package conflists runs every list that we ship as it lies, with cnitool and the built binaries, on a throw-away node: no
// daemon, no AWS.
package conflists

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	six     bool   // or alone: then all of this is about IPv6
}

const (
	nodeAddress  = "10.110.10.5"
	nodeAddress6 = "[2001:db8:110:a::5]"
)

var lists = map[string]expected{
	"05-enichain.conflist":      {"enichain", nodeAddress, "pod", true, false, false},
	"fused.conflist":            {"fused", nodeAddress, "pod", true, false, false},
	"minimal.conflist":          {"minimal", "pod", "pod", false, false, false},
	"external-snat.conflist":    {"external-snat", "pod", "pod", true, false, false},
	"upstream-portmap.conflist": {"upstream-portmap", nodeAddress, "pod", true, false, false},
	"laptop.conflist":           {"laptop", nodeAddress, nodeAddress, true, false, false}, // its inside is the pods' own network alone
	"ptp.conflist":              {"ptp", nodeAddress, "pod", true, false, false},
	"bridge.conflist":           {"mynet", nodeAddress, "pod", true, false, false},
	"limits.conflist":           {"limits", nodeAddress, "pod", true, false, false},
	"fastpath.conflist":         {"fastpath", nodeAddress, "pod", true, false, false},
	"teams.conflist":            {"teams", nodeAddress, "pod", true, false, false}, // these pods are nobody's special ones
	"ipv6.conflist":             {"ipv6", "pod", "pod", true, false, true},
	"dual-stack.conflist":       {"dual-stack", nodeAddress, "pod", true, true, false},
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

// one is the node of this process: there can be no second.
var one = sync.OnceValues(func() (*node.Node, error) {
	return node.New(context.Background(), node.Options{IPv6: true, NoDAD: true, Prefix: true})
})

// begin needs a node, and says where the built binaries are.
func begin(t *testing.T) (n *node.Node, bin string) {
	t.Helper()
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
	if n, err = one(); err != nil {
		t.Fatal(err)
	}
	return n, bin
}

// TestLists runs each list on a node made new for it.
func TestLists(t *testing.T) {
	n, bin := begin(t)
	for file, want := range lists {
		t.Run(file, func(t *testing.T) {
			if file == "fastpath.conflist" {
				need.MachinesRoot(t, "for the kernel takes programs from nobody else")
			}
			if err := n.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := &machine{t, n, bin}
			m.try(file, m.read(file), want, func(node.Place) {})
		})
	}
}

// TestMigratedLists runs lists as 'enichainctl migrate plan' writes them: what a DaemonSet of amazon-vpc-cni-k8s asked for
// is so in the kernel.
func TestMigratedLists(t *testing.T) {
	n, bin := begin(t)
	for file, test := range map[string]struct {
		want expected
		look func(m *machine, p node.Place)
	}{
		"custom.yaml": {expected{"enichain", nodeAddress, "pod", true, false, false}, func(m *machine, p node.Place) {
			if got := m.run("ip -n p1 -o link show dev eth0"); !strings.Contains(got, "mtu 1480 ") {
				m.Errorf("POD_MTU=1480 became %s", got)
			}
			if got := m.run("ip -o link show type veth"); !strings.Contains(got, ": veth") {
				m.Errorf("AWS_VPC_K8S_CNI_VETHPREFIX=veth became %s", got)
			}
			if got := m.run("nft list table inet enichain-snat"); !strings.Contains(got, "172.16.0.0/12") || !strings.Contains(got, "192.168.0.0/16") ||
				strings.Contains(got, "fully-random") || !strings.Contains(got, " random") {
				m.Errorf("AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS and RANDOMIZESNAT=hashrandom became %s", got)
			}
		}},
		"prefix.json": {expected{"enichain", "pod", "pod", true, false, false}, func(m *machine, p node.Place) {
			if got := m.run("ip netns exec p1 sysctl -n net.ipv6.conf.all.disable_ipv6"); got != "1\n" {
				m.Errorf("DISABLE_POD_V6=true became %s", got)
			}
		}},
	} {
		t.Run(file, func(t *testing.T) {
			if err := n.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := &machine{t, n, bin}
			var plan struct{ List string }
			said := m.run("enichainctl migrate plan --format json " + filepath.Join(root, "cmd", "enichainctl", "testdata", "migrate", file))
			if err := json.Unmarshal([]byte(said), &plan); err != nil {
				t.Fatalf("cannot read the plan: %v\n%s", err, said)
			}
			m.try("05-enichain.conflist", []byte(plan.List), test.want, func(p node.Place) { test.look(m, p) })
		})
	}
}

func TestMain(m *testing.M) { node.Main(m) }
