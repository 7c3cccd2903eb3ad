// Package conformance judges a CNI plugin by the CNI specification: it runs the binary as a runtime does, by
// environment and standard input, in network and mount namespaces of its own, and looks at what it answers and what it
// does to the kernel. Every assertion bears a number and the sentence of the specification that it comes from.
//
// The specification is SPEC.md and CONVENTIONS.md of github.com/containernetworking/cni, version 1.1.0.
package conformance

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say which plugin is judged, and how.
type Options struct {
	Binary   string      // path of the plugin
	Path     []string    // CNI_PATH, where delegates are found; empty: the plugin's folder
	Profile  *Profile    // how to call it; nil: the built-in one of that name, or an empty one
	Kind     Kind        // overrides the profile's; both empty: found out
	Only     []string    // ids of assertions; empty: all that are meant for the kind
	Declared []Deviation // known deviations, which do not count as failures
	Parallel int         // trials at once; 0: one for each processor
	// Done is told each finding when it is there, in any order; nil: nobody is.
	Done func(Finding)
}

// Deviation is a failure that a plugin's makers declare, with their reason.
type Deviation struct {
	Plugin string `yaml:"plugin" json:"plugin"`
	ID     string `yaml:"id" json:"id"`
	Reason string `yaml:"reason" json:"reason"`
}

// Run tries every assertion that is meant for the plugin's kind, each in a fresh world. The error says why nothing could
// be tried at all; a plugin that fails is no error.
func Run(ctx context.Context, o Options) (*Report, error) {
	began := time.Now()
	s, err := newSubject(o)
	if err != nil {
		return nil, err
	}
	r := &Report{Plugin: cmp.Or(s.profile.name, s.profile.Plugin), Binary: s.binary}
	if reason := s.prepared(ctx); reason != "" {
		r.NotRun, r.Kind = reason, s.kind
		return r, nil
	}
	r.Kind, r.Versions = s.kind, s.versions
	suite := Suite()
	for _, id := range o.Only {
		if !slices.ContainsFunc(suite, func(a Assertion) bool { return a.ID == id }) {
			return nil, fmt.Errorf("cannot try %s: no assertion has that id", id)
		}
	}
	suite = slices.DeleteFunc(suite, func(a Assertion) bool {
		return !slices.Contains(a.Kinds, s.kind) || len(o.Only) > 0 && !slices.Contains(o.Only, a.ID)
	})
	r.Findings = s.tryAll(ctx, suite, o)
	r.Took = time.Since(began)
	return r, ctx.Err()
}

// subject is the plugin under trial.
type subject struct {
	binary   string
	path     string // CNI_PATH
	profile  *Profile
	kind     Kind
	versions []string // that it says it speaks, of those that the suite knows, oldest first
}

func newSubject(o Options) (*subject, error) {
	path, profile := Variant(o.Binary)
	binary, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find the plugin %s: %w", o.Binary, err)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, fmt.Errorf("cannot find the plugin: %w", err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("cannot run the plugin %s: it is no executable file", binary)
	}
	for _, hidden := range ownFolders {
		if strings.HasPrefix(binary, hidden+"/") {
			return nil, fmt.Errorf("cannot run the plugin %s: the suite hides %s from plugins; copy it elsewhere", binary, hidden)
		}
	}
	s := &subject{binary: binary, profile: o.Profile, path: strings.Join(o.Path, ":")}
	if s.profile == nil {
		if s.profile, err = BuiltIn(profile); err != nil {
			return nil, err
		}
	}
	if s.path == "" {
		s.path = filepath.Dir(binary)
	}
	if s.kind = o.Kind; s.kind == "" {
		s.kind = s.profile.Kind
	}
	return s, nil
}

// tryAll runs the trials, some at once, and returns the findings in the suite's order.
func (s *subject) tryAll(ctx context.Context, suite []Assertion, o Options) []Finding {
	findings := make([]Finding, len(suite))
	next := make(chan int)
	var done sync.WaitGroup
	workers := o.Parallel
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	var telling sync.Mutex
	for range workers {
		done.Go(func() {
			for i := range next {
				findings[i] = s.try(ctx, suite[i], o.Declared)
				if o.Done != nil {
					telling.Lock()
					o.Done(findings[i])
					telling.Unlock()
				}
			}
		})
	}
	for i := range suite {
		next <- i
	}
	close(next)
	done.Wait()
	return findings
}

// try makes a world, tries one assertion in it, and leaves the world to the kernel.
func (s *subject) try(ctx context.Context, a Assertion, declared []Deviation) Finding {
	began := time.Now()
	f := Finding{ID: a.ID, Strength: a.Strength, Section: a.Section, Sentence: a.Sentence}
	v, script := s.inWorld(ctx, a.try)
	f.Outcome, f.Expected, f.Seen, f.Why = v.outcome, v.expected, v.seen, v.why
	if v.outcome == Failed {
		f.Try = append([]string{"enichainctl conformance --shell " + s.binary}, script...)
		for _, d := range declared {
			if d.ID == a.ID && d.Plugin == s.profile.Plugin {
				f.Outcome, f.Why = Deviates, d.Reason
			}
		}
	}
	f.Took = time.Since(began)
	return f
}
