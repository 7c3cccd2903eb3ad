package routedveth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// The maps of the steering table. Each leads to a chain of one network interface.
const (
	byLink     = "eni-by-link"      // group of the link it came in by: the network interface's, or a pod's host end's
	byAddress4 = "eni-by-address"   // primary address that a connection was opened to
	byAddress6 = "eni-by-address-6" //

	formerByPod = "eni-by-pod" // until 2026-11 groups of pods had a map of their own
)

// opened is the chain for answers of DNATed connections, podChain that for packets of a network interface's pods, and
// name(n) that which sets its mark.
const opened = "opened"

func podChain(n int) string { return "pods-" + strconv.Itoa(n) }

// steerTable is the table as it always is; what changes is its maps' elements and two chains per network interface.
//
// It runs after everybody's DNAT: a pod's packet to a ClusterIP must be judged by where it really goes. Replies of
// DNATed connections are judged by the address that the client opened, because the answer must leave by that address's
// network interface; all other packets of pods leave by the pod's.
//
// Every packet of the node comes by, so every expression counts, 20 to 40 ns each: one question to a hash decides what
// a packet is, however many network interfaces there are, and a packet that is nobody's has no second. Six rules that
// asked one after the other cost a pod's packet 0.3 µs more (2026-12).
func steerTable() nft.Table {
	return nft.Table{
		Name: numbers.TableRoutedVeth,
		Sets: []nft.Set{
			{Name: byLink, Key: []nft.Type{nft.DevGroup}, Data: []nft.Type{nft.Verdict}, Size: numbers.LinkGroups},
			{Name: byAddress4, Key: []nft.Type{nft.IPv4Addr}, Data: []nft.Type{nft.Verdict}},
			{Name: byAddress6, Key: []nft.Type{nft.IPv6Addr}, Data: []nft.Type{nft.Verdict}},
		},
		Chains: []nft.Chain{{
			Name: opened,
			Rules: []nft.Rule{
				{Expr: nft.CtOriginalDaddrVmap(nft.IPv4, byAddress4)},
				{Expr: nft.CtOriginalDaddrVmap(nft.IPv6, byAddress6)},
			},
		}, {
			Name:  "steer",
			Hook:  nft.Hook{Type: "filter", Point: nft.Prerouting, Priority: numbers.PrioritySteer},
			Rules: []nft.Rule{{Expr: nft.IIfGroupVmap(byLink)}},
		}},
	}
}

// eniTable is what a network interface has in the same table. The primary one has no mark.
func eniTable(n int) nft.Table {
	pods := nft.Chain{Name: podChain(n), Rules: []nft.Rule{
		{Expr: nft.All(nft.CtReply(), nft.CtStatusDNAT(), nft.Goto(opened))},
	}}
	if n == 0 {
		return nft.Table{Name: numbers.TableRoutedVeth, Chains: []nft.Chain{pods}}
	}
	mark := nft.Rule{Expr: nft.MarkSet(numbers.MarkMask, uint32(n))}
	pods.Rules = append(pods.Rules, mark)
	return nft.Table{Name: numbers.TableRoutedVeth, Chains: []nft.Chain{{Name: name(n), Rules: []nft.Rule{mark}}, pods}}
}

// leadsTo says whether a chain is one of network interface n's.
func leadsTo(chain string, n int) bool { return chain == name(n) || chain == podChain(n) }

// element is one entry of one of the maps.
type element struct {
	set  string
	key  []byte
	jump string
}

// eniElements are all that lead to the chains of a network interface.
func eniElements(e ENI) []element {
	out := groupElements(e.N)
	if e.N > 0 {
		for _, a := range primaries(e) {
			out = append(out, element{addressMap(a), nft.Addr(a), name(e.N)})
		}
	}
	return out
}

// groupElements are those of its links.
func groupElements(n int) (out []element) {
	if n > 0 {
		out = append(out, element{byLink, nft.Number(numbers.LinkGroup(n)), name(n)})
	}
	for k := 0; k <= numbers.MaxProfile; k++ {
		out = append(out, element{byLink, nft.Number(numbers.PodLinkGroup(n, k)), podChain(n)})
	}
	return out
}

func addressMap(a netip.Addr) string {
	if a.Is4() {
		return byAddress4
	}
	return byAddress6
}

// generationTries bounds how often a change is begun anew because somebody changed the ruleset in between. kube-proxy
// may do that a few times a second.
const generationTries = 20

// change opens a socket and lets plan fill a batch from what it reads, until the kernel takes the batch for the very
// ruleset that was read. An empty batch is not sent.
func change(ctx context.Context, plan func(*nft.Conn, *nft.Batch) error) error {
	c, err := nft.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	for range generationTries {
		if err = ctx.Err(); err != nil {
			return err
		}
		var gen uint32
		if gen, err = c.Generation(); err != nil {
			return err
		}
		b := &nft.Batch{Table: numbers.TableRoutedVeth}
		b.At(gen)
		if err = plan(c, b); err == nil && b.Len() > 0 {
			err = c.Commit(b)
		}
		if !errors.Is(err, nft.ErrGeneration) && !errors.Is(err, nft.ErrExist) && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
	}
	return err
}

