package portmapcompat

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/conntrack"
	"github.com/enichain/enichain/stages/internal/nfnl"
	"github.com/enichain/enichain/stages/internal/nft"
)

// forgetOldFlows lets UDP senders of before reach the new container: they keep their old translation alive by sending. The
// connections of TCP and SCTP are left, for the container before may still be there to end them. The ports are open either
// way, so a failure is told and no more.
func (c call) forgetOldFlows(r *stages.Request) {
	var errs error
	for _, p := range c.pod {
		errs = errors.Join(errs, c.forgetBefore(p.Addr()))
	}
	if errs != nil {
		fmt.Fprintf(os.Stderr, "portmap-compat: ADD: %s: %v; senders to its UDP ports may reach the container before\n",
			r.Attachment, errs)
	}
}

// forgetBefore is forgetOldFlows for the ports that lead to one of the container's addresses.
func (c call) forgetBefore(pod netip.Addr) error {
	var ports []uint16
	var mine []mapping
	for _, m := range c.ports {
		if m.proto == unix.IPPROTO_UDP && m.forFamily(nft.FamilyOf(pod)) {
			mine, ports = append(mine, m), append(ports, m.host.Port())
		}
	}
	if len(mine) == 0 {
		return nil
	}
	conn, err := nfnl.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conntrack.Flush(conn, pod.Is6(), unix.IPPROTO_UDP, ports, func(f conntrack.Flow) bool {
		return f.From != pod && slices.ContainsFunc(mine, func(m mapping) bool { return overlap(f.To, m.host) })
	})
	return err
}

// forget drops the tracked connections that came by ports which are closed now, of UDP and SCTP: their senders keep them
// alive by sending, from the same port again and again, and would never reach the next container. A client of TCP opens a
// new one. So a container with TCP ports alone, the usual one, is spared the walk through the kernel's table, 9 ms and more.
func forget(conn *nfnl.Conn, r *stages.Request, gone []lead) {
	byPod := map[netip.Addr][]lead{}
	for _, l := range gone {
		if l.proto != unix.IPPROTO_TCP {
			byPod[l.pod.Addr()] = append(byPod[l.pod.Addr()], l)
		}
	}
	var errs error
	for pod, leads := range byPod {
		var ports []conntrack.Port
		for _, l := range leads {
			ports = append(ports, conntrack.Port{Proto: l.proto, Number: l.host.Port()})
		}
		_, err := conntrack.FlushAnswered(conn, pod, ports, func(f conntrack.Flow) bool {
			return f.To.Addr() != pod && slices.ContainsFunc(leads, func(l lead) bool {
				return f.Proto == l.proto && overlap(f.To, l.host)
			})
		})
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		fmt.Fprintf(os.Stderr, "portmap-compat: %s: %s: %v; they end by themselves\n", r.Command, r.Attachment, errs)
	}
}
