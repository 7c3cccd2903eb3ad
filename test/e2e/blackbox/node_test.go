// Package blackbox tries the built stages by the assertions of the CNI specification and its users (ids C, I, F, N, M of
// the project's list): one process per call, environment and standard input in, standard output and exit code out, and
// what the kernel and the pool file show. It knows nothing of how a stage is made. What the conformance suite asks of
// every plugin (VERSION, GC, kills, a result that passes through) is not asked here again.
package blackbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

// addresses is how many pods one network interface of the node can have.
const addresses = 40

// TestMain runs the tests on one throw-away node.
func TestMain(m *testing.M) {
	switch err := node.Enter(); {
	case errors.Is(err, node.ErrRefused): // the tests say what they need
	case err == nil:
		_, err = node.New(context.Background(), node.Options{Addresses: addresses})
		fallthrough
	default:
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// begin is what every test needs: the node and the built binaries.
func begin(t *testing.T) {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "ip", "iproute2")
	if _, err := os.Stat(filepath.Join(bin(t), "eni-ipam")); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	unchanged(t)
}

func bin(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// sh runs a command line on the node and returns what it printed.
func sh(t *testing.T, line string, args ...any) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", fmt.Sprintf(line, args...)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", fmt.Sprintf(line, args...), err, out)
	}
	return string(out)
}

// leases are the pool's, as network/container/ifname = addresses.
func leases(t *testing.T) []string {
	t.Helper()
	var s store.State
	err := store.New(store.DefaultPath, store.Options{}).View(context.Background(), func(tx *store.Tx) error { s = tx.State(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range s.Leases {
		out = append(out, fmt.Sprintf("lease %s = %s", l.Attachment, l.Addresses))
	}
	return out
}

// podLink is a host end in a pod's link group: one that a DEL has severed is in another.
var podLink = regexp.MustCompile(`^\d+: ([^@:]+).* group 7\d\d\d `)

// traces are all that pods have on the node: host ends that are not severed, routes, elements of nftables, leases.
func traces(t *testing.T) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(sh(t, "ip -o link show type veth")) {
		if m := podLink.FindStringSubmatch(line); m != nil {
			out = append(out, "link "+m[1])
		}
	}
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(sh(t, "ip %s route show table all proto 233 2>/dev/null", family)) {
			out = append(out, "route "+strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(sh(t, "nft list ruleset")) {
		if owned.MatchString(line) {
			out = append(out, "nft "+strings.TrimSpace(line))
		}
	}
	return strings.Join(append(out, leases(t)...), "\n")
}

// owned is an element's comment that names an attachment.
var owned = regexp.MustCompile(`comment "[^"/]+/[^"]+"`)

// unchanged fails the test where its end finds other traces of pods than its beginning.
func unchanged(t *testing.T) {
	t.Helper()
	before := traces(t)
	t.Cleanup(func() {
		if diff := cmp.Diff(before, traces(t)); diff != "" {
			t.Errorf("the node is not as it was before (-before +after):\n%s", diff)
		}
	})
}
