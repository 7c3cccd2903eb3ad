package bus

import (
	"context"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS is the server behind, for tests that speak to it past this package.
func (s *Server) NATS() *server.Server { return s.ns }

// Consumers is how many readers the server knows of a stream.
func (c *Conn) Consumers(ctx context.Context, stream string) (int, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Consumers, nil
}
