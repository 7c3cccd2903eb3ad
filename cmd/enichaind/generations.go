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

// leasable is how many addresses pods could get now, or have, of the family that has more: a node of IPv6 alone has none
// of IPv4.
func leasable(s ipam.Snapshot) int {
	four, six := 0, 0
	for _, e := range s.ENIs {
		if e.Link {
			four += e.Free + e.Leased
			six += e.IPv6.Free + e.IPv6.Leased
		}
	}
	return max(four, six)
}

// keepList installs the conflist once enough addresses are there, as the next generation when it changes, and again
// what stood there when that vanishes. Before that the node must not turn Ready; after it a full pool is healthy, so the
// list is never taken away.
func (d *daemon) keepList(ctx context.Context) error {
	return d.listRounds.run(ctx, func(ctx context.Context) error {
		if d.now().CNI.Conflist == "" || !d.awaitAddresses(ctx) {
			<-ctx.Done()
			return nil
		}
		d.offerList(ctx)
		return nil
	})
}

// awaitAddresses returns once the list may be installed; false: ctx ended first.
func (d *daemon) awaitAddresses(ctx context.Context) bool {
	const look = 100 * time.Millisecond
	for {
		shell := d.agent.Load()
		if d.installed.Load() != nil || shell != nil && leasable(shell.Status().Snapshot) >= d.now().CNI.ReadyWhen {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(look):
		}
	}
}

// offerList installs the list now, and looks again after each change near it or near the runtime's lists.
func (d *daemon) offerList(ctx context.Context) {
	const again = 30 * time.Second // without news of the folders
	c := d.now().CNI
	news := make(chan struct{}, 1)
	folders := map[string]<-chan struct{}{filepath.Dir(c.Conflist): nil, c.ConfDir: nil}
	said := ""
	for {
		for folder, watched := range folders {
			if watched == nil || isClosed(watched) {
				folders[folder] = watchFolder(ctx, folder, "", news)
			}
		}
		change, changed, err := offer(ctx, d.lists(), c.Conflist)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if err.Error() != said {
				d.log.Error("the list is not installed", "error", err)
			}
			said = err.Error()
		case changed:
			d.log.Info("the list is installed", "list", c.Conflist, "folder", c.ConfDir,
				"network", change.Network, "generation", change.Number)
		}
		if err == nil {
			said = ""
			d.installed.Store(&c.Conflist)
		}
		if changed {
			continue // the folder may be new
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
			continue
		case <-news:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchSettle):
		}
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
