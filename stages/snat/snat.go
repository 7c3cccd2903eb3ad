// Package snat is the stage "a way out": what a pod sends outside its VPC leaves the node by the primary network
// interface and with the node's own address. A pod says by its host link's group which effective configuration it has
// (design, "The data path"), so that a pod costs one RTM_SETLINK and leaves nothing in nf_tables. Behind interface
// plugins that know no link groups it is a map of addresses.
package snat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/enichain/enichain/chain/contract"
	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Stage is the stage snat.
type Stage struct{}

var _ stages.Stage = Stage{}

// New is the stage; it has no state of its own.
func New() Stage { return Stage{} }

// Contract declares the stage.
func (Stage) Contract() contract.Contract { return declaration() }

// Add gives the pod its profile. Nothing of a pod's own is in nf_tables behind routed-veth, so a failed Add leaves at
// most a profile that other pods will use.
func (Stage) Add(_ context.Context, r *stages.Request) (*stages.Result, error) {
	c, err := configuration(r)
	if err != nil {
		return nil, err
	}
	if len(addresses(r)) == 0 {
		return nil, stages.Errorf(stages.PrevResult, "no SNAT for %s: prevResult has no address of %s; put snat behind the "+
			"stages that give one and make the interface", r.Attachment, r.IfName)
	}
	k, err := openKernel()
	if err != nil {
		return nil, kernelError(r, err)
	}
	defer k.close()
	p, err := k.profile(c, r)
	if err != nil {
		return nil, kernelError(r, err)
	}
	if len(p.Out) == 0 { // no address of a family that is translated
		return r.Prev, nil
	}
	w, wired, err := k.wireOf(r)
	if err != nil {
		return nil, kernelError(r, err)
	}
	if wired {
		err = k.addWire(p, w, r.Network)
	} else {
		err = k.addAddresses(p, r)
	}
	if err != nil {
		return nil, kernelError(r, err)
	}
	return r.Prev, nil
}

// addWire gives the pod the number of its profile, and looks only then whether that is whole: a GC before may have seen
// nobody who uses it.
func (k *kernel) addWire(p profile, w wire, network string) error {
	n, err := k.find(p)
	if err == nil && n == 0 {
		n, err = k.ensure(p, want{w.profile, network}, false)
	}
	if err != nil {
		return err
	}
	if err := k.setProfile(w, n); err != nil {
		return err
	}
	whole, err := k.whole(p, n)
	if err != nil || whole {
		return err
	}
	again, err := k.ensure(p, want{n, network}, false)
	if err == nil && again != n {
		w.profile = n
		err = k.setProfile(w, again)
	}
	return err
}

func (k *kernel) addAddresses(p profile, r *stages.Request) error {
	n, err := k.ensure(p, want{network: r.Network}, true)
	if err != nil {
		return err
	}
	pod := addresses(r)
	kept := pod[:0:0]
	for _, a := range pod {
		if _, ok := p.Out[nft.FamilyOf(a)]; ok {
			kept = append(kept, a)
		}
	}
	return k.claim(owner(r.Attachment), kept, n)
}

// Check says what of the pod's way out is missing.
func (Stage) Check(_ context.Context, r *stages.Request) error {
	c, err := configuration(r)
	if err != nil {
		return err
	}
	k, err := openKernel()
	if err != nil {
		return kernelError(r, err)
	}
	defer k.close()
	p, err := k.profile(c, r)
	if err != nil || len(p.Out) == 0 {
		return kernelError(r, err)
	}
	drift, err := k.nft.Steady(func() (string, error) {
		n, drift, err := k.numberOf(p, r)
		if err != nil || drift != "" {
			return drift, err
		}
		return k.drift(p, n)
	})
	if err == nil && drift != "" {
		err = stages.Errorf(stages.Drift, "%s: %s", r.Attachment, drift)
	}
	return kernelError(r, err)
}

// numberOf is the profile that the kernel has for this pod, or what is missing.
func (k *kernel) numberOf(p profile, r *stages.Request) (number int, drift string, err error) {
	w, wired, err := k.wireOf(r)
	if err != nil {
		return 0, "", err
	}
	if wired {
		if w.profile == 0 {
			drift = fmt.Sprintf("link %s has group %d, which stands for no SNAT", w.Name, w.Group)
		}
		return w.profile, drift, nil
	}
	for _, a := range addresses(r) {
		f := nft.FamilyOf(a)
		if _, ok := p.Out[f]; !ok {
			continue
		}
		e, err := k.nft.Element(numbers.TableSNAT, podsMap(f), nft.Addr(a))
		if errors.Is(err, nft.ErrNotExist) || err == nil && e.Comment != owner(r.Attachment) {
			return 0, fmt.Sprintf("map %s in table %s does not have its address %s", podsMap(f), numbers.TableSNAT, a), nil
		} else if err != nil {
			return 0, "", err
		}
		if number = numberIn(e.Jump); number == 0 {
			return 0, fmt.Sprintf("map %s leads its address to chain %s", podsMap(f), e.Jump), nil
		}
	}
	return number, "", nil
}

