package snat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// kernel is the node's: our table, and the links.
type kernel struct {
	nft  *nft.Conn
	link *link.Conn
}

func openKernel() (*kernel, error) {
	n, err := nft.Open()
	if err != nil {
		return nil, err
	}
	l, err := link.Open()
	if err != nil {
		n.Close()
		return nil, err
	}
	return &kernel{nft: n, link: l}, nil
}

func (k *kernel) close() {
	k.nft.Close()
	k.link.Close()
}

// state is what the table has of profiles.
type state struct {
	there     []int          // numbers of profiles whose chains are there, rising
	names     map[int]string // their fingerprints
	mine      int            // the number of the profile asked for; 0: it is not there
	whole     bool           // all rules of mine are there, and the jumps to them
	byAddress bool           // pods are told by their addresses, too
}

// look reads the state, one small question per profile. With early it stops at the profile asked for when that is
// whole: the usual ADD asks two questions.
func (k *kernel) look(p profile, early bool) (state, error) {
	s := state{names: map[int]string{}}
	for n := 1; n <= numbers.MaxProfile; n++ {
		leave, err := k.nft.Chain(numbers.TableSNAT, leaveChain(n))
		if errors.Is(err, nft.ErrNotExist) {
			continue
		} else if err != nil {
			return s, err
		}
		s.there = append(s.there, n)
		s.names[n] = leave.Comment
		if leave.Comment != p.name() || s.mine != 0 {
			continue
		}
		s.mine = n
		unsteer, err := k.nft.Chain(numbers.TableSNAT, unsteerChain(n))
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return s, err
		}
		uses := uint32(len(p.families())) + 1 // its rules and the jump to them
		s.whole = err == nil && leave.Use >= uses && unsteer.Use >= uses
		if early && s.whole {
			return s, nil
		}
	}
	_, err := k.nft.Set(numbers.TableSNAT, podsMap(nft.IPv4))
	if err != nil && !errors.Is(err, nft.ErrNotExist) {
		return s, err
	}
	if s.byAddress = err == nil; s.byAddress {
		leave, err := k.nft.Chain(numbers.TableSNAT, chainLeave)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return s, err
		}
		s.whole = s.whole && int(leave.Use) >= len(base(s.there, true).Chains[1].Rules)
	}
	return s, nil
}

// want is a pod's wish for the number of its profile.
type want struct {
	number  int    // the one that its link says; 0: none
	network string // whose pods may say one
}

// ensure makes the profile be there, whole, and returns its number.
func (k *kernel) ensure(p profile, wish want, byAddress bool) (int, error) {
	s, err := k.look(p, !byAddress)
	if err != nil {
		return 0, err
	}
	if s.whole && (s.byAddress || !byAddress) {
		return s.mine, nil
	}
	number := 0
	err = k.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		s, err := k.look(p, false)
		if err != nil {
			return err
		}
		number = s.mine
		if s.whole && (s.byAddress || !byAddress) {
			return nil
		}
		if number == 0 {
			if number, err = k.number(s, wish.number, wish.network); err != nil {
				return err
			}
		}
		return k.install(b, p, number, s, byAddress || s.byAddress)
	})
	return number, err
}

// number chooses a number for a new profile: prefer where that is free, else the one that the network's newest pod says
// (somebody flushed the table, and the pods of before must not meet another's profile), else the lowest that neither
// stands in the table nor has pods, else one that no pod uses any more.
func (k *kernel) number(s state, prefer int, network string) (int, error) {
	free := func(n int) bool { return !slices.Contains(s.there, n) }
	if prefer != 0 && free(prefer) {
		return prefer, nil
	}
	used, newest, err := k.used(network)
	if err != nil {
		return 0, err
	}
	if newest != 0 && free(newest) {
		return newest, nil
	}
	for _, fits := range []func(int) bool{func(n int) bool { return free(n) && !used[n] }, func(n int) bool { return !used[n] }} {
		for n := 1; n <= numbers.MaxProfile; n++ {
			if fits(n) {
				return n, nil
			}
		}
	}
	return 0, stages.Errorf(stages.Config, "all %d SNAT profiles of this node are in use: pods run with that many "+
		"different effective configurations; use fewer, or end the pods of an old one", numbers.MaxProfile)
}

