package fastpath_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/test/bench/fastpath"
	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

func TestMain(m *testing.M) {
	err := node.Enter()
	if err == nil {
		err = node.OwnFolders()
	}
	if err != nil && !errors.Is(err, node.ErrRefused) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestRunsOnce wants every flow open and measured on both nodes, once.
func TestRunsOnce(t *testing.T) {
	need.NetAdmin(t)
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	s, err := fastpath.Run(t.Context(), figure.Options{Bin: bin, Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Figures {
		if f.N != 1 || f.Median <= 0 {
			t.Errorf("figure %s: %v of %d samples", f.ID, f.Median, f.N)
		}
	}
}
