package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/enichain/enichain/ipam"
)

// Tags that every network interface of ours bears from its Create call on, and the one that keeps us away.
const (
	TagCluster  = "enichain.io/cluster"
	TagNode     = "enichain.io/node"                 // the instance it was made for
	TagSlot     = "enichain.io/slot"                 // the place it was made for: ipam.Slot's String
	TagPool     = "enichain.io/pool"                 // the pool it was made for; without it, the node's first
	TagLeave    = "enichain.io/leave"                // addresses and prefixes of an interface that pods must not have, parted by spaces
	TagNoManage = "node.k8s.amazonaws.com/no_manage" // "true": never touched (amazon-vpc-cni-k8s's own tag, same meaning)
)

// Action is one EC2 call by EC2's own name.
type Action string

// The EC2 calls that change something.
const (
	Create   Action = "CreateNetworkInterface"
	Attach   Action = "AttachNetworkInterface"
	Assign   Action = "AssignPrivateIpAddresses"
	Unassign Action = "UnassignPrivateIpAddresses"
	Detach   Action = "DetachNetworkInterface"
	Delete   Action = "DeleteNetworkInterface"
	Bind     Action = "ModifyNetworkInterfaceAttribute" // DeleteOnTermination of an attachment; with Groups set, those

	Assign6   Action = "AssignIpv6Addresses"   // Prefixes6 or Addrs6
	Unassign6 Action = "UnassignIpv6Addresses" // Give
)

// Urgency is who goes first when a call has to wait for its turn.
type Urgency int

// The three classes of every bucket: pods that wait may empty it, warm fill leaves 30 % of it, tidying up 50 %.
const (
	ForWaiting Urgency = iota
	ForWarm
	ForTidy
)

