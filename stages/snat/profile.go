package snat

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
	"github.com/enichain/enichain/stages/internal/sha"
)

// form is the version of the rules that a profile is made of. A change of the rules below raises it: pods of before
// keep theirs, new pods get a profile of the new form.
const form = 2

// uplink is the way out of one family.
type uplink struct {
	Link   string     // the primary network interface
	Source netip.Addr // the node's primary address on it
}

// profile is an effective configuration: all that decides what a packet leaves with. Pods of equal profiles share one
// number k, whatever their networks are called.
type profile struct {
	Inside map[nft.Family][]netip.Prefix // per family that is translated
	Out    map[nft.Family]uplink         // likewise
	Way    nft.NAT
}

// families are those of the profile, IPv4 first.
func (p profile) families() []nft.Family {
	var all []nft.Family
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		if _, ok := p.Out[f]; ok {
			all = append(all, f)
		}
	}
	return all
}

// name is the profile's fingerprint as it stands in its chains' comments.
func (p profile) name() string {
	text := []byte("form " + strconv.Itoa(form) + " way " + strconv.Itoa(int(p.Way)) + "\n")
	for _, f := range p.families() {
		text = append(text, f.String()+" by "+p.Out[f].Link+" as "+p.Out[f].Source.String()+" inside"...)
		for _, e := range nft.Ranges(p.Inside[f]) { // equal sets of addresses are equal, however they are written
			text = append(text, ' ')
			text = hex.AppendEncode(text, e.Key)
			text = strconv.AppendBool(append(text, '/'), e.End)
		}
		text = append(text, '\n')
	}
	sum := sha.Sum1(text)
	return "profile " + hex.EncodeToString(sum[:8])
}

// The names of a profile's parts, k = 1..7.
func leaveChain(k int) string   { return "leave-" + strconv.Itoa(k) }
func unsteerChain(k int) string { return "unsteer-" + strconv.Itoa(k) }
func insideSet(f nft.Family, k int) string {
	if f == nft.IPv6 {
		return "inside6-" + strconv.Itoa(k)
	}
	return "inside-" + strconv.Itoa(k)
}

// parts are the chains and sets of profile p under the number k, as they shall be.
func (p profile) parts(k int) nft.Table {
	t := nft.Table{Name: numbers.TableSNAT, Comment: tableComment}
	unsteer := nft.Chain{Name: unsteerChain(k), Comment: p.name()}
	leave := nft.Chain{Name: leaveChain(k), Comment: p.name()}
	for _, f := range p.families() {
		t.Sets = append(t.Sets, nft.Set{Name: insideSet(f, k), Key: addressType(f), Interval: true})
		unsteer.Rules = append(unsteer.Rules, nft.Rule{
			Expr: nft.All(nft.DaddrNotIn(f, insideSet(f, k)), nft.MarkSet(numbers.MarkMask, 0)),
		})
		leave.Rules = append(leave.Rules, nft.Rule{
			Expr: nft.All(nft.DaddrNotIn(f, insideSet(f, k)), nft.OIfName(p.Out[f].Link), nft.SNAT(p.Out[f].Source, p.Way)),
		})
	}
	t.Chains = []nft.Chain{unsteer, leave}
	return t
}

func addressType(f nft.Family) []nft.Type {
	if f == nft.IPv6 {
		return []nft.Type{nft.IPv6Addr}
	}
	return []nft.Type{nft.IPv4Addr}
}

const tableComment = "what leaves the VPC leaves as the node"

// The base chains, and the maps of pods behind other interface plugins.
const (
	chainUnsteer = "unsteer"
	chainLeave   = "leave"
)

func podsMap(f nft.Family) string {
	if f == nft.IPv6 {
		return "pods6"
	}
	return "pods"
}

