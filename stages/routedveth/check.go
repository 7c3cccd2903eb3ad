package routedveth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Check compares what stands with what Add made, and says which of it is missing and which command shows it. What
// later stages may change is left to them: MAC and MTU of the container's interface (tuning, which does not always tell
// in the result), the SNAT profile in the link group, the table that the pod's routes stand in (sbr), further links,
// addresses, rules and routes.
func (Stage) Check(ctx context.Context, r *stages.Request) error {
	conf, err := decode(r)
	if err != nil {
		return err
	}
	if r.Prev == nil {
		return stages.Errorf(stages.NoPrevResult, "CHECK of %s needs the result of its ADD as prevResult", r.Attachment)
	}
	addrs := podAddresses(r)
	if len(addrs) == 0 {
		return stages.Errorf(stages.PrevResult, "CHECK of %s: prevResult has no address of %s", r.Attachment, r.IfName)
	}
	c, err := link.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	ns, err := link.OpenNetns(r.Netns)
	if err != nil {
		return stages.Errorf(stages.Env, "%w", err)
	}
	defer ns.Close()
	pod, err := link.OpenIn(ns)
	if err != nil {
		return stages.Errorf(stages.Env, "%w", err)
	}
	defer pod.Close()
	k := &check{r: r, addrs: addrs, host: c, pod: pod}
	_, k.podMAC = link.OwnerMACs(r.Attachment.String())
	for _, look := range []func(*config) error{k.ends, k.outside, k.inside, k.base} {
		if err := look(conf); err != nil {
			return err
		}
	}
	return conf.delegate(ctx, r, "CHECK")
}

// podAddresses are those that the result puts on the container's interface.
func podAddresses(r *stages.Request) (out []netip.Addr) {
	for _, ip := range r.Prev.IPs {
		if ip.Interface == nil {
			continue
		}
		at := r.Prev.Interfaces[*ip.Interface]
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok && at.Name == r.IfName && at.Sandbox != "" {
			out = append(out, a.Unmap())
		}
	}
	return out
}

type check struct {
	r         *stages.Request
	addrs     []netip.Addr
	host, pod *link.Conn
	outer     link.Link
	inner     link.Link
	podMAC    link.MAC // as Add gave it
}

// drift names what is missing, where, and the command that shows it.
func (k *check) drift(what, see string) error {
	return stages.Errorf(stages.Drift, "routed-veth: %s (%s); see: %s", what, k.r.Attachment, see)
}

func (k *check) inPod(command string) string {
	return "nsenter --net=" + k.r.Netns + " " + command
}

// ends looks at both ends of the wire.
func (k *check) ends(conf *config) error {
	var found bool
	var err error
	if k.outer, found, err = hostEnd(k.host, k.r, conf); err != nil {
		return err
	}
	if !found {
		names := conf.hostNames(k.r)
		return k.drift("no host end bears the owner's MAC, neither "+strings.Join(names, " nor "), "ip link show "+names[0])
	}
	show := "ip -d link show " + k.outer.Name
	if !k.outer.Up {
		return k.drift("the host end "+k.outer.Name+" is down", show)
	}
	if _, _, ok := numbers.PodENI(k.outer.Group); !ok {
		return k.drift("the host end "+k.outer.Name+" is in no pod's link group", show)
	}
	k.inner, err = k.pod.LinkByName(k.r.IfName)
	if errors.Is(err, link.ErrAbsent) {
		return k.drift("in "+k.r.Netns+" the link "+k.r.IfName+" is missing", k.inPod("ip link"))
	}
	if err != nil {
		return err
	}
	if k.outer.Peer != k.inner.Index || k.inner.Peer != k.outer.Index {
		return k.drift("in "+k.r.Netns+" "+k.r.IfName+" is not the other end of "+k.outer.Name,
			k.inPod("ip link show "+k.r.IfName))
	}
	if !k.inner.Up {
		return k.drift("in "+k.r.Netns+" "+k.r.IfName+" is down", k.inPod("ip link show "+k.r.IfName))
	}
	return nil
}

// outside looks at the node's routes, and at what answers the pod for its next hop.
func (k *check) outside(*config) error {
	for _, a := range k.addrs {
		// No list of routes, which grows with the node's pods: the kernel is asked for the packet's way.
		way, err := k.host.Lookup(link.Query{Dst: a})
		if err != nil && !errors.Is(err, link.ErrAbsent) {
			return err
		}
		if err != nil || way.Link != k.outer.Index {
			return k.drift("the node's route to "+a.String()+" by "+k.outer.Name+" is missing or outweighed",
				"ip route get "+a.String())
		}
	}
	proxies, err := k.host.Proxies(k.outer.Index)
	if err != nil {
		return err
	}
	own, err := k.host.Addresses(k.outer.Index)
	if err != nil {
		return err
	}
	isHop := func(n link.Neighbour) bool { return n.Addr == nextHop4 }
	if k.has(true) && !slices.ContainsFunc(proxies, isHop) {
		return k.drift("the neighbour proxy "+nextHop4.String()+" on "+k.outer.Name+" is missing",
			"ip neigh show proxy dev "+k.outer.Name)
	}
	isAddress := func(is link.Address) bool { return is.Prefix.Addr() == nextHop6 }
	if k.has(false) && !slices.ContainsFunc(own, isAddress) {
		return k.drift("the address "+nextHop6.String()+" is missing on "+k.outer.Name, "ip -6 address show "+k.outer.Name)
	}
	return k.wrongNeighbour()
}

