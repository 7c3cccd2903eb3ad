package figure

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Of is the figure of samples: their median and quartiles. Without samples it is a figure of nothing, N = 0.
func Of(id, what, unit string, samples []float64) Figure {
	return Figure{ID: id, What: what, Unit: unit, Median: Quantile(samples, 0.5), Low: Quantile(samples, 0.25),
		High: Quantile(samples, 0.75), N: len(samples)}
}

// Exactly is the figure of what was counted or weighed.
func Exactly(id, what, unit string, value float64) Figure {
	return Figure{ID: id, What: what, Unit: unit, Median: value, Low: value, High: value, N: 1}
}

// resamples is how often RatioOf draws: enough for the ends of a 95 % interval to stand still in the second digit.
const resamples = 2000

// RatioOf is the ratio of two medians, with the 95 % interval of a bootstrap. Sample i of both was taken in the same round
// of an interleaved run, and rounds are drawn as pairs, so that what disturbed a round disturbs both. Where one has more
// samples than the other, the surplus is left out.
func RatioOf(id, what string, of, to []float64) Figure {
	n := min(len(of), len(to))
	f := Figure{ID: id, What: what, Unit: Ratio, N: n}
	if n == 0 {
		return f
	}
	of, to = of[:n], to[:n]
	f.Median = ratio(of, to)
	random := rand.New(rand.NewPCG(1, uint64(n))) // the same samples have the same interval
	drawn, a, b := make([]float64, resamples), make([]float64, n), make([]float64, n)
	for i := range drawn {
		for k := range n {
			at := random.IntN(n)
			a[k], b[k] = of[at], to[at]
		}
		drawn[i] = ratio(a, b)
	}
	f.Low, f.High = Quantile(drawn, 0.025), Quantile(drawn, 0.975)
	return f
}

func ratio(of, to []float64) float64 {
	below := Quantile(to, 0.5)
	if below == 0 {
		return 0
	}
	return Quantile(of, 0.5) / below
}

// Quantile of samples at q in 0 to 1, between neighbours by proportion; 0 without samples.
func Quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (sorted[above]-sorted[below])*(at-float64(below))
}
