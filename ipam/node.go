package ipam

import (
	"net/netip"
	"time"
)

// ENIState is where a network interface stands in its life (protocol A3), as far as a plan cares.
type ENIState string

// The states of a network interface.
const (
	ENICreating ENIState = "creating" // a Create is in flight or its outcome unknown; counts as if it had succeeded
	ENIOurs     ENIState = "ours"     // available, made for this node, never used there: to be attached
	ENIUsed     ENIState = "used"     // attached and in use
	ENIDraining ENIState = "draining" // attached; all of it was wished back
	ENILost     ENIState = "lost"     // detached by others while pods lived on it: to be attached again
	ENIRetired  ENIState = "retired"  // available, given up: to be deleted
	ENIForeign  ENIState = "foreign"  // not ours: counts against the limits and is never touched
	ENIOther    ENIState = "other"    // on its way between states, or barred: counts and is left alone for now
)

// Node is what Plan looks at.
type Node struct {
	MaxPods int  // most pods; 0 = unknown
	Grow    bool // may get more: it is heard of
	ENIs    []NodeENI
	Pools   []NodePool // in the configuration's order
	Slots   []Slot     // in use by things that are not listed in ENIs

	// Of interfaces whose pool is not the node's any more: how many addresses may be wished back now, at MostAtOnce a
	// whole interface too, and the least age of that.
	Budget int
	MinAge time.Duration
}

// NodePool is one pool on a node.
type NodePool struct {
	Name          string
	Target        Target
	Waiting       int  // live tickets and bound pods without a lease, of pods that want an IPv4 address
	Waiting6      int  // of pods that want an IPv6 address alone
	WaitingPrefix int  // of pods that want a delegated prefix of the primary interface
	Floor         int  // least (free − waiting) over the window, in the leading family
	Warm          bool // may get more than its waiting pods need
	Scarce        bool // pods of other nodes wait for addresses of its subnets: it keeps nothing warm
	Blocked       bool // no network interface can be created for it now: its subnets are full, or EC2 refused lately
	NoPrefixes    bool // and one that is created must not ask for a /28: its subnet has none free
	NoIPv6        bool // nor for a /80: its subnet has no IPv6, or EC2 refused one lately
	Budget        int  // addresses that may be wished back now; Target.AtOnce = a prefix or a whole interface too
	MinAge        time.Duration
}

// Pods is how many pods wait, whatever they want.
func (q NodePool) Pods() int { return q.Waiting + q.Waiting6 + q.WaitingPrefix }

// NodeENI is one network interface of a node as a plan sees it: what EC2 lists and what calls in flight will add,
// beside the counts of the node's snapshot.
type NodeENI struct {
	ENI        ENIID
	Attachment AttachmentID
	Device     int // device index; of one that is not attached, the one it was made for
	Primary    bool
	State      ENIState
	PodsOK     bool          // pods may use its addresses
	Listed     int           // single IPv4 addresses on it, the primary one apart, with those of calls in flight
	Fenced     []netip.Addr  // single ones, listed, that the node has given up
	Free       int           // IPv4 per the snapshot, those of prefixes included, pending ones not; so are the next four
	Single     int           // of Free, those in no prefix
	Kept       int           // of Free, those that are for bridges alone
	Leased     int           // lost ones included
	Cooling    int           //
	Taken      int           // places of addresses that are somebody else's: not Listed, and never touched
	Named      bool          // the snapshot knows it
	Age        time.Duration // since the node first saw it
	Blocked    bool          // no IPv4 address may be asked for here now: its subnet is full, or EC2 refused lately
	Unbound    bool          // it would outlive its instance: DeleteOnTermination is not set

	Pool       string          // whose it is; one that is not among Node.Pools is given back as it empties
	Card       int             // network card; Device counts from 0 on each
	IPv6       Stock6          //
	Delegated  []PrefixSummary // the IPv4 prefixes that EC2 lists on it, as in the snapshot where that names them; of calls in flight zero
	NoPrefixes bool            // EC2 has no free /28 in its subnet now
	Excluded   bool            // nothing new may go there: its subnet was taken out of the pool; given back as it empties
	Regroup    []string        // the security groups that it should have, where those it has are others
}

// Stock6 is the IPv6 side of a network interface: delegated /80 prefixes alone.
type Stock6 struct {
	Prefixes []PrefixSummary // those that EC2 lists, as in the snapshot where that names them; of calls in flight zero
	Free     int             // per the snapshot, pending ones not; so are the next three
	Kept     int             // of Free, those that are for bridges alone
	Leased   int             // lost ones included
	Cooling  int             //
	Blocked  bool            // no /80 may be asked for here now: its subnet has no IPv6, or EC2 refused lately
}
