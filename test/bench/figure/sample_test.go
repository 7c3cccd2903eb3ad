package figure

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		name    string
		samples []float64
		q       float64
		want    float64
	}{
		{"none", nil, 0.5, 0},
		{"one", []float64{7}, 0.99, 7},
		{"the middle of three, unsorted", []float64{3, 1, 2}, 0.5, 2},
		{"between two", []float64{1, 2}, 0.25, 1.25},
		{"the last", []float64{1, 2, 9}, 1, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Quantile(test.samples, test.q); math.Abs(got-test.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A round that disturbs both does not widen the interval; one that disturbs one of them does.
func TestRatioOfPairs(t *testing.T) {
	var to, together, apart []float64
	for i := range 40 {
		load := 1 + float64(i%4)
		to = append(to, 10*load)
		together = append(together, 2*load)
		apart = append(apart, 2*(1+float64(i*7%11)/4))
	}
	paired, loose := RatioOf("a", "", together, to), RatioOf("b", "", apart, to)
	if paired.Median != 0.2 || paired.Low != 0.2 || paired.High != 0.2 {
		t.Errorf("disturbed together: %+v, want 0.2 without spread", paired)
	}
	if loose.Low >= loose.Median || loose.High <= loose.Median {
		t.Errorf("disturbed apart: %+v, want an interval around it", loose)
	}
	if again := RatioOf("b", "", apart, to); again != loose {
		t.Errorf("the same samples gave %+v and then %+v", loose, again)
	}
}

func TestRatioOfNothing(t *testing.T) {
	if got := RatioOf("a", "", nil, []float64{1}); got.N != 0 || got.Median != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestMet(t *testing.T) {
	for _, test := range []struct {
		name   string
		target Target
		median float64
		want   bool
	}{
		{"below a limit", Target{Limit: 0.22}, 0.2, true},
		{"at it", Target{Limit: 0.22}, 0.22, true},
		{"above it", Target{Limit: 0.22}, 0.23, false},
		{"below a floor", Target{Limit: 4, AtLeast: true}, 3.9, false},
		{"above it", Target{Limit: 4, AtLeast: true}, 5, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.target.Met(Figure{Median: test.median}); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
