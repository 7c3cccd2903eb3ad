package portmapcompat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nfnl"
	"github.com/enichain/enichain/stages/internal/nft"
)

// nat is iptables' table nat of both families.
type nat struct {
	nl *nfnl.Conn // for a look without a process; nil where the kernel has no such sockets
}

func openNAT() nat {
	c, err := nfnl.Open()
	if err != nil {
		return nat{}
	}
	return nat{c}
}

func (n nat) close() {
	if n.nl != nil {
		n.nl.Close()
	}
}

// tries bounds how often a script is written anew because somebody changed what it was written for.
const tries = 10

// add opens the ports, a family at a time, each by one script. What one family refuses is undone in the other.
func (n nat) add(ctx context.Context, c call, r *stages.Request) error {
	for i, t := range c.tables(r.Attachment) {
		err := n.claim(ctx, c, r, t)
		if err == nil {
			continue
		}
		if i > 0 {
			undo, stop := context.WithTimeout(context.WithoutCancel(ctx), lockWait*time.Second)
			_, failed := n.end(undo, r, nil)
			stop()
			err = errors.Join(err, failed)
		}
		return err
	}
	return nil
}

// claim puts one family's rules in. Usually the node has all shared ones and the container has none: then one process does
// it, in one transaction that begins by making sure of the former.
func (n nat) claim(ctx context.Context, c call, r *stages.Request, t rules) error {
	p, err := ours(t.family)
	if err != nil {
		return stages.Errorf(stages.Config, `backend: "iptables" for %s: %w; install it, or take the key out`, r.Attachment, err)
	}
	there, err := present(n.nl, t.family, chainHostPorts, t.chain, secondChain(r.Attachment))
	if err != nil {
		return err
	}
	if len(there) == 1 && there[chainHostPorts].any() && c.HostPortConflict == lastWins {
		s := newScript()
		for _, at := range t.shared {
			s.do("-C", at.chain, at.rule)
		}
		s.fill(t)
		s.enter(t, true)
		var refused *refusal
		if err := p.restore(ctx, s.end()); err == nil || !errors.As(err, &refused) {
			return err
		}
	}
	return alone(ctx, func() error { return n.carefully(ctx, p, c, r, t, c.HostPortConflict == lastWins) })
}

// carefully reads what is there, and writes what is missing or has to go. first is whether the ports win over others'.
func (n nat) carefully(ctx context.Context, p program, c call, r *stages.Request, t rules, first bool) error {
	h, err := p.handle()
	if err != nil {
		return err
	}
	for range tries {
		var s *script
		if s, err = n.rewrite(ctx, p, h, c, r, t, first); err != nil {
			return err
		}
		var refused *refusal
		if err = p.restore(ctx, s.end()); err == nil || !errors.As(err, &refused) {
			return err
		}
		if refused.exit != 1 { // not a race with somebody
			return c.explained(t.family, refused)
		}
	}
	return c.explained(t.family, err)
}

func (n nat) rewrite(ctx context.Context, p program, h *goiptables.IPTables, c call, r *stages.Request, t rules,
	first bool) (*script, error) {
	there, err := present(n.nl, t.family, append(t.chains(), t.chain, secondChain(r.Attachment))...)
	if err != nil {
		return nil, err
	}
	s := newScript()
	if err := t.share(ctx, p, h, there, s); err != nil {
		return nil, err
	}
	var entries []listed
	if there[chainHostPorts].any() {
		if entries, _, err = list(h, chainHostPorts); err != nil {
			return nil, err
		}
	}
	if t.chain, err = name(h, r, t, there); err != nil {
		return nil, err
	}
	if c.HostPortConflict == reject {
		if err := taken(h, c, r, t, entries); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if e.jump == t.chain {
			s.WriteString("-D" + e.line[2:] + "\n")
		}
	}
	s.fill(t)
	s.enter(t, first)
	return s, nil
}

// share writes what is missing of the shared chains.
func (t rules) share(ctx context.Context, p program, h *goiptables.IPTables, there map[string]presence, s *script) error {
	whole := newScript()
	made := map[string]bool{}
	for _, at := range t.shared {
		whole.do("-C", at.chain, at.rule)
	}
	for _, name := range t.chains() {
		made[name] = !there[name].any()
	}
	if !made[chainHostPorts] && p.restore(ctx, whole.end()) == nil {
		return nil
	}
	for _, name := range t.chains() {
		if !made[name] { // one of the other variant is none
			is, err := h.ChainExists("nat", name)
			if err != nil {
				return err
			}
			made[name] = !is
		}
		if made[name] {
			s.line("-N", name)
		}
	}
	for _, at := range t.shared {
		is := false
		if !made[at.chain] && !made[at.rule[len(at.rule)-1]] {
			var err error
			if is, err = h.Exists("nat", at.chain, at.rule...); err != nil {
				return err
			}
		}
		switch {
		case is:
		case at.first:
			s.do("-I", at.chain, at.rule)
		default:
			s.do("-A", at.chain, at.rule)
		}
	}
	return nil
}

