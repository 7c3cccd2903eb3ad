package main

import (
	"maps"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
)

// reconcileConfig is what the reconciler is made of now.
func (d *daemon) reconcileConfig() reconcile.Config {
	c := d.now()
	r := c.reconcileConfig()
	r.Pools = d.policy(c)
	return r
}

// policy is the pools with a revision that rises with every change.
func (d *daemon) policy(c Config) []reconcile.Pool {
	pools := c.reconcilePools()
	for i := range pools {
		pools[i].Rev = d.configState().Changes + 1
	}
	return pools
}

// reconcileConfig is the reconciler's part in its own words.
func (c Config) reconcileConfig() reconcile.Config {
	r := c.Reconciler
	return reconcile.Config{
		Cluster: c.Cluster, Pools: c.reconcilePools(), Tags: maps.Clone(r.Tags), Resync: time.Duration(r.Resync),
		Orphans: reconcile.Orphans{Keep: r.Cleanup.PerRound == 0 || r.Cleanup.Every == 0, MinAge: time.Duration(r.Cleanup.MinAge),
			PerRound: r.Cleanup.PerRound, Every: time.Duration(r.Cleanup.Every)},
		DryRun: r.DryRun,
	}
}

func (c Config) reconcilePools() []reconcile.Pool {
	var all []reconcile.Pool
	for _, p := range c.Pools {
		all = append(all, p.pool())
	}
	return all
}

func (p Policy) pool() reconcile.Pool {
	cooldown := time.Duration(p.Cooldown)
	if cooldown == 0 {
		cooldown = -1 // the reconciler's word for none; its zero is the default
	}
	pool := reconcile.Pool{
		Name: p.Name, Cooldown: cooldown, Window: time.Duration(p.Release.Window), MinAge: time.Duration(p.Release.MinAge),
		Target: ipam.Target{Warm: p.Warm.Free, WarmENIs: p.Warm.ENIs, WarmPrefixes: p.Warm.Prefixes, Minimum: p.Warm.Minimum,
			Maximum: p.Warm.Maximum, MaxENIs: p.ENIs.Max, UsePrimary: p.UsePrimary, AtOnce: p.Release.AtOnce,
			Mode: ipam.Mode(p.Mode), Cards: slices.Clone(p.Cards)},
		Subnets: reconcile.Subnets{Tags: maps.Clone(p.Subnets.Tags)}, About: p.ENIs.Description, MTU: p.ENIs.MTU,
		Groups: slices.Clone(p.SecurityGroups.IDs), GroupTags: maps.Clone(p.SecurityGroups.Tags), Nodes: maps.Clone(p.Nodes),
	}
	for _, family := range p.Families {
		if known, ok := families()[family]; ok {
			pool.Target.Families = append(pool.Target.Families, known)
		}
	}
	for _, id := range p.Subnets.IDs {
		pool.Subnets.IDs = append(pool.Subnets.IDs, ipam.SubnetID(id))
	}
	return pool
}

// ec2Options are the paces that we allow ourselves, and where EC2 is.
func (c Config) ec2Options() ec2.Options {
	o := ec2.Options{Endpoint: c.Reconciler.EC2.Endpoint, Share: c.Reconciler.EC2.Share, Rates: map[reconcile.Action]ec2.Rate{}}
	for action, r := range c.Reconciler.EC2.Rates {
		o.Rates[reconcile.Action(action)] = ec2.Rate{Burst: r.Burst, PerSecond: r.PerSecond}
	}
	return o
}
