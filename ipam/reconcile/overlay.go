package reconcile

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/enichain/enichain/ipam"
)

// overlay is what an acknowledged call of ours changed. It is kept for V, since a list may lag behind it so long.
type overlay struct {
	at         time.Duration
	action     Action
	eni        ipam.ENIID
	row        ENI // Create
	attachment ipam.AttachmentID
	device     int
	addresses  []netip.Addr
}

// apply does to the picture of a node what the call did to EC2. It may be applied to a picture that shows it already.
func (o overlay) apply(n *node) {
	t := n.enis[o.eni]
	if o.action == Create {
		if t == nil || t.ghost {
			n.enis[o.eni] = &tracked{ENI: o.row, missing: never, available: o.at, named: t != nil}
		}
		return
	}
	if t == nil {
		return
	}
	switch o.action {
	case Attach:
		if t.Attachment == "" {
			t.Instance, t.Attachment, t.Device, t.Card = n.id, o.attachment, o.device, 0
			t.Bound, t.Detaching, t.available = false, false, never
		}
	case Detach:
		if t.Attachment == o.attachment {
			t.Detaching = true // until a list shows it available
		}
	case Delete:
		delete(n.enis, o.eni)
		n.end(o.eni)
	case Assign:
		for _, a := range o.addresses {
			if !slices.Contains(t.Addresses, a) {
				t.Addresses = append(slices.Clone(t.Addresses), a)
			}
		}
	case Unassign:
		t.Addresses = slices.DeleteFunc(slices.Clone(t.Addresses), func(a netip.Addr) bool {
			return slices.Contains(o.addresses, a)
		})
	case Bind:
		if t.Attachment == o.attachment {
			t.Bound = true
		}
	}
}

// end remembers that an interface does not exist any more, for as long as the node may still name it.
func (n *node) end(id ipam.ENIID) {
	if n.snap != nil && n.summary(id) != nil {
		n.ended[id] = true
	}
}

// summary is what the node's snapshot says of an interface; nil = nothing.
func (n *node) summary(id ipam.ENIID) *ipam.ENISummary {
	if n.snap == nil {
		return nil
	}
	for i := range n.snap.ENIs {
		if n.snap.ENIs[i].ENI == id {
			return &n.snap.ENIs[i]
		}
	}
	return nil
}

// slot is the device index that an interface was made for; 0 = it does not say.
func slot(e ENI) int {
	s, err := strconv.Atoi(e.Tags[TagSlot])
	if err != nil || s < 1 {
		return 0
	}
	return s
}