// base is what all profiles share: the two hooks, and from them one jump per profile by the pods' link groups. With
// byAddress pods are also told by their addresses, for interface plugins that know no link groups.
//
// Every packet of the node comes by unsteer, so it asks as little as it can: pods of the primary network interface have
// no mark to take away, and a packet for the node itself is the node's whatever its mark is (asking the routes for that
// cost each packet out of the VPC 0.3 µs, until 2026-12).
func base(profiles []int, byAddress bool) nft.Table {
	unsteer := nft.Chain{Name: chainUnsteer, Hook: nft.Hook{
		Type: "filter", Point: nft.Prerouting, Priority: numbers.PriorityUnsteer,
	}}
	leave := nft.Chain{Name: chainLeave, Hook: nft.Hook{
		Type: "nat", Point: nft.Postrouting, Priority: nft.PrioritySrcNAT,
	}}
	for _, k := range profiles {
		last := numbers.PodLinkGroup(numbers.MaxN, k)
		marked, group := nft.IIfGroup(numbers.PodLinkGroup(1, k), last), nft.IIfGroup(numbers.PodLinkGroup(0, k), last)
		unsteer.Rules = append(unsteer.Rules, nft.Rule{
			Expr: nft.All(marked, nft.CtOriginal(), nft.Jump(unsteerChain(k))),
		})
		leave.Rules = append(leave.Rules, nft.Rule{Expr: nft.All(group, nft.Jump(leaveChain(k)))})
	}
	t := nft.Table{Name: numbers.TableSNAT, Comment: tableComment}
	if byAddress {
		for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
			t.Sets = append(t.Sets, nft.Set{
				Name: podsMap(f), Key: addressType(f), Data: []nft.Type{nft.Verdict}, Comment: "pods of other interface plugins",
			})
			leave.Rules = append(leave.Rules, nft.Rule{Expr: nft.SaddrVmap(f, podsMap(f))})
		}
	}
	t.Chains = []nft.Chain{unsteer, leave}
	return t
}

// addresses are the pod's own: those of prevResult that belong to no interface, or to the container's interface.
func addresses(r *stages.Request) []netip.Addr {
	var all []netip.Addr
	for _, ip := range r.Prev.IPs {
		if n := ip.Interface; n != nil && *n >= 0 && *n < len(r.Prev.Interfaces) {
			of := r.Prev.Interfaces[*n]
			if of.Sandbox == "" || of.Name != r.IfName {
				continue
			}
		}
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok && !a.IsLoopback() {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// hostLinks are the interfaces of prevResult that stand on the host's side.
func hostLinks(prev *stages.Result) []*types100.Interface {
	var all []*types100.Interface
	for _, i := range prev.Interfaces {
		if i.Sandbox == "" && i.Name != "" {
			all = append(all, i)
		}
	}
	return all
}

// effective says which prefixes of one family are inside, for this configuration and result.
func (c config) effective(f nft.Family, prev *stages.Result) ([]netip.Prefix, error) {
	var all []netip.Prefix
	add := func(p netip.Prefix) {
		if nft.FamilyOf(p.Addr()) == f {
			all = append(all, p)
		}
	}
	for _, p := range c.Inside.List {
		add(p)
	}
	if c.Inside.VPC {
		for _, route := range prev.Routes {
			if p, ok := network(route); ok && p.Bits() > 0 && len(route.GW) == 0 {
				add(p)
			}
		}
		if len(all) == 0 {
			return nil, stages.Errorf(stages.Config, `inside: "vpc" stands for the networks that the stage before gives as `+
				"routes, and prevResult has none of %s; put eni-ipam before, or give a list of prefixes", familyName(f))
		}
	}
	for _, p := range c.Exclude {
		add(p)
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all), nil
}

// network is a route's destination.
func network(route *types.Route) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(route.Dst.IP)
	bits, size := route.Dst.Mask.Size()
	if a = a.Unmap(); a.Is4() && size == 128 {
		bits -= 96
	}
	p := netip.PrefixFrom(a, bits)
	return p.Masked(), ok && p.IsValid() && size > 0
}

func familyName(f nft.Family) string {
	if f == nft.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
