package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/enichain/enichain/chain"
	"github.com/enichain/enichain/chain/generation"
	plugins "github.com/enichain/enichain/chain/known"
	"github.com/enichain/enichain/ipam"
)

// lists are the generations of this node's lists.
func (d *daemon) lists() generation.Store {
	c := d.config.CNI
	return generation.Open(generation.Store{Dir: c.Generations, ConfDir: c.ConfDir, Results: c.Results})
}

// keepGenerations cleans up after stages that were taken out of a list, pod by pod, until ctx ends.
func (d *daemon) keepGenerations(ctx context.Context) error {
	path := filepath.SplitList(d.config.CNI.BinDir)
	k := &generation.Keeper{
		Store: d.lists(), Plugins: generation.Plugins{Path: path, Contracts: chain.Installed(path, plugins.Of)},
		Grace: time.Duration(d.config.CNI.Grace), Log: d.log.With("part", "generations"), Leases: d.leases, Pool: d.config.Pool.File, Interface: interfaceOf, Done: d.numbers.Departed,
	}
	return k.Run(ctx)
}

// leases are the attachments that hold an address.
func (d *daemon) leases(ctx context.Context) (map[generation.Attachment]bool, error) {
	state, _, err := d.readPool(ctx)
	if err != nil {
		return nil, err
	}
	held := map[generation.Attachment]bool{}
	for _, l := range state.Leases {
		held[generation.Attachment(l.Attachment)] = true
	}
	return held, nil
}

// interfaceOf looks into a pod's network namespace. An interface whose wire was cut at the other end is as good as gone:
// that is how routed-veth's DEL leaves it.
func interfaceOf(b generation.Birth) generation.Finding {
	ns, err := netns.GetFromPath(b.Cached.Netns)
	if err != nil {
		return generation.Unknown
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return generation.Unknown
	}
	defer h.Close()
	links, err := whole(h.LinkList)
	if err != nil {
		return generation.Unknown
	}
	for _, l := range links {
		if a := l.Attrs(); a.Name == b.Cached.IfName && a.RawFlags&unix.IFF_LOWER_UP != 0 {
			return generation.There
		}
	}
	return generation.Gone
}

// leasable is how many addresses a pod could get now.
func leasable(s ipam.Snapshot) (n int) {
	for _, e := range s.ENIs {
		if e.Link {
			n += e.Free + e.Leased
		}
	}
	return n
}

// keepList installs the conflist once enough addresses are there, as the next generation when it changes, and again
// what stood there when that vanishes. Before that the node must not turn Ready; after it a full pool is healthy, so the
// list is never taken away.
func (d *daemon) keepList(ctx context.Context) error {
	if d.config.CNI.Conflist == "" {
		return nil
	}
	const look, again = 100 * time.Millisecond, 10 * time.Second
	wait := look
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		shell := d.agent.Load()
		if d.installed.Load() == nil && (shell == nil || leasable(shell.Status().Snapshot) < d.config.CNI.ReadyWhen) {
			continue
		}
		wait = again
		change, changed, err := offer(ctx, d.lists(), d.config.CNI.Conflist)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if err.Error() != said {
				d.log.Error("the list is not installed", "error", err)
			}
			said = err.Error()
			continue
		case changed:
			d.log.Info("the list is installed", "list", d.config.CNI.Conflist, "folder", d.config.CNI.ConfDir,
				"network", change.Network, "generation", change.Number)
		}
		said = ""
		d.installed.Store(&d.config.CNI.Conflist)
	}
}

// offer puts the configured list before the store, under its own name.
func offer(ctx context.Context, lists generation.Store, conflist string) (generation.Change, bool, error) {
	text, err := os.ReadFile(conflist)
	if err != nil {
		return generation.Change{}, false, fmt.Errorf("cannot read cni.conflist: %w", err)
	}
	change, changed, err := lists.Offer(ctx, filepath.Base(conflist), text)
	if err != nil {
		return change, changed, fmt.Errorf("cannot install %s: %w", conflist, err)
	}
	return change, changed, nil
}
