package packets

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/need"
	"github.com/enichain/enichain/test/node"
)

func TestMain(m *testing.M) { node.Main(m) }

// TestRunOnce runs all of it once, with few of everything: every node does its work, and every figure is there. What
// things cost is not a test's affair.
func TestRunOnce(t *testing.T) {
	need.NetAdmin(t)
	for tool, pkg := range map[string]string{"nft": "nftables", "ip": "iproute2", "iptables-restore": "iptables"} {
		need.Tool(t, tool, pkg)
	}
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "routed-veth")); err != nil {
		t.Fatalf("no binaries to measure, 'make build' makes them: %v", err)
	}
	if err := node.OwnFolders(); err != nil {
		t.Fatal(err)
	}
	s, err := Run(t.Context(), figure.Options{Bin: bin, Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Figures {
		if f.N == 0 || f.Median <= 0 {
			t.Errorf("%s: %v of %d samples", f.ID, f.Median, f.N)
		}
	}
	for _, target := range s.Targets {
		if _, ok := s.Find(target.Figure); !ok {
			t.Errorf("the target for %s has no figure", target.Figure)
		}
	}
	for _, table := range s.Tables {
		for _, row := range table.Rows {
			for _, cell := range row.Cells {
				if _, ok := s.Find(cell); cell != "" && !ok {
					t.Errorf("table %s, row %s: no figure %s", table.Name, row.Name, cell)
				}
			}
		}
	}
}
