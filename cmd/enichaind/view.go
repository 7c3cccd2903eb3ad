package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/enichain/enichain/bus"
	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/ipam/store"
)

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
	// Pools are what the node may have, with what keeps each from growing.
	Pools []ipam.SuppliedPool `json:"pools,omitempty"`
}

// ENIView is one network interface.
type ENIView struct {
	ENI     ipam.ENIID   `json:"eni"`
	N       int          `json:"n"`
	Pool    string       `json:"pool"`
	Link    string       `json:"link,omitempty"`
	Ready   bool         `json:"ready"`
	Primary netip.Addr   `json:"primary"`
	Subnet  netip.Prefix `json:"subnet"`
	Slots   []Slot       `json:"slots"`
}

// Slot is one address.
type Slot struct {
	Address netip.Addr    `json:"address"`
	Prefix  netip.Prefix  `json:"prefix,omitzero"` // the delegated prefix that it is of
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
	return state, now, err
}

func draw(state store.State, now store.Now) *NodeView {
	v := &NodeView{Instance: state.Meta.Instance, Type: state.Meta.Type, Waiting: []Waiting{}, ENIs: []ENIView{}, Held: len(state.Held),
		Pools: state.Meta.Pools}
	pods := map[ipam.Attachment]string{}
	for _, l := range state.Leases {
		pods[l.Attachment] = l.Pod
	}
	at := map[ipam.ENIID]int{}
	for _, e := range state.ENIs {
		at[e.ENI] = len(v.ENIs)
		v.ENIs = append(v.ENIs, ENIView{ENI: e.ENI, N: e.N, Pool: e.Pool, Link: e.Link, Ready: e.Ready, Primary: e.Primary, Subnet: e.Subnet,
			Slots: []Slot{}})
	}
	for _, a := range state.Addresses {
		i, ok := at[a.ENI]
		if !ok {
			continue
		}
		slot := Slot{Address: a.Address, Prefix: a.Prefix, State: a.State, Lost: a.Lost}
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
