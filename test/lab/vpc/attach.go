package vpc

import (
	"slices"
	"time"
)

func (r AttachNetworkInterface) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	i, err := w.namedInstance(r.InstanceID)
	if err != nil {
		return nil, err
	}
	state := i.stateAt(c.now)
	switch {
	case state != Running && state != Stopped:
		return nil, Refuse(CodeInstanceState, "Instance '%s' is not 'running' or 'stopped': it is '%s'.", i.ID, state)
	case n.Attachment != nil:
		return nil, w.inUse(n.ID)
	case n.VPC != i.VPC:
		return nil, Refuse(CodeCombination, messageDifferentNetworks)
	case n.Zone != i.Zone:
		return nil, Refuse(CodeZoneMismatch,
			"The network interface '%s' is in zone %s, the instance '%s' in %s", n.ID, n.Zone, i.ID, i.Zone)
	}
	if err := w.mayAttach(r, n, i); err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	c.effect = w.notBefore(n.ID, c.effect)
	n = w.join(c.now, n.clone(), i, Attachment{
		Instance: i.ID, Device: r.Device, Card: r.Card, Since: c.now, AttachedAt: c.effect})
	return AttachNetworkInterfaceOutput{AttachmentID: n.Attachment.ID, Card: r.Card}, nil
}

func (w *World) namedInstance(id string) (*instance, *Error) {
	if id == "" {
		return nil, missing("InstanceId")
	}
	if err := checkID(id, "i", CodeInstanceMalformed); err != nil {
		return nil, err
	}
	if i := w.instances[id]; i != nil {
		return i, nil
	}
	return nil, instanceNotFound(id)
}

// mayAttach judges the limits of the instance's type, its cards and its device indexes.
func (w *World) mayAttach(r AttachNetworkInterface, n NetworkInterface, i *instance) *Error {
	t, _ := w.instanceType(i.Type)
	switch {
	case r.Device < 0:
		return invalid("Value (%d) for parameter deviceIndex is invalid.", r.Device)
	case r.Card < 0 || r.Card >= len(t.InterfacesPerCard):
		return invalid("NetworkCard index '%d' exceeds the limit for %s", r.Card, i.Type)
	}
	if slices.Contains(i.blocked, slot{r.Card, r.Device}) {
		return invalid("Instance '%s' cannot use device index '%d' before it was stopped and started.", i.ID, r.Device)
	}
	held, onCard := w.holding(i), 0
	for _, other := range held {
		if other.Attachment.Card != r.Card {
			continue
		}
		if other.Attachment.Device == r.Device {
			return invalid("Instance '%s' already has an interface attached at device index '%d'.", i.ID, r.Device)
		}
		onCard++
	}
	switch {
	case len(held)+1 > t.Interfaces:
		return Refuse(CodeAttachmentLimit, "Interface count %d exceeds the limit for %s", len(held)+1, i.Type)
	case onCard+1 > t.InterfacesPerCard[r.Card]:
		return Refuse(CodeAttachmentLimit, "Interface count %d exceeds the limit for network card %d of %s",
			onCard+1, r.Card, i.Type)
	case n.slots4() > t.IPv4PerInterface || n.slots6() > t.IPv6PerInterface:
		return Refuse(CodeAddressLimit, messageAddressLimit)
	case len(n.Prefixes)+len(n.IPv6Prefixes) > 0 && !t.Prefixes():
		return Refuse(CodeUnsupported, messagePrefixNeedsNitro)
	}
	return w.usable(n.VPC, w.weight(&n)+1)
}

