package chain

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// Runtimes whose ways Lint knows by name.
const (
	AnyRuntime    = ""               // what holds with every current one
	Containerd17  = "containerd-1.7" // libcni 1.1: no cniVersions, no drop-ins, no CNI 1.1.0
	Containerd2   = "containerd-2"   // libcni 1.2 or later; STATUS
	CRIO          = "crio"           // CHECK after every ADD, host ports of its own, VERSION asked of every stage
	libcniCurrent = "1.1.0"
)

// Runtimes are the names that Options.Runtime takes, besides "".
func Runtimes() []string { return []string{Containerd17, Containerd2, CRIO} }

// Options say by what measure a list is judged.
type Options struct {
	Runtime string // one of Runtimes, or "" for what holds with all
}

// Lint judges a list by the contracts of its stages, before a node sees it. The problems come in the order of the list.
// A stage of which nobody knows anything is named, and what depends on it is not judged.
func Lint(ctx context.Context, l *List, c Contracts, o Options) []Problem {
	w := walk(ctx, l, c)
	j := &judge{walked: w, options: o, version: l.Version()}
	if o.Runtime == Containerd17 {
		j.version = l.CNIVersion
	}
	for _, rule := range rules() {
		rule(j)
	}
	return sorted(j.problems)
}

// rules are all that Lint looks for; each lives with its kind in a file rules_*.go.
func rules() []func(*judge) {
	return []func(*judge){ruleFacts}
}

// judge collects what the rules find.
type judge struct {
	*walked
	options  Options
	version  string // in which the runtime would speak
	problems []Problem
}

// list reports a problem of the list itself.
func (j *judge) list(key string, p Problem) {
	p.File, p.Line, p.Key = j.l.Path, j.l.line(strings.Split(key, ".")...), key
	j.problems = append(j.problems, p)
}

// stage reports a problem of a stage; key is a path such as "ipam.gateway", or "".
func (j *judge) stage(s *step, key string, p Problem) {
	p.File, p.Stage, p.Type, p.Key = s.File, s.number, s.Type, key
	p.Line = s.Line
	if key != "" {
		p.Line = s.line(strings.Split(key, ".")...)
	}
	j.problems = append(j.problems, p)
}

// walked is a list with what is known of its stages and what holds between them.
type walked struct {
	l     *List
	steps []*step
}

// step is a stage in its place.
type step struct {
	Stage
	number   int
	known    Known
	delegate *Known                // of ipam.type, where the stage calls it
	before   map[contract.Fact]int // what holds before the stage, and the number of the stage that gave it
	after    map[contract.Fact]int
	unsure   bool // a stage before this one is unknown: more may hold
}

// previous is what the stage does with prevResult, with the default filled in.
func (s *step) previous() contract.Previous {
	switch {
	case s.known.Previous != "":
		return s.known.Previous
	case s.known.Delegates == contract.MayDelegate && s.Delegate() != "":
		return contract.Uses
	case len(s.known.Requires) > 0:
		return contract.Needs
	}
	return contract.Passes
}

// calls says that the stage runs the plugin of its "ipam".
func (s *step) calls() bool {
	return s.Delegate() != "" && s.known.Delegates != contract.NoDelegate
}

// gives is what the stage adds, its delegate's facts among them.
func (s *step) gives() []contract.Fact {
	out := slices.Clone(s.known.Adds)
	if s.delegate != nil && !s.delegate.Foreign() {
		out = append(out, s.delegate.Adds...)
	}
	return out
}

// walk follows the facts through a list.
func walk(ctx context.Context, l *List, c Contracts) *walked {
	w := &walked{l: l}
	facts, unsure := map[contract.Fact]int{}, false
	for i, s := range l.Stages {
		step := &step{Stage: s, number: i + 1, known: c.Of(ctx, s.Type, s.Config), before: facts, unsure: unsure}
		if raw, ok := s.Member("ipam"); ok && step.calls() {
			d := c.Of(ctx, s.Delegate(), delegateConfig(s, raw))
			step.delegate = &d
		}
		w.steps = append(w.steps, step)
		next := map[contract.Fact]int{}
		if step.known.Foreign() || step.previous() != contract.Discards {
			for f, by := range facts {
				next[f] = by
			}
		}
		for _, f := range step.gives() {
			next[f] = step.number
		}
		facts, step.after = next, next
		unsure = unsure || step.known.Foreign() || step.delegate != nil && step.delegate.Foreign()
	}
	return w
}

// delegateConfig is what a delegate's contract is asked with: its own keys, from where they stand.
func delegateConfig(_ Stage, ipam json.RawMessage) json.RawMessage { return ipam }

// final are the facts that hold at the end.
func (w *walked) final() map[contract.Fact]int {
	if len(w.steps) == 0 {
		return nil
	}
	return w.steps[len(w.steps)-1].after
}
