package packets

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/test/node"
)

// flow is a UDP connection that conntrack calls established: questions and answers went both ways.
type flow struct {
	client, server int
	saw            netip.AddrPort // the client, as the server sees it
}

// connect opens a flow from one place to another; source and target are addresses of theirs.
func connect(from, to node.Place, source, target netip.Addr) (*flow, error) {
	server, err := socket(to, netip.AddrPortFrom(target, 0))
	if err != nil {
		return nil, err
	}
	at, err := local(server)
	if err != nil {
		return nil, err
	}
	return connectTo(from, source, server, at)
}

// connectTo opens a flow to a server's socket by an address that leads to it.
func connectTo(from node.Place, source netip.Addr, server int, at netip.AddrPort) (*flow, error) {
	client, err := socket(from, netip.AddrPortFrom(source, 0))
	if err != nil {
		return nil, err
	}
	f := &flow{client: client, server: server}
	if err := unix.Connect(client, sockaddr(at)); err != nil {
		return nil, fmt.Errorf("cannot connect %s to %s: %w", from.Name, at, err)
	}
	hello := make([]byte, payload)
	for range 3 {
		if _, err := unix.Write(client, hello); err != nil {
			return nil, fmt.Errorf("cannot send from %s to %s: %w", from.Name, at, err)
		}
		_, seen, err := unix.Recvfrom(server, hello, 0)
		if err != nil {
			return nil, fmt.Errorf("%s does not hear %s: %w", at, from.Name, err)
		}
		f.saw = addrPort(seen)
		if err := unix.Sendto(server, hello, 0, seen); err != nil {
			return nil, fmt.Errorf("cannot answer from %s: %w", at, err)
		}
		if _, err := unix.Read(client, hello); err != nil {
			return nil, fmt.Errorf("%s does not hear %s: %w", from.Name, at, err)
		}
	}
	return f, errors.Join(unix.Connect(server, sockaddr(f.saw)), deaf(client), deaf(server))
}

// asks are n packets of the client, answers n of the server.
func (f *flow) asks(n int) *batch    { return same(f.client, n) }
func (f *flow) answers(n int) *batch { return same(f.server, n) }
