package portmapcompat

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Restorer puts back the ports of containers that run.
type Restorer struct{ memory stages.Memory }

var _ stages.Restorer = (*Restorer)(nil)

// restoring is one look.
type restoring struct {
	kernel
	*Restorer
	now        time.Time
	generation uint32
	empty      bool            // there was no set of attachments with ports when the look began
	whole      map[string]bool // by suffix: networks whose chains are found or made whole in this look
	again      bool
	what       []string
}

// Restore puts back chains, sets and elements, and the setting for 127.0.0.1. A port that another container holds stays
// with it, whatever hostPortConflict says: that is for new containers. Flows are left alone.
func (x *Restorer) Restore(ctx context.Context, now time.Time, live []*stages.Request) ([]string, bool, error) {
	errs := x.memory.Settle(ctx, live, Stage{})
	var l *restoring
	var inNAT []asked
	for _, r := range live {
		c, err := read(r)
		if err != nil || len(c.wants) == 0 || ctx.Err() != nil {
			errs = errors.Join(errs, err)
			continue
		}
		if l == nil { // most nodes have no ports at all
			if l, err = x.begin(now); err != nil {
				return nil, false, errors.Join(errs, err)
			}
			defer l.close()
			if x.memory.Whole(l.generation, now) {
				return nil, false, errs
			}
		}
		if on, err := c.on(l.kernel); err != nil {
			errs = errors.Join(errs, kernelError(r, err))
		} else if on == iptables {
			inNAT = append(inNAT, asked{c, r})
		} else {
			errs = errors.Join(errs, kernelError(r, l.one(ctx, c, r)))
		}
	}
	if l == nil {
		return nil, false, errs
	}
	errs = errors.Join(errs, l.inNAT(ctx, inNAT))
	x.memory.Looked(l.generation, now, errs == nil && !l.again && len(l.what) == 0 && ctx.Err() == nil)
	return l.what, l.again, errs
}

func (x *Restorer) begin(now time.Time) (*restoring, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	generation, err := k.nft.Generation()
	if err != nil && !unsupported(err) {
		k.close()
		return nil, err
	}
	_, err = k.nft.Set(numbers.TablePortmap, setPods)
	if err != nil && !errors.Is(err, nft.ErrNotExist) && !unsupported(err) {
		k.close()
		return nil, err
	}
	return &restoring{kernel: k, Restorer: x, now: now, generation: generation, empty: err != nil,
		whole: map[string]bool{}}, nil
}

func (l *restoring) one(ctx context.Context, c call, r *stages.Request) error {
	mine, lost, err := l.lost(c.wants)
	if err != nil {
		return err
	}
	if mine == 0 && len(lost) > 0 && !l.empty && !l.memory.Sure(r.Attachment, l.now) { // as its DEL leaves it
		l.again = true
		return nil
	}
	l.memory.Clear(r.Attachment)
	if err := l.chains(ctx, c.config); err != nil {
		return err
	}
	if err := l.setting(c, r); err != nil || len(lost) == 0 {
		return err
	}
	err = l.nft.Transact(numbers.TablePortmap, func(b *nft.Batch) error {
		if _, lost, err = l.lost(c.wants); err != nil {
			return err
		}
		for _, w := range lost {
			if w.have != nil {
				b.Delete(w.set, *w.have)
			}
			if err := l.kernel.create(b, w.want); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	l.gave(r)
	for _, w := range lost {
		if w.port != nil {
			l.what = append(l.what, "host port "+w.port.String()+" of "+whom(r)+" is missing")
			return nil
		}
	}
	l.what = append(l.what, lost[0].String()+" is missing for "+whom(r))
	return nil
}

// gave notes that something was put back for r: if its DEL was under way after all, the next look undoes it.
func (l *restoring) gave(r *stages.Request) {
	l.memory.Gave(r)
	l.again = true
}

// whom is the pod's name, where the runtime names one.
func whom(r *stages.Request) string {
	if name := r.Pod.String(); name != "" {
		return name
	}
	return r.Attachment.String()
}

// loss is an element that a container should have.
type loss struct {
	want
	have *nft.Element // its own, which leads elsewhere
}

// lost reads how many elements are the container's own, and which of those it should have nobody has. What ADD made can be
// told again only where all of them were lost: else some may be under other keys.
func (l *restoring) lost(wants []want) (mine int, lost []loss, err error) {
	for _, w := range wants {
		have, err := l.nft.Element(numbers.TablePortmap, w.set, w.Key)
		switch {
		case errors.Is(err, nft.ErrNotExist) && w.set == setMade && mine > 0:
			there, err := l.kernel.hasMade()
			if err != nil {
				return 0, nil, err
			}
			if w.Element = unknownMade(w.Element); there { // a table of an older version has none
				lost = append(lost, loss{want: w})
			}
		case errors.Is(err, nft.ErrNotExist):
			lost = append(lost, loss{want: w})
		case err != nil:
			return 0, nil, err
		case have.Comment != w.Comment: // its owner came later
		case bytes.Equal(have.Data, w.Data) || w.set == setMade:
			mine++
		default:
			mine++
			lost = append(lost, loss{w, &have})
		}
	}
	return mine, lost, nil
}

// chains makes the chains and sets whole that the network's ports need, once in a look.
func (l *restoring) chains(ctx context.Context, c config) error {
	if l.whole[c.suffix()] {
		return nil
	}
	if c.suffix() != "" {
		if dnat, _, err := l.kernel.whole(c); err != nil {
			return err
		} else if !dnat {
			if err := c.installConditions(ctx); err != nil {
				return err
			}
			l.what = append(l.what, "the rules of a network's conditions are missing from table "+numbers.TablePortmap)
		}
	}
	var what []string
	err := l.nft.Transact(numbers.TablePortmap, func(b *nft.Batch) error {
		what = nil
		tables := []nft.Table{masquerade()}
		if c.suffix() == "" {
			tables = append(tables, c.dnat())
		}
		for _, t := range tables {
			drift, err := l.nft.Drift(t)
			if err != nil {
				return err
			}
			if drift != "" {
				what = append(what, drift)
				b.Install(t)
			}
		}
		return nil
	})
	if err == nil {
		l.whole[c.suffix()] = true
		l.what = append(l.what, what...)
	}
	return err
}

// setting puts back route_localnet on the container's own host end. Where something else leads to the container now,
// that is another stage's to mend first.
func (l *restoring) setting(c call, r *stages.Request) error {
	setting, err := c.localnet()
	if err != nil || setting == "" {
		return err
	}
	for _, i := range r.Prev.Interfaces {
		if i.Sandbox != "" || setting != localnetOf(i.Name) {
			continue
		}
		is, err := link.Sysctl(setting)
		if err != nil || is == "1" {
			return err
		}
		l.what = append(l.what, setting+" is "+is+", not 1")
		return link.EnsureSysctl(setting, "1")
	}
	return nil
}
