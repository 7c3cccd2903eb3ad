package packets

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A sample of first packets is perFirst datagrams of as many new flows in one system call. After forgetAfter of them
// the node's connections are forgotten, so that no run is longer than another has filled the table.
const (
	perFirst    = 100
	forgetAfter = 10
)

// many is the i-th of the addresses that the VPC's namespace answers for (198.18.0.0/15, for benchmarks: RFC 2544).
func many(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i / 250), byte(1 + i%250)}) }

// toPort is the first packet of a flow from outside to the last host port of the pod.
func toPort(w *world) (probe, error) {
	at := netip.AddrPortFrom(w.node.Self.Addr, uint16(w.lastPort()))
	server, err := socket(w.pod, netip.AddrPortFrom(w.pod.Addr, podPort))
	if err != nil {
		return probe{}, err
	}
	if _, err := connectTo(w.node.Host, w.node.Host.Addr, server, at); err != nil { // it is deaf from here on
		return probe{}, fmt.Errorf("node %s: %w", w.name, err)
	}
	if err := disconnect(server); err != nil {
		return probe{}, err
	}
	client, err := socket(w.node.Host, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return probe{}, err
	}
	return w.firsts(w.name+"/first", func(turn int) *batch {
		return same(client, perFirst).fromEach(func(i int) netip.Addr { return many(turn*perFirst + i) }).
			toEach(func(int) netip.AddrPort { return at })
	})
}

// toOutside is the first packet of a flow from the pod to somebody outside the VPC.
func toOutside(w *world) (probe, error) {
	f, err := connect(w.pod, w.node.Outside, w.pod.Addr, w.node.Outside.Addr)
	if err != nil {
		return probe{}, fmt.Errorf("node %s: %w", w.name, err)
	}
	if want := w.seenAs(direction{name: "snat"}, w.pod.Addr); f.saw.Addr() != want {
		return probe{}, fmt.Errorf("node %s: the pod is seen outside as %s, not as %s", w.name, f.saw.Addr(), want)
	}
	server, err := socket(w.node.Outside, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return probe{}, err
	}
	at, err := local(server)
	if err == nil {
		err = deaf(server)
	}
	if err != nil {
		return probe{}, err
	}
	client, err := socket(w.pod, netip.AddrPortFrom(w.pod.Addr, 0))
	if err != nil {
		return probe{}, err
	}
	return w.firsts(w.name+"/first", func(turn int) *batch {
		return same(client, perFirst).toEach(func(i int) netip.AddrPort {
			return netip.AddrPortFrom(many(turn*perFirst+i), at.Port())
		})
	})
}

// direct is the first packet of a flow from outside to the pod itself.
func direct(w *world) (probe, error) {
	server, err := socket(w.pod, netip.AddrPortFrom(w.pod.Addr, podPort))
	if err != nil {
		return probe{}, err
	}
	client, err := socket(w.node.Host, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return probe{}, err
	}
	at := netip.AddrPortFrom(w.pod.Addr, podPort)
	p, err := w.firsts(w.name+"/first-direct", func(turn int) *batch {
		return same(client, perFirst).fromEach(func(i int) netip.Addr { return many(turn*perFirst + i) }).
			toEach(func(int) netip.AddrPort { return at })
	})
	if err != nil {
		return p, err
	}
	return p, deaf(server)
}

// firsts is a probe of batches that are made once, one for each turn until the flows are forgotten.
func (w *world) firsts(id string, make func(turn int) *batch) (probe, error) {
	var handle *netlink.Handle
	if err := w.node.Within(func() (err error) {
		handle, err = netlink.NewHandle(unix.NETLINK_NETFILTER)
		return err
	}); err != nil {
		return probe{}, err
	}
	var turns []*batch
	for turn := range forgetAfter {
		turns = append(turns, make(turn))
	}
	return probe{id, func(round int) (float64, error) {
		if round%forgetAfter == 0 {
			if err := handle.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
				return 0, fmt.Errorf("cannot forget flows: %w", err)
			}
		}
		return turns[round%forgetAfter].send()
	}}, nil
}
