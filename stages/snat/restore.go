package snat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Restorer puts back the way out of pods that run.
type Restorer struct{ memory stages.Memory }

var _ stages.Restorer = (*Restorer)(nil)

// restoring is one look.
type restoring struct {
	*kernel
	*Restorer
	now   time.Time
	whole map[string]bool // profiles found or made whole in this look, by name and number
	empty bool            // there was no map of addresses when the look began
	again bool
	what  []string
}

// Restore puts back profiles, and the pods' ties to them: each pod's link says which number its profile had, so that no
// packet meets another's profile in between. An address that has another owner stays with it. Flows are left alone.
func (x *Restorer) Restore(ctx context.Context, now time.Time, live []*stages.Request) ([]string, bool, error) {
	errs := x.memory.Settle(ctx, live, Stage{})
	if len(live) == 0 {
		return nil, false, errs
	}
	k, err := openKernel()
	if err != nil {
		return nil, false, errors.Join(errs, err)
	}
	defer k.close()
	generation, err := k.nft.Generation()
	if err != nil || x.memory.Whole(generation, now) {
		return nil, false, errors.Join(errs, err)
	}
	_, err = k.nft.Set(numbers.TableSNAT, podsMap(nft.IPv4))
	if err != nil && !errors.Is(err, nft.ErrNotExist) {
		return nil, false, errors.Join(errs, err)
	}
	look := &restoring{kernel: k, Restorer: x, now: now, whole: map[string]bool{}, empty: err != nil}
	for _, r := range live {
		if ctx.Err() != nil {
			break
		}
		errs = errors.Join(errs, kernelError(r, look.one(r)))
	}
	x.memory.Looked(generation, now, errs == nil && !look.again && len(look.what) == 0 && ctx.Err() == nil)
	return look.what, look.again, errs
}

func (l *restoring) one(r *stages.Request) error {
	c, err := configuration(r)
	if err != nil {
		return err
	}
	p, err := l.profile(c, r)
	if err != nil || len(p.Out) == 0 {
		return err
	}
	w, wired, err := l.wireOf(r)
	if err != nil {
		return err
	}
	if !wired {
		if routed, err := l.routedWire(r); routed || err != nil {
			return err // severed or deleted by DEL, or without its group, which is routed-veth's to mend
		}
		return l.oneByAddress(p, r)
	}
	if !w.Up { // DEL has severed it
		return nil
	}
	n, err := l.mend(p, w.profile, false)
	if err != nil || n == w.profile {
		return err
	}
	if w.profile == 0 {
		l.what = append(l.what, "SNAT of "+r.Attachment.String()+" is missing")
	}
	return l.setProfile(w, n)
}

// routedWire says whether a host end of prevResult bears the MAC by which routed-veth marks the attachment, or whether
// none of them is there any more: such a pod has no way out that could want SNAT.
func (l *restoring) routedWire(r *stages.Request) (bool, error) {
	mac, _ := link.OwnerMACs(r.Attachment.String())
	hosts, absent := hostLinks(r.Prev), 0
	for _, host := range hosts {
		is, err := l.link.LinkByName(host.Name)
		if errors.Is(err, link.ErrAbsent) {
			absent++
			continue
		}
		if err != nil || is.MAC == mac {
			return err == nil, err
		}
	}
	return len(hosts) > 0 && absent == len(hosts), nil
}

// mend makes profile p whole and returns its number: where it is there the number it has, else prefer where that is
// free. A look mends a profile once.
func (l *restoring) mend(p profile, prefer int, byAddress bool) (number int, err error) {
	key := func(n int) string { return fmt.Sprintf("%s %d %t", p.name(), n, byAddress) }
	if l.whole[key(prefer)] {
		return prefer, nil
	}
	drift := ""
	err = l.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		s, err := l.look(p)
		if err != nil {
			return err
		}
		if number = prefer; prefer == 0 || s.names[prefer] != p.name() {
			number = s.mine
		}
		if number != 0 {
			if drift, err = l.drift(p, number); err != nil || drift == "" && (s.byAddress || !byAddress) {
				return err
			}
		} else {
			drift = "a profile of SNAT is missing from table " + numbers.TableSNAT
			if number, err = l.number(s, prefer, ""); err != nil {
				return err
			}
		}
		return l.install(b, p, number, s, byAddress || s.byAddress)
	})
	if err != nil {
		return 0, err
	}
	l.whole[key(number)] = true
	if drift != "" {
		l.what = append(l.what, drift)
	}
	return number, nil
}

// oneByAddress is for a pod behind an interface plugin that knows no link groups.
func (l *restoring) oneByAddress(p profile, r *stages.Request) error {
	mine, tied, lost, err := l.ties(p, r)
	if err != nil || !mine && len(lost) == 0 {
		return err
	}
	if !mine && !l.empty && !l.memory.Sure(r.Attachment, l.now) { // as its DEL would leave it
		l.again = true
		return nil
	}
	l.memory.Clear(r.Attachment)
	n, err := l.mend(p, tied, true)
	if err != nil {
		return err
	}
	if n != tied { // all of its own lead elsewhere
		_, _, lost, err = l.tiesTo(p, r, n)
	}
	if err != nil || len(lost) == 0 {
		return err
	}
	if err := l.tie(owner(r.Attachment), lost, n); err != nil {
		return err
	}
	l.memory.Gave(r)
	l.again = true
	for _, a := range lost {
		l.what = append(l.what, "SNAT of "+a.String()+" is missing")
	}
	return nil
}

// ties reads which of the pod's addresses are in the maps: whether one is the pod's own, the number of the profile that
// it leads to, and the addresses that nobody has.
func (l *restoring) ties(p profile, r *stages.Request) (mine bool, number int, lost []netip.Addr, err error) {
	return l.tiesTo(p, r, 0)
}

// tiesTo is ties; with n, addresses of the pod's own that lead to another profile are lost as well.
func (l *restoring) tiesTo(p profile, r *stages.Request, n int) (mine bool, number int, lost []netip.Addr, err error) {
	for _, a := range addresses(r) {
		f := nft.FamilyOf(a)
		if _, ok := p.Out[f]; !ok {
			continue
		}
		e, err := l.nft.Element(numbers.TableSNAT, podsMap(f), nft.Addr(a))
		switch {
		case errors.Is(err, nft.ErrNotExist):
			lost = append(lost, a)
		case err != nil:
			return mine, number, lost, err
		case e.Comment == owner(r.Attachment):
			mine, number = true, numberIn(e.Jump)
			if n != 0 && number != n {
				lost = append(lost, a)
			}
		}
	}
	return mine, number, lost, nil
}

// tie is claim for an attachment that may be late: it takes no address from another.
func (l *restoring) tie(owner string, pod []netip.Addr, n int) error {
	return l.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		for _, a := range pod {
			set, e := podsMap(nft.FamilyOf(a)), nft.Element{Key: nft.Addr(a), Jump: leaveChain(n), Comment: owner}
			have, err := l.nft.Element(numbers.TableSNAT, set, e.Key)
			switch {
			case errors.Is(err, nft.ErrNotExist):
			case err != nil:
				return err
			case have.Comment != owner || have.Jump == e.Jump:
				continue
			default:
				b.Delete(set, have)
			}
			b.Create(set, e)
		}
		return nil
	})
}
