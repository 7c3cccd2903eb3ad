package portmapcompat

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// kernel is the node's table.
type kernel struct{ nft *nft.Conn }

func openKernel() (kernel, error) {
	c, err := nft.Open()
	return kernel{c}, err
}

func (k kernel) close() { k.nft.Close() }

// How much a whole chain is used: by its own rules, and by the jumps to it.
const (
	useOfDNAT       = 4 + 2
	useOfMasquerade = 4
)

// whole says whether the chains have all their rules, by two small questions: each counts what is in it and what jumps
// to it.
func (k kernel) whole(c config) (dnat, masq bool, err error) {
	d := nft.AskChain(numbers.TablePortmap, chainDNAT+c.suffix())
	m := nft.AskChain(numbers.TablePortmap, chainPostrouting)
	if err := k.nft.Ask(d, m); err != nil {
		return false, false, err
	}
	for _, asked := range []*nft.Answer[nft.ChainState]{d, m} {
		if asked.Err != nil && !errors.Is(asked.Err, nft.ErrNotExist) {
			return false, false, asked.Err
		}
	}
	return d.Value.Use >= useOfDNAT, m.Value.Use >= useOfMasquerade, nil
}

// errNoTables says that the kernel has no nf_tables.
var errNoTables = errors.New("the kernel has no nf_tables")

// claim puts a container's elements in. Usually that is one transaction of elements that nobody has; where somebody
// has one, it is looked at, and replaced only as it was seen (compare-and-swap by the ruleset's generation).
func (k kernel) claim(ctx context.Context, c config, r *stages.Request, wants []want) error {
	dnat, masq, err := k.whole(c)
	if unsupported(err) {
		return fmt.Errorf("%w: %w", errNoTables, err)
	}
	if err != nil {
		return err
	}
	if dnat && masq {
		b := &nft.Batch{Table: numbers.TablePortmap}
		for _, w := range wants {
			b.Create(w.set, w.Element)
		}
		err := k.nft.Commit(b)
		if err == nil || !errors.Is(err, nft.ErrExist) && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
	}
	if !dnat && c.suffix() != "" {
		if err := c.installConditions(ctx); err != nil {
			return err
		}
	}
	return k.nft.Transact(numbers.TablePortmap, func(b *nft.Batch) error { return k.replace(b, c, r, wants) })
}

func (k kernel) replace(b *nft.Batch, c config, r *stages.Request, wants []want) error {
	dnat, masq, err := k.whole(c)
	if err != nil {
		return err
	}
	if !dnat && c.suffix() == "" {
		b.Install(c.dnat())
	}
	if masq { // no rule holds this set, so somebody may have deleted it alone
		_, err := k.nft.Set(numbers.TablePortmap, setPods)
		if masq = err == nil; !masq && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
	}
	if !masq {
		b.Install(masquerade())
	}
	first := true // nothing of the container's is there
	for _, w := range wants {
		if w.set == setMade { // the last
			return k.replaceMade(b, w, first)
		}
		have, err := k.nft.Element(numbers.TablePortmap, w.set, w.Key)
		first = first && (err != nil || have.Comment != w.Comment)
		switch {
		case errors.Is(err, nft.ErrNotExist):
		case err != nil:
			return err
		case have.Comment == w.Comment && bytes.Equal(have.Data, w.Data):
			continue
		case w.port != nil && have.Comment != w.Comment && c.HostPortConflict == reject:
			return portTaken(*w.port, r, have.Comment, target(have.Data))
		default:
			b.Delete(w.set, have)
		}
		b.Create(w.set, w.Element)
	}
	return nil
}

// haves asks in one piece for the elements that are there under the keys of wants.
func (k kernel) haves(wants []want) ([]*nft.Answer[nft.Element], error) {
	var haves []*nft.Answer[nft.Element]
	var ask []nft.Question
	for _, w := range wants {
		have := nft.AskElement(numbers.TablePortmap, w.set, w.Key)
		haves, ask = append(haves, have), append(ask, have)
	}
	return haves, k.nft.Ask(ask...)
}

