package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestMTU: interfaces have their pool's, the primary one if it serves a pool; a change reaches all of them.
func TestMTU(t *testing.T) {
	w := usual(t, dflt(func(p *Pool) { p.MTU = 9001 }))
	n := w.addNode("i-1", "t3.medium", 0)
	w.lead(1)
	w.pods(n, "default", 8)
	w.run(2 * time.Minute)
	w.want(n, 8)
	for _, step := range []struct {
		name   string
		change func(*Pool)
		want   string
	}{
		{"as configured", func(p *Pool) { p.MTU = 9001 }, "0:9001 1:9001 2:9001"},
		{"another", func(p *Pool) { p.MTU = 1500 }, "0:1500 1:1500 2:1500"},
		{"the machine's", nil, "0:0 1:0 2:0"},
		{"the primary serves nobody new", func(p *Pool) { p.MTU, p.Target.UsePrimary = 8000, false }, "0:0 1:8000 2:8000"},
	} {
		w.step(Input{Pools: []Pool{dflt(step.change)}})
		w.run(10 * time.Second)
		var got []string
		for _, e := range n.last.ENIs {
			got = append(got, fmt.Sprintf("%d:%d", e.Device, e.MTU))
		}
		if text := strings.Join(got, " "); text != step.want {
			t.Errorf("%s: %s, want %s", step.name, text, step.want)
		}
	}
}
