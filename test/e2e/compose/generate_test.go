package compose

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/known"
)

// bins are the folders with the plugins' binaries.
func bins(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs("../../../bin")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "routed-veth"))
	}
	if err != nil {
		t.Fatalf("%v: compositions are made of the built binaries: make build", err)
	}
	return []string{dir}
}

func composer(t *testing.T) *Composer {
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

func TestCount(t *testing.T) {
	c := composer(t)
	for _, l := range []int{1, 2, 3} {
		start := time.Now()
		legal, dead := 0, 0
		c.Each(t.Context(), l, func(v []Variant, verdict Verdict) bool {
			if verdict.Legal {
				legal++
			}
			if verdict.Dead {
				dead++
			}
			return true
		})
		t.Logf("length %d: legal %d, shortest illegal %d, %s", l, legal, dead, time.Since(start))
	}
	t.Log(len(c.Pairs(t.Context(), 3)))
	start := time.Now()
	want := c.Pairs(t.Context(), 3)
	sample, missed := c.Sample(t.Context(), rand.New(rand.NewPCG(1, 0)), want, 50, 8)
	t.Logf("%d in the sample, %d missed %v %s", len(sample), len(missed), missed, time.Since(start))
	for _, s := range sample {
		t.Log(Names(s))
	}
}