// used says which profiles have pods: by their link groups, or by the addresses behind other interface plugins. A host
// end that is down is what DEL leaves until the pod's namespace ends: nobody uses it.
//
// newest is what the network's newest pod has, by the note on its link; 0: none.
func (k *kernel) used(network string) (used map[int]bool, newest int, err error) {
	used = map[int]bool{}
	all, err := k.link.Links()
	if err != nil {
		return nil, 0, err
	}
	last := 0
	for _, l := range all {
		_, n, ok := numbers.PodENI(l.Group)
		if !ok || n == 0 || !l.Up {
			continue
		}
		used[n] = true
		if l.Index > last && network != "" && strings.HasPrefix(l.Alias, network+"/") {
			last, newest = l.Index, n
		}
	}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		elements, err := k.nft.Elements(numbers.TableSNAT, podsMap(f))
		if errors.Is(err, nft.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, 0, err
		}
		for _, e := range elements {
			for n := 1; n <= numbers.MaxProfile; n++ {
				used[n] = used[n] || e.Jump == leaveChain(n)
			}
		}
	}
	return used, newest, nil
}

// install puts profile p under number n into the batch: made, mended, or in the place of one that no pod uses.
func (k *kernel) install(b *nft.Batch, p profile, n int, s state, byAddress bool) error {
	shared := base(with(s.there, n), byAddress)
	b.AddTable(tableComment)
	for _, c := range shared.Chains {
		b.AddChain(c)
		b.FlushChain(c.Name)
	}
	if name, taken := s.names[n]; taken && name != p.name() {
		if err := k.remove(b, n); err != nil {
			return err
		}
	}
	for _, other := range s.there { // half of one may be gone, and then a jump to it would not go in
		if other != n {
			b.AddChain(nft.Chain{Name: unsteerChain(other)})
		}
	}
	parts := p.parts(n)
	b.Install(parts)
	for _, f := range p.families() {
		b.FlushSet(insideSet(f, n))
		b.Add(insideSet(f, n), nft.Ranges(p.Inside[f])...)
	}
	b.Install(shared)
	return nil
}

// remove takes the parts of profile n out; nothing jumps to them any more.
func (k *kernel) remove(b *nft.Batch, n int) error {
	for _, name := range []string{unsteerChain(n), leaveChain(n)} {
		if _, err := k.nft.Chain(numbers.TableSNAT, name); errors.Is(err, nft.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		b.FlushChain(name)
		b.DeleteChain(name)
	}
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		if _, err := k.nft.Set(numbers.TableSNAT, insideSet(f, n)); errors.Is(err, nft.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		b.DeleteSet(insideSet(f, n))
	}
	return nil
}

func with(numbers []int, n int) []int {
	all := append(slices.Clone(numbers), n)
	slices.Sort(all)
	return slices.Compact(all)
}

// drift compares profile p under number n, and what all profiles share, with the kernel: "" or what differs.
func (k *kernel) drift(p profile, n int) (string, error) {
	s, err := k.look(p, false)
	if err != nil {
		return "", err
	}
	if s.names[n] != p.name() {
		return fmt.Sprintf("table %s has no profile %d of this configuration", numbers.TableSNAT, n), nil
	}
	for _, t := range []nft.Table{p.parts(n), base(s.there, s.byAddress)} {
		if drift, err := k.nft.Drift(t); drift != "" || err != nil {
			return drift, err
		}
	}
	for _, f := range p.families() {
		have, err := k.nft.Elements(numbers.TableSNAT, insideSet(f, n))
		if err != nil {
			return "", err
		}
		if !sameRanges(have, nft.Ranges(p.Inside[f])) {
			return fmt.Sprintf("set %s in table %s holds other networks", insideSet(f, n), numbers.TableSNAT), nil
		}
	}
	return "", nil
}

func sameRanges(have, want []nft.Element) bool {
	texts := func(all []nft.Element) []string {
		var out []string
		for _, e := range all {
			out = append(out, fmt.Sprintf("%x/%t", e.Key, e.End))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(texts(have), texts(want))
}
