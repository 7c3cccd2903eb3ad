package main

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
)

var _ reconcile.Bus = (*bus.Conn)(nil)

// runReconciler keeps the nodes' pools filled until ctx ends.
func (d *daemon) runReconciler(ctx context.Context, c *bus.Conn) error {
	cloud, ok, err := d.cloud(ctx)
	if err != nil || !ok {
		return err
	}
	if d.server == nil && !d.ensureStreams(ctx, c) {
		return nil
	}
	return d.reconcilerRounds.run(ctx, func(ctx context.Context) error {
		made := d.reconcileConfig()
		shell, err := reconcile.NewShell(reconcile.Options{
			Config: made, Bus: c, Cloud: cloud, Log: d.log.With("part", "reconciler"), Watch: d.numbers, Record: d.steps(made),
		})
		if err != nil {
			return err
		}
		d.reconciler.Store(shell)
		return shell.Run(ctx)
	})
}

// cloud is EC2 by the SDK's own settings. The region is the configuration's, the environment's, or this instance's.
func (d *daemon) cloud(ctx context.Context) (cloud *ec2.Client, ok bool, err error) {
	region := cmp.Or(d.config.Reconciler.EC2.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		id, ok := d.identify(ctx, true)
		if !ok {
			return nil, false, nil
		}
		region = id.Region
	}
	options := d.now().ec2Options()
	options.Region, options.Seen = region, d.numbers.Called
	cloud, err = ec2.Connect(ctx, options)
	if err != nil {
		return nil, false, err
	}
	d.ec2.Store(cloud)
	return cloud, true, nil
}

// ensureStreams makes the streams on a bus that is not ours, and goes on trying until it can be reached.
func (d *daemon) ensureStreams(ctx context.Context, c *bus.Conn) bool {
	retain := bus.Retention{Age: time.Duration(d.config.Bus.Retain.Age), Bytes: int64(d.config.Bus.Retain.Bytes)}
	for pause := time.Second; ; pause = min(2*pause, lastAsk) {
		try, cancel := context.WithTimeout(ctx, askLimit)
		err := c.EnsureStreams(try, retain)
		cancel()
		if err == nil {
			return true
		}
		d.log.Warn("the bus has not our streams yet", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}
