package imds

import (
	"context"
	"net"
	"net/http"

	"golang.org/x/sys/unix"
)

// The hop limit of the answer to PUT, by which a pod behind its node gets no token, and that of other answers (EC2 user
// guide, "Use IMDSv2": the default of HttpPutResponseHopLimit is 1).
const (
	putHops   = 1
	otherHops = 64
)

type connectionKey struct{}

// ConnContext is for http.Server's field of this name: with it, answers to PUT have a hop limit of 1.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// limitHops sets the hop limit of what the connection sends from now on; its answer is the next.
func limitHops(hr *http.Request) {
	c, ok := hr.Context().Value(connectionKey{}).(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return // the connection is closed
	}
	hops := otherHops
	if hr.Method == http.MethodPut {
		hops = putHops
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, hops) // fails on IPv6, where nobody asks
	})
}
