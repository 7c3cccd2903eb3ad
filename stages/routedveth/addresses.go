package routedveth

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/enichain/enichain/stages"
)

// The next hops of pods. They exist nowhere: the pod's neighbour table says which MAC stands behind them, and the host's
// end answers for them.
var (
	nextHop4 = netip.AddrFrom4([4]byte{169, 254, 1, 1})
	nextHop6 = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
)

func nextHop(a netip.Addr) netip.Addr {
	if a.Is4() {
		return nextHop4
	}
	return nextHop6
}

func everywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// typeOf reads the member "type" of an object; given says whether the object has any member at all.
func typeOf(raw []byte) (kind string, given bool, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return "", true, errors.New(`want an object with "type"`)
	}
	if t, ok := members["type"]; ok {
		if err := json.Unmarshal(t, &kind); err != nil {
			return "", true, errors.New("type: want a string, a plugin's file name")
		}
	}
	return kind, len(members) > 0, nil
}

// entry is a network interface as a result names it.
type entry struct{ name, mac string }

// given is what the stages before, or the delegate, decided.
type given struct {
	result *stages.Result
	addrs  []netip.Addr // the pod's, in the result's order
	own    []int        // their places in result.IPs
	eni    *entry       // nil: the addresses belong to no network interface
}

// gather takes the addresses from prevResult, or sees that a delegate can be asked for them; never both.
func gather(r *stages.Request, conf *config) (given, error) {
	some := 0
	if r.Prev != nil {
		if err := wired(r, r.Prev); err != nil {
			return given{}, err
		}
		for _, ip := range r.Prev.IPs {
			if unplaced(r.Prev, ip) {
				some++
			}
		}
	}
	switch {
	case some > 0 && conf.plugin != "":
		return given{}, stages.Errorf(stages.Config, "two sources of addresses for %s: prevResult has %d, and ipam.type is %q; "+
			"take one of them out", r.Attachment, some, conf.plugin)
	case r.Prev != nil && len(r.Prev.IPs) > 0 && conf.plugin == "":
		return read(r, r.Prev)
	case conf.plugin == "":
		return given{}, stages.Errorf(stages.NoPrevResult, "no address for %s: put a stage that gives one before routed-veth, "+
			"such as eni-ipam or host-local, or set ipam.type", r.Attachment)
	}
	return given{}, nil
}

// ask has the delegate give the addresses; what it gave is taken back where it is of no use.
func ask(ctx context.Context, r *stages.Request, conf *config) (given, error) {
	result, err := stages.Delegate(ctx, r, conf.plugin, r.Config, "ADD")
	if err != nil {
		return given{}, err
	}
	g, err := read(r, result)
	if err != nil {
		return given{}, errors.Join(err, conf.delegate(ctx, r, "DEL"))
	}
	if r.Prev != nil {
		g.keep(r.Prev)
	}
	return g, nil
}

// keep puts to the delegate's result what stood in prevResult: other interfaces and their addresses (of lo, say).
func (g *given) keep(prev *stages.Result) {
	before := len(g.result.Interfaces)
	g.result.Interfaces = append(g.result.Interfaces, prev.Interfaces...)
	for _, ip := range prev.IPs {
		k := *ip
		if k.Interface != nil {
			k.Interface = types100.Int(before + *k.Interface)
		}
		g.result.IPs = append(g.result.IPs, &k)
	}
	if g.result.DNS.IsEmpty() {
		g.result.DNS = prev.DNS
	}
}

// unplaced says whether an address of a result waits for an interface in the container: one that has its own there is
// another's, as is a loopback address.
func unplaced(result *stages.Result, ip *types100.IPConfig) bool {
	return !ip.Address.IP.IsLoopback() && (ip.Interface == nil || result.Interfaces[*ip.Interface].Sandbox == "")
}

// wired refuses a result in which the container has its interface already.
func wired(r *stages.Request, result *stages.Result) error {
	for _, at := range result.Interfaces {
		if at.Sandbox != "" && at.Name == r.IfName {
			return stages.Errorf(stages.Config, "prevResult has %s of %s in the container already: "+
				"two stages that make interfaces stand in the list; take one of them out", at.Name, r.Attachment)
		}
	}
	return nil
}

// read finds the pod's addresses in a result, and the network interface they belong to.
func read(r *stages.Request, result *stages.Result) (given, error) {
	g := given{result: result}
	if err := wired(r, result); err != nil {
		return g, err
	}
	for i, ip := range result.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return g, stages.Errorf(stages.PrevResult, "ips[%d].address of %s is no address", i, r.Attachment)
		}
		if !unplaced(result, ip) {
			continue
		}
		if ip.Interface != nil {
			at := result.Interfaces[*ip.Interface]
			if g.eni != nil && *g.eni != (entry{at.Name, at.Mac}) {
				return g, stages.Errorf(stages.PrevResult, "the addresses of %s belong to two network interfaces, %s and %s; "+
					"one link can follow one", r.Attachment, g.eni.name, at.Name)
			}
			g.eni = &entry{at.Name, at.Mac}
		}
		g.addrs = append(g.addrs, a.Unmap())
		g.own = append(g.own, i)
	}
	if len(g.addrs) == 0 {
		return g, stages.Errorf(stages.PrevResult, "no address for %s: those in prevResult belong to other interfaces",
			r.Attachment)
	}
	return g, nil
}

// loopback is the container's own; what upstream's plugin of that name says of it would be every pod's address to
// those that read the result: CRI-O reports it, and firewall opens it.
const loopback = "lo"

// finish is the result as the next stage gets it: the network interface's entry is gone, and lo with its addresses;
// host's end and pod's end stand last, the pod's addresses are what they are in the pod.
func (g given) finish(host, pod *types100.Interface) *stages.Result {
	out := &stages.Result{CNIVersion: g.result.CNIVersion, DNS: g.result.DNS}
	place := make([]int, len(g.result.Interfaces))
	for i, at := range g.result.Interfaces {
		if at.Sandbox == "" && g.eni != nil && at.Name == g.eni.name || at.Sandbox != "" && at.Name == loopback {
			continue
		}
		place[i] = len(out.Interfaces)
		out.Interfaces = append(out.Interfaces, at)
	}
	out.Interfaces = append(out.Interfaces, host, pod)
	mine := len(out.Interfaces) - 1
	for i, ip := range g.result.IPs {
		k := *ip
		at := -1
		if ip.Address.IP.IsLoopback() {
			continue
		}
		for j, p := range g.own {
			if p == i {
				at = j
			}
		}
		switch {
		case at < 0 && ip.Interface == nil:
		case at < 0:
			k.Interface = types100.Int(place[*ip.Interface])
		default:
			a := g.addrs[at]
			k.Interface = types100.Int(mine)
			k.Address = net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
			k.Gateway = nextHop(a).AsSlice()
		}
		out.IPs = append(out.IPs, &k)
	}
	out.Routes = g.routes()
	return out
}

// has says whether the pod has an address of IPv4 (or else of IPv6).
func (g given) has(four bool) bool {
	for _, a := range g.addrs {
		if a.Is4() == four {
			return true
		}
	}
	return false
}