func (r DetachNetworkInterface) call(w *World, c *call) (Output, *Error) {
	n, err := w.attachedAs(r.AttachmentID)
	if err != nil {
		return nil, err
	}
	switch {
	case n.Attachment.Device == 0 && n.Attachment.Card == 0:
		return nil, Refuse(CodeNotPermitted, messagePrimaryStays)
	case n.Attachment.Status() == Detaching:
		return nil, Refuse(CodeState, "attachment '%s' is already detaching", r.AttachmentID)
	case n.Attachment.Status() == Attaching && !r.Force:
		return nil, Refuse(CodeState, "attachment '%s' is still attaching", r.AttachmentID)
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	w.part(c.effect, n)
	if i := w.instances[n.Instance()]; r.Force && w.config.ForcedDetachBlocks && i != nil {
		i.blocked = append(i.blocked, slot{n.Attachment.Card, n.Attachment.Device})
	}
	return Done{}, nil
}

// attachedAs finds the interface with a living attachment.
func (w *World) attachedAs(id string) (NetworkInterface, *Error) {
	if id == "" {
		return NetworkInterface{}, missing("AttachmentId")
	}
	if err := checkID(id, "eni-attach", CodeAttachmentMalformed); err != nil {
		return NetworkInterface{}, err
	}
	if n, ok := w.present(w.attached[id]); ok && n.Attachment != nil && n.Attachment.ID == id {
		return n, nil
	}
	return NetworkInterface{}, Refuse(CodeAttachmentNotFound, "An attachment with ID '%s' does not exist", id)
}

// part ends an attachment at an instant, or earlier if that was decided before.
func (w *World) part(at time.Time, n NetworkInterface) {
	if end := n.Attachment.DetachedAt; !end.IsZero() && end.Before(at) {
		return
	}
	at = w.notBefore(n.ID, at)
	n = n.clone()
	n.Attachment.DetachedAt = at
	last := n.clone()
	w.put(w.now, n.ID, &n)
	w.later(pending{at: at, kind: LinkDetached, instance: n.Attachment.Instance, eni: n.ID, last: &last})
}

func (r ModifyNetworkInterfaceAttribute) call(w *World, c *call) (Output, *Error) {
	n, err := w.named(r.ID)
	if err != nil {
		return nil, err
	}
	kinds := 0
	for _, given := range []bool{r.Attachment != nil, r.Description != nil, len(r.Groups) > 0, r.SourceDestCheck != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return nil, Refuse(CodeMissingParameter, "No attributes specified: "+messageOneAttribute)
	case kinds > 1:
		return nil, Refuse(CodeCombination, "Fields for multiple attribute types specified: "+messageOneAttribute)
	}
	n = n.clone()
	if err := w.modify(&n, r); err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	w.rewrite(c, n)
	return Done{}, nil
}

// modify changes the one attribute that the request has.
func (w *World) modify(n *NetworkInterface, r ModifyNetworkInterfaceAttribute) *Error {
	switch {
	case r.Attachment != nil:
		if r.Attachment.AttachmentID == "" {
			return missing("Attachment.AttachmentId")
		}
		if r.Attachment.DeleteOnTermination == nil {
			return missing("Attachment.DeleteOnTermination")
		}
		if err := checkID(r.Attachment.AttachmentID, "eni-attach", CodeAttachmentMalformed); err != nil {
			return err
		}
		if n.Attachment == nil || n.Attachment.ID != r.Attachment.AttachmentID {
			return Refuse(CodeAttachmentNotFound, "The attachment '%s' is not one of '%s'", r.Attachment.AttachmentID, n.ID)
		}
		n.Attachment.DeleteOnTermination = *r.Attachment.DeleteOnTermination
	case r.Description != nil:
		if len(r.Description.Value) > 255 {
			return invalid("the description has %d characters; at most 255 are allowed", len(r.Description.Value))
		}
		n.Description = r.Description.Value
	case r.SourceDestCheck != nil:
		n.SourceDestCheck = r.SourceDestCheck.Value
	default:
		groups, err := w.groupsFor(n.VPC, r.Groups)
		if err != nil {
			return err
		}
		n.Groups = groups
	}
	return nil
}

func (r DescribeNetworkInterfaceAttribute) call(w *World, c *call) (Output, *Error) {
	if !slices.Contains([]string{"description", "groupSet", "sourceDestCheck", "attachment"}, r.Attribute) {
		if r.Attribute == "" {
			return nil, missing("Attribute")
		}
		return nil, invalid("Value (%s) for parameter attribute is invalid.", r.Attribute)
	}
	if _, err := w.named(r.ID); err != nil {
		return nil, err
	}
	n := w.enis[r.ID].view(c.view)
	if n == nil {
		return nil, eniNotFound(r.ID)
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	out := DescribeNetworkInterfaceAttributeOutput{Attribute: r.Attribute, NetworkInterface: n.clone()}
	for _, id := range n.Groups {
		g := SecurityGroup{ID: id}
		if known := w.groups[id]; known != nil {
			g = *known
		}
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}