// steer makes table, chains and elements of a network interface as they should be, in one transaction.
func steer(ctx context.Context, e ENI) error {
	return change(ctx, func(c *nft.Conn, b *nft.Batch) error {
		drift, err := c.Drift(steerTable())
		if err != nil {
			return err
		}
		fresh := false
		if drift != "" {
			if fresh, err = reinstall(c, b); err == nil && !fresh {
				err = inherit(c, b, e.N)
			}
			if err != nil {
				return err
			}
		}
		if drift, err = c.Drift(eniTable(e.N)); err != nil {
			return err
		}
		if drift != "" || fresh {
			b.Install(eniTable(e.N))
		}
		present := map[string][]nft.Element{}
		if !fresh {
			if present, err = elements(c); err != nil {
				return err
			}
		}
		place(b, e, present)
		return nil
	})
}

// reinstall puts the whole table into the batch. A set of another type cannot be changed: then the old table goes.
func reinstall(c *nft.Conn, b *nft.Batch) (fresh bool, err error) {
	there, err := c.HasTable(numbers.TableRoutedVeth)
	if err != nil {
		return false, err
	}
	if there {
		for _, s := range steerTable().Sets {
			if _, err := c.Set(numbers.TableRoutedVeth, s.Name); errors.Is(err, nft.ErrNotExist) {
				there = false
			} else if err != nil {
				return false, err
			}
		}
		if drift, err := c.Drift(nft.Table{Name: numbers.TableRoutedVeth, Sets: steerTable().Sets}); err != nil {
			return false, err
		} else if drift != "" {
			b.DeleteTable()
			there = false
		}
	}
	b.Install(steerTable())
	return !there, nil
}

// inherit turns a table with the former map into one of today, but for the network interface that is being steered: in
// one transaction, so that no pod of another is without its way in between.
func inherit(c *nft.Conn, b *nft.Batch, steered int) error {
	former, err := c.Elements(numbers.TableRoutedVeth, formerByPod)
	if errors.Is(err, nft.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for n := range numbers.MaxN + 1 {
		leads := func(e nft.Element) bool { return leadsTo(e.Jump, n) }
		if n == steered || n > 0 && !slices.ContainsFunc(former, leads) {
			continue
		}
		b.Install(eniTable(n))
		for _, e := range groupElements(n) {
			b.Add(e.set, nft.Element{Key: e.key, Jump: e.jump})
		}
	}
	b.DeleteSet(formerByPod)
	return nil
}

// elements reads all maps; a map that is not there has none.
func elements(c *nft.Conn) (map[string][]nft.Element, error) {
	all := map[string][]nft.Element{}
	for _, s := range steerTable().Sets {
		found, err := c.Elements(numbers.TableRoutedVeth, s.Name)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return nil, err
		}
		all[s.Name] = found
	}
	return all, nil
}

// place adds what is missing of a network interface, turns what leads elsewhere, and takes away what leads to it and
// should not (an address that it had before).
func place(b *nft.Batch, e ENI, present map[string][]nft.Element) {
	wanted := eniElements(e)
	for set, there := range present {
		for _, p := range there {
			i := slices.IndexFunc(wanted, func(w element) bool { return w.set == set && slices.Equal(w.key, p.Key) })
			if i < 0 && leadsTo(p.Jump, e.N) || i >= 0 && p.Jump != wanted[i].jump {
				b.Delete(set, nft.Element{Key: p.Key})
			}
		}
	}
	for _, w := range wanted {
		right := slices.ContainsFunc(present[w.set], func(p nft.Element) bool {
			return slices.Equal(w.key, p.Key) && p.Jump == w.jump
		})
		if !right {
			b.Create(w.set, nft.Element{Key: w.key, Jump: w.jump})
		}
	}
}

// unsteer takes chains and elements of a network interface away.
func unsteer(ctx context.Context, n int) error {
	return change(ctx, func(c *nft.Conn, b *nft.Batch) error {
		present, err := elements(c)
		if err != nil {
			return err
		}
		former, err := c.Elements(numbers.TableRoutedVeth, formerByPod)
		if err != nil && !errors.Is(err, nft.ErrNotExist) {
			return err
		}
		present[formerByPod] = former
		for set, there := range present {
			for _, p := range there {
				if leadsTo(p.Jump, n) {
					b.Delete(set, nft.Element{Key: p.Key})
				}
			}
		}
		for _, chain := range []string{name(n), podChain(n)} {
			if _, err := c.Chain(numbers.TableRoutedVeth, chain); errors.Is(err, nft.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			b.FlushChain(chain)
			b.DeleteChain(chain)
		}
		return nil
	})
}

// steers is the pod path's one question: is the table there, and does it lead pods of network interface n to its chain?
func steers(n int) (bool, error) {
	c, err := nft.Open()
	if err != nil {
		return false, err
	}
	defer c.Close()
	_, err = c.Element(numbers.TableRoutedVeth, byLink, nft.Number(numbers.PodLinkGroup(n, 0)))
	if errors.Is(err, nft.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// missingSteering says what of a network interface's steering is not as it should be.
func missingSteering(e ENI) ([]string, error) {
	c, err := nft.Open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	drift, err := c.Drift(steerTable())
	if err != nil || drift != "" {
		return []string{drift}, err
	}
	if drift, err = c.Drift(eniTable(e.N)); err != nil || drift != "" {
		return []string{drift}, err
	}
	b := &nft.Batch{Table: numbers.TableRoutedVeth}
	present, err := elements(c)
	if err != nil {
		return nil, err
	}
	if place(b, e, present); b.Len() > 0 {
		return []string{fmt.Sprintf("elements of %s in table %s are missing or lead elsewhere",
			name(e.N), numbers.TableRoutedVeth)}, nil
	}
	return nil, nil
}