// list is a chain's rules; ok is false where the chain is not there.
func list(h *goiptables.IPTables, chain string) (all []listed, ok bool, err error) {
	lines, err := h.List("nat", chain)
	var fault *goiptables.Error
	if errors.As(err, &fault) && (fault.ExitStatus() == 1 || fault.IsNotExist()) {
		return nil, false, nil
	}
	return parseRules(lines), err == nil, err
}

// name is the chain for the container's rules: the one it has, or upstream's unless the container's other interface has
// that.
func name(h *goiptables.IPTables, r *stages.Request, t rules, there map[string]presence) (string, error) {
	second := secondChain(r.Attachment)
	if there[second].any() {
		return second, nil
	}
	if there[t.chain].any() {
		rules, _, err := list(h, t.chain)
		if err != nil {
			return "", err
		}
		if !belongs(r, rules) {
			return second, nil
		}
	}
	return t.chain, nil
}

// belongs says whether a chain that upstream's hash of network and container names is this attachment's: it says so
// itself, or else it is upstream's own, and then what it leads to is in prevResult, or nothing is known.
func belongs(r *stages.Request, chain []listed) bool {
	if name := ownerIn(chain); name != "" {
		return name == owner(r.Attachment)
	}
	if r.Prev == nil {
		return true
	}
	mine := targets(r)
	return !slices.ContainsFunc(leads(chain), func(l lead) bool {
		return !slices.ContainsFunc(mine, func(p netip.Prefix) bool { return p.Addr() == l.pod.Addr() })
	})
}

// taken is the error that another container holds one of the ports.
func taken(h *goiptables.IPTables, c call, r *stages.Request, t rules, entries []listed) error {
	for _, e := range entries {
		if e.jump == t.chain || !slices.ContainsFunc(c.ports, func(m mapping) bool {
			return m.proto == e.to.proto && slices.Contains(e.ports, m.host.Port())
		}) {
			continue
		}
		chain, _, err := list(h, e.jump)
		if err != nil {
			return err
		}
		for _, l := range leads(chain) {
			for _, m := range c.ports {
				if m.proto != l.proto || !m.forFamily(t.family) || !overlap(m.host, l.host) {
					continue
				}
				holder := ownerIn(chain)
				if holder == "" {
					holder = e.comment
				}
				return portTaken(m, r, holder, l.pod)
			}
		}
	}
	return nil
}

// overlap says whether one packet can be meant by both.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (!a.Addr().IsValid() || !b.Addr().IsValid() || a.Addr() == b.Addr())
}

func portTaken(m mapping, r *stages.Request, holder string, to netip.AddrPort) error {
	return stages.Errorf(stages.PortTaken, "host port %s for %s: %s holds it and leads it to %s; end that one, choose "+
		`another port, or set hostPortConflict to "lastWins"`, m, r.Attachment, holder, to)
}

// explained is a refusal in the words of the configuration, where that is to blame.
func (c call) explained(f nft.Family, err error) error {
	var refused *refusal
	if !errors.As(err, &refused) {
		return err
	}
	key, conditions := "conditionsV4", c.ConditionsV4
	if f == nft.IPv6 {
		key, conditions = "conditionsV6", c.ConditionsV6
	}
	entry := strings.Contains(refused.text, chainHostPorts+" ")
	switch x := c.ExternalSetMarkChain; {
	case x != nil && c.SNAT && strings.Contains(refused.said+refused.text, *x):
		return stages.Errorf(stages.Config, "externalSetMarkChain: chain %s of table nat is not there: start what makes it "+
			"(kube-proxy makes KUBE-MARK-MASQ), or take the key out; %s", *x, refused.said)
	case len(conditions) > 0 && (entry || refused.text == ""):
		return stages.Errorf(stages.Config, "%s: iptables does not take %q: %s", key, strings.Join(conditions, " "), refused.said)
	}
	return err
}

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
	h, err := p.handle()
	if err != nil {
		return "", err
	}
	have, _, err := list(h, t.chain)
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
	return t.missing(h)
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
func (t rules) missing(h *goiptables.IPTables) (string, error) {
	for _, rule := range t.entries {
		if there, err := h.Exists("nat", chainHostPorts, append(slices.Clone(rule), "-j", t.chain)...); err != nil || !there {
			return fmt.Sprintf("no rule of chain %s leads its host ports to chain %s; %s", chainHostPorts, t.chain,
				t.show(chainHostPorts)), quiet(err)
		}
	}
	for _, at := range t.shared {
		if there, err := h.Exists("nat", at.chain, at.rule...); err != nil || !there {
			return fmt.Sprintf("rule %q is missing; %s", strings.Join(at.rule, " "), t.show(at.chain)), quiet(err)
		}
	}
	return "", nil
}

// quiet drops the complaint that a chain which the rule names is not there: that is drift, not a failure.
func quiet(err error) error {
	var fault *goiptables.Error
	if errors.As(err, &fault) && fault.ExitStatus() <= 2 {
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
