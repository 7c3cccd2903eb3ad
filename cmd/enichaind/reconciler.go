package main

import (
	"cmp"
	"context"
	"maps"
	"os"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
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
	shell, err := reconcile.NewShell(reconcile.Options{
		Config: d.reconcileConfig(), Bus: c, Cloud: cloud, Log: d.log.With("part", "reconciler"), Watch: d.numbers,
	})
	if err != nil {
		return err
	}
	d.reconciler.Store(shell)
	return shell.Run(ctx)
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
	cloud, err = ec2.Connect(ctx, ec2.Options{Region: region, Share: d.config.Reconciler.EC2.Share,
		Seen: func(action reconcile.Action, code string, took time.Duration) { d.numbers.Called(action, code, took) }})
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

func (d *daemon) reconcileConfig() reconcile.Config {
	r := d.config.Reconciler
	return reconcile.Config{
		Cluster: d.config.Cluster, Pool: poolOf(d.config.Pools[0]), Tags: maps.Clone(r.Tags), Resync: time.Duration(r.Resync),
		Orphans: reconcile.Orphans{Keep: r.Cleanup.PerRound == 0, MinAge: time.Duration(r.Cleanup.MinAge), PerRound: r.Cleanup.PerRound},
		DryRun:  r.DryRun,
	}
}

func poolOf(p Policy) reconcile.Pool {
	cooldown := time.Duration(p.Cooldown)
	if cooldown == 0 {
		cooldown = -1 // the reconciler's word for none; its zero is the default
	}
	pool := reconcile.Pool{
		Name: p.Name, Cooldown: cooldown, Window: time.Duration(p.Release.Window), MinAge: time.Duration(p.Release.MinAge),
		Target: ipam.Target{Warm: p.Warm.Free, WarmENIs: p.Warm.ENIs, Minimum: p.Warm.Minimum, Maximum: p.Warm.Maximum,
			MaxENIs: p.ENIs.Max, UsePrimary: p.UsePrimary, AtOnce: p.Release.AtOnce},
		Subnets: reconcile.Subnets{Tags: maps.Clone(p.Subnets.Tags)}, Groups: p.SecurityGroups.IDs, About: p.ENIs.Description,
	}
	for _, id := range p.Subnets.IDs {
		pool.Subnets.IDs = append(pool.Subnets.IDs, ipam.SubnetID(id))
	}
	return pool
}
