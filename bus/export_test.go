package bus

import "github.com/nats-io/nats-server/v2/server"

// NATS is the server behind, for tests that speak to it past this package.
func (s *Server) NATS() *server.Server { return s.ns }