// Call is one EC2 call: the fields that its action needs are set.
type Call struct {
	ID         uint64            `json:"id"`
	Action     Action            `json:"action"`
	Instance   ipam.InstanceID   `json:"instance"`
	Urgency    Urgency           `json:"urgency"`
	NotAfter   time.Duration     `json:"notAfter"` // on the core's clock: not to be begun later than this
	ENI        ipam.ENIID        `json:"eni,omitempty"`
	Attachment ipam.AttachmentID `json:"attachment,omitempty"`
	Device     int               `json:"device,omitempty"`
	Count      int               `json:"count,omitempty"`
	Addresses  []netip.Addr      `json:"addresses,omitempty"`
	Subnet     ipam.SubnetID     `json:"subnet,omitempty"`
	Groups     []string          `json:"groups,omitempty"`
	Token      string            `json:"token,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	About      string            `json:"about,omitempty"` // the network interface's description

	Pool      string         `json:"pool,omitempty"`
	Card      int            `json:"card,omitempty"`      // network card, of Create and Attach
	Prefixes  int            `json:"prefixes,omitempty"`  // how many /28, of Create and Assign, instead of Count
	Prefixes6 int            `json:"prefixes6,omitempty"` // how many /80, of Assign6, instead of Addrs6
	Addrs6    int            `json:"addrs6,omitempty"`    // how many single IPv6 addresses, of Create and Assign6: the interface's own
	Give      []netip.Prefix `json:"give,omitempty"`      // prefixes to take away, of Unassign and Unassign6
}

// Class is what an EC2 answer means to us; package ec2 has the table from EC2's codes.
type Class string

// The classes of answers. Done and Gone are successes: Gone says that what was to be removed is not there.
const (
	Done       Class = "done"
	Gone       Class = "gone"       // the object does not exist, or not yet
	NotSent    Class = "not-sent"   // never left: no turn in time, or no leadership
	Unknown    Class = "unknown"    // it may or may not have happened: time-out, reset, 5xx
	Throttled  Class = "throttled"  // RequestLimitExceeded and its kin; nothing happened
	SubnetFull Class = "subnet"     // no free address, or no free /28
	Limit      Class = "limit"      // the instance's or the interface's limit
	Quota      Class = "quota"      // the account's or the VPC's quota
	Mismatch   Class = "mismatch"   // same token, other parameters: one exists
	Stale      Class = "stale"      // our picture is old: index taken, in use, not on this interface
	Transition Class = "transition" // the instance or interface is on its way between states
	Denied     Class = "denied"     // not allowed
	BadConfig  Class = "config"     // a subnet or security group of the configuration does not exist, or the like
	Clock      Class = "clock"      // signature or time refused
	Away       Class = "away"       // EC2 cannot be reached; nothing left
	Other      Class = "other"
)

// Answer is what became of a Call.
type Answer struct {
	ID         uint64            `json:"id"`
	Class      Class             `json:"class"`
	Code       string            `json:"code,omitempty"` // EC2's error code
	Text       string            `json:"text,omitempty"` // EC2's message; for people
	Took       time.Duration     `json:"took,omitempty"`
	ENI        *ENI              `json:"eni,omitempty"`        // Create
	Attachment ipam.AttachmentID `json:"attachment,omitempty"` // Attach
	Addresses  []netip.Addr      `json:"addresses,omitempty"`  // Assign, and Assign6 of Addrs6
	Prefixes   []netip.Prefix    `json:"prefixes,omitempty"`   // Assign and Assign6
}

// ENI is a network interface as EC2 lists it.
type ENI struct {
	ID         ipam.ENIID        `json:"id"`
	Subnet     ipam.SubnetID     `json:"subnet"`
	MAC        string            `json:"mac"`
	Instance   ipam.InstanceID   `json:"instance,omitempty"` // while attached
	Attachment ipam.AttachmentID `json:"attachment,omitempty"`
	Detaching  bool              `json:"detaching,omitempty"`
	Device     int               `json:"device,omitempty"`
	Card       int               `json:"card,omitempty"`
	Bound      bool              `json:"bound,omitempty"` // goes with its instance: DeleteOnTermination
	Primary    netip.Addr        `json:"primary"`
	Primary6   netip.Addr        `json:"primary6"`
	Addresses  []netip.Addr      `json:"addresses,omitempty"` // the primary ones apart, in EC2's order
	Prefixes   []netip.Prefix    `json:"prefixes,omitempty"`  // of both families
	Kind       string            `json:"kind,omitempty"`      // EC2's interface type: interface, efa, efa-only, trunk, branch, …
	About      string            `json:"about,omitempty"`     // its description
	Groups     []string          `json:"groups,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// Instance is an instance as EC2 lists it.
type Instance struct {
	ID     ipam.InstanceID `json:"id"`
	State  string          `json:"state"` // pending, running, shutting-down, terminated, stopping, stopped
	Type   string          `json:"type"`
	Zone   string          `json:"zone"`
	VPC    string          `json:"vpc"`
	Subnet ipam.SubnetID   `json:"subnet"`
	// Tags are the instance's; with its type and zone under Kubernetes' well-known names they are what pools select by.
	Tags map[string]string `json:"tags,omitempty"`
}

// Group is a security group as EC2 lists it.
type Group struct {
	ID   string            `json:"id"`
	VPC  string            `json:"vpc"`
	Name string            `json:"name"`
	Tags map[string]string `json:"tags,omitempty"`
}

// Subnet is a subnet as EC2 lists it.
type Subnet struct {
	ID    ipam.SubnetID     `json:"id"`
	VPC   string            `json:"vpc"`
	Zone  string            `json:"zone"`
	CIDR  netip.Prefix      `json:"cidr"`
	CIDR6 netip.Prefix      `json:"cidr6"`
	Free  int               `json:"free"` // availableIpAddressCount
	Tags  map[string]string `json:"tags,omitempty"`
}

// List asks for a picture of EC2: of these instances and everything tagged for them, or, if Full, of everything of
// the cluster as well. Network asks also for VPCs, those of the listed instances and those named, and their subnets.
type List struct {
	ID        uint64            `json:"id"`
	Full      bool              `json:"full,omitempty"`
	Network   bool              `json:"network,omitempty"`
	Instances []ipam.InstanceID `json:"instances,omitempty"`
	VPCs      []string          `json:"vpcs,omitempty"`
	Cluster   string            `json:"cluster"`
	Groups    bool              `json:"groups,omitempty"` // with Network: the VPCs' security groups, too
}

// Listed is the answer: every page of every list, or Err and nothing else (protocol r4). The snapshots were read from
// the bus before the list began (protocol r3).
type Listed struct {
	ID        uint64                    `json:"id"`
	Err       string                    `json:"err,omitempty"`
	Code      string                    `json:"code,omitempty"`
	ReadBegun time.Duration             `json:"readBegun"` // the core's clock, before the snapshots were read
	Begun     time.Duration             `json:"begun"`     // and before EC2 was asked
	Snapshots []ipam.Snapshot           `json:"snapshots,omitempty"`
	ENIs      []ENI                     `json:"enis,omitempty"`
	Instances []Instance                `json:"instances,omitempty"`
	Limits    map[string]ipam.Limits    `json:"limits,omitempty"` // by instance type
	Subnets   []Subnet                  `json:"subnets,omitempty"`
	VPCs      map[string][]netip.Prefix `json:"vpcs,omitempty"`
	Groups    []Group                   `json:"groups,omitempty"`
}

// PacedError is the error of Cloud.Wait: the action's turn did not come in time.
type PacedError struct {
	Action Action
	Code   string  // EC2's, if EC2 said that we ask too much; else it is our own rate
	Level  float64 // calls that may go now, by our count
	Rate   float64 // and how many more each second
}

func (e *PacedError) Error() string {
	return fmt.Sprintf("no turn for %s: %.1f calls left, %.2f more a second", e.Action, e.Level, e.Rate)
}

// Cloud is EC2 as the shell needs it. Package ec2 implements it.
type Cloud interface {
	// List returns a complete picture or an error; of the answer it fills ENIs, Instances, Limits, Subnets and VPCs.
	List(ctx context.Context, ask List) (Listed, error)
	// Wait blocks until an action may be tried without exceeding its rate, in the order of urgency; an error means
	// that ctx ended first; it is a *PacedError if only the rate stood in the way.
	Wait(ctx context.Context, action Action, urgency Urgency) error
	// Do makes one attempt, and no more, within ctx.
	Do(ctx context.Context, call Call) Answer
}
