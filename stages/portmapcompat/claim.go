package portmapcompat

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
)

// claim is one container's wish for ports in one family's table nat.
type claim struct {
	nat
	program
	call
	r *stages.Request
	t rules
	// first is whether the ports win over those that others have.
	first bool
}

// add opens the ports, a family at a time, each by one script. What one family refuses is undone in the other.
func (n nat) add(ctx context.Context, c call, r *stages.Request) error {
	for i, t := range c.tables(r.Attachment) {
		p, err := ours(t.family)
		if err != nil {
			err = stages.Errorf(stages.Config, `backend: "iptables" for %s: %w; install it, or take the key out`, r.Attachment, err)
		} else {
			err = claim{n, p, c, r, t, c.HostPortConflict == lastWins}.make(ctx)
		}
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

// make puts the rules in. Usually the node has all shared ones and the container has none: then one process does it, in
// one transaction that begins by making sure of the former.
func (c claim) make(ctx context.Context) error {
	there, err := present(c.nl, c.t.family, chainHostPorts, c.t.chain, secondChain(c.r.Attachment))
	if err != nil {
		return err
	}
	if len(there) == 1 && there[chainHostPorts].any() && c.HostPortConflict == lastWins {
		s := newScript()
		for _, at := range c.t.shared {
			s.do("-C", at.chain, at.rule)
		}
		s.fill(c.t)
		s.enter(c.t, c.first)
		var refused *refusal
		if err := c.restore(ctx, s.end()); err == nil || !errors.As(err, &refused) {
			return err
		}
	}
	return c.carefully(ctx)
}

// carefully reads what is there, and writes what is missing or has to go, alone.
func (c claim) carefully(ctx context.Context) error {
	return alone(ctx, func() error {
		var err error
		for range tries {
			var s *script
			if s, err = c.rewrite(ctx); err != nil {
				return err
			}
			var refused *refusal
			if err = c.restore(ctx, s.end()); err == nil || !errors.As(err, &refused) {
				return err
			}
			if !refused.passing() {
				break
			}
		}
		return c.explained(c.t.family, err)
	})
}

func (c claim) rewrite(ctx context.Context) (*script, error) {
	there, err := present(c.nl, c.t.family, append(c.t.chains(), c.t.chain, secondChain(c.r.Attachment))...)
	if err != nil {
		return nil, err
	}
	s := newScript()
	if err := c.share(ctx, there, s); err != nil {
		return nil, err
	}
	var entries []listed
	if there[chainHostPorts].any() {
		if entries, _, err = c.list(chainHostPorts); err != nil {
			return nil, err
		}
	}
	t := c.t
	if t.chain, err = c.name(there); err != nil {
		return nil, err
	}
	if c.HostPortConflict == reject {
		if err := c.taken(t.chain, entries); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if e.jump == t.chain {
			s.WriteString("-D" + e.line[2:] + "\n")
		}
	}
	s.fill(t)
	s.enter(t, c.first)
	return s, nil
}

// share writes what is missing of the shared chains.
func (c claim) share(ctx context.Context, there map[string]presence, s *script) error {
	whole := newScript()
	made := map[string]bool{}
	for _, at := range c.t.shared {
		whole.do("-C", at.chain, at.rule)
	}
	for _, name := range c.t.chains() {
		made[name] = !there[name].any()
	}
	if !made[chainHostPorts] && c.restore(ctx, whole.end()) == nil {
		return nil
	}
	for _, name := range c.t.chains() {
		if !made[name] { // one of the other variant is none
			is, err := c.hasChain(name)
			if err != nil {
				return err
			}
			made[name] = !is
		}
		if made[name] {
			s.line("-N", name)
		}
	}
	for _, at := range c.t.shared {
		is := false
		if !made[at.chain] && !made[at.rule[len(at.rule)-1]] {
			var err error
			if is, err = c.has(at.chain, at.rule); err != nil {
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

// name is the chain for the container's rules: the one it has, or upstream's unless the container's other interface has
// that.
func (c claim) name(there map[string]presence) (string, error) {
	second := secondChain(c.r.Attachment)
	if there[second].any() {
		return second, nil
	}
	if there[c.t.chain].any() {
		rules, _, err := c.list(c.t.chain)
		if err != nil {
			return "", err
		}
		if !belongs(c.r, rules) {
			return second, nil
		}
	}
	return c.t.chain, nil
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
func (c claim) taken(chain string, entries []listed) error {
	for _, e := range entries {
		if e.jump == chain || !slices.ContainsFunc(c.ports, func(m mapping) bool {
			return m.proto == e.to.proto && slices.Contains(e.ports, m.host.Port())
		}) {
			continue
		}
		theirs, _, err := c.list(e.jump)
		if err != nil {
			return err
		}
		for _, l := range leads(theirs) {
			for _, m := range c.ports {
				if m.proto != l.proto || !m.forFamily(c.t.family) || !overlap(m.host, l.host) {
					continue
				}
				holder := ownerIn(theirs)
				if holder == "" {
					holder = e.comment
				}
				return portTaken(m, c.r, holder, l.pod)
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
