package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
)

// Status is the answer to GET /v1/status.
type Status struct {
	Version    string             `json:"version"`
	Roles      []string           `json:"roles"`
	Started    time.Time          `json:"started"`
	Node       *Node              `json:"node,omitempty"`       // as soon as it is known
	Agent      *agent.Status      `json:"agent,omitempty"`      //
	Reconciler *reconcile.Picture `json:"reconciler,omitempty"` //
	Bus        BusStatus          `json:"bus"`
	Config     ConfigState        `json:"config"`
	List       string             `json:"list,omitempty"` // the conflist that this daemon has installed
}

// Node is who this instance is. Region and zone are missing while the metadata service has not answered in this life of
// the daemon.
type Node struct {
	Instance ipam.InstanceID `json:"instance"`
	Type     string          `json:"type"`
	Region   string          `json:"region,omitempty"`
	Zone     string          `json:"zone,omitempty"`
	MAC      string          `json:"mac"`
	Primary  netip.Addr      `json:"primary"`
}

// BusStatus is how this daemon stands to the bus.
type BusStatus struct {
	Connected   bool   `json:"connected"`         // every connection of ours
	Listen      string `json:"listen,omitempty"`  // hub: where it takes nodes
	Connections int    `json:"connections"`       // hub: at this moment, our own included
	Rebuilt     string `json:"rebuilt,omitempty"` // where the damaged store of this start lies
	Rejected    uint64 `json:"rejected"`          // messages left aside
}

// pictureLimit is how long the reconciler's loop may take to answer.
const pictureLimit = time.Second

func (d *daemon) status(ctx context.Context) Status {
	s := Status{Version: version(), Roles: d.config.Roles, Started: d.started.UTC(), Bus: d.busStatus(), Config: d.configState()}
	if id := d.identity.Load(); id != nil {
		n := Node(*id)
		s.Node = &n
	}
	if shell := d.agent.Load(); shell != nil {
		told := shell.Status()
		s.Agent = &told
	}
	s.Reconciler = d.picture(ctx)
	s.Config.File = d.source.file
	if list := d.installed.Load(); list != nil {
		s.List = *list
	}
	return s
}

func (d *daemon) picture(ctx context.Context) *reconcile.Picture {
	shell := d.reconciler.Load()
	if shell == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pictureLimit)
	defer cancel()
	p, err := shell.Picture(ctx)
	if err != nil {
		return nil
	}
	return &p
}

func (d *daemon) busStatus() BusStatus {
	b := BusStatus{Connected: true}
	if d.server != nil {
		b.Listen, b.Connections, b.Rebuilt = d.server.Addr(), d.server.Nodes(), d.server.Rebuilt
	}
	conns := []*bus.Conn{}
	if d.config.Has(RoleAgent) && !d.config.byIMDS() {
		conns = append(conns, d.nodeBus.Load())
	}
	if d.seesFleet() {
		conns = append(conns, d.fleetBus.Load())
	}
	for _, c := range conns {
		if c == nil || !c.Connected() {
			b.Connected = false
			continue
		}
		b.Rejected += c.Rejected()
	}
	return b
}
