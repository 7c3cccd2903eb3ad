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
	whole     bool           // all rules of mine are there, the jumps to them, and what its sets begin with
	byAddress bool           // pods are told by their addresses, too
}

// look reads the state.
func (k *kernel) look(p profile) (state, error) {
	s := state{names: map[int]string{}}
	leave := nft.AskChain(numbers.TableSNAT, chainLeave)
	pods := nft.AskSet(numbers.TableSNAT, podsMap(nft.IPv4))
	ask := []nft.Question{leave, pods}
	var profiles [numbers.MaxProfile]*nft.Answer[nft.ChainState]
	for i := range profiles {
		profiles[i] = nft.AskChain(numbers.TableSNAT, leaveChain(i+1))
		ask = append(ask, profiles[i])
	}
	if err := k.nft.Ask(ask...); err != nil {
		return s, err
	}
	for i, asked := range profiles {
		if errors.Is(asked.Err, nft.ErrNotExist) {
			continue
		} else if asked.Err != nil {
			return s, asked.Err
		}
		s.there = append(s.there, i+1)
		s.names[i+1] = asked.Value.Comment
		if s.mine == 0 && asked.Value.Comment == p.name() {
			s.mine = i + 1
		}
	}
	var err error
	if s.mine != 0 {
		if s.whole, err = k.whole(p, s.mine); err != nil {
			return s, err
		}
	}
	if pods.Err != nil && !errors.Is(pods.Err, nft.ErrNotExist) {
		return s, pods.Err
	}
	if s.byAddress = pods.Err == nil; s.byAddress {
		if leave.Err != nil && !errors.Is(leave.Err, nft.ErrNotExist) {
			return s, leave.Err
		}
		s.whole = s.whole && int(leave.Value.Use) >= len(base(s.there, true).Chains[1].Rules)
	}
	return s, nil
}

// find is the number of a profile that is there, whole or not, one small question for each before it; 0 where it is not.
func (k *kernel) find(p profile) (int, error) {
	for n := 1; n <= numbers.MaxProfile; n++ {
		leave, err := k.nft.Chain(numbers.TableSNAT, leaveChain(n))
		if err == nil && leave.Comment == p.name() {
			return n, nil
		}
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

// whole says whether profile p stands under number n with all its rules, the jumps to them, and the first networks of its
// sets: an emptied set would send all as the node. What else became of them CHECK and repair see.
func (k *kernel) whole(p profile, n int) (bool, error) {
	leave := nft.AskChain(numbers.TableSNAT, leaveChain(n))
	unsteer := nft.AskChain(numbers.TableSNAT, unsteerChain(n))
	ask := []nft.Question{leave, unsteer}
	var firsts []*nft.Answer[nft.Element]
	for _, f := range p.families() {
		if ranges := nft.Ranges(p.Inside[f]); len(ranges) > 0 {
			first := nft.AskElement(numbers.TableSNAT, insideSet(f, n), ranges[0].Key)
			firsts, ask = append(firsts, first), append(ask, first)
		}
	}
	if err := k.nft.Ask(ask...); err != nil {
		return false, err
	}
	errs := []error{leave.Err, unsteer.Err}
	for _, first := range firsts {
		errs = append(errs, first.Err)
	}
	for _, err := range errs {
		if errors.Is(err, nft.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	uses := uint32(len(p.families())) + 1 // its rules and the jump to them
	return leave.Value.Comment == p.name() && leave.Value.Use >= uses && unsteer.Value.Use >= uses, nil
}

// want is a pod's wish for the number of its profile.
type want struct {
	number  int    // the one that its link says; 0: none
	network string // whose pods may say one
}

// ensure makes the profile be there, whole, and returns its number.
func (k *kernel) ensure(p profile, wish want, byAddress bool) (int, error) {
	number := 0
	err := k.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		s, err := k.look(p)
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
	s, err := k.look(p)
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
