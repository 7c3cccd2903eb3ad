package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/peers"
	"github.com/enichain/enichain/test/need"
	throwaway "github.com/enichain/enichain/test/node"
)

func TestMain(m *testing.M) { throwaway.Main(m) }

// TestRun runs everything once at its smallest: each figure is there, and counts are not nothing. No time is judged.
func TestRun(t *testing.T) {
	need.NetAdmin(t)
	need.Tool(t, "nft", "nftables")
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	if _, err := os.Stat(filepath.Join(bin, "vpclab")); err != nil {
		t.Fatalf("no binaries to measure, 'make build' makes them: %v", err)
	}
	if err := throwaway.OwnFolders(); err != nil {
		t.Fatal(err)
	}
	s, err := Run(t.Context(), figure.Options{Bin: bin, Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"agent/resident", "agent/share", "agent/idle-cpu", "agent/wakes", "agent-with-pods/resident", "control/resident",
		"all/private", "burst-1/wait", "burst-2/snapshots", "burst-2/events", "burst-2/calls", "event/size", "snapshot/size", "pool-0/lease",
		"pool-700/release", "pool-100/lease-disk", "pool/floor"} {
		f, ok := s.Find(Name + "/" + id)
		if !ok || f.N == 0 {
			t.Errorf("no figure %s", id)
			continue
		}
		if f.Median <= 0 && f.ID != Name+"/agent/idle-cpu" && f.ID != Name+"/agent/wakes" { // of one second
			t.Errorf("%s: %s is %v %s", f.ID, f.What, f.Median, f.Unit)
		}
	}
}
