package try

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == liarName {
		os.Exit(liar())
	}
	node.Main(m)
}

var made *node.Node

// begin is the node of all tests, and where the plugins lie.
func begin(t *testing.T) (n *node.Node, bin string) {
	t.Helper()
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	need.Tool(t, "iptables", "iptables")
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "eni-ipam")); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	if made == nil {
		if made, err = node.New(context.Background(), node.Options{IPv6: true, Prefix: true}); err != nil {
			t.Fatal(err)
		}
	} else if err := made.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	return made, bin
}

// kills is at how many places each stage of a list is killed: none where others' stages are, which leave things behind.
func kills(l *chain.List) int {
	for _, s := range l.Stages {
		if !slices.Contains([]string{"eni-ipam", "routed-veth", "snat", "portmap-compat", "enichain"}, s.Type) {
			return 0
		}
	}
	return 3
}

func TestShippedLists(t *testing.T) {
	files, err := filepath.Glob("../../conflists/*.conflist")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d lists: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n, bin := begin(t)
			l, problems := chain.Load(file)
			if l == nil {
				t.Fatal(problems)
			}
			r, err := Run(t.Context(), n, l, Options{Path: []string{bin}, Kill: kills(l)})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range r.Broken {
				t.Errorf("%s", b)
			}
			t.Logf("took %v: %d steps, %d hellos, %d kills; notes %v", r.Took, len(r.Steps), len(r.Flows), len(r.Kills), r.Notes)
		})
	}
}
