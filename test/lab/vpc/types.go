package vpc

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// VPC is a virtual network. The first of its IPv4 blocks is the primary one.
type VPC struct {
	ID    string // "vpc-…"; made up when empty
	CIDRs []netip.Prefix
	IPv6  netip.Prefix // a /56, or zero without IPv6
	Tags  map[string]string
}

// Subnet is a part of a VPC in one availability zone.
type Subnet struct {
	ID   string // "subnet-…"; made up when empty
	VPC  string
	Zone string       // name of the availability zone, such as "lab-1a"
	CIDR netip.Prefix // /16 to /28
	IPv6 netip.Prefix // a /64, or zero without IPv6
	Tags map[string]string
}

// Gateway is the VPC's router in the subnet: the address after the network's own (VPC user guide, "Subnet sizing").
func (s Subnet) Gateway() netip.Addr { return s.CIDR.Masked().Addr().Next() }

// Name is the tag Name, or the id where there is none.
func (s Subnet) Name() string { return nameOr(s.Tags, s.ID) }

// SecurityGroup is kept and shown; the lab's router does not filter by it.
type SecurityGroup struct {
	ID          string // "sg-…"; made up when empty
	VPC         string
	Name        string
	Description string
	Tags        map[string]string
}

// InstanceState is EC2's word for where an instance stands in its life.
type InstanceState string

// The states of an instance. Those between two others last from a call until it takes effect.
const (
	Pending      InstanceState = "pending"
	Running      InstanceState = "running"
	Stopping     InstanceState = "stopping"
	Stopped      InstanceState = "stopped"
	ShuttingDown InstanceState = "shutting-down"
	Terminated   InstanceState = "terminated"
)

// Instance is a virtual machine.
type Instance struct {
	ID       string // "i-…"
	Type     string // a name of InstanceTypes
	VPC      string
	Subnet   string // of its primary network interface
	Zone     string
	State    InstanceState // at the instant of which it tells
	Launched time.Time     // of the last start
	Tags     map[string]string
}

// Name is the tag Name, or the id where there is none.
func (i Instance) Name() string { return nameOr(i.Tags, i.ID) }

// NetworkInterface is an ENI as seen at one instant. It is never changed after it was handed out, and others have the
// same: its lists may be appended to, but neither their elements nor Tags may be written.
type NetworkInterface struct {
	ID              string // "eni-…", never used twice
	VPC             string
	Subnet          string
	Zone            string
	MAC             string // lower case, colons
	Description     string
	Type            string // "interface", "efa", "efa-only", "trunk", "branch"
	Primary         netip.Addr
	Secondary       []netip.Addr   // in the order of their assignment
	Prefixes        []netip.Prefix // delegated /28s
	IPv6            []netip.Addr
	IPv6Prefixes    []netip.Prefix // delegated /80s
	Groups          []string       // ids
	SourceDestCheck bool
	Tags            map[string]string
	Created         time.Time
	Attachment      *Attachment // nil when available
}

// Attachment joins a network interface to an instance.
type Attachment struct {
	ID                  string // "eni-attach-…", never used twice
	Instance            string
	Device              int // device index; 0 on card 0 is the primary
	Card                int // network card index
	DeleteOnTermination bool
	Since               time.Time // when EC2 took the attachment in: attachTime
	AttachedAt          time.Time // from here on it is attached and the instance has the link
	DetachedAt          time.Time // from here on it is gone; zero while nobody detaches it
	status              string
}

// The states of an attachment; one that is detached is gone.
const (
	Attaching = "attaching"
	Attached  = "attached"
	Detaching = "detaching"
)

// Status is Attaching, Attached or Detaching at the instant of which the interface tells.
func (a *Attachment) Status() string { return a.status }

// Status is EC2's word: "available" without attachment, else "in-use".
func (n NetworkInterface) Status() string {
	if n.Attachment == nil {
		return "available"
	}
	return "in-use"
}

// Instance is the id of the instance that it is attached to, or empty.
func (n NetworkInterface) Instance() string {
	if n.Attachment == nil {
		return ""
	}
	return n.Attachment.Instance
}

// Addresses is the primary address and the secondary ones, without prefixes.
func (n NetworkInterface) Addresses() []netip.Addr {
	return append([]netip.Addr{n.Primary}, n.Secondary...)
}

// Has tells whether a packet with this source address may leave by the interface: one of its addresses, or inside of
// one of its prefixes.
func (n NetworkInterface) Has(a netip.Addr) bool {
	if a == n.Primary || slices.Contains(n.Secondary, a) || slices.Contains(n.IPv6, a) {
		return true
	}
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(n.Prefixes, holds) || slices.ContainsFunc(n.IPv6Prefixes, holds)
}

// slots4 is how many of the type's IPv4 addresses per interface are taken; a prefix takes one (EC2 user guide,
// "Prefix delegation").
func (n NetworkInterface) slots4() int { return 1 + len(n.Secondary) + len(n.Prefixes) }

func (n NetworkInterface) slots6() int { return len(n.IPv6) + len(n.IPv6Prefixes) }

// clone is a copy that may be changed before it is put into the books.
func (n NetworkInterface) clone() NetworkInterface {
	n.Secondary = slices.Clone(n.Secondary)
	n.Prefixes = slices.Clone(n.Prefixes)
	n.IPv6 = slices.Clone(n.IPv6)
	n.IPv6Prefixes = slices.Clone(n.IPv6Prefixes)
	n.Groups = slices.Clone(n.Groups)
	n.Tags = maps.Clone(n.Tags)
	if n.Attachment != nil {
		a := *n.Attachment
		n.Attachment = &a
	}
	return n
}

// clip leaves the lists no room behind their ends, so that whoever appends to one copies it.
func (n *NetworkInterface) clip() {
	n.Secondary, n.Prefixes = slices.Clip(n.Secondary), slices.Clip(n.Prefixes)
	n.IPv6, n.IPv6Prefixes, n.Groups = slices.Clip(n.IPv6), slices.Clip(n.IPv6Prefixes), slices.Clip(n.Groups)
}

// resolve says what the interface is at an instant: attachments begin and end by time alone.
func (n NetworkInterface) resolve(at time.Time) NetworkInterface {
	if n.Attachment == nil {
		return n
	}
	a := *n.Attachment
	switch {
	case !a.DetachedAt.IsZero() && !at.Before(a.DetachedAt):
		n.Attachment = nil
		return n
	case !a.DetachedAt.IsZero():
		a.status = Detaching
	case at.Before(a.AttachedAt):
		a.status = Attaching
	default:
		a.status = Attached
	}
	n.Attachment = &a
	return n
}

func nameOr(tags map[string]string, id string) string {
	if name := tags["Name"]; name != "" {
		return name
	}
	return id
}
