package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/imds"
	"github.com/enichain/enichain/ipam/store"
)

// runAgent is the node's agent: who are we, a connection in that name, then the shell until ctx ends.
func (d *daemon) runAgent(ctx context.Context) error {
	if d.config.Kernel.Names {
		d.writeNames()
	}
	id, ok := d.identify(ctx, false)
	if !ok {
		return nil
	}
	boot, err := store.BootID()
	if err != nil {
		return err
	}
	via, done, err := d.agentBus(ctx, id.Instance)
	if err != nil {
		return err
	}
	defer done()
	return d.agentRounds.run(ctx, func(ctx context.Context) error {
		now := d.now()
		made := agent.Config{
			Instance: id.Instance, Type: id.Type, MaxPods: now.Pool.MaxPods, Boot: boot,
			PoolFile: now.Pool.File, LedgerFile: now.Pool.Ledger, CacheDir: now.CNI.Results,
			Bus: via, Kernel: kernel{restorer: newRestorer(d.lists())}, ForgetFlows: forgetFlows,
			Options: agent.Options{Resync: time.Duration(now.Node.Resync), Settle: time.Duration(now.Kernel.RepairDelay),
				NoRepair: !now.Kernel.Repair, Bus: strings.Join(now.Bus.URLs, ",")},
			Log: d.log.With("part", "agent"),
		}
		d.recordAgent(&made)
		shell, err := agent.NewShell(made)
		if err != nil {
			return err
		}
		d.agent.Store(shell)
		return shell.Run(ctx)
	})
}

// Pauses between two questions to a metadata service that does not answer: at boot it may come late.
const (
	firstAsk = 500 * time.Millisecond
	lastAsk  = 15 * time.Second
	askLimit = 10 * time.Second // of one round of questions
)

// identify asks until there is an answer; false when ctx ended first. Whoever needs the region has to wait for the
// metadata service itself; the agent goes by what this boot's pool file remembers, if it has to.
func (d *daemon) identify(ctx context.Context, needRegion bool) (imds.Identity, bool) {
	client := imds.New()
	if known := d.identity.Load(); known != nil && known.Region != "" {
		return *known, true
	}
	for pause := firstAsk; ; pause = min(2*pause, lastAsk) {
		ask, cancel := context.WithTimeout(ctx, askLimit)
		id, err := client.Identity(ask)
		cancel()
		if err == nil {
			d.identity.Store(&id)
			d.log.Info("this instance", "node", id.Instance, "type", id.Type, "zone", id.Zone, "primary", id.Primary)
			return id, true
		}
		if ctx.Err() != nil {
			return id, false
		}
		if id, ok := d.remembered(ctx); ok && !needRegion {
			d.log.Warn("the metadata service does not answer; this instance is who it was before in this boot", "node", id.Instance, "error", err)
			return id, true
		}
		d.log.Warn("cannot learn who this instance is", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
			return id, false
		case <-time.After(pause):
		}
	}
}

// remembered is who wrote this boot's pool file: an instance does not change without a boot. Without it a daemon could
// not begin to mend what keeps it from the metadata service, such as `ip rule flush`.
func (d *daemon) remembered(ctx context.Context) (imds.Identity, bool) {
	state, _, err := d.readPool(ctx)
	if err != nil || state.Meta.Instance == "" {
		return imds.Identity{}, false
	}
	id := imds.Identity{Instance: state.Meta.Instance, Type: state.Meta.Type}
	for _, e := range state.ENIs {
		if e.N == 0 {
			id.MAC, id.Primary = e.MAC, e.Primary
		}
	}
	d.identity.Store(&id)
	return id, true
}

// toldBus is the agent's bus that also tells this daemon's own listeners.
type toldBus struct {
	*bus.Conn
	told func(bus.Event)
}

var _ agent.Bus = toldBus{}

// PublishEvent tells the bus, and on success people here.
func (b toldBus) PublishEvent(ctx context.Context, node ipam.InstanceID, inc ipam.Inc, r ipam.Record) error {
	if err := b.Conn.PublishEvent(ctx, node, inc, r); err != nil {
		return err
	}
	b.told(bus.Event{ID: bus.EventID(inc, r.N), Instance: node, Record: r})
	return nil
}

// agentBus is what the agent speaks through, until done is called.
func (d *daemon) agentBus(ctx context.Context, instance ipam.InstanceID) (via agent.Bus, done func(), err error) {
	if d.config.byIMDS() {
		return d.shownBus(), func() {}, nil
	}
	if err := d.forgetShown(); err != nil {
		return nil, nil, err
	}
	options := d.busOptions("agent")
	options.Instance = instance
	c, err := bus.Connect(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	d.nodeBus.Store(c)
	if d.seesFleet() { // it hears every node's events from the stream anyway
		return c, c.Close, nil
	}
	return toldBus{Conn: c, told: d.journal.add}, c.Close, nil
}

// followEvents keeps the journal filled from the stream.
func (d *daemon) followEvents(ctx context.Context, c *bus.Conn) error {
	since := time.Now().Add(-time.Hour)
	for {
		err := c.Events(ctx, bus.EventFilter{Since: since}, d.journal.add)
		if err == nil {
			return nil
		}
		d.log.Debug("cannot hear events yet", "error", err)
		since = time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// writeNames lets `ip rule` read like prose. A failure costs only that.
func (d *daemon) writeNames() {
	for path, text := range iprouteNames() {
		if _, err := writeByRename(path, []byte(text)); err != nil {
			d.log.Warn("our tables have no names in iproute2", "error", err)
			return
		}
	}
}

// Numbers of docs/design.md, "One table each".
const (
	rtProtocol  = 233
	rtPods      = 1000
	mostENIs    = 127
	iprouteHome = "/etc/iproute2"
)

// iprouteNames are the drop-ins by path.
func iprouteNames() map[string]string {
	tables := fmt.Sprintf("%d enichain-pods\n", rtPods)
	for n := 1; n <= mostENIs; n++ {
		tables += fmt.Sprintf("%d eni-%d\n", rtPods+n, n)
	}
	return map[string]string{
		iprouteHome + "/rt_tables.d/enichain.conf": tables,
		iprouteHome + "/rt_protos.d/enichain.conf": fmt.Sprintf("%d enichain\n", rtProtocol),
	}
}
