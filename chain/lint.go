package chain

import (
	"context"
	"maps"
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
	j := &judge{walked: w, ctx: ctx, contracts: c, options: o, version: l.Version()}
	if there, ok := c.(interface{ Names() []string }); ok {
		j.plugins = there.Names()
	}
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
	return []func(*judge){
		ruleNames, ruleListKeys, ruleListVersion, ruleDropIns,
		ruleFused, eachStage(ruleKnown), eachStage(ruleVersion), eachStage(ruleKeys), eachStage(ruleCapabilities), eachStage(ruleFacts),
		eachStage(ruleDelegate), eachStage(ruleSingleKeys), eachStage(ruleValues), eachStage(ruleTraps), eachStage(ruleDel), eachStage(ruleCheck), ruleEnd,
	}
}

func eachStage(rule func(*judge, *step)) func(*judge) {
	return func(j *judge) {
		for _, s := range j.steps {
			rule(j, s)
		}
	}
}

// judge collects what the rules find.
type judge struct {
	*walked
	ctx       context.Context // of this one call of Lint
	contracts Contracts
	options   Options
	version   string   // in which the runtime would speak
	plugins   []string // that are installed, where somebody looked
	problems  []Problem
}

// Stdin is the path of a list that came by standard input.
const Stdin = "stdin"

// swap is what to type to put one plugin in the place of another in this list.
func (j *judge) swap(old, with string) string {
	file := j.l.Path
	if file == Stdin {
		file = "-"
	}
	return "enichainctl chain swap " + old + "=" + with + " " + file
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
	runner   Stage // the entry of the list: the stage itself, or the fused one that runs it
	dropIn   bool
	known    Known
	delegate *Known                // of ipam.type, where the stage calls it
	before   map[contract.Fact]int // what holds before the stage, and the number of the stage that gave it
	assumed  map[contract.Fact]bool
	after    map[contract.Fact]int
	unsure   bool // a stage before this one is unknown: more, or less, may hold
}

// previous is what the stage does with prevResult, with the default filled in.
func (s *step) previous() contract.Previous {
	switch {
	case s.known.Previous != "":
		return s.known.Previous
	case s.known.Delegates == contract.MayDelegate:
		return contract.Uses
	case len(s.known.Requires) > 0:
		return contract.Needs
	}
	return contract.Passes
}

// gives is what the stage adds, its delegate's facts first.
func (s *step) gives() []contract.Fact {
	var out []contract.Fact
	add := func(facts ...contract.Fact) {
		for _, f := range facts {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	if s.delegate != nil {
		add(s.delegate.Adds...)
		if s.delegate.Foreign() {
			add(contract.IPs, contract.Gateway) // what a delegate is called for
		}
	}
	add(s.known.Adds...)
	return out
}

// has says that a fact holds when the stage begins its own work, its delegate's answer in hand.
func (s *step) has(f contract.Fact) bool {
	if s.delegate != nil && (s.delegate.Foreign() && (f == contract.IPs || f == contract.Gateway) || slices.Contains(s.delegate.Adds, f)) {
		return true
	}
	if s.previous() == contract.Discards {
		return false
	}
	_, given := s.before[f]
	return given || s.assumed[f] || s.unsure
}

// walk follows the facts through a list. What a stage requires is taken to hold behind it, so that one fault is not
// reported once for every stage that follows.
func walk(ctx context.Context, l *List, c Contracts) *walked {
	w := &walked{l: l}
	facts, assumed, unsure := map[contract.Fact]int{}, map[contract.Fact]bool{}, false
	for _, step := range steps(ctx, l, c) {
		step.before, step.assumed, step.unsure = facts, assumed, unsure
		w.steps = append(w.steps, step)
		discards := !step.known.Foreign() && step.previous() == contract.Discards
		facts, assumed = map[contract.Fact]int{}, map[contract.Fact]bool{}
		if !discards {
			maps.Copy(facts, step.before)
			maps.Copy(assumed, step.assumed)
		}
		for _, f := range step.known.Requires {
			assumed[f] = true
		}
		for _, f := range step.gives() {
			facts[f] = step.number
		}
		step.after = facts
		unsure = !discards && unsure || step.known.Foreign()
	}
	return w
}

// steps are the stages of a list, those of fused entries one by one, with what is known of them.
func steps(ctx context.Context, l *List, c Contracts) (all []*step) {
	for i, entry := range l.Stages {
		for _, s := range entry.parts(len(all) + 1) {
			step := &step{Stage: s, number: len(all) + 1, runner: entry, dropIn: i >= l.inline}
			step.known = knownPart(ctx, c, entry, s.Type, s.Config)
			if s.Delegate() != "" && step.known.Delegates != contract.NoDelegate {
				d := knownPart(ctx, c, entry, s.Delegate(), s.Config) // it gets the whole configuration, as from a runtime
				step.delegate = &d
			}
			all = append(all, step)
		}
	}
	return all
}

// fused says whether the stage runs in a process with others.
func (s *step) fused() bool { return s.runner.Type != s.Type }

// giver is the stage that gave a fact which holds before s; nil where none did.
func (w *walked) giver(s *step, f contract.Fact) *step {
	n, ok := s.before[f]
	if !ok {
		return nil
	}
	return w.steps[n-1]
}

// last is the last stage; nil in an empty list.
func (w *walked) last() *step {
	if len(w.steps) == 0 {
		return nil
	}
	return w.steps[len(w.steps)-1]
}