// wrongNeighbour finds what somebody has fixed: a neighbour entry that sends the pod's packets to another MAC.
func (k *check) wrongNeighbour() error {
	neighbours, err := k.host.Neighbours(k.outer.Index)
	if err != nil {
		return err
	}
	for _, n := range neighbours {
		if n.Permanent && n.MAC != k.inner.MAC && slices.Contains(k.addrs, n.Addr) {
			return k.drift("the neighbour "+n.Addr.String()+" on "+k.outer.Name+" has the MAC "+n.MAC.String()+", and "+
				k.r.IfName+" has "+k.inner.MAC.String(), "ip neigh show dev "+k.outer.Name)
		}
	}
	return nil
}

func (k *check) has(four bool) bool {
	return slices.ContainsFunc(k.addrs, func(a netip.Addr) bool { return a.Is4() == four })
}

// inside looks at the pod's addresses, next hops and default routes.
func (k *check) inside(*config) error {
	there, err := k.pod.Addresses(k.inner.Index)
	if err != nil {
		return err
	}
	neighbours, err := k.pod.Neighbours(k.inner.Index)
	if err != nil {
		return err
	}
	where := "in " + k.r.Netns + " "
	for _, a := range k.addrs {
		if !slices.ContainsFunc(there, func(is link.Address) bool { return is.Prefix.Addr() == a }) {
			return k.drift(where+"the address "+a.String()+" is missing on "+k.r.IfName, k.inPod("ip address show "+k.r.IfName))
		}
		if err := k.wayOut(a); err != nil {
			return err
		}
		// Who gives the container another MAC (tuning) costs it its neighbours; then the node answers for the next hop.
		hop := nextHop(a)
		right := k.inner.MAC != k.podMAC || slices.ContainsFunc(neighbours, func(n link.Neighbour) bool {
			return n.Addr == hop && n.Permanent && n.MAC == k.outer.MAC
		})
		if !right {
			return k.drift(where+"the neighbour "+hop.String()+" lladdr "+k.outer.MAC.String()+" is missing",
				k.inPod("ip neigh show dev "+k.r.IfName))
		}
	}
	return nil
}

// wayOut looks for the default route of an address, in whatever table a rule of the pod leads its packets to.
func (k *check) wayOut(a netip.Addr) error {
	hop, where := nextHop(a), "in "+k.r.Netns+" "
	routes, err := k.pod.Routes(link.RouteFilter{Family: familyOf(a), Link: k.inner.Index})
	if err != nil {
		return err
	}
	missing := func(route string) error {
		return k.drift(where+`the route "`+route+" dev "+k.r.IfName+`" is missing`, k.inPod("ip "+flag(a)+" route show table all"))
	}
	there := func(dst netip.Prefix, gateway netip.Addr) bool {
		return slices.ContainsFunc(routes, func(is link.Route) bool { return is.Dst == dst && is.Gateway == gateway })
	}
	switch {
	case !there(everywhere(a), hop):
		return missing("default via " + hop.String())
	case a.Is4() && !there(netip.PrefixFrom(hop, hop.BitLen()), netip.Addr{}):
		return missing(hop.String())
	}
	for _, dst := range checked(k.r.Prev, a.Is4()) {
		if !there(dst, hop) {
			return missing(dst.String() + " via " + hop.String())
		}
	}
	routes = slices.DeleteFunc(routes, func(is link.Route) bool { return is.Dst.Bits() != 0 || is.Gateway != hop })
	rules, err := k.pod.Rules(familyOf(a))
	if err != nil {
		return err
	}
	if further(k.r.IfName) {
		return k.ownWayOut(a, rules, routes)
	}
	leads := func(rule link.Rule, table int) bool {
		from := !rule.From.IsValid() || rule.From.Contains(a)
		return from && rule.Mask == 0 && (rule.Table == table || rule.Table == 0) // 0: a VRF's, whichever that is
	}
	for _, route := range routes {
		if slices.ContainsFunc(rules, func(rule link.Rule) bool { return leads(rule, route.Table) }) {
			return nil
		}
	}
	return k.drift(fmt.Sprintf("%sno rule leads packets of %s to table %d, where its default route is", where, a, routes[0].Table),
		k.inPod("ip "+flag(a)+" rule"))
}

func flag(a netip.Addr) string {
	if a.Is4() {
		return "-4"
	}
	return "-6"
}

// base looks at what leads a pod's packets to its network interface.
func (k *check) base(*config) error {
	n, _, _ := numbers.PodENI(k.outer.Group)
	if n == 0 {
		return nil
	}
	ok, err := steers(n)
	if err != nil {
		return err
	}
	if !ok {
		return k.drift("the steering to "+name(n)+" is missing", "nft list table inet "+numbers.TableRoutedVeth)
	}
	for _, a := range k.addrs {
		way, err := k.host.LookupMarked(!a.Is4(), uint32(n))
		if err != nil && !errors.Is(err, link.ErrAbsent) {
			return err
		}
		if err != nil || way.Table != numbers.ENITable(n) {
			return k.drift("packets with the mark of "+name(n)+" do not go by its table",
				fmt.Sprintf("ip %s rule; ip %[1]s route show table %d", flag(a), numbers.ENITable(n)))
		}
	}
	return nil
}
