package main

import (
	"context"
	"path/filepath"

	"github.com/enichain/enichain/stages/handover"
)

// keepSockets closes the sockets that stages hand over, so that they need not wait for the kernel. It stands beside the
// flight record, which is where the stages of this node look. Without it they wait: no reason to end the daemon.
func (d *daemon) keepSockets(ctx context.Context) error {
	path := filepath.Join(filepath.Dir(d.config.Flight.File), filepath.Base(handover.Path))
	keeper, err := handover.Listen(path)
	if err == nil {
		err = keeper.Run(ctx)
	}
	if err != nil {
		d.log.Warn("stages wait for the kernel at DEL", "error", err)
	}
	return nil
}
