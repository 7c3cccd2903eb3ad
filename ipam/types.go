// Package ipam is the arithmetic of a node's warm pool: its words, its rules and its plan. No I/O, no clock, no
// goroutine. The words are those of docs/protocol.md, part A.
package ipam

import (
	"net/netip"
	"time"
)

// InstanceID, ENIID, AttachmentID and SubnetID are EC2's ids ("i-…", "eni-…", "eni-attach-…", "subnet-…").
// Attachment and ENI ids are never used twice by EC2.
type (
	InstanceID   string
	ENIID        string
	AttachmentID string
	SubnetID     string
)

// Inc names one incarnation of a node's pool file: 64 random bits in hex, made with the file.
type Inc string

// Instant is a reading of CLOCK_BOOTTIME: time since the kernel started, suspends included. It means nothing to
// another machine or in another boot.
type Instant time.Duration

// Attachment is a container's attachment to a network: the key of a lease (CNI specification, section 2).
type Attachment struct {
	Network   string
	Container string
	IfName    string
}

// String is network/container/ifname.
func (a Attachment) String() string { return a.Network + "/" + a.Container + "/" + a.IfName }

// State is where an address stands (protocol A2). Lost is a flag of a lease, not a state.
type State string

// The states of an address. One that is in none of them is absent.
const (
	Pending State = "pending" // supplied; its network interface is not ready in the kernel yet
	Free    State = "free"    // leasable; people read "warm"
	Leased  State = "leased"
	Cooling State = "cooling" // was leased; not leasable before its time
	Fenced  State = "fenced"  // given up for good in this life; the reconciler may unassign it
	Held    State = "held"    // gone, and not to come back before the proof of protocol A4
)

// Seen is the newest supply that a node has accepted; both rise.
type Seen struct {
	Epoch uint64 `json:"epoch"`
	Rev   uint64 `json:"rev"`
}

// Less orders supplies: by epoch, then by rev.
func (s Seen) Less(t Seen) bool { return s.Epoch < t.Epoch || s.Epoch == t.Epoch && s.Rev < t.Rev }

// Basis is the snapshot that a reconciler had read before the list behind a supply began.
type Basis struct {
	Inc Inc    `json:"inc"`
	Seq uint64 `json:"seq"`
}

// Snapshot is what a node says of its pool: a level, sent whole. It carries counts, never one entry per address,
// but for the fenced ones.
type Snapshot struct {
	Instance      InstanceID   `json:"iid"`
	Boot          string       `json:"boot"` // kernel boot id
	Inc           Inc          `json:"inc"`
	Seq           uint64       `json:"seq"` // rises with every change of what a snapshot says
	Gen           uint64       `json:"gen"` // lives of network interfaces that this inc has seen
	Seen          Seen         `json:"seen"`
	Type          string       `json:"type"`    // instance type; a hint
	MaxPods       int          `json:"maxPods"` // kubelet's limit; 0 = unknown
	PolicyRev     uint64       `json:"policyRev"`
	ENIs          []ENISummary `json:"enis"`
	Waiting       int          `json:"waiting"` // live tickets
	Floor         int          `json:"floor"`   // least (free − waiting) over the policy's window; 0 until a window has passed
	Unschedulable bool         `json:"unschedulable,omitempty"`
}

// ENISummary counts one network interface's addresses by state.
type ENISummary struct {
	ENI        ENIID           `json:"eni"`
	Attachment AttachmentID    `json:"attachment"`
	N          int             `json:"n"` // small number on this node, 0 the primary; 1..127
	Pool       string          `json:"pool"`
	Link       bool            `json:"link"` // the kernel shows its link, ready
	Pending    int             `json:"pending,omitempty"`
	Free       int             `json:"free"`
	Leased     int             `json:"leased"` // lost ones included
	Lost       int             `json:"lost,omitempty"`
	Cooling    int             `json:"cooling"`
	Held       int             `json:"held"`
	Fenced     []netip.Addr    `json:"fenced,omitempty"`
	Prefixes   []PrefixSummary `json:"prefixes,omitempty"`
	Age        time.Duration   `json:"age"` // since this node first saw the attachment
}

// PrefixSummary counts the addresses of one delegated prefix; the interface's counts have them in, too.
type PrefixSummary struct {
	Prefix netip.Prefix `json:"prefix"`
	Leased int          `json:"leased"`
	Free   int          `json:"free,omitempty"`
	Kept   int          `json:"kept,omitempty"` // of Free: for bridges alone
}

// PrefixSize is how many addresses of a delegated prefix a pool has: all of a /28, and of a /80 as many as any instance
// type may have pods.
func PrefixSize(p netip.Prefix) int {
	const most = 8 // bits
	return 1 << min(p.Addr().BitLen()-p.Bits(), most)
}

