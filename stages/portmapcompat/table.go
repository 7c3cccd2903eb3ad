package portmapcompat

import (
	"encoding/hex"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
	"github.com/enichain/enichain/stages/internal/sha"
)

const tableComment = "ports of this node that lead to pods"

// Names in the table. The sets of IPv6 end in 6; those of a network with conditions in a hash of them.
const (
	setPorts     = "ports"     // protocol . port : pod . port
	setAddrPorts = "addrports" // address . protocol . port : pod . port
	setHairpin   = "hairpin"   // source . pod: masquerade
	setMasqAll   = "masqall"   // pod: masquerade whoever asks
	setPods      = "pods"      // MAC of the host's end by which routed-veth marks the attachment, for all that have ports
	setMade      = "made"      // the same MAC: what ADD made for the attachment

	chainDNAT        = "to-pods"
	chainPrerouting  = "prerouting"
	chainOutput      = "output"
	chainPostrouting = "postrouting"
)

var families = []nft.Family{nft.IPv4, nft.IPv6}

func familyName(name string, f nft.Family) string {
	if f == nft.IPv6 {
		return name + "6"
	}
	return name
}

func addressType(f nft.Family) nft.Type {
	if f == nft.IPv6 {
		return nft.IPv6Addr
	}
	return nft.IPv4Addr
}

// suffix keeps the ports of networks with different conditions apart; "" where there are none.
func (c config) suffix() string {
	if len(c.ConditionsV4)+len(c.ConditionsV6) == 0 {
		return ""
	}
	sum := sha.Sum1([]byte(strings.Join(c.ConditionsV4, " ") + "\n" + strings.Join(c.ConditionsV6, " ")))
	return "-" + hex.EncodeToString(sum[:4])
}

// set is the name of the map for this network's ports.
func (c config) set(name string, f nft.Family) string { return familyName(name, f) + c.suffix() }

// dnat is the chain that a packet to a local address goes through, and the hooks that send it there. Everything is
// found by hash: a thousand ports cost what one does.
//
// Two chains of hooks for every set of conditions, rather than one pair with many jumps: so a network's conditions come
// and go without a touch to another's rules (2026-11).
func (c config) dnat() nft.Table {
	t := nft.Table{Name: numbers.TablePortmap, Comment: tableComment}
	chain := nft.Chain{Name: chainDNAT + c.suffix()}
	for _, f := range families {
		data := []nft.Type{addressType(f), nft.InetService}
		t.Sets = append(t.Sets,
			nft.Set{Name: c.set(setAddrPorts, f), Key: []nft.Type{addressType(f), nft.InetProto, nft.InetService}, Data: data},
			nft.Set{Name: c.set(setPorts, f), Key: []nft.Type{nft.InetProto, nft.InetService}, Data: data})
		chain.Rules = append(chain.Rules,
			nft.Rule{Expr: nft.DNATByAddrPort(f, c.set(setAddrPorts, f))},
			nft.Rule{Expr: nft.DNATByPort(f, c.set(setPorts, f))})
	}
	local := []nft.Rule{{Expr: nft.All(nft.FibLocal(), nft.Jump(chain.Name))}}
	t.Chains = []nft.Chain{
		chain,
		{Name: chainPrerouting + c.suffix(), Rules: local,
			Hook: nft.Hook{Type: "nat", Point: nft.Prerouting, Priority: nft.PriorityDstNAT}},
		{Name: chainOutput + c.suffix(), Rules: local,
			Hook: nft.Hook{Type: "nat", Point: nft.Output, Priority: nft.PriorityDstNAT}},
	}
	return t
}

// podsSet says which attachments have ports at all, so that the DEL of one that has none asks one question, however many
// ports others have.
func podsSet() nft.Set {
	return nft.Set{Name: setPods, Key: []nft.Type{nft.EtherAddr}, Comment: "attachments that have host ports"}
}

// podsKey is an attachment's key there: 40 bits of a hash. Two attachments of a node that share it (one in 10⁸ nodes) cost
// the second of them its DEL, and GC cleans up.
func podsKey(a stages.Attachment) []byte {
	mac, _ := link.OwnerMACs(a.String())
	return mac[:]
}

// masquerade is what all networks share: the chain for packets whose answer would go past the node otherwise.
func masquerade() nft.Table {
	t := nft.Table{Name: numbers.TablePortmap, Comment: tableComment, Sets: []nft.Set{podsSet()}}
	chain := nft.Chain{Name: chainPostrouting,
		Hook: nft.Hook{Type: "nat", Point: nft.Postrouting, Priority: nft.PrioritySrcNAT}}
	for _, f := range families {
		hairpin, all := familyName(setHairpin, f), familyName(setMasqAll, f)
		t.Sets = append(t.Sets,
			nft.Set{Name: hairpin, Key: []nft.Type{addressType(f), addressType(f)}},
			nft.Set{Name: all, Key: []nft.Type{addressType(f)}})
		chain.Rules = append(chain.Rules,
			nft.Rule{Expr: nft.All(nft.CtStatusDNAT(), nft.SaddrDaddrIn(f, hairpin), nft.Masquerade(nft.KeepPort))},
			nft.Rule{Expr: nft.All(nft.CtStatusDNAT(), nft.DaddrIn(f, all), nft.Masquerade(nft.KeepPort))})
	}
	t.Chains = []nft.Chain{chain}
	return t
}