// drift is CHECK: what is missing or different, in words; "" is nothing.
func (k kernel) drift(c call) (string, error) {
	haves, err := k.haves(c.wants)
	if err != nil {
		return "", err
	}
	for i, w := range c.wants {
		have, err := haves[i].Value, haves[i].Err
		if w.set == setMade { // the last
			if drift, err := k.driftMade(w, have, err); drift != "" || err != nil {
				return drift, err
			}
			continue
		}
		switch {
		case errors.Is(err, nft.ErrNotExist):
			return w.String() + " is missing from table " + numbers.TablePortmap, nil
		case err != nil:
			return "", err
		case have.Comment != w.Comment:
			return w.String() + " belongs to " + cmp.Or(have.Comment, "nobody") + " now", nil
		case !bytes.Equal(have.Data, w.Data):
			return fmt.Sprintf("%s leads to %s, not to %s", w, target(have.Data), target(w.Data)), nil
		}
	}
	tables := []nft.Table{masquerade()}
	if c.suffix() == "" {
		tables = append(tables, c.dnat())
	} else if dnat, _, err := k.whole(c.config); err != nil || !dnat {
		return "the rules of this network's conditions are missing from table " + numbers.TablePortmap, err
	}
	for _, t := range tables {
		if drift, err := k.nft.Drift(t); drift != "" || err != nil {
			return drift, err
		}
	}
	return "", nil
}

// end takes out what an attachment has, and says which ports led where. What others have is read only where neither the
// request nor the table tells what ADD made. Further questions go along with its first.
func (k kernel) end(r *stages.Request, further ...nft.Question) ([]lead, error) {
	gone, known, err := k.endAsMade(r, further)
	if known || err != nil {
		return gone, err
	}
	mine := owner(r.Attachment)
	return k.release(func(comment string) bool { return comment == mine }, false)
}

// release takes out the elements that drop chooses by their owners, and says which ports led where. Where there are none
// it reads and deletes nothing: closing the socket after a deletion waits 5 to 10 ms. With table, the table goes with its
// last element.
func (k kernel) release(drop func(owner string) bool, table bool) ([]lead, error) {
	var gone []lead
	err := k.nft.Transact(numbers.TablePortmap, func(b *nft.Batch) error {
		gone = nil
		sets, err := k.nft.Sets(numbers.TablePortmap)
		if err != nil {
			return err
		}
		left := 0
		for _, set := range sets {
			all, err := k.nft.Elements(numbers.TablePortmap, set)
			if errors.Is(err, nft.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			for _, e := range all {
				if !drop(e.Comment) {
					left++
					continue
				}
				if l, ok := leadOf(set, e); ok {
					gone = append(gone, l)
				}
				b.Delete(set, e)
			}
		}
		if table && left == 0 && len(sets) > 0 {
			b.DeleteTable()
		}
		return nil
	})
	return gone, err
}

// target reads where an element of a map of ports leads to.
func target(data []byte) netip.AddrPort {
	n := len(data) - 4 // a port fills four bytes
	if n != 4 && n != 16 {
		return netip.AddrPort{}
	}
	a, _ := netip.AddrFromSlice(data[:n])
	return netip.AddrPortFrom(a, uint16(data[n])<<8|uint16(data[n+1]))
}

// leadOf reads an element of a map of ports; ok is false for one of another set.
func leadOf(set string, e nft.Element) (l lead, ok bool) {
	key := e.Key
	var a netip.Addr
	switch {
	case strings.HasPrefix(set, setAddrPorts) && len(key) > 8:
		a, _ = netip.AddrFromSlice(key[:len(key)-8])
		key = key[len(key)-8:]
	case strings.HasPrefix(set, setPorts) && len(key) == 8:
	default:
		return l, false
	}
	return lead{proto: key[0], host: netip.AddrPortFrom(a, uint16(key[4])<<8|uint16(key[5])), pod: target(e.Data)}, true
}

// localnet is the setting that lets 127.0.0.1 leave by the container's link, "" where nothing routes to it.
func localnet(pod netip.Addr) (string, error) {
	c, err := link.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	way, err := c.Lookup(link.Query{Dst: pod})
	if err != nil {
		return "", err
	}
	l, err := c.LinkByIndex(way.Link)
	if err != nil {
		return "", err
	}
	return localnetOf(l.Name), nil
}

func localnetOf(name string) string { return "net/ipv4/conf/" + name + "/route_localnet" }