// Supply is what the reconciler says a node has: a level, always the complete list.
type Supply struct {
	Instance InstanceID     `json:"iid"`
	Epoch    uint64         `json:"epoch"`
	Rev      uint64         `json:"rev"`
	Basis    Basis          `json:"basis"`
	First    bool           `json:"first,omitempty"` // no other inc of this instance was ever seen
	VPC      []netip.Prefix `json:"vpc"`             // the VPC's own networks
	Policy   NodePolicy     `json:"policy"`
	ENIs     []SuppliedENI  `json:"enis"`
	Release  []Release      `json:"release,omitempty"` // wishes
	Why      *Why           `json:"why,omitempty"`     // what keeps the pool from growing
}

// NodePolicy is the part of a pool's policy that the node itself needs.
type NodePolicy struct {
	Rev      uint64        `json:"rev"`
	Cooldown time.Duration `json:"cooldown"` // least time between two leases of an address; default 30 s
	Low      int           `json:"low"`      // publish when free falls below: the warm target
	High     int           `json:"high"`     // publish when free rises above
	Window   time.Duration `json:"window"`   // over which Floor is taken; default 10 min
	MinAge   time.Duration `json:"minAge"`   // an ENI younger than this is not drained; default 10 min
	MaxPods  int           `json:"maxPods"`  // most addresses that pods of this node can use; 0 = the type's limit
}

// SuppliedENI is one attached network interface of a node and its addresses, the primary ones apart.
type SuppliedENI struct {
	ENI        ENIID          `json:"eni"`
	Attachment AttachmentID   `json:"attachment"`
	Pool       string         `json:"pool"`
	MAC        string         `json:"mac"` // lower case, colons
	Device     int            `json:"device"`
	Card       int            `json:"card"`
	SubnetID   SubnetID       `json:"subnetId"`
	Subnet     netip.Prefix   `json:"subnet"`  // IPv4
	Subnet6    netip.Prefix   `json:"subnet6"` // zero without IPv6
	Primary    netip.Addr     `json:"primary"` // never a pod's
	Primary6   netip.Addr     `json:"primary6"`
	Gateway    netip.Addr     `json:"gateway"` // the subnet's first address (EC2 user guide, "VPC subnets"); IPv6: fe80::1 of the router
	Addresses  []netip.Addr   `json:"addresses"`
	Prefixes   []netip.Prefix `json:"prefixes,omitempty"`
	PodsOK     bool           `json:"podsOk"` // pods may use its addresses (no for a primary with usePrimary: false)
}

// Release is a wish: give up Count free addresses of the ENI, or all of it.
type Release struct {
	ENI   ENIID `json:"eni"`
	Count int   `json:"count,omitempty"`
	Whole bool  `json:"whole,omitempty"`
}

// Why is what EC2 said when the pool could not grow; it reaches the waiting pod's error.
type Why struct {
	Code    string    `json:"code"`              // EC2's error code, or one of ours: see WhyLimit…
	Text    string    `json:"text"`              // one short clause for people: "subnet-a (10.0.1.0/24) has 0 free addresses"
	Subnet  SubnetID  `json:"subnet,omitempty"`  //
	Since   time.Time `json:"since"`             // reconciler's wall clock, for people only
	RetryIn int       `json:"retryIn,omitempty"` // seconds until the next try; 0 = unknown
}

// Our own codes of Why, where it is not EC2 that refused.
const (
	WhyInstanceLimit = "InstanceLimit" // all ENIs and addresses of the type are in use
	WhyPoolLimit     = "PoolLimit"     // the policy's maximum is reached
)

// Verb is what happened to a pod, an interface or an address.
type Verb string

// The verbs of an outbox record; the part before the dot is the entity in the event's subject.
const (
	PodAdded       Verb = "pod.added"
	PodDeleted     Verb = "pod.deleted"
	PodWaiting     Verb = "pod.waiting"
	PodGaveUp      Verb = "pod.gaveup"
	AddressRefused Verb = "address.refused"
	ENIAttached    Verb = "eni.attached"
	ENIDetached    Verb = "eni.detached"
	KernelRepaired Verb = "kernel.repaired"
	// Said by the reconciler, about EC2's answers: ENIAttached and ENIDetached are, too, under an inc of its own.
	ENICreated        Verb = "eni.created"
	ENIDeleted        Verb = "eni.deleted"
	AddressAssigned   Verb = "ip.assigned"
	AddressUnassigned Verb = "ip.unassigned"
)

// Record is one line of the outbox: an edge, for people and tools; nothing is decided by it.
type Record struct {
	N         uint64        `json:"n"` // rises by one; event id = inc/n
	At        time.Time     `json:"at"`
	Boot      string        `json:"boot"`
	Verb      Verb          `json:"verb"`
	Network   string        `json:"network,omitempty"`
	Container string        `json:"container,omitempty"`
	IfName    string        `json:"ifname,omitempty"`
	Netns     string        `json:"netns,omitempty"`
	Address   []netip.Addr  `json:"address,omitempty"`
	ENI       ENIID         `json:"eni,omitempty"`
	Pod       string        `json:"pod,omitempty"`
	Took      time.Duration `json:"took,omitempty"`
	Cause     string        `json:"cause,omitempty"`
}
