package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/reconcile"
)

// daemon is what one process is made of: the parts that its roles call for, and what people may ask of them.
type daemon struct {
	config Config // that it began with: what needs a restart is read here, the rest by now()
	source source
	log    *slog.Logger
	level  *slog.LevelVar

	inForce          inForce
	recorder         recorder
	demand           demandState
	agentRounds      rounds
	reconcilerRounds rounds
	demandRounds     rounds
	listRounds       rounds
	veto             veto

	started    time.Time
	server     *bus.Server // nil without the role bus
	journal    *journal
	numbers    *numbers
	identity   atomic.Pointer[imds.Identity]   // set once the metadata service has answered
	agent      atomic.Pointer[agent.Shell]     // set once it is made
	reconciler atomic.Pointer[reconcile.Shell] //
	ec2        atomic.Pointer[ec2.Client]      //
	nodeBus    atomic.Pointer[bus.Conn]        // the agent's connection
	fleetBus   atomic.Pointer[bus.Conn]        // the reconciler's, or the hub's own
	installed  atomic.Pointer[string]          // path of the list that this daemon installed
}

// part is one thing that runs until its context ends. An error ends the daemon.
type part struct {
	name string
	run  func(context.Context) error
}

// run starts the parts and waits for all of them. Connections outlive the parts that speak through them, so that the
// last words of an agent still go out; the server outlives the connections.
func (d *daemon) run(ctx context.Context) (err error) {
	d.spare()
	d.started, d.journal = time.Now(), newJournal()
	d.numbers = newNumbers(d)
	d.demand.log = d.log.Warn
	d.log.Info("enichaind begins", "version", version(), "roles", d.config.Roles)
	if d.config.Has(RoleBus) {
		if err := d.serveBus(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.server.Close()) }()
	}
	parts := []part{{"socket", d.serveLocal}, {"configuration", d.followConfig}, {"memory", d.giveBack}}
	if d.config.Metrics.Listen != "" {
		parts = append(parts, part{"metrics", d.serveMetrics})
	}
	if d.config.Has(RoleAgent) {
		parts = append(parts, part{"agent", d.runAgent}, part{"flight record", d.followFlight}, part{"list", d.keepList},
			part{"handover", d.keepSockets},
			part{"generations", d.keepGenerations}, part{"metadata", d.watchIMDS})
	}
	if d.config.byIMDS() {
		parts = append(parts, part{"supply", d.followIMDS})
	}
	if d.seesFleet() {
		c, err := bus.Connect(ctx, d.busOptions("reconciler"))
		if err != nil {
			return err
		}
		defer c.Close()
		d.fleetBus.Store(c)
		parts = append(parts, part{"events", func(ctx context.Context) error { return d.followEvents(ctx, c) }})
		if d.config.Has(RoleReconciler) {
			parts = append(parts, part{"reconciler", func(ctx context.Context) error { return d.runReconciler(ctx, c) }},
				part{"demand", d.followDemand})
		}
	}
	return d.runParts(ctx, parts)
}

// seesFleet says whether this daemon may read the streams: then it tells people of every node, else of its own.
func (d *daemon) seesFleet() bool { return d.config.Has(RoleReconciler) || d.config.Has(RoleBus) }

// busOptions are a role's own connection.
func (d *daemon) busOptions(name string) bus.Options {
	return bus.Options{Server: d.server, URLs: d.config.Bus.URLs, Seed: d.config.Bus.Credentials, Name: name,
		Log: d.log.With("part", "bus", "connection", name)}
}

// runParts ends all parts when one fails.
func (d *daemon) runParts(ctx context.Context, parts []part) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var wait sync.WaitGroup
	failed := make(chan error, len(parts))
	for _, p := range parts {
		wait.Go(func() {
			if err := p.run(ctx); err != nil {
				failed <- fmt.Errorf("%s: %w", p.name, err)
				end()
			}
			d.log.Debug("ended", "part", p.name)
		})
	}
	wait.Wait()
	close(failed)
	var all []error
	for err := range failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (d *daemon) serveBus() error {
	c := d.config.Bus
	s, err := bus.Serve(bus.ServerOptions{
		Listen: c.Listen, Users: c.Users, Store: c.Store, Log: d.log.With("part", "bus"),
		Retain: bus.Retention{Age: time.Duration(c.Retain.Age), Bytes: int64(c.Retain.Bytes)},
	})
	if err != nil {
		return err
	}
	d.server = s
	return nil
}
