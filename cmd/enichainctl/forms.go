package main

import (
	"net/netip"

	"github.com/enichain/enichain/ipam"
	"github.com/enichain/enichain/ipam/store"
	"github.com/enichain/enichain/stages/routedveth"
)

// The forms are what --format json prints: keys that scripts may rely on, whatever the pool file's own are.

type countsForm struct {
	Pending int `json:"pending"`
	Free    int `json:"free"` // people read "warm"
	Leased  int `json:"leased"`
	Lost    int `json:"lost"`
	Cooling int `json:"cooling"`
	Fenced  int `json:"fenced"`
	Held    int `json:"held"`
}

func newCountsForm(c store.Counts) countsForm {
	return countsForm{Pending: c.Pending, Free: c.Free, Leased: c.Leased, Lost: c.Lost, Cooling: c.Cooling, Fenced: c.Fenced, Held: c.Held}
}

type attachmentForm struct {
	Network   string `json:"network"`
	Container string `json:"container"`
	IfName    string `json:"ifname"`
}

// addressForm is one address of an interface.
type addressForm struct {
	Address netip.Addr     `json:"address"`
	State   ipam.State     `json:"state"`
	Lost    bool           `json:"lost,omitempty"`
	Owner   attachmentForm `json:"owner,omitzero"` // leased, or who held it last
}

func newAddressForm(x store.Address) addressForm {
	return addressForm{Address: x.Address, State: x.State, Lost: x.Lost, Owner: attachmentForm(x.Owner)}
}

// eniForm is one network interface as the supply and the kernel have it.
type eniForm struct {
	ENI        ipam.ENIID        `json:"eni"`
	Attachment ipam.AttachmentID `json:"attachment"`
	Pool       string            `json:"pool"`
	MAC        string            `json:"mac"`
	Link       string            `json:"link"` // "" until the kernel showed it
	N          int               `json:"n"`
	Device     int               `json:"device"`
	Card       int               `json:"card"`
	SubnetID   ipam.SubnetID     `json:"subnetId"`
	Subnet     netip.Prefix      `json:"subnet"`
	Subnet6    netip.Prefix      `json:"subnet6"`
	Primary    netip.Addr        `json:"primary"`
	Primary6   netip.Addr        `json:"primary6"`
	Gateway    netip.Addr        `json:"gateway"`
	PodsOK     bool              `json:"podsOk"`
	Listed     bool              `json:"listed"`  // by the reconciler
	Present    bool              `json:"present"` // a link in the kernel
	Ready      bool              `json:"ready"`   // and it is prepared
	Prefixes   []netip.Prefix    `json:"prefixes"`
	Counts     countsForm        `json:"counts"` // IPv4
	IPv6       countsForm        `json:"ipv6"`
	Seen       []string          `json:"seenBy"` // supply, kernel
	Fault      string            `json:"fault,omitempty"`
}

func newENIForm(r eniRow) eniForm {
	e := r.ENI
	prefixes := append([]netip.Prefix{}, e.Prefixes...)
	return eniForm{ENI: e.ENI, Attachment: e.Attachment, Pool: e.Pool, MAC: e.MAC, Link: e.Link, N: e.N,
		Device: e.Device, Card: e.Card, SubnetID: e.SubnetID, Subnet: e.Subnet, Subnet6: e.Subnet6,
		Primary: e.Primary, Primary6: e.Primary6, Gateway: e.Gateway, PodsOK: e.PodsOK,
		Listed: e.Listed, Present: e.Present, Ready: e.Ready, Prefixes: prefixes, Counts: newCountsForm(plus(e.Counts, e.Counts6, -1)),
		IPv6: newCountsForm(e.Counts6), Seen: r.Seen, Fault: r.Fault}
}

// hostForm is the host's end of a pod's wire.
type hostForm struct {
	Link    string `json:"link"`
	Index   int    `json:"index"`
	MAC     string `json:"mac"`
	Owner   string `json:"owner"`
	N       int    `json:"n"`
	Profile int    `json:"profile"`
	MTU     int    `json:"mtu"`
	Up      bool   `json:"up"`
	Severed bool   `json:"severed"`
}

func newHostForm(p routedveth.PodView) *hostForm {
	return &hostForm{Link: p.Link, Index: p.Index, MAC: p.MAC, Owner: p.Owner, N: p.N, Profile: p.Profile, MTU: p.MTU,
		Up: p.Up, Severed: p.Severed}
}
