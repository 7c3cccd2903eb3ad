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
	var conn *nfnl.Conn
	var errs error
	for _, m := range c.ports {
		if m.proto != unix.IPPROTO_UDP {
			continue
		}
		if conn == nil {
			var err error
			if conn, err = nfnl.Open(); err != nil {
				errs = err
				break
			}
			defer conn.Close()
		}
		for _, p := range c.pod {
			if !m.forFamily(nft.FamilyOf(p.Addr())) {
				continue
			}
			_, err := conntrack.Flush(conn, p.Addr().Is6(), m.proto, m.host.Port(), func(f conntrack.Flow) bool {
				return overlap(f.To, m.host) && f.From != p.Addr()
			})
			errs = errors.Join(errs, err)
		}
	}
	if errs != nil {
		fmt.Fprintf(os.Stderr, "portmap-compat: ADD: %s: %v; senders to its UDP ports may reach the container before\n",
			r.Attachment, errs)
	}
}

// forget drops the tracked connections that came by ports which are closed now, of UDP and SCTP: their senders keep them
// alive by sending, from the same port again and again, and would never reach the next container. A client of TCP opens a
// new one. So a container with TCP ports alone, the usual one, is spared the walk through the kernel's table, 9 ms and more.
func forget(r *stages.Request, gone []lead) {
	byPod := map[netip.Addr][]lead{}
	for _, l := range gone {
		if l.proto == unix.IPPROTO_TCP {
			continue
		}
		byPod[l.pod.Addr()] = append(byPod[l.pod.Addr()], l)
	}
	if len(byPod) == 0 {
		return
	}
	conn, err := nfnl.Open()
	if err == nil {
		defer conn.Close()
		for pod, leads := range byPod {
			var ports []conntrack.Port
			for _, l := range leads {
				ports = append(ports, conntrack.Port{Proto: l.proto, Number: l.host.Port()})
			}
			_, failed := conntrack.FlushAnswered(conn, pod, ports, func(f conntrack.Flow) bool {
				return f.To.Addr() != pod && slices.ContainsFunc(leads, func(l lead) bool {
					return f.Proto == l.proto && overlap(f.To, l.host)
				})
			})
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "portmap-compat: %s: %s: %v; they end by themselves\n", r.Command, r.Attachment, err)
	}
}
