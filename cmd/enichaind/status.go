package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/agent"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
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
	s := Status{Version: version(), Roles: d.config.Roles, Started: d.started.UTC(), Bus: d.busStatus()}
	if id := d.identity.Load(); id != nil {
		n := Node(*id)
		s.Node = &n
	}
	if shell := d.agent.Load(); shell != nil {
		told := shell.Status()
		s.Agent = &told
	}
	s.Reconciler = d.picture(ctx)
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
	if d.config.Has(RoleAgent) {
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

// View is the answer to GET /v1/view: what there is to draw.
type View struct {
	At     time.Time          `json:"at"`
	Node   *NodeView          `json:"node,omitempty"`  // this node, slot by slot
	Fleet  *reconcile.Picture `json:"fleet,omitempty"` // every node, by counts
	Events []bus.Event        `json:"events"`
	Fault  string             `json:"fault,omitempty"` // why there is no node to see
}

// NodeView is one node's network interfaces and their slots.
type NodeView struct {
	Instance ipam.InstanceID `json:"instance"`
	Type     string          `json:"type,omitempty"`
	Waiting  []Waiting       `json:"waiting"`
	ENIs     []ENIView       `json:"enis"`
	Held     int             `json:"held"`
}

// ENIView is one network interface.
type ENIView struct {
	ENI     ipam.ENIID   `json:"eni"`
	N       int          `json:"n"`
	Link    string       `json:"link,omitempty"`
	Ready   bool         `json:"ready"`
	Primary netip.Addr   `json:"primary"`
	Subnet  netip.Prefix `json:"subnet"`
	Slots   []Slot       `json:"slots"`
}

// Slot is one address.
type Slot struct {
	Address netip.Addr    `json:"address"`
	State   ipam.State    `json:"state"`
	Lost    bool          `json:"lost,omitempty"`
	Left    time.Duration `json:"left,omitempty"` // cooling: until it may be leased
	Pod     string        `json:"pod,omitempty"`
	Owner   string        `json:"owner,omitempty"` // network/container/ifname
}

// Waiting is one pod that waits for an address.
type Waiting struct {
	Pod   string        `json:"pod,omitempty"`
	Owner string        `json:"owner"`
	For   time.Duration `json:"for"`
}

func (d *daemon) view(ctx context.Context) View {
	v := View{At: time.Now().UTC(), Fleet: d.picture(ctx), Events: d.journal.newest(time.Time{})}
	if !d.config.Has(RoleAgent) {
		return v
	}
	state, now, err := d.readPool(ctx)
	if err != nil {
		v.Fault = err.Error()
		return v
	}
	v.Node = draw(state, now)
	return v
}

func (d *daemon) readPool(ctx context.Context) (state store.State, now store.Now, err error) {
	boot, err := store.BootID()
	if err != nil {
		return state, now, err
	}
	ctx, cancel := context.WithTimeout(ctx, pictureLimit)
	defer cancel()
	s, err := store.Open(ctx, d.config.Pool.File, store.Options{Boot: boot, Command: "enichaind view"})
	if err != nil {
		return state, now, err
	}
	now = store.ReadClock()
	err = s.View(ctx, func(t *store.Tx) error { state = t.State(); return nil })
	return state, now, errors.Join(err)
}

func draw(state store.State, now store.Now) *NodeView {
	v := &NodeView{Instance: state.Meta.Instance, Type: state.Meta.Type, Waiting: []Waiting{}, ENIs: []ENIView{}, Held: len(state.Held)}
	pods := map[ipam.Attachment]string{}
	for _, l := range state.Leases {
		pods[l.Attachment] = l.Pod
	}
	at := map[ipam.ENIID]int{}
	for _, e := range state.ENIs {
		at[e.ENI] = len(v.ENIs)
		v.ENIs = append(v.ENIs, ENIView{ENI: e.ENI, N: e.N, Link: e.Link, Ready: e.Ready, Primary: e.Primary, Subnet: e.Subnet,
			Slots: []Slot{}})
	}
	for _, a := range state.Addresses {
		i, ok := at[a.ENI]
		if !ok {
			continue
		}
		slot := Slot{Address: a.Address, State: a.State, Lost: a.Lost}
		if a.State == ipam.Cooling {
			slot.Left = max(time.Duration(a.Until-now.Boot), 0)
		}
		if a.State == ipam.Leased {
			slot.Owner, slot.Pod = a.Owner.String(), pods[a.Owner]
		}
		v.ENIs[i].Slots = append(v.ENIs[i].Slots, slot)
	}
	for _, t := range state.Tickets {
		v.Waiting = append(v.Waiting, Waiting{Pod: t.Pod, Owner: t.Attachment.String(), For: time.Duration(now.Boot - t.Since)})
	}
	return v
}
