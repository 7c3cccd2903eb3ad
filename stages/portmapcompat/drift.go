package portmapcompat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/stages"
)

// check finds what is missing or different, in words; "" is nothing.
func (n nat) check(ctx context.Context, c call, r *stages.Request) (string, error) {
	for _, t := range c.tables(r.Attachment) {
		p, err := ours(t.family)
		if err != nil {
			return "", err
		}
		there, err := present(n.nl, t.family, t.chain, secondChain(r.Attachment))
		if err != nil {
			return "", err
		}
		if second := secondChain(r.Attachment); there[second].any() {
			t.chain = second
		}
		if !there[t.chain].any() {
			return fmt.Sprintf("chain %s with its host ports is missing; %s", t.chain, t.show("")), nil
		}
		if drift, err := t.drift(ctx, p); drift != "" || err != nil {
			return drift, err
		}
	}
	return "", nil
}

// script is what must hold outside the container's chain, as a script that changes nothing.
func (t rules) script(s *script) {
	for _, at := range t.shared {
		s.do("-C", at.chain, at.rule)
	}
	for _, rule := range t.entries {
		s.do("-C", chainHostPorts, rule, "-j", t.chain)
	}
}

func (t rules) drift(ctx context.Context, p program) (string, error) {
	have, _, err := p.list(t.chain)
	if err != nil {
		return "", err
	}
	if drift := t.different(have); drift != "" {
		return drift, nil
	}
	s := newScript()
	t.script(s)
	err = p.restore(ctx, s.end())
	var refused *refusal
	if err == nil || !errors.As(err, &refused) {
		return "", err
	}
	return t.missing(p)
}

// different compares the container's chain with what it is to be, in words. What a person knows comes first.
func (t rules) different(have []listed) string {
	want := make([]listed, len(t.body))
	for i, rule := range t.body {
		want[i] = parseWords(rule)
	}
	for _, w := range want {
		if w.to.pod.IsValid() && !slices.ContainsFunc(have, w.like) {
			m := mapping{proto: w.to.proto, host: w.to.host}
			return fmt.Sprintf("host port %s does not lead to %s; %s", m, w.to.pod, t.show(""))
		}
	}
	for i, w := range want {
		if !slices.ContainsFunc(have, w.like) {
			return fmt.Sprintf("rule %q is missing; %s", strings.Join(t.body[i], " "), t.show(""))
		}
	}
	switch {
	case len(have) != len(want):
		return fmt.Sprintf("chain %s has %d rules, not %d; %s", t.chain, len(have), len(want), t.show(""))
	case !slices.EqualFunc(want, have, listed.like):
		return fmt.Sprintf("the rules of chain %s stand in another order; %s", t.chain, t.show(""))
	}
	return ""
}

// missing is the first rule outside the container's chain that is not there, in words.
func (t rules) missing(p program) (string, error) {
	for _, rule := range t.entries {
		if there, err := p.has(chainHostPorts, append(slices.Clone(rule), "-j", t.chain)); err != nil || !there {
			return fmt.Sprintf("no rule of chain %s leads its host ports to chain %s; %s", chainHostPorts, t.chain,
				t.show(chainHostPorts)), quiet(err)
		}
	}
	for _, at := range t.shared {
		if there, err := p.has(at.chain, at.rule); err != nil || !there {
			return fmt.Sprintf("rule %q is missing; %s", strings.Join(at.rule, " "), t.show(at.chain)), quiet(err)
		}
	}
	return "", nil
}

// quiet drops the complaint that a chain which the rule names is not there: that is drift, not a failure.
func quiet(err error) error {
	var not *complaint
	if errors.As(err, &not) && not.exit <= 2 {
		return nil
	}
	return err
}

// show is the command that shows a chain; "" is the container's.
func (t rules) show(chain string) string {
	if chain == "" {
		chain = t.chain
	}
	return "see " + variants(t.family)[0] + " -t nat -S " + chain
}
