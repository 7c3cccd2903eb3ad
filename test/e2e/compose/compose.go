package compose

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/enichain/enichain/chain"
)

// Composer judges sequences of variants by the contracts that it was given. It is for one goroutine.
type Composer struct {
	Variants  []Variant
	Contracts chain.Contracts
	verdicts  map[string]Verdict
}

// New makes a composer.
func New(variants []Variant, contracts chain.Contracts) *Composer {
	return &Composer{Variants: variants, Contracts: contracts, verdicts: map[string]Verdict{}}
}

// Verdict is what chain.Lint says of a sequence.
type Verdict struct {
	Problems []chain.Problem
	Dead     bool // an error at a stage, or a fact given twice: nothing that is put behind it mends that
	Legal    bool // no error, and no fact given twice
}

// Judge asks chain.Lint. The version and the families of a list are no question of its order.
func (c *Composer) Judge(ctx context.Context, variants []Variant) Verdict {
	key := Names(variants)
	if v, ok := c.verdicts[key]; ok {
		return v
	}
	v := Lint(ctx, List("compose", "1.1.0", false, variants...), c.Contracts)
	c.verdicts[key] = v
	return v
}

// Lint is chain.Lint's verdict on a list's text.
func Lint(ctx context.Context, text []byte, contracts chain.Contracts) Verdict {
	list, problems := chain.Parse("compose.conflist", text)
	if list != nil {
		problems = append(problems, chain.Lint(ctx, list, contracts, chain.Options{})...)
	}
	v := Verdict{Problems: problems, Legal: chain.Errors(problems, false) == 0}
	for _, p := range problems {
		twice := p.Code == "C102" // against the contracts' exclusive, also where lint only warns
		v.Legal = v.Legal && !twice
		v.Dead = v.Dead || (p.Severity == chain.Error || twice) && (p.Stage > 0 || list == nil)
	}
	return v
}

// Each calls visit with every sequence of up to length different variants that is not an illegal one with more behind it:
// the legal ones, and the shortest illegal ones. It stops where visit says false.
func (c *Composer) Each(ctx context.Context, length int, visit func([]Variant, Verdict) bool) {
	c.each(ctx, nil, length, visit)
}

func (c *Composer) each(ctx context.Context, so []Variant, length int, visit func([]Variant, Verdict) bool) bool {
	for _, v := range c.Variants {
		if has(so, v) {
			continue
		}
		next := append(slices.Clone(so), v)
		verdict := c.Judge(ctx, next)
		if !visit(next, verdict) {
			return false
		}
		if !verdict.Dead && len(next) < length && !c.each(ctx, next, length, visit) {
			return false
		}
	}
	return true
}

func has(variants []Variant, v Variant) bool {
	return slices.ContainsFunc(variants, func(w Variant) bool { return w.Name == v.Name })
}

// Pair is one variant right behind another.
type Pair struct{ First, Second string }

func (p Pair) String() string { return fmt.Sprintf("%s, %s", p.First, p.Second) }

// pairs are those of a sequence.
func pairs(variants []Variant) []Pair {
	var out []Pair
	for i := range variants[:max(len(variants)-1, 0)] {
		out = append(out, Pair{variants[i].Name, variants[i+1].Name})
	}
	return out
}

// Pairs are all that occur in legal sequences of up to length variants.
func (c *Composer) Pairs(ctx context.Context, length int) map[Pair]bool {
	found := map[Pair]bool{}
	c.Each(ctx, length, func(variants []Variant, v Verdict) bool {
		if v.Legal {
			for _, p := range pairs(variants) {
				found[p] = true
			}
		}
		return true
	})
	return found
}

// Sample draws legal sequences of up to length variants until every pair of want has occurred, and then more until there
// are at least n. It is the same for the same random source. The pairs that it did not meet are returned, too.
func (c *Composer) Sample(ctx context.Context, random *rand.Rand, want map[Pair]bool, n, length int) (sample [][]Variant, missed map[Pair]bool) {
	missed = map[Pair]bool{}
	for p := range want {
		missed[p] = true
	}
	known := map[string]bool{}
	for idle := 0; idle < 400 && (len(missed) > 0 || len(sample) < n); idle++ {
		drawn := c.draw(ctx, random, missed, length)
		if drawn == nil || known[Names(drawn)] || len(missed) > 0 && !meets(drawn, missed) {
			continue
		}
		idle = 0
		known[Names(drawn)] = true
		sample = append(sample, drawn)
		for _, p := range pairs(drawn) {
			delete(missed, p)
		}
	}
	return sample, missed
}

func meets(variants []Variant, missed map[Pair]bool) bool {
	return slices.ContainsFunc(pairs(variants), func(p Pair) bool { return missed[p] })
}

// draw walks at random, towards pairs that are still missed where it can. Nil where the walk ends in an illegal sequence.
func (c *Composer) draw(ctx context.Context, random *rand.Rand, missed map[Pair]bool, length int) []Variant {
	leads := map[string]bool{} // variants behind which another is missed
	for p := range missed {
		leads[p.First] = true
	}
	var so, legal []Variant
	for len(so) < length {
		next := c.step(ctx, random, so, func(v Variant) int {
			switch {
			case len(so) > 0 && missed[Pair{so[len(so)-1].Name, v.Name}]:
				return 0
			case leads[v.Name]:
				return 1
			}
			return 2
		})
		if next == nil {
			break
		}
		if so = next; c.Judge(ctx, so).Legal {
			legal = so
		}
	}
	return legal
}

// step is a sequence with one more variant, by chance, of those that are liked best (0) and wrong at no stage; nil where
// there is none. It judges no more than it must: that is what a sample costs.
func (c *Composer) step(ctx context.Context, random *rand.Rand, so []Variant, liked func(Variant) int) []Variant {
	open := slices.DeleteFunc(slices.Clone(c.Variants), func(v Variant) bool { return has(so, v) })
	random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	slices.SortStableFunc(open, func(a, b Variant) int { return liked(a) - liked(b) })
	for _, v := range open {
		if next := append(slices.Clone(so), v); !c.Judge(ctx, next).Dead {
			return next
		}
	}
	return nil
}

// Forbidden draws n illegal sequences of up to length variants: a legal beginning, the variant that is wrong there, and
// nothing behind it.
func (c *Composer) Forbidden(ctx context.Context, random *rand.Rand, n, length int) [][]Variant {
	var all [][]Variant
	c.Each(ctx, length, func(variants []Variant, v Verdict) bool {
		if v.Dead {
			all = append(all, variants)
		}
		return true
	})
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}
