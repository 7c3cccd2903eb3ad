package portmapcompat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
)

// end removes one attachment's chains from iptables' table nat, ours and what upstream's portmap made for it, and says
// which ports led where. tables says in which families there is a table nat.
func (n nat) end(ctx context.Context, r *stages.Request, tables inFamilies) ([]lead, error) {
	var gone []lead
	var errs error
	for _, f := range families {
		in, err := tables.has(f)
		if err == nil && !in && !hasLegacy(f) {
			continue // at nearly every DEL
		}
		names := []string{upstreamChain(r.Attachment), secondChain(r.Attachment), oldChain(r.Attachment)}
		var there map[string]presence
		if err == nil {
			there, err = present(n.nl, f, names...)
		}
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		if len(there) == 0 {
			continue
		}
		asked, err := read(r)
		known := err == nil && len(asked.wants) > 0
		if known && n.endAsBegun(ctx, asked, r, f, there, &gone) {
			continue
		}
		some, err := n.removing(ctx, f, names, func(name string, rules []listed) bool {
			return name != names[0] || belongs(r, rules)
		})
		gone, errs = append(gone, some...), errors.Join(errs, err)
	}
	return gone, errs
}

// endAsBegun removes in one process what ADD made, if it is still as ADD made it.
func (n nat) endAsBegun(ctx context.Context, c call, r *stages.Request, f nft.Family, there map[string]presence,
	gone *[]lead) bool {
	for _, t := range c.tables(r.Attachment) {
		p, err := ours(f)
		if t.family != f || err != nil || len(there) > 1 || !there[t.chain].any() || p.cannotReach(there[t.chain]) {
			continue
		}
		s := newScript()
		s.do("-C", t.chain, t.body[len(t.body)-1]) // names the owner
		for _, rule := range t.entries {
			s.do("-D", chainHostPorts, rule, "-j", t.chain)
		}
		s.line("-F", t.chain)
		s.line("-X", t.chain)
		if p.restore(ctx, s.end()) != nil {
			return false
		}
		for _, rule := range t.body {
			if l := parseWords(rule).to; l.pod.IsValid() {
				*gone = append(*gone, l)
			}
		}
		left, err := present(n.nl, f, t.chain)
		return err == nil && len(left) == 0
	}
	return false
}

// removing takes chains out, with the rules that lead to them, wherever they are: the node's iptables may have become
// another variant since they were made.
func (n nat) removing(ctx context.Context, f nft.Family, names []string, mine func(string, []listed) bool) ([]lead, error) {
	var gone []lead
	names = slices.Clone(names)
	var last error
	for _, name := range variants(f) {
		there, err := present(n.nl, f, names...)
		if err != nil {
			return gone, err
		}
		var at presence
		for _, p := range there {
			at = at.or(p)
		}
		if !at.any() {
			return gone, nil
		}
		p, err := find(f, name)
		if err != nil || p.cannotReach(at) {
			continue
		}
		some, kept, err := p.take(ctx, slices.Sorted(maps.Keys(there)), mine)
		gone, last = append(gone, some...), err
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(kept, n) })
	}
	there, err := present(n.nl, f, names...)
	if err != nil || len(there) == 0 {
		return gone, err
	}
	if last == nil {
		last = errReached
	}
	name := slices.Sorted(maps.Keys(there))[0]
	return gone, fmt.Errorf("cannot remove chain %s from table nat of %s: %w", name, f, last)
}

// errReached says that no program got at a chain that the kernel has.
var errReached = errors.New("no iptables of this node reaches it; install iptables-nft or iptables-legacy, " +
	"whichever made it")

// take removes those of the chains that are mine, and says which are not.
func (p program) take(ctx context.Context, names []string, mine func(string, []listed) bool) (
	gone []lead, kept []string, err error) {
	for range tries {
		gone, kept = nil, nil
		s, some := newScript(), false
		entries := map[string][]listed{}
		for _, name := range names {
			chain, there, err := p.list(name)
			if err != nil {
				return nil, nil, err
			}
			if !there {
				continue
			}
			if !mine(name, chain) {
				kept = append(kept, name)
				continue
			}
			from := chainHostPorts
			if strings.HasPrefix(name, prefixOldSNAT) {
				from = chainOldSNAT
			}
			if _, read := entries[from]; !read {
				if entries[from], _, err = p.list(from); err != nil {
					return nil, nil, err
				}
			}
			some = true
			gone = append(gone, leads(chain)...)
			for _, e := range entries[from] {
				if e.jump == name {
					s.WriteString("-D" + e.line[2:] + "\n")
				}
			}
			s.line("-F", name)
			s.line("-X", name)
		}
		if !some {
			return nil, kept, nil
		}
		if err = p.restore(ctx, s.end()); err == nil {
			return gone, kept, nil
		}
		var refused *refusal
		if !errors.As(err, &refused) || !refused.passing() {
			break
		}
	}
	return nil, kept, err
}

// collect removes the chains of a network's attachments that are not valid.
func (n nat) collect(ctx context.Context, r *stages.Request) ([]lead, error) {
	var gone []lead
	var errs error
	for _, f := range families {
		there, err := present(n.nl, f, chainHostPorts)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		done := map[string]bool{} // by program: two names may be one
		for _, name := range variants(f) {
			p, err := find(f, name)
			if err != nil || !there[chainHostPorts].any() || p.cannotReach(there[chainHostPorts]) {
				continue
			}
			if real, err := filepath.EvalSymlinks(p.path); err == nil && done[real] {
				continue
			} else {
				done[real] = true
			}
			some, err := p.collect(ctx, r)
			gone, errs = append(gone, some...), errors.Join(errs, err)
		}
	}
	return gone, errs
}

func (p program) collect(ctx context.Context, r *stages.Request) ([]lead, error) {
	entries, _, err := p.list(chainHostPorts)
	if err != nil {
		return nil, err
	}
	shared, own, owners := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range r.Valid {
		shared[upstreamChain(a)], own[secondChain(a)], owners[owner(a)] = true, true, true
	}
	var stale []string
	for _, e := range entries {
		if strings.HasPrefix(e.jump, prefixDNAT) && strings.HasPrefix(e.comment, networkComment(r.Network)) &&
			!own[e.jump] && !slices.Contains(stale, e.jump) {
			stale = append(stale, e.jump)
		}
	}
	gone, _, err := p.take(ctx, stale, func(name string, chain []listed) bool {
		by := ownerIn(chain)
		return !shared[name] || by != "" && !owners[by]
	})
	return gone, err
}
