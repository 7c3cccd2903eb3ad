// Package ipam is the arithmetic of a node's warm pool: its words, its rules and its plan. No I/O, no clock, no
// goroutine. The words are those of docs/protocol.md, part A.
package ipam

import (
	"net/netip"
	"slices"
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

// Family is an address family by its IP version: in JSON 4 or 6.
type Family int

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Lead is the family in which a pool of these families counts: IPv4 if it has that, since one delegated prefix of IPv6
// holds more than any node can use.
func Lead(families []Family) Family {
	if len(families) > 0 && !slices.Contains(families, IPv4) {
		return IPv6
	}
	return IPv4
}

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
	Instance  InstanceID   `json:"iid"`
	Boot      string       `json:"boot"` // kernel boot id
	Inc       Inc          `json:"inc"`
	Seq       uint64       `json:"seq"` // rises with every change of what a snapshot says
	Gen       uint64       `json:"gen"` // lives of network interfaces that this inc has seen
	Seen      Seen         `json:"seen"`
	Type      string       `json:"type"`    // instance type; a hint
	MaxPods   int          `json:"maxPods"` // kubelet's limit; 0 = unknown
	PolicyRev uint64       `json:"policyRev"`
	ENIs      []ENISummary `json:"enis"`
	// Pools are the pools that this node has interfaces of, or that pods of it wait for; at most MaxPools.
	Pools         []PoolSummary `json:"pools,omitempty"`
	Unschedulable bool          `json:"unschedulable,omitempty"`
}

// MaxPools is the most pools that a snapshot or a supply names.
const MaxPools = 32

// PoolSummary is what a node's pods ask of one pool.
type PoolSummary struct {
	Name string `json:"name"`
	// Waiting are live tickets that want an IPv4 address, with or without an IPv6 one; Waiting6 want IPv6 alone.
	Waiting  int `json:"waiting,omitempty"`
	Waiting6 int `json:"waiting6,omitempty"`
	// WaitingPrefix are live tickets for a delegated prefix of the primary interface, in neither of the two.
	WaitingPrefix int `json:"waitingPrefix,omitempty"`
	// Floor is the least (free − waiting) of the pool's leading family over its window; 0 until a window has passed.
	Floor int `json:"floor"`
}

// Pods is how many pods wait, whatever they want.
func (p PoolSummary) Pods() int { return p.Waiting + p.Waiting6 + p.WaitingPrefix }

// Counts are addresses of one family by state.
type Counts struct {
	Pending int `json:"pending,omitempty"`
	Free    int `json:"free,omitempty"`
	Kept    int `json:"kept,omitempty"`   // of Free, those that are for bridges alone
	Leased  int `json:"leased,omitempty"` // lost ones included
	Lost    int `json:"lost,omitempty"`
	Cooling int `json:"cooling,omitempty"`
	Held    int `json:"held,omitempty"`
}

// ENISummary counts one network interface's addresses by state.
type ENISummary struct {
	ENI        ENIID        `json:"eni"`
	Attachment AttachmentID `json:"attachment"`
	N          int          `json:"n"` // small number on this node, 0 the primary; 1..127
	Pool       string       `json:"pool"`
	Link       bool         `json:"link"`              // the kernel shows its link, ready
	Pending    int          `json:"pending,omitempty"` // IPv4, as all counts here
	Free       int          `json:"free,omitempty"`
	Single     int          `json:"single,omitempty"` // of Free, those in no delegated prefix: what a wish by count can take
	Kept       int          `json:"kept,omitempty"`   // of Free, those that are for bridges alone
	Leased     int          `json:"leased,omitempty"` // lost ones included
	Lost       int          `json:"lost,omitempty"`
	Cooling    int          `json:"cooling,omitempty"`
	Held       int          `json:"held,omitempty"`
	IPv6       Counts       `json:"ipv6,omitzero"`
	Fenced     []netip.Addr `json:"fenced,omitempty"` // those of delegated prefixes apart: see PrefixSummary
	// Prefixes are those that are fenced, and of each family the wholly free one that pods would get last (the only /80 of an
	// interface whose pool has IPv6 is never named): no other could be given up now. A snapshot of 15 interfaces with 49
	// prefixes each has no room for all.
	Prefixes []PrefixSummary `json:"prefixes,omitempty"`
	Age      time.Duration   `json:"age"` // since this node first saw the attachment
}

