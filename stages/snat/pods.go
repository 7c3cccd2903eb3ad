package snat

import (
	"errors"
	"net/netip"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// wire is a host end that routed-veth made for the attachment.
type wire struct {
	link.Link
	eni     int // small number of the network interface behind it
	profile int // 0: none
}

// wireOf finds the host end of prevResult that bears a pod's link group; ok is false behind interface plugins that
// set none. A link of another pod under the same name (the MAC tells) is no wire of ours.
func (k *kernel) wireOf(r *stages.Request) (w wire, ok bool, err error) {
	mac, _ := link.OwnerMACs(r.Attachment.String())
	for _, host := range hostLinks(r.Prev) {
		l, err := k.link.LinkByName(host.Name)
		if errors.Is(err, link.ErrAbsent) {
			continue
		} else if err != nil {
			return wire{}, false, err
		}
		n, profile, grouped := numbers.PodENI(l.Group)
		if !grouped {
			continue
		}
		if l.MAC != mac {
			return wire{}, false, stages.Errorf(stages.Drift, "link %s has MAC %s, not %s of %s: it belongs to another "+
				"attachment", l.Name, l.MAC, mac, r.Attachment)
		}
		return wire{Link: l, eni: n, profile: profile}, true, nil
	}
	return wire{}, false, nil
}

// setProfile writes the profile into the link's group; the rules read it with the next packet.
func (k *kernel) setProfile(w wire, profile int) error {
	if w.profile == profile {
		return nil
	}
	group := numbers.PodLinkGroup(w.eni, profile)
	return k.link.Do(link.SetLink(w.Index, link.Change{Group: &group}))
}

// claim makes the addresses jump to profile n, whoever had them before: an address has one pod, the newest.
func (k *kernel) claim(owner string, pod []netip.Addr, n int) error {
	return k.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		for _, a := range pod {
			set, e := podsMap(nft.FamilyOf(a)), nft.Element{Key: nft.Addr(a), Jump: leaveChain(n), Comment: owner}
			have, err := k.nft.Element(numbers.TableSNAT, set, e.Key)
			if err != nil && !errors.Is(err, nft.ErrNotExist) {
				return err
			}
			if err == nil {
				if have.Comment == owner && have.Jump == e.Jump {
					continue
				}
				b.Delete(set, have)
			}
			b.Create(set, e)
		}
		return nil
	})
}

// release takes out the elements that drop chooses by their comment. Most nodes have no such map: then it is one
// question, and nothing is deleted.
func (k *kernel) release(drop func(comment string) bool) error {
	if _, err := k.nft.Set(numbers.TableSNAT, podsMap(nft.IPv4)); errors.Is(err, nft.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return k.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
			all, err := k.nft.Elements(numbers.TableSNAT, podsMap(f))
			if errors.Is(err, nft.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			for _, e := range all {
				if drop(e.Comment) {
					b.Delete(podsMap(f), e)
				}
			}
		}
		return nil
	})
}

// tidy removes the profiles that no pod uses, and with the last of them the table.
func (k *kernel) tidy() error {
	return k.nft.Transact(numbers.TableSNAT, func(b *nft.Batch) error {
		if there, err := k.nft.HasTable(numbers.TableSNAT); !there || err != nil {
			return err
		}
		used, _, err := k.used("")
		if err != nil {
			return err
		}
		s, err := k.look(profile{})
		if err != nil {
			return err
		}
		var stay, leave []int
		for _, n := range s.there {
			if used[n] {
				stay = append(stay, n)
			} else {
				leave = append(leave, n)
			}
		}
		if len(stay) == 0 {
			b.DeleteTable()
			return nil
		}
		if len(leave) == 0 {
			return nil
		}
		b.Install(base(stay, s.byAddress))
		for _, n := range leave {
			if err := k.remove(b, n); err != nil {
				return err
			}
		}
		return nil
	})
}
