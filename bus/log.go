package bus

import (
	"fmt"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"
)

// natsLog passes the server's lines on. What it calls a notice is a detail for us. What it calls fatal is kept: a server
// that cannot start tells its reason nowhere else.
type natsLog struct {
	log   *slog.Logger
	fatal chan error // of capacity 1
}

var _ server.Logger = (*natsLog)(nil)

func (l *natsLog) Noticef(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...), "from", "nats")
}
func (l *natsLog) Warnf(format string, v ...any) {
	l.log.Warn(fmt.Sprintf(format, v...), "from", "nats")
}
func (l *natsLog) Errorf(format string, v ...any) {
	l.log.Error(fmt.Sprintf(format, v...), "from", "nats")
}
func (l *natsLog) Debugf(string, ...any) {}
func (l *natsLog) Tracef(string, ...any) {}

// Fatalf does not end the process, as the server's own logger would.
func (l *natsLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.log.Error(err.Error(), "from", "nats")
	select {
	case l.fatal <- err:
	default:
	}
}
