package store

import (
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Family is an address family by its IP version.
type Family = ipam.Family

// The two families.
const (
	IPv4 = ipam.IPv4
	IPv6 = ipam.IPv6
)

// FamilyOf is the family of a.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() || a.Is4In6() {
		return IPv4
	}
	return IPv6
}

// Meta is what the pool file says of itself and its node.
type Meta struct {
	Instance      ipam.InstanceID
	Boot          string
	Inc           ipam.Inc
	Type          string `json:",omitempty"`
	MaxPods       int    `json:",omitempty"`
	Unschedulable bool   `json:",omitempty"`
	Seq           uint64
	Gen           uint64
	Seen          ipam.Seen
	Basis         uint64 // seq that the accepted supply was based on
	Supplied      bool   // any supply was accepted
	Leasable      bool   // any address was ever free in this file, or leased before it
	// Served are the pools that ever had a free address in this file; none although Leasable: the file is of an older
	// version, or what was leased before it has not been placed yet.
	Served []string `json:",omitempty"`
	VPC    []netip.Prefix
	Policy ipam.NodePolicy
	Pools  []ipam.SuppliedPool `json:",omitempty"` // as last supplied, in order
	Most   int                 `json:",omitempty"` // pods that can have addresses of this node, as last supplied; 0 = unknown
	Heard  time.Time           `json:",omitzero"`  // wall clock, for people: when a supply was last accepted
	Mute   *Mute               `json:",omitempty"` // the agent cannot reach the bus
	// Hold stands for a held record of every address that has none of its own (protocol A4): set when a file is made
	// without knowledge of an earlier one, and raised when a held record is dropped because nobody lists the address.
	Hold *Hold `json:",omitempty"`

	LastRecord uint64 // outbox: number of the newest record
	Dropped    uint64 // outbox: records that the ring lost
	LastTicket uint64
	Commits    uint64 // committed transactions
	Chance     uint64 // rises when one who waits may have become servable
	Created    time.Time
}

// Mute says that nobody hears the agent; for people.
type Mute struct {
	Since time.Time // wall clock
	Bus   string    // its name; "" where it is in the agent's own process
}

// Hold is the way back of an address, step by step (protocol A4).
type Hold struct {
	S0    uint64       // seq at forgetting
	Until ipam.Instant // end of the hold-down; 0 = no proof yet that the stream holds S0
	S1    uint64       // seq after the hold-down; 0 = not over
}

// Life is one life of an address or of a whole delegated prefix: it can be ours only as this address or prefix of this
// interface in this attachment. One of Address and Prefix is set.
type Life struct {
	ENI        ipam.ENIID
	Attachment ipam.AttachmentID
	Address    netip.Addr   `json:",omitzero"`
	Prefix     netip.Prefix `json:",omitzero"`
}

// String is the address or the prefix.
func (l Life) String() string {
	if l.Prefix.IsValid() {
		return l.Prefix.String()
	}
	return l.Address.String()
}

// size is how many addresses it is of.
func (l Life) size() int {
	if l.Prefix.IsValid() {
		return ipam.PrefixSize(l.Prefix)
	}
	return 1
}

// Held is an address, or a delegated prefix, that is gone and may not come back yet.
type Held struct {
	Life
	Hold
	N int `json:",omitempty"` // addresses of a prefix that it stands for: those that were not leased
}

// count is how many addresses a held record stands for.
func (h Held) count() int {
	if h.Prefix.IsValid() {
		return h.N
	}
	return 1
}

// Counts are addresses by state. Leased has the lost ones in it; Cooling has those in it that were found in use
// by the kernel when they should have been leased.
type Counts struct {
	Pending, Free, Leased, Lost, Cooling, Fenced, Held int
	Free6                                              int // of Free, the IPv6 ones
}

func (c *Counts) add(d Counts) {
	c.Pending += d.Pending
	c.Free += d.Free
	c.Leased += d.Leased
	c.Lost += d.Lost
	c.Cooling += d.Cooling
	c.Fenced += d.Fenced
	c.Held += d.Held
	c.Free6 += d.Free6
}

