package routedveth

import (
	"context"
	"net/netip"

	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// View is what routed-veth has in a network namespace: the kernel's own words, for the agent that rebuilds a pool
// file, and for people.
type View struct {
	ENIs   []ENIView
	Pods   []PodView
	Routes []RouteView // to pods; every address that the node delivers by a route of ours, whatever its link
	Rules  []string    // of ours, as "500: from all lookup 1000"
}

// ENIView is a network interface's link that bears our group.
type ENIView struct {
	N     int
	Name  string
	Index int
	MAC   string
	MTU   int
	Up    bool
	ENI   ENI // addresses as its note has them
}

// PodView is a host end.
type PodView struct {
	Link      string
	Index     int
	MAC       string
	Owner     string // network/container/ifname; "" where the note is lost, with a hash where it was too long
	N         int    // network interface; 0 also where there is none
	Profile   int    // snat's, 0 to 7
	MTU       int
	Up        bool
	Severed   bool         // its DEL was done; only its deletion is left
	Addresses []netip.Addr // as its note has them
}

// RouteView is one address and the container it goes to.
type RouteView struct {
	Addr  netip.Addr
	Link  string
	Owner string // as PodView.Owner; "" where the link is none of ours
}

// Inspect reads it: a handful of lists, for the agent and for people, never on the way of a pod.
func Inspect(ctx context.Context) (View, error) {
	c, err := link.Open()
	if err != nil {
		return View{}, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return View{}, err
	}
	var v View
	byIndex, names := map[int]PodView{}, map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
		if n, ok := numbers.GroupENI(l.Group); ok {
			e, _ := readENIAlias(n, l.Alias)
			e.N, e.MAC = n, l.MAC.String()
			if !l.Permanent.IsZero() {
				e.MAC = l.Permanent.String()
			}
			v.ENIs = append(v.ENIs, ENIView{N: n, Name: l.Name, Index: l.Index, MAC: e.MAC, MTU: l.MTU, Up: l.Up, ENI: e})
		}
		if !ours(l) {
			continue
		}
		p := podView(l)
		byIndex[l.Index] = p
		v.Pods = append(v.Pods, p)
	}
	for _, family := range families {
		if err := ctx.Err(); err != nil {
			return View{}, err
		}
		routes, err := c.Routes(link.RouteFilter{Family: family, Protocol: numbers.Protocol})
		if err != nil {
			return View{}, err
		}
		for _, r := range routes {
			p, ok := byIndex[r.Link]
			if r.Dst.IsSingleIP() && (ok || r.Table == numbers.PodsTable) {
				v.Routes = append(v.Routes, RouteView{Addr: r.Dst.Addr(), Link: names[r.Link], Owner: p.Owner})
			}
		}
		rules, err := c.Rules(family)
		if err != nil {
			return View{}, err
		}
		for _, r := range rules {
			if r.Protocol == numbers.Protocol {
				v.Rules = append(v.Rules, r.String())
			}
		}
	}
	return v, nil
}

func podView(l link.Link) PodView {
	p := PodView{Link: l.Name, Index: l.Index, MAC: l.MAC.String(), MTU: l.MTU, Up: l.Up, Severed: severed(l)}
	p.Owner, p.Addresses = readPodAlias(l.Alias)
	p.N, p.Profile, _ = numbers.PodENI(l.Group)
	return p
}

// Routed says whether the node delivers packets for the address to a container, by whatever owner: the look into the
// kernel before an address is used again.
func Routed(a netip.Addr) (bool, error) {
	c, err := link.Open()
	if err != nil {
		return false, err
	}
	defer c.Close()
	for _, table := range []int{numbers.PodsTable, link.MainTable} {
		routes, err := c.Routes(link.RouteFilter{Family: familyOf(a), Table: table, Protocol: numbers.Protocol})
		if err != nil {
			return false, err
		}
		for _, r := range routes {
			if r.Dst.IsSingleIP() && r.Dst.Addr() == a {
				return true, nil
			}
		}
	}
	return false, nil
}