// Counts are the counts of a family, those of delegated prefixes included.
func (e ENISummary) Counts(f Family) Counts {
	if f == IPv6 {
		return e.IPv6
	}
	return Counts{Pending: e.Pending, Free: e.Free, Kept: e.Kept, Leased: e.Leased, Lost: e.Lost, Cooling: e.Cooling, Held: e.Held}
}

// FencedPrefixes are the delegated prefixes, of both families, that are given up for good.
func (e ENISummary) FencedPrefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range e.Prefixes {
		if p.Fenced {
			all = append(all, p.Prefix)
		}
	}
	return all
}

// CountFenced is how many addresses of a family are given up for good, those of delegated prefixes included.
func (e ENISummary) CountFenced(f Family) int {
	count := 0
	for _, a := range e.Fenced {
		if a.Is4() == (f == IPv4) {
			count++
		}
	}
	for _, p := range e.FencedPrefixes() {
		if p.Addr().Is4() == (f == IPv4) {
			count += PrefixSize(p)
		}
	}
	return count
}

// PrefixSummary counts the addresses of one delegated prefix; the interface's counts have them in, too.
type PrefixSummary struct {
	Prefix netip.Prefix `json:"prefix"`
	Leased int          `json:"leased,omitempty"`
	Free   int          `json:"free,omitempty"`
	Fenced bool         `json:"fenced,omitempty"` // all of it is given up for good
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
	// Pools are all that this node may have, in the configuration's order; the first is the default one's place.
	Pools   []SuppliedPool `json:"pools,omitempty"`
	MaxPods int            `json:"maxPods,omitempty"` // most pods that can have addresses of this node; 0 = unknown
}

// SuppliedPool is the part of one pool's policy that its nodes need, and what keeps it from growing.
type SuppliedPool struct {
	Name     string        `json:"name"`
	Families []Family      `json:"families"`      // that its interfaces have addresses of
	Cooldown time.Duration `json:"cooldown"`      // least time between two leases of an address
	Low      int           `json:"low"`           // publish when free (of the leading family) falls below: the warm target
	High     int           `json:"high"`          // publish when free rises above
	Window   time.Duration `json:"window"`        // over which Floor is taken
	MinAge   time.Duration `json:"minAge"`        // an interface younger than this is not drained
	Why      *Why          `json:"why,omitempty"` // what keeps it from growing
}

// NodePolicy names the configuration that a supply follows.
type NodePolicy struct {
	Rev uint64 `json:"rev"` // rises with each change of it
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
	PodsOK     bool           `json:"podsOk"`        // pods may use its addresses (no for a primary with usePrimary: false)
	MTU        int            `json:"mtu,omitempty"` // bytes, of its link; 0 leaves what the machine gave it
}

// The bounds of an interface's MTU in bytes: what every IPv4 host takes whole (RFC 791, section 3.1), what an IPv6 link must
// carry (RFC 8200, section 5), and the most that EC2 does (EC2 user guide, "Network MTU").
const (
	LeastMTU  = 576
	LeastMTU6 = 1280
	MostMTU   = 9001
)

// Release is a wish: give up Count free single addresses of the ENI, one prefix of it, or all of it.
type Release struct {
	ENI   ENIID `json:"eni"`
	Count int   `json:"count,omitempty"`
	Whole bool  `json:"whole,omitempty"`
	// Prefix is one delegated prefix to give up, instead of Count or Whole: only if every address of it is free.
	Prefix netip.Prefix `json:"prefix,omitzero"`
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
	WhyNoPrefixes    = "NoPrefixes"    // the policy wants delegated prefixes, and the type has none (not Nitro)
	WhyFragmented    = "Fragmented"    // the subnet has free addresses and no free, aligned /28
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
