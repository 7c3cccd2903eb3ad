package main

import (
	"context"

	"github.com/enichain/enichain/test/lab/vpc"
)

// turnOff ends an instance's machine: its daemon as a power cut does, its pods, its links. What an instance keeps on its
// disk waits for the next start.
func (h *holder) turnOff(ctx context.Context, n *labNode) error {
	h.mu.Lock()
	n.off = true
	hush := n.hush
	h.mu.Unlock()
	if hush != nil {
		hush()
	}
	if n.daemon != nil {
		if err := n.daemon.kill(); err != nil {
			return err
		}
	}
	return h.fabric.Stop(ctx, n.name)
}

// turnOn makes the machine anew; its links follow as changes of their own.
func (h *holder) turnOn(ctx context.Context, n *labNode) error {
	if err := h.fabric.Start(ctx, n.name); err != nil {
		return err
	}
	if n.role == roleHost {
		return h.greet(n)
	}
	return nil
}

// booted lets the daemon of a machine that was off run again, as soon as its first link is there.
func (h *holder) booted(n *labNode, eni vpc.NetworkInterface) error {
	h.mu.Lock()
	was, killed := n.off, false
	first := eni.Attachment != nil && eni.Attachment.Device == 0 && eni.Attachment.Card == 0
	if first {
		n.off = false
	}
	for _, f := range h.faults {
		killed = killed || f.Kind == faultKill && f.Target == n.name
	}
	h.mu.Unlock()
	if was && first && !killed && n.daemon != nil {
		n.daemon.mend()
	}
	return nil
}
