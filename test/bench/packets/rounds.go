package packets

import (
	"context"
	"fmt"
	"math"

	"github.com/enichain/enichain/test/bench/figure"
)

// probe is one thing that is measured in every round.
type probe struct {
	id     string
	sample func(round int) (float64, error) // nanoseconds per packet, connection or byte
}

// samples are the results by probe, one per round.
type samples map[string][]float64

// interleave runs all probes once per round, each round beginning with another: what moves the machine moves all.
func (s samples) interleave(ctx context.Context, rounds int, probes []probe) error {
	return pinned(func() error {
		for round := range rounds {
			for k := range probes {
				if err := ctx.Err(); err != nil {
					return err
				}
				p := probes[(k+round)%len(probes)]
				v, err := p.sample(round)
				if err != nil {
					return fmt.Errorf("%s: %w", p.id, err)
				}
				s[p.id] = append(s[p.id], v)
			}
		}
		return nil
	})
}

// paired is the median of the ratios within each round, with the 95 % interval of a median (by the binomial distribution,
// as normal). What disturbs a round disturbs both; the core's other half, which is somebody else's, may take a third of
// its speed for a while, and a ratio of two medians would then tell which of the two met more of that.
func paired(id, what string, of, to []float64) figure.Figure {
	var all []float64
	for i := range min(len(of), len(to)) {
		all = append(all, of[i]/to[i])
	}
	f := figure.Figure{ID: id, What: what, Unit: figure.Ratio, Median: figure.Quantile(all, 0.5), N: len(all)}
	aside := min(0.5, 0.98/math.Sqrt(float64(max(1, len(all)))))
	f.Low, f.High = figure.Quantile(all, 0.5-aside), figure.Quantile(all, 0.5+aside)
	return f
}