// ENI is a network interface of this node: as supplied, and as the kernel shows it.
type ENI struct {
	ipam.SuppliedENI              // as last accepted; Addresses are left empty, and in the file Prefixes
	N                int          // small number on this node, fixed for the attachment's life; 0 the primary, 1..127; -1 = not supplied yet
	Link             string       // name of its link in the kernel; "" until it was seen
	Present          bool         // the kernel shows a link with its MAC
	Ready            bool         // and that link, its table and rules are prepared
	Listed           bool         // in the accepted supply
	Since            ipam.Instant // when this attachment was first accepted
	Counts           Counts       // of both families
	Counts6          Counts       // of Counts, the IPv6 ones
	Prefixed         Prefixed     // of the free IPv4 ones
	Prefixed6        Prefixed     // of the free IPv6 ones
	Bridges          []Bridge     `json:",omitempty"` // delegated prefixes that are a network's own for now
}

// Prefixed counts free addresses of delegated prefixes.
type Prefixed struct {
	Free int
	Kept int // of Free, those that are for bridges alone
}

// Link is a network interface link as the agent finds it in the kernel.
type Link struct {
	MAC   string // permanent address, lower case, colons
	Name  string
	N     int  // what the link's group says; -1 = it says nothing
	Ready bool // up, with its table and rules
	// Addresses are what the kernel has on the link: none of them can be a pod's.
	Addresses []netip.Addr
}

// Address is one address of the pool.
type Address struct {
	Address    netip.Addr
	ENI        ipam.ENIID        `json:",omitempty"` // "" for a lease that was rebuilt from the kernel, until supply names it
	Attachment ipam.AttachmentID `json:",omitempty"`
	State      ipam.State
	Listed     bool            `json:",omitempty"` // in the accepted supply
	Lost       bool            `json:",omitempty"` // leased or cooling, and unlisted or without a link
	Flagged    bool            `json:",omitempty"` // free, but the kernel showed a route to it when it was to be leased
	Owner      ipam.Attachment `json:",omitzero"`
	Freed      ipam.Instant    `json:",omitempty"` // end of its last lease; 0 = never leased
	Until      ipam.Instant    `json:",omitempty"` // cooling: not to be leased before; flagged: not looked at before
	Fence      uint64          `json:",omitempty"` // fenced: seq of the transaction
	Prefix     netip.Prefix    `json:",omitzero"`  // the delegated prefix that it is of; none for a single one
}

// life is that of the address; the part of a prefix that nobody leases lives and goes with it.
func (a *Address) life() Life {
	if a.Prefix.IsValid() && (a.State == ipam.Pending || a.State == ipam.Free || a.State == ipam.Fenced) {
		return Life{ENI: a.ENI, Attachment: a.Attachment, Prefix: a.Prefix}
	}
	return Life{ENI: a.ENI, Attachment: a.Attachment, Address: a.Address}
}

// Lease is what an attachment holds.
type Lease struct {
	ipam.Attachment
	Pool      string
	Addresses []netip.Addr   // one per family, IPv4 first
	Gateways  []netip.Addr   `json:",omitempty"` // the node's reserved ones, same order; only when asked for
	Prefixes  []netip.Prefix `json:",omitempty"` // the delegated ones that Addresses are of, same order; only when asked for
	ENIID     ipam.ENIID
	Netns     string       `json:",omitempty"`
	Pod       string       `json:",omitempty"`
	At        ipam.Instant // when it was taken
	Wall      time.Time
	Users     int `json:",omitempty"` // reserved gateway only: leases that need it

	ENI      ENI            `json:"-"` // the interface behind the addresses, now; zero for a rebuilt lease without supply
	VPC      []netip.Prefix `json:"-"`
	Repeated bool           `json:"-"` // it was there before this call
	Cooled   []netip.Addr   `json:"-"` // of Addresses, those that came out of cooling by this call: no Tick saw them
}

// Ticket is a place in the queue of those who wait for an address.
type Ticket struct {
	N uint64
	ipam.Attachment
	Pool     string
	Pod      string `json:",omitempty"`
	Families []Family
	Prefix   bool `json:",omitempty"` // out of delegated prefixes; such waiters are a queue of their own
	Since    ipam.Instant
	Deadline ipam.Instant // void after this
}

// MaxTicket is the longest life of a ticket (protocol i3).
const MaxTicket = 60 * time.Second

// HoldDown is H of protocol A1: leader lease 10 s + call deadline 15 s + list visibility 60 s, rounded up.
const HoldDown = 90 * time.Second

// OutboxSize is the number of records that the outbox keeps (protocol i5).
const OutboxSize = 1024

// Batch is the most addresses that one wish fences, unless it gives up a whole interface (protocol a3).
const Batch = 16