// numberIn is k of the chain "leave-k"; 0 where the chain is another.
func numberIn(chain string) int {
	for n := 1; n <= numbers.MaxProfile; n++ {
		if chain == leaveChain(n) {
			return n
		}
	}
	return 0
}

// Del has nothing to do behind routed-veth: the group goes with the link. Elsewhere it takes the pod's addresses out,
// found by their owner: no prevResult is needed, and an address that has a new pod already stays.
func (Stage) Del(_ context.Context, r *stages.Request) error {
	mine := owner(r.Attachment)
	return releasing(r, func(comment string) bool { return comment == mine })
}

// GC takes out the addresses of attachments that are gone, and the profiles that no pod of any network uses.
func (Stage) GC(_ context.Context, r *stages.Request) error {
	if r.Valid == nil {
		return nil
	}
	valid := map[string]bool{}
	for _, a := range r.Valid {
		valid[owner(a)] = true
	}
	err := releasing(r, func(comment string) bool { return nft.Owned(comment, r.Network) && !valid[comment] })
	k, openErr := openKernel()
	if openErr != nil {
		return kernelError(r, errors.Join(err, openErr))
	}
	defer k.close()
	return kernelError(r, errors.Join(err, k.tidy()))
}

// releasing needs no socket for links.
func releasing(r *stages.Request, drop func(string) bool) error {
	n, err := nft.Open()
	if err != nil {
		return kernelError(r, err)
	}
	k := &kernel{nft: n}
	defer n.Close()
	return kernelError(r, k.release(drop))
}

// Status asks nf_tables for a sign of life and the routes for the way out.
func (Stage) Status(_ context.Context, r *stages.Request) error {
	c := defaults()
	if err := r.Decode(&c); err != nil {
		return err
	}
	k, err := openKernel()
	if err != nil {
		return unavailable(err)
	}
	defer k.close()
	if _, err := k.nft.Generation(); err != nil {
		return unavailable(fmt.Errorf("nf_tables does not answer: %w", err))
	}
	for _, name := range c.Families {
		if _, err := k.link.Uplink(name == "ipv6"); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

func unavailable(err error) error {
	return stages.Errorf(stages.Kernel, "no pod can get SNAT: %w", err).WithCode(stages.CodeUnavailable)
}

func configuration(r *stages.Request) (config, error) {
	c := defaults()
	if err := r.Decode(&c); err != nil {
		return c, err
	}
	if r.Prev == nil {
		return c, stages.Errorf(stages.NoPrevResult, "snat has no prevResult for %s: it stands behind the stage that makes "+
			"the interface, never first in a list", r.Attachment)
	}
	return c, nil
}

// profile is the pod's effective configuration: of the families that are configured and that the pod has.
func (k *kernel) profile(c config, r *stages.Request) (profile, error) {
	p := profile{Inside: map[nft.Family][]netip.Prefix{}, Out: map[nft.Family]uplink{}, Way: ways[c.Random]}
	for _, a := range addresses(r) {
		f := nft.FamilyOf(a)
		if _, done := p.Out[f]; done || !c.translates(f) {
			continue
		}
		inside, err := c.effective(f, r.Prev)
		if err != nil {
			return p, err
		}
		out, err := k.link.Uplink(f == nft.IPv6)
		if errors.Is(err, link.ErrAbsent) {
			return p, stages.Errorf(stages.Kernel, "no SNAT for %s: the node has no default route for %s, so no primary "+
				"network interface; add one, or take snat out of the list", r.Attachment, familyName(f))
		} else if err != nil {
			return p, err
		}
		if !out.Source.IsValid() {
			return p, stages.Errorf(stages.Kernel, "no SNAT for %s: link %s, where the default route leads, has no %s address",
				r.Attachment, out.Name, familyName(f))
		}
		p.Inside[f], p.Out[f] = inside, uplink{Link: out.Name, Source: out.Source}
	}
	return p, nil
}

func (c config) translates(f nft.Family) bool {
	for _, name := range c.Families {
		if (name == "ipv6") == (f == nft.IPv6) {
			return true
		}
	}
	return false
}

func owner(a stages.Attachment) string { return nft.Owner(a.Network, a.Container, a.IfName) }

// kernelError gives an error of the kernel its token and the attachment; nil and our own errors pass.
func kernelError(r *stages.Request, err error) error {
	var ours *stages.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	return stages.Errorf(stages.Kernel, "snat failed for %s: %w", r.Attachment, err)
}
