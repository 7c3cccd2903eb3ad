package pods

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/enichain/enichain/test/bench/figure"
	"github.com/enichain/enichain/test/bench/peers"
	"github.com/enichain/enichain/test/need"
	throwaway "github.com/enichain/enichain/test/node"
)

func TestMain(m *testing.M) { throwaway.Main(m) }

// TestRun runs every case once, at its smallest size: that each works and has its figure. No time is judged.
func TestRun(t *testing.T) {
	need.NetAdmin(t)
	for _, tool := range []string{"nft", "iptables"} {
		need.Tool(t, tool, tool)
	}
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	if _, err := os.Stat(filepath.Join(bin, "eni-ipam")); err != nil {
		t.Fatalf("no binaries to measure, 'make build' makes them: %v", err)
	}
	if err := throwaway.OwnFolders(); err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	o := figure.Options{Bin: bin, Cache: filepath.Join(cache, "enichain", "bench"), Scale: 0, Progress: func(line string) { t.Log(line) }}
	for _, test := range []struct {
		name string
		run  func(context.Context, figure.Options) (figure.Section, error)
		want []string
	}{
		{"pods", Run, []string{"ours-1port/add-cpu", "ours-0port/del-wall", "ours-1port/check-cpu", "eni-ipam/version-cpu/hello", "portmap-compat/size",
			"bridge-iptables/add-wall", "ptp-nftables/del-calls", "ours-1port/add-cpu/floor-fused"}},
		{"bursts", RunBursts, []string{"ours-1port/add10-rate/floor-fused", "ours-1port/add50-p99/floor-fused", "ours-1port/churn-rate/floor-fused"}},
		{"growth", RunGrowth, []string{"ours-1port/add-cpu-at-3-pods/growth", "ours-1port/del-cpu-2-ports"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			judge(t, s, test.want)
		})
	}
}

func judge(t *testing.T, s figure.Section, want []string) {
	for _, missing := range s.Missing {
		t.Log("not measured: " + missing)
	}
	seen := map[string]bool{}
	for _, f := range s.Figures {
		if seen[f.ID] {
			t.Errorf("two figures are called %s", f.ID)
		}
		seen[f.ID] = true
		if f.N == 0 {
			t.Errorf("%s: nothing was measured", f.ID)
		}
	}
	for _, id := range want {
		if !seen[s.Name+"/"+id] {
			t.Errorf("no figure %s/%s", s.Name, id)
		}
	}
	for _, f := range s.Figures {
		switch f.ID {
		case "pods/ours-1port/add-dumps", "pods/ours-0port/add-dumps", "pods/ours-0port/del-dumps":
			if f.Median != 0 {
				t.Errorf("%s: %v: a pod's way must not depend on what else is there", f.What, f.Median)
			}
		}
	}
}
