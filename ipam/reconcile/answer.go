package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/enichain/enichain/ipam"
)

// answer takes in what became of a call and returns its node.
func (c *Core) answer(now Now, a Answer) *node {
	n := c.calls[a.ID]
	if n == nil || n.inflight == nil || n.inflight.ID != a.ID {
		return nil
	}
	call := *n.inflight
	n.inflight = nil
	delete(c.calls, a.ID)
	if m := c.marks[call.Subnet]; m != nil && m.probe == n.id {
		m.probe = ""
	}
	if call.Action == Create {
		if a.Class == Done && a.ENI == nil {
			a.Class, a.Text = Unknown, "the answer names no network interface"
		}
		if cr := n.creations[call.place()]; cr != nil {
			c.created(now, n, cr, call, a)
		}
	}
	c.tried(call, n, a)
	removes := slices.Contains([]Action{Unassign, Unassign6, Detach, Delete}, call.Action)
	switch {
	case a.Class == Done, a.Class == Gone && removes:
		c.done(now, n, call, a)
	case a.Class == Unknown:
		c.lost(now, n, call, a)
	default:
		c.failed(now, n, call, a)
	}
	return n
}

// done applies a success.
func (c *Core) done(now Now, n *node, call Call, a Answer) {
	o := overlay{at: now.At, action: call.Action, eni: call.ENI, attachment: call.Attachment, slot: call.place(),
		addresses: call.Addresses, prefixes: call.Give, groups: call.Groups}
	r := ipam.Record{ENI: call.ENI, Took: a.Took, Address: call.Addresses, Cause: texts(call.Give)}
	switch call.Action {
	case Create:
		o.eni, o.row = a.ENI.ID, *a.ENI
		r.Verb, r.ENI, r.Address = ipam.ENICreated, a.ENI.ID, a.ENI.Addresses
		r.Cause = strings.TrimSpace(fmt.Sprintf("slot %s in %s %s", call.place(), a.ENI.Subnet, texts(a.ENI.Prefixes)))
		c.gave(now, call.Subnet, len(a.ENI.Addresses)+1+block*len(v4(a.ENI.Prefixes)))
	case Attach:
		o.attachment = a.Attachment
		r.Verb, r.Cause = ipam.ENIAttached, "device "+call.place().String()
		if t := n.enis[call.ENI]; t != nil && t.named {
			t.reattached = append(t.reattached, now.At)
		}
	case Assign, Assign6:
		o.addresses, o.prefixes = a.Addresses, a.Prefixes
		r.Verb, r.Address, r.Cause = ipam.AddressAssigned, a.Addresses, texts(a.Prefixes)
		if t := n.enis[call.ENI]; t != nil {
			t.retired = false
		}
		if call.Action == Assign {
			c.gave(now, call.Subnet, len(a.Addresses)+block*len(a.Prefixes))
		}
	case Unassign, Unassign6:
		r.Verb = ipam.AddressUnassigned
	case Detach:
		r.Verb, r.Cause = ipam.ENIDetached, "device "+call.place().String()
		if t := n.enis[call.ENI]; t != nil {
			t.retired = true
		}
	case Delete:
		r.Verb = ipam.ENIDeleted
	}
	if grows(call) {
		n.grewAt[call.Pool], n.servedAt = now.At, now.At
		delete(n.refusals, call.Pool)
	}
	if a.Class == Gone {
		r.Cause = a.Code // it was gone before
		n.wantList(now, 0)
	}
	n.lay(o)
	delete(n.bars, call.subject())
	delete(n.bars, string(call.Action))
	n.fails, n.retryAt, n.wantFails = 0, now.At, 0
	if r.Verb != "" {
		c.tell(now, n, r)
	}
}

// grows says whether a call is to get something for pods.
func grows(call Call) bool {
	return slices.Contains([]Action{Create, Attach, Assign, Assign6}, call.Action)
}

func v4(prefixes []netip.Prefix) (found []netip.Prefix) {
	for _, p := range prefixes {
		if p.Addr().Is4() {
			found = append(found, p)
		}
	}
	return found
}

func texts(prefixes []netip.Prefix) string {
	all := make([]string, len(prefixes))
	for i, p := range prefixes {
		all[i] = p.String()
	}
	return strings.Join(all, " ")
}
