package generation

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/contract"
)

const fusedEntry = `enichain{"capabilities":{"portMappings":true},"stages":[{"type":"stage","key":1,"capabilities":{"portMappings":true,"mac":true}},{"type":"other"}]}`

// TestFusedIsTheSameList: to generations a fused entry is its stages.
func TestFusedIsTheSameList(t *testing.T) {
	apart, err := ParseList(listOf("net", `stage{"key":1}`, "other", "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	fused, err := ParseList(listOf("net", fusedEntry, "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stage", "other", "foreign"}, fused.types()); diff != "" {
		t.Errorf("stages (-want +got)\n%s", diff)
	}
	for _, s := range apart.Stages {
		if !fused.settles(s) {
			t.Errorf("%s counts as departed from the fused list", s.Type)
		}
	}
	for _, s := range fused.Stages {
		if !apart.settles(s) {
			t.Errorf("%s counts as departed from the list of single stages", s.Type)
		}
	}
	if fused.settles(Stage{Type: "third", Config: []byte(`{"type":"third"}`)}) {
		t.Error("a stage that is not there counts as there")
	}
}

// TestFusingLeavesNothing: pods that were made by a list lose no stage as it is fused, nor back.
func TestFusingLeavesNothing(t *testing.T) {
	for _, lists := range [][2][]byte{
		{listOf("net", `stage{"key":1}`, "other"), listOf("net", fusedEntry)},
		{listOf("net", fusedEntry), listOf("net", `stage{"key":1}`, "other")},
	} {
		s := storeOf(t)
		if _, err := s.Apply(t.Context(), "net.conflist", lists[0], false); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(s.Results, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Results, "net-web-eth0"), cachedText(t, "net", "web", "/none", "10.0.0.7", lists[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		leavers, pods, err := s.Leavers(lists[1])
		if err != nil || pods != 1 || len(leavers) != 0 {
			t.Errorf("%d pods, leavers %v, %v", pods, leavers, err)
		}
		c, err := s.Apply(t.Context(), "net.conflist", lists[1], false)
		if err != nil || c.Number != 2 {
			t.Errorf("%+v, %v", c, err)
		}
		if leavers, _, err = s.Leavers(listOf("net", "other")); err != nil || len(leavers) != 1 {
			t.Errorf("a stage that is taken out: %v, %v", leavers, err)
		}
	}
}

// inside tells that the fused plugin has a stage in it.
type inside string

func (i inside) Of(_ context.Context, plugin string, _ json.RawMessage) chain.Known {
	if plugin != contract.Fused {
		return chain.Known{From: chain.FromNowhere}
	}
	return chain.Known{Contract: contract.Contract{V: contract.V, Stages: map[string]contract.Contract{string(i): {}}}, From: chain.FromInstalled}
}

// TestDepartedOfAFusedList: a departed stage is told by the binary that made it, or by the one that is left.
func TestDepartedOfAFusedList(t *testing.T) {
	boot, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	const result = `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.7/32"}]}`
	const ports = `"runtimeConfig":{"portMappings":[{"hostPort":8080}]}`
	own := `{"cniVersion":"1.0.0","key":1,"name":"net","prevResult":` + result + `,` + ports + `,"type":"stage"}`
	entry := `{"cniVersion":"1.0.0","name":"net","prevResult":` + result + `,"stages":[{"cniVersion":"1.0.0","key":1,"name":"net",` + ports + `,"type":"stage"}],"type":"enichain"}`
	for _, c := range []struct {
		name, list, binary, want string
	}{
		{"fused, and still there", fusedEntry, contract.Fused, entry},
		{"fused, by the single binary", fusedEntry, "stage", own},
		{"single, by the fused binary", `stage{"key":1,"capabilities":{"portMappings":true}}`, contract.Fused, entry},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := entryOf("net-web-eth0", epoch, 1, cachedText(t, "net", "web", "/none", "10.0.0.7", listOf("net", c.list)))
			b, err := birthOf(e, boot, Network{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, ran := install(t, "1.1.0")
			p.Contracts = inside("stage")
			if err := os.Rename(filepath.Join(p.Path[0], "stage"), filepath.Join(p.Path[0], c.binary)); err != nil {
				t.Fatal(err)
			}
			if err := p.Delete(t.Context(), b, 0, nil); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"DEL web eth0 netns= K8S_POD_NAMESPACE=default;K8S_POD_NAME=web", c.want}, ran()); d != "" {
				t.Errorf("DEL (-want +got)\n%s", d)
			}
			if err := p.Collect(t.Context(), "net", b.Stages[0]); err != nil {
				t.Fatal(err)
			}
			got := ran()
			if len(got) != 2 || got[0] != "GC   netns= " || !strings.Contains(got[1], `"cni.dev/valid-attachments":[]`) || strings.Contains(got[1], `"stages"`) != strings.Contains(c.want, `"stages"`) {
				t.Errorf("GC: %v", got)
			}
		})
	}
}
