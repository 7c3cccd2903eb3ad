package ipam

import "net/netip"

// ActionKind is what is to be done.
type ActionKind string

// The kinds of Action. A wish is a word to the node; all others are one EC2 call each.
const (
	ActAttach   ActionKind = "attach"
	ActAssign   ActionKind = "assign"
	ActCreate   ActionKind = "create"
	ActUnassign ActionKind = "unassign"
	ActDetach   ActionKind = "detach"
	ActDelete   ActionKind = "delete"
	ActBind     ActionKind = "bind" // set DeleteOnTermination
	ActWish     ActionKind = "wish"
	ActRegroup  ActionKind = "regroup" // set its security groups
)

// Action is one step of a plan. The other fields stand where the kind needs them.
type Action struct {
	Kind       ActionKind
	ENI        ENIID
	Attachment AttachmentID
	Device     int          // create, attach, detach
	Count      int          // create, assign: single IPv4 addresses, never beside Prefixes; wish: how many, of Whole all
	Addresses  []netip.Addr // unassign: single IPv4 addresses
	Whole      bool         // wish

	Pool      string         // create: whose it will be
	Card      int            // create, attach
	Prefixes  int            // create, assign: IPv4 prefixes (/28)
	Prefixes6 int            // create, assign: IPv6 prefixes (/80); an assign has one family
	Give      []netip.Prefix // unassign: prefixes of one family; wish: one prefix
	Groups    []string       // regroup
}
