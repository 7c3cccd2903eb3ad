// Command enichainctl looks at a node of enichain: the pool, who holds which address, the network interfaces, what
// happened, and why a pod has no address. It reads the pool file, the kernel and the flight record itself, and asks the
// daemon only for what nobody else knows; with the daemon dead all but "events --follow" works.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := newApp().run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
