package portmapcompat

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"github.com/enichain/enichain/stages"
)

// asked is a container whose ports are in iptables.
type asked struct {
	call
	r *stages.Request
}

// inNAT puts back what containers have lost in iptables. All of them together are two processes per family where nothing
// is missing.
func (l *restoring) inNAT(ctx context.Context, live []asked) error {
	if len(live) == 0 {
		return nil
	}
	n, err := openNAT()
	if err != nil {
		return err
	}
	defer n.close()
	var errs error
	intact := n.intact(ctx, live)
	for _, a := range live {
		if ctx.Err() != nil {
			return errors.Join(errs, ctx.Err())
		}
		if !intact {
			errs = errors.Join(errs, kernelError(a.r, l.oneInNAT(ctx, n, a)))
		}
		errs = errors.Join(errs, kernelError(a.r, l.setting(a.call, a.r)))
	}
	return errs
}

// intact says whether every rule of every container is there, and no other in its chain.
func (n nat) intact(ctx context.Context, live []asked) bool {
	for _, f := range families {
		s, want, have := newScript(), map[string]rules{}, map[string][]listed{}
		for _, a := range live {
			for _, t := range a.tables(a.r.Attachment) {
				if t.family != f {
					continue
				}
				second := secondChain(a.r.Attachment)
				if there, err := present(n.nl, f, second); err == nil && there[second].any() {
					t.chain = second
				}
				t.script(s)
				want[t.chain] = t
			}
		}
		if len(want) == 0 {
			continue
		}
		p, err := ours(f)
		if err != nil || p.restore(ctx, s.end()) != nil {
			return false
		}
		saved, err := exec.CommandContext(ctx, p.path+"-save", "-t", "nat").Output()
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(saved)) {
			if rest, is := strings.CutPrefix(line, "-A "); is {
				chain, _, _ := strings.Cut(rest, " ")
				if _, ours := want[chain]; ours {
					have[chain] = append(have[chain], parseRule(strings.TrimSpace(line)))
				}
			}
		}
		for chain, t := range want {
			if t.different(have[chain]) != "" {
				return false
			}
		}
	}
	return true
}

// oneInNAT puts back one container's rules where CHECK would complain. They stand behind others': a port that another
// container has taken stays with it.
func (l *restoring) oneInNAT(ctx context.Context, n nat, a asked) error {
	var lost []rules
	mine, empty := 0, true
	for _, t := range a.tables(a.r.Attachment) {
		second := secondChain(a.r.Attachment)
		there, err := present(n.nl, t.family, chainHostPorts, t.chain, second)
		if err != nil {
			return err
		}
		empty = empty && !there[chainHostPorts].any()
		if there[second].any() {
			t.chain = second
		}
		if !there[t.chain].any() {
			lost = append(lost, t)
			continue
		}
		mine++
		p, err := ours(t.family)
		if err != nil {
			return err
		}
		drift, err := t.drift(ctx, p)
		if err != nil {
			return err
		}
		if drift != "" {
			lost = append(lost, t)
		}
	}
	if mine == 0 && len(lost) > 0 && !empty && !l.memory.Sure(a.r.Attachment, l.now) { // as its DEL leaves it
		l.again = true
		return nil
	}
	l.memory.Clear(a.r.Attachment)
	if len(lost) == 0 {
		return nil
	}
	free := a.call
	free.HostPortConflict = lastWins // that it has the ports was decided at ADD
	for _, t := range lost {
		p, err := ours(t.family)
		if err != nil {
			return err
		}
		if err := (claim{n, p, free, a.r, t, false}).carefully(ctx); err != nil {
			return err
		}
	}
	l.gave(a.r)
	l.what = append(l.what, "host port "+a.ports[0].String()+" of "+whom(a.r)+" is missing")
	return nil
}
