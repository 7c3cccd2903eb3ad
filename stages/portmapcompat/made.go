package portmapcompat

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
	"github.com/enichain/enichain/stages/internal/sha"
)

// madeMap says what an attachment's first ADD made, in the same transaction: so DEL, which can tell the keys from its
// request, knows that there are no others, and reads nothing of other pods.
//
// It bears a hash, not a number of elements (2026-12): a pod that lost a port to another has fewer than were made, and
// still no others. It bears the addresses because a DEL may come without prevResult.
func madeMap() nft.Set {
	return nft.Set{Name: setMade, Key: []nft.Type{nft.EtherAddr}, Data: []nft.Type{nft.IPv4Addr, nft.IPv6Addr, nft.EtherAddr},
		Comment: "what ADD made: addresses, and a hash of the keys"}
}

// Of the map's data: an address of each family, zeros for none, and 48 bits of the hash.
const (
	madeFour = 4
	madeSix  = madeFour + 16
	madeHash = 6
)

// made is the element of madeMap for all others that an attachment has.
func made(a stages.Attachment, pod []netip.Prefix, all []want) want {
	four, six := make([]byte, madeFour), make([]byte, madeSix-madeFour)
	for _, p := range pod {
		if p.Addr().Is4() {
			four = nft.Addr(p.Addr())
		} else {
			six = nft.Addr(p.Addr())
		}
	}
	var names []string
	for _, w := range all {
		names = append(names, w.set+" "+hex.EncodeToString(w.Key)+"\n")
	}
	slices.Sort(names)
	var text []byte
	for _, n := range names {
		text = append(text, n...)
	}
	sum := sha.Sum1(text)
	return want{set: setMade, Element: nft.Element{Key: podsKey(a), Comment: owner(a),
		Data: nft.Concat(four, six, sum[:madeHash])}}
}

// asMade are the elements that ADD made for r's attachment, made being what madeMap has under its key; nil where r does
// not tell them: another configuration by now, or no list of ports.
func asMade(r *stages.Request, made nft.Element) []want {
	c := defaults()
	ports, err := mappings(r)
	if err != nil || len(ports) == 0 || r.Decode(&c) != nil || len(made.Data) < madeSix {
		return nil
	}
	var pod []netip.Prefix
	for _, b := range [][]byte{made.Data[:madeFour], made.Data[madeFour:madeSix]} {
		if a, ok := netip.AddrFromSlice(b); ok && !a.IsUnspecified() {
			pod = append(pod, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	wants := c.elements(r.Attachment, ports, pod)
	last := wants[len(wants)-1]
	if last.Comment != made.Comment || !bytes.Equal(last.Data, made.Data) {
		return nil
	}
	return wants
}

// unknownMade is the element of madeMap for an attachment, as it stands in setPods, of which nobody can tell what it made:
// zeros, which are no hash, so that its DEL reads everything.
func unknownMade(of nft.Element) nft.Element {
	return nft.Element{Key: of.Key, Comment: of.Comment,
		Data: nft.Concat(make([]byte, madeFour), make([]byte, madeSix-madeFour), make([]byte, madeHash))}
}

// create puts an element in.
func (k kernel) create(b *nft.Batch, w want) error {
	if w.set == setMade {
		return k.createMade(b, w)
	}
	b.Create(w.set, w.Element)
	return nil
}

// createMade puts in what an attachment made, and the map where there is none: those that are in the table then are of a
// version that noted nothing.
func (k kernel) createMade(b *nft.Batch, w want) error {
	there, err := k.hasMade()
	if err != nil {
		return err
	}
	if !there {
		older, err := k.nft.Elements(numbers.TablePortmap, setPods)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
		b.AddSet(madeMap())
		for _, e := range older {
			if !bytes.Equal(e.Key, w.Key) {
				b.Create(setMade, unknownMade(e))
			}
		}
	}
	b.Create(setMade, w.Element)
	return nil
}

func (k kernel) hasMade() (bool, error) {
	_, err := k.nft.Set(numbers.TablePortmap, setMade)
	if errors.Is(err, nft.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// replaceMade puts in what an attachment's first ADD made. A further one, or one after an older version's, may have left
// elements under other keys than its own: then nobody can tell.
func (k kernel) replaceMade(b *nft.Batch, w want, first bool) error {
	unknown := unknownMade(w.Element)
	have, err := k.nft.Element(numbers.TablePortmap, w.set, w.Key)
	switch {
	case errors.Is(err, nft.ErrNotExist) && first:
		return k.createMade(b, w)
	case errors.Is(err, nft.ErrNotExist):
		there, err := k.hasMade()
		if there {
			b.Create(setMade, unknown)
		}
		return err
	case err != nil:
		return err
	case have.Comment == w.Comment && (bytes.Equal(have.Data, w.Data) || bytes.Equal(have.Data, unknown.Data)):
		return nil
	}
	b.Delete(setMade, have)
	b.Create(setMade, unknown)
	return nil
}

// driftMade is CHECK of what an attachment made, have and err being what the kernel says of it. A table of an older
// version has no map, and the ports work without.
func (k kernel) driftMade(w want, have nft.Element, err error) (string, error) {
	switch {
	case errors.Is(err, nft.ErrNotExist):
		there, err := k.hasMade()
		if !there {
			return "", err
		}
		return w.String() + " is missing from table " + numbers.TablePortmap, nil
	case err != nil:
		return "", err
	case have.Comment != w.Comment:
		return w.String() + " belongs to " + cmp.Or(have.Comment, "nobody") + " now", nil
	}
	return "", nil
}

// endAsMade takes out by their keys what ADD made, and says which ports led where. known is false, and nothing done,
// where the request or the table does not tell them. An attachment without ports costs the first questions alone.
func (k kernel) endAsMade(r *stages.Request, further []nft.Question) (gone []lead, known bool, err error) {
	err = k.nft.Transact(numbers.TablePortmap, func(b *nft.Batch) error {
		gone, known = nil, true
		pods := nft.AskElement(numbers.TablePortmap, setPods, podsKey(r.Attachment))
		made := nft.AskElement(numbers.TablePortmap, setMade, podsKey(r.Attachment))
		err := k.nft.Ask(append(slices.Clone(further), pods, made)...)
		switch {
		case unsupported(err), errors.Is(pods.Err, nft.ErrNotExist):
			return nil
		case errors.Is(made.Err, nft.ErrNotExist):
			known = false
			return nil
		}
		if err := errors.Join(err, pods.Err, made.Err); err != nil {
			return err
		}
		wants := asMade(r, made.Value)
		if known = len(wants) > 0; !known {
			return nil
		}
		haves, err := k.haves(wants[:len(wants)-2])
		if err != nil {
			return err
		}
		haves = append(haves, pods, made) // of the last two
		for i, w := range wants {
			have := haves[i].Value
			if err := haves[i].Err; errors.Is(err, nft.ErrNotExist) || err == nil && have.Comment != w.Comment { // another's by now
				continue
			} else if err != nil {
				return err
			}
			if l, ok := leadOf(w.set, have); ok {
				gone = append(gone, l)
			}
			b.Delete(w.set, have)
		}
		return nil
	})
	return gone, known, err
}
