package pods

import (
	"github.com/enichain/enichain/test/bench/figure"
)

// Who says so.
const (
	issue     = "asked for" // of this chain, to begin with
	excellent = "excellent" // by what was measured of peers and floors before there was a chain
)

// target is a limit for the ratio of a chain's measure to another chain's.
type target struct {
	subject, measure, other string
	limit                   float64
	source                  string
}

// The targets are told whether or not their figures could be measured here.
func (b *bench) serialTargets(s *figure.Section) {
	for _, t := range []target{
		{"ours-1port", "add-cpu", awsPortmap, 0.22, issue}, {"ours-1port", "add-cpu", floorFused, 3.3, excellent},
		{"ours-1port", "add-cpu", awsAlone, 0.85, excellent},
		{"ours-1port", "add-wall", awsPortmap, 0.25, excellent}, {"ours-1port", "add-wall", floorFused, 3.0, excellent},
		{"ours-1port", "add-wall", awsAlone, 0.95, excellent},
		{"ours-1port", "del-cpu", awsPortmap, 0.25, issue}, {"ours-1port", "del-cpu", floorFused, 3.5, excellent},
		{"ours-0port", "del-wall", awsPortmap, 0.12, issue}, {"ours-1port", "del-wall", awsPortmap, 0.38, issue},
		{"ours-daemon", "del-wall", awsPortmap, 0.15, issue},
		{"fused-1port", "add-cpu", awsPortmap, 0.08, issue}, {"fused-1port", "add-wall", awsPortmap, 0.10, issue},
	} {
		s.Aim(b.id(t.subject, t.measure, t.other), t.limit, t.source)
	}
	for _, verb := range []string{"add", "del"} {
		for _, subject := range []string{"ours-1port", "ours-0port"} {
			s.Aim(b.id(subject, verb+"-dumps"), 0, issue)
		}
	}
	for _, program := range []struct {
		name          string
		version, size float64
	}{{"eni-ipam", 1.35, 2.9e6}, {"routed-veth", 1.35, 2.9e6}, {"snat", 1.35, 2.9e6}, {"portmap-compat", 1.45, 3.1e6}} {
		s.Aim(b.id(program.name, "version-cpu", hello), program.version, issue)
		s.Aim(b.id(program.name, "size"), program.size, issue)
	}
	s.Aim(b.id("four", "size", awsPortmap), 0.65, excellent)
}

func (b *bench) burstTargets(s *figure.Section) {
	for _, t := range []target{
		{"ours-1port", "add10-rate", awsPortmap, 4, issue}, {"ours-1port", "add10-rate", floorFused, 0.30, excellent},
		{"ours-1port", "add10-rate", awsAlone, 1.0, excellent},
		{"ours-0port", "del10-rate", awsPortmap, 7, issue}, {"ours-0port", "del10-rate", awsPortmap, 10, excellent},
		{"ours-daemon", "del10-rate", awsPortmap, 7, issue},
		{"ours-0port", "churn-rate", awsPortmap, 7, issue}, {"ours-daemon", "churn-rate", awsPortmap, 7, issue},
	} {
		s.AimAtLeast(b.id(t.subject, t.measure, t.other), t.limit, t.source)
	}
	s.Aim(b.id("ours-1port", "add50-p99", awsPortmap), 0.20, excellent)
	s.Aim(b.id("ours-1port", "churn-add-p50", "idle"), 2.5, excellent)
}

func (b *bench) growthTargets(s *figure.Section) {
	for _, verb := range []string{"add", "del"} {
		s.Aim(b.id("ours-1port", verb+"-cpu-at-100-pods", "growth"), 1.05, issue)
	}
}
