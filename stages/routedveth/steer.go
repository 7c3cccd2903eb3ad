package routedveth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// The maps of the steering table. Each leads to the chain of one network interface, which sets its mark.
const (
	byLink     = "eni-by-link"      // group of the link it came in by
	byPodLink  = "eni-by-pod"       // group of the pod's host end
	byAddress4 = "eni-by-address"   // primary address that a connection was opened to
	byAddress6 = "eni-by-address-6" //
)

// steerTable is the table as it always is; what changes is its maps' elements and one chain per network interface.
//
// It runs after everybody's DNAT: a pod's packet to a ClusterIP must be judged by where it really goes. Replies of
// DNATed connections are judged by the address that the client opened, because the answer must leave by that address's
// network interface; all other packets of pods leave by the pod's.
func steerTable() nft.Table {
	opened := func(f nft.Family, name string) nft.Expr {
		return nft.All(nft.CtReply(), nft.CtStatusDNAT(), nft.CtOriginalDaddrVmap(f, name))
	}
	return nft.Table{
		Name: numbers.TableRoutedVeth,
		Sets: []nft.Set{
			{Name: byLink, Key: []nft.Type{nft.DevGroup}, Data: []nft.Type{nft.Verdict}},
			{Name: byPodLink, Key: []nft.Type{nft.DevGroup}, Data: []nft.Type{nft.Verdict}},
			{Name: byAddress4, Key: []nft.Type{nft.IPv4Addr}, Data: []nft.Type{nft.Verdict}},
			{Name: byAddress6, Key: []nft.Type{nft.IPv6Addr}, Data: []nft.Type{nft.Verdict}},
		},
		Chains: []nft.Chain{{
			Name: "steer",
			Hook: nft.Hook{Type: "filter", Point: nft.Prerouting, Priority: numbers.PrioritySteer},
			Rules: []nft.Rule{
				{Expr: nft.IIfGroupVmap(byLink)},
				{Expr: nft.All(nft.NotIIfGroup(numbers.PodGroup, numbers.PodGroupMax), nft.Return())},
				{Expr: opened(nft.IPv4, byAddress4)},
				{Expr: opened(nft.IPv6, byAddress6)},
				{Expr: nft.All(nft.CtReply(), nft.CtStatusDNAT(), nft.Return())},
				{Expr: nft.IIfGroupVmap(byPodLink)},
			},
		}},
	}
}

// eniTable is the one chain of a network interface, in the same table.
func eniTable(n int) nft.Table {
	return nft.Table{Name: numbers.TableRoutedVeth, Chains: []nft.Chain{{
		Name: name(n), Rules: []nft.Rule{{Expr: nft.MarkSet(numbers.MarkMask, uint32(n))}},
	}}}
}

// element is one entry of one of the maps.
type element struct {
	set string
	key []byte
}

// eniElements are all that lead to the chain of a network interface.
func eniElements(e ENI) []element {
	out := []element{{byLink, nft.Number(numbers.LinkGroup(e.N))}}
	for k := 0; k <= numbers.MaxProfile; k++ {
		out = append(out, element{byPodLink, nft.Number(numbers.PodLinkGroup(e.N, k))})
	}
	for _, a := range primaries(e) {
		out = append(out, element{addressMap(a), nft.Addr(a)})
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

// steer makes table, chain and elements of a network interface as they should be, in one transaction. For the primary
// one it is the table alone: its pods' packets bear no mark.
func steer(ctx context.Context, e ENI) error {
	return change(ctx, func(c *nft.Conn, b *nft.Batch) error {
		drift, err := c.Drift(steerTable())
		if err != nil {
			return err
		}
		fresh := false
		if drift != "" {
			if fresh, err = reinstall(c, b); err != nil {
				return err
			}
		}
		if e.N == 0 {
			return nil
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
			known := slices.ContainsFunc(wanted, func(w element) bool { return w.set == set && slices.Equal(w.key, p.Key) })
			if p.Jump == name(e.N) && !known || p.Jump != name(e.N) && known {
				b.Delete(set, nft.Element{Key: p.Key})
			}
		}
	}
	for _, w := range wanted {
		right := slices.ContainsFunc(present[w.set], func(p nft.Element) bool {
			return slices.Equal(w.key, p.Key) && p.Jump == name(e.N)
		})
		if !right {
			b.Create(w.set, nft.Element{Key: w.key, Jump: name(e.N)})
		}
	}
}

// unsteer takes chain and elements of a network interface away.
func unsteer(ctx context.Context, n int) error {
	return change(ctx, func(c *nft.Conn, b *nft.Batch) error {
		_, err := c.Chain(numbers.TableRoutedVeth, name(n))
		if errors.Is(err, nft.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		present, err := elements(c)
		if err != nil {
			return err
		}
		for _, s := range steerTable().Sets {
			for _, p := range present[s.Name] {
				if p.Jump == name(n) {
					b.Delete(s.Name, nft.Element{Key: p.Key})
				}
			}
		}
		b.FlushChain(name(n))
		b.DeleteChain(name(n))
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
	if n == 0 {
		_, err = c.Chain(numbers.TableRoutedVeth, "steer")
	} else {
		_, err = c.Element(numbers.TableRoutedVeth, byPodLink, nft.Number(numbers.PodLinkGroup(n, 0)))
	}
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
	if e.N == 0 {
		return nil, nil
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
