package compose

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
)

// bins are the folders with the plugins' binaries: what 'make build' made, and the two that only these tests have.
func bins(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs("../../../bin")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "routed-veth"))
	}
	if err != nil {
		t.Fatalf("%v: compositions are made of the built binaries: make build", err)
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "compose"); built.err == nil {
			cmd := exec.Command("go", "build", "-o", built.dir, "./testdata/debug", "./testdata/faulty")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("cannot build the plugins in testdata: %w: %s", err, out)
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return []string{dir, built.dir}
}

// built is where the plugins in testdata lie; TestMain takes it away.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func composer(t *testing.T) *Composer {
	t.Helper()
	return New(Variants(), chain.Installed(bins(t), known.Of))
}

// TestEveryVariantIsJudged wants no composition with a stage of which nobody knows anything.
func TestEveryVariantIsJudged(t *testing.T) {
	c := composer(t)
	for _, v := range c.Variants {
		if k := c.Contracts.Of(t.Context(), v.Type, v.Stage(false)); k.Foreign() {
			t.Errorf("%s: nobody knows what %s needs and adds", v.Name, v.Type)
		}
	}
}

// TestNothingBehindMends is what the generator rests on: a sequence that is wrong at a stage is so with more behind it.
func TestNothingBehindMends(t *testing.T) {
	c := composer(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		var so []Variant
		dead := false
		for len(so) < 6 {
			v := c.Variants[random.IntN(len(c.Variants))]
			if has(so, v) {
				continue
			}
			so = append(slices.Clone(so), v)
			now := c.Judge(t.Context(), so)
			if dead && !now.Dead {
				t.Fatalf("%s: no error at a stage, but there is one without the last: %v", Names(so), c.Judge(t.Context(), so[:len(so)-1]).Problems)
			}
			dead = now.Dead
		}
	}
}

// TestSample draws by a seed: the same compositions for the same seed, with every pair of neighbours.
func TestSample(t *testing.T) {
	c := composer(t)
	want := c.Pairs(t.Context(), 3)
	if len(want) < 100 {
		t.Fatalf("only %d pairs of neighbours are allowed: %v", len(want), want)
	}
	draw := func() (names []string) {
		sample, missed := c.Sample(t.Context(), rand.New(rand.NewPCG(7, 0)), want, 0, 7)
		if len(missed) > 0 {
			t.Errorf("missed: %v", missed)
		}
		for _, s := range sample {
			if v := c.Judge(t.Context(), s); !v.Legal {
				t.Errorf("%s is not legal: %v", Names(s), v.Problems)
			}
			names = append(names, Names(s))
		}
		return names
	}
	if diff := cmp.Diff(draw(), draw()); diff != "" {
		t.Errorf("drawn twice by one seed (-first +second):\n%s", diff)
	}
}

// TestAddedStageIsComposed wants a stage that is only added to the variants in the compositions that its contract allows.
func TestAddedStageIsComposed(t *testing.T) {
	theirs := Variant{Name: "theirs", Type: "faulty"}
	c := New(append(Variants(), theirs), composer(t).Contracts)
	found := map[string]bool{}
	c.Each(t.Context(), 3, func(variants []Variant, v Verdict) bool {
		if has(variants, theirs) {
			found[Names(variants)] = v.Legal
		}
		return true
	})
	for list, want := range map[string]bool{
		"theirs": false, "eni-ipam, theirs": false, "eni-ipam, routed-veth, theirs": true, "ptp+host-local, theirs, portmap iptables": true,
	} {
		if legal, ok := found[list]; !ok || legal != want {
			t.Errorf("%s: composed %t, legal %t; want %t", list, ok, legal, want)
		}
	}
}
