package sim

import (
	"slices"
	"time"
)

// Shrink makes a plan that breaks an invariant smaller as long as it still breaks it: fewer faults, pods and nodes, less
// noise, less time. It stops when nothing can be left out, or after a while.
func Shrink(p Plan, invariant string, s Settings, patience time.Duration) Plan {
	k := &shrinker{best: p, invariant: invariant, settings: s, end: time.Now().Add(patience)}
	for again := true; again && k.time(); {
		again = k.quiet()
		again = k.shorter() || again
		again = cut(k, func(p *Plan) *[]Fault { return &p.Faults }) || again
		again = cut(k, func(p *Plan) *[]PodPlan { return &p.Pods }) || again
		again = k.fewerNodes() || again
	}
	return k.best
}

type shrinker struct {
	best      Plan
	invariant string
	settings  Settings
	end       time.Time
	runs      int
}

func (k *shrinker) time() bool { return time.Now().Before(k.end) }

// try keeps a smaller plan if it still breaks the same invariant.
func (k *shrinker) try(p Plan) bool {
	if !k.time() {
		return false
	}
	k.runs++
	r, err := Run(p, k.settings)
	if err != nil || !slices.ContainsFunc(r.Broken, func(v Violation) bool { return v.Invariant == k.invariant }) {
		return false
	}
	k.best = p
	return true
}

// cut is delta debugging over a list: halves are left out, then quarters, down to single ones.
func cut[T any](k *shrinker, list func(*Plan) *[]T) bool {
	smaller := false
	for size := (len(*list(&k.best)) + 1) / 2; size > 0 && k.time(); size /= 2 {
		for at := 0; at < len(*list(&k.best)); {
			p := k.best
			all := *list(&p)
			*list(&p) = slices.Concat(all[:at], all[min(at+size, len(all)):])
			if k.try(p) {
				smaller = true
			} else {
				at += size
			}
		}
	}
	return smaller
}

// quiet takes the noise away, one kind after the other.
func (k *shrinker) quiet() bool {
	smaller := false
	for _, less := range []func(*Plan) bool{
		func(p *Plan) bool { was := p.Bus; p.Bus.Loss = 0; return was != p.Bus },
		func(p *Plan) bool { was := p.Bus; p.Bus.Repeat = 0; return was != p.Bus },
		func(p *Plan) bool { was := p.Bus; p.Bus.Stray = 0; return was != p.Bus },
		func(p *Plan) bool { was := p.Bus; p.Bus.Late = min(was.Late, 50*time.Millisecond); return was != p.Bus },
		func(p *Plan) bool { was := p.World; p.World.Lost = 0; return was != p.World },
		func(p *Plan) bool { was := p.World; p.World.Visibility = 0; return was != p.World },
		func(p *Plan) bool { was := p.World; p.World.Throttle = 0; return was != p.World },
	} {
		p := k.best
		if less(&p) && k.try(p) {
			smaller = true
		}
	}
	return smaller
}

// shorter ends the faults earlier.
func (k *shrinker) shorter() bool {
	smaller := false
	for k.best.Length > time.Minute && k.time() {
		p := k.best
		p.Length = p.Length / 4 * 3
		p.Faults = slices.DeleteFunc(slices.Clone(p.Faults), func(f Fault) bool { return f.At > p.Length })
		p.Pods = slices.DeleteFunc(slices.Clone(p.Pods), func(x PodPlan) bool { return x.At > p.Length })
		if !k.try(p) {
			break
		}
		smaller = true
	}
	return smaller
}

// fewerNodes leaves a node out with its pods; the numbers of those behind it fall.
func (k *shrinker) fewerNodes() bool {
	smaller := false
	for gone := len(k.best.Nodes) - 1; gone >= 0 && len(k.best.Nodes) > 1 && k.time(); gone-- {
		p := k.best
		p.Nodes = slices.Concat(p.Nodes[:gone], p.Nodes[gone+1:])
		p.Pods, p.Faults = nil, nil
		for _, x := range k.best.Pods {
			if x.Node > gone {
				x.Node--
			} else if x.Node == gone {
				continue
			}
			p.Pods = append(p.Pods, x)
		}
		for _, x := range k.best.Faults {
			if x.Node > gone {
				x.Node--
			}
			p.Faults = append(p.Faults, x)
		}
		if k.try(p) {
			smaller = true
		}
	}
	return smaller
}
