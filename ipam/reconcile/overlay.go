package reconcile

import (
	"net/netip"
	"slices"
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
	slot       ipam.Slot
	addresses  []netip.Addr
	prefixes   []netip.Prefix
	groups     []string
}

// lay applies an overlay and keeps it. What it makes void of earlier ones is forgotten: an attachment's beginning must not
// be laid over a list that shows its end, nor what was given over what was taken.
func (n *node) lay(o overlay) {
	switch o.action {
	case Detach:
		n.overlay = slices.DeleteFunc(n.overlay, func(old overlay) bool { return old.action == Attach && old.eni == o.eni })
	case Bind:
		n.overlay = slices.DeleteFunc(n.overlay, func(old overlay) bool {
			return old.action == Bind && old.eni == o.eni && len(old.groups) > 0 && len(o.groups) > 0
		})
	}
	o.apply(n)
	n.overlay = append(n.overlay, o)
}

// apply does to the picture of a node what the call did to EC2. It may be applied to a picture that shows it already.
func (o overlay) apply(n *node) {
	t := n.enis[o.eni]
	if o.action == Create {
		if t == nil || t.ghost {
			made := &tracked{missing: never, available: o.at, named: t != nil}
			made.read(o.row, n.core.cfg.Cluster)
			n.keep(made)
		}
		return
	}
	if t == nil {
		return
	}
	switch o.action {
	case Attach:
		if t.Attachment == "" {
			t.Instance, t.Attachment, t.Device, t.Card = n.id, o.attachment, o.slot.Device, o.slot.Card
			t.Bound, t.Detaching, t.available = false, false, never
		}
	case Detach:
		if t.Attachment == o.attachment {
			t.Detaching = true // until a list shows it available
		}
	case Delete:
		n.drop(o.eni)
		n.end(o.eni)
	case Assign:
		t.Addresses, t.Prefixes = plus(t.Addresses, o.addresses), plus(t.Prefixes, o.prefixes)
	case Assign6:
		if t.Prefixes = plus(t.Prefixes, o.prefixes); len(o.addresses) > 0 && !t.Primary6.IsValid() {
			t.Primary6 = o.addresses[0]
		}
	case Unassign, Unassign6:
		t.Addresses, t.Prefixes = minus(t.Addresses, o.addresses), minus(t.Prefixes, o.prefixes)
	case Bind:
		switch {
		case len(o.groups) > 0:
			t.Groups = o.groups
		case t.Attachment == o.attachment:
			t.Bound = true
		}
	}
}

// plus adds to a list what it does not have; minus takes away. Neither changes the list itself: rows share theirs.
func plus[T comparable](list, more []T) []T {
	all := slices.Clip(list)
	for _, x := range more {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

func minus[T comparable](list, less []T) []T {
	if len(less) == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return slices.Contains(less, x) })
}

// end remembers that an interface does not exist any more, for as long as the node may still name it.
func (n *node) end(id ipam.ENIID) {
	if n.snap != nil && n.summary(id) != nil {
		n.ended[id] = true
	}
}
