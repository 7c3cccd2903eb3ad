package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/enichain/enichain/ipam"
)

// text is the client token: the same for the same life of the same slot, whoever asks (protocol A3). EC2 takes up to
// 64 characters.
func (t token) text(id ipam.InstanceID, slot int) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("enichain\x00%s\x00%s\x00%d\x00%d\x00%d", id, t.inc, slot, t.gen, t.k)))
	return hex.EncodeToString(sum[:16])
}

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
	if cr := n.creations[call.Device]; call.Action == Create && cr != nil {
		c.created(now, n, cr, call, a)
	}
	removes := call.Action == Unassign || call.Action == Detach || call.Action == Delete
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

// created settles the record of a Create as far as its answer allows.
func (c *Core) created(now Now, n *node, cr *creation, call Call, a Answer) {
	switch a.Class {
	case Done:
		cr.t.made = a.ENI.ID
		n.tokens[call.Device] = cr.t
		delete(n.creations, call.Device)
	case Unknown, Mismatch:
		cr.deadline, cr.absent, cr.mismatch = n.started+Deadline, never, a.Class == Mismatch
		cr.deadline = max(cr.deadline, now.At)
	default: // nothing was made
		if cr.once {
			return // by this attempt; lists have still to show what an earlier one did
		}
		n.tokens[call.Device] = cr.t
		delete(n.creations, call.Device)
	}
	cr.once = true
}

// done applies a success.
func (c *Core) done(now Now, n *node, call Call, a Answer) {
	o := overlay{at: now.At, action: call.Action, eni: call.ENI, attachment: call.Attachment, device: call.Device, addresses: call.Addresses}
	r := ipam.Record{ENI: call.ENI, Took: a.Took, Address: call.Addresses}
	switch call.Action {
	case Create:
		o.eni, o.row = a.ENI.ID, *a.ENI
		r.Verb, r.ENI, r.Address = ipam.ENICreated, a.ENI.ID, a.ENI.Addresses
		r.Cause = fmt.Sprintf("slot %d in %s", call.Device, a.ENI.Subnet)
		c.gave(now, call.Subnet, len(a.ENI.Addresses)+1)
	case Attach:
		o.attachment = a.Attachment
		r.Verb, r.Cause = ipam.ENIAttached, "device "+strconv.Itoa(call.Device)
		if t := n.enis[call.ENI]; t != nil && t.named {
			t.reattached = append(t.reattached, now.At)
		}
	case Assign:
		o.addresses, r.Address, r.Verb = a.Addresses, a.Addresses, ipam.AddressAssigned
		if t := n.enis[call.ENI]; t != nil {
			t.retired = false
		}
		c.gave(now, call.Subnet, len(a.Addresses))
	case Unassign:
		r.Verb = ipam.AddressUnassigned
	case Detach:
		r.Verb, r.Cause = ipam.ENIDetached, "device "+strconv.Itoa(call.Device)
		if t := n.enis[call.ENI]; t != nil {
			t.retired = true
		}
	case Delete:
		r.Verb = ipam.ENIDeleted
	}
	if call.Action == Create || call.Action == Attach || call.Action == Assign {
		n.grewAt = now.At
	}
	if a.Class == Gone {
		r.Cause = a.Code // it was gone before
		n.wantList(now, 0)
	}
	if o.action == Detach { // the attachment's life is over: its beginning must not be laid over a list that shows the end
		n.overlay = slices.DeleteFunc(n.overlay, func(old overlay) bool { return old.action == Attach && old.eni == o.eni })
	}
	o.apply(n)
	n.overlay = append(n.overlay, o)
	n.fails, n.retryAt, n.wantFails, n.refusal = 0, now.At, 0, nil
	if r.Verb != "" {
		c.tell(now, n, r)
	}
}

// lost is a call whose outcome nobody knows: its interface is left alone until a list that began late enough to show
// it (protocol r5). A Create has its own record.
func (c *Core) lost(now Now, n *node, call Call, a Answer) {
	until := max(n.started+Deadline, now.At) + settle
	if call.ENI != "" {
		n.unknown[call.ENI] = until
	}
	if t := n.enis[call.ENI]; t != nil && call.Action == Detach {
		t.retired = true
	}
	if call.Action == Assign {
		n.grewAt = now.At
	}
	n.fails++
	n.wantList(now, until-now.At)
	n.retryAt = now.At + n.pause(time.Second, 30*time.Second)
	n.refuse(now, a, fmt.Sprintf("%s was not answered", call.Action))
}

// failed is a call that did nothing.
func (c *Core) failed(now Now, n *node, call Call, a Answer) {
	if a.Class == NotSent {
		n.retryAt = now.At + time.Second
		if a.Code != "" {
			n.refuse(now, a, fmt.Sprintf("EC2 throttles %s", call.Action))
		}
		return
	}
	n.fails++
	least, most := time.Second, 30*time.Second
	text := fmt.Sprintf("EC2 refuses %s: %s", call.Action, a.Text)
	switch a.Class {
	case Away:
		text = fmt.Sprintf("EC2 cannot be reached: %s", a.Text)
	case Throttled: // the rate of all is the cloud's to slow down; this only spreads the nodes
		text = fmt.Sprintf("EC2 throttles %s", call.Action)
		most = 10 * time.Second
	case SubnetFull:
		if call.Subnet != "" {
			c.refused(now, call.Subnet, a.Code)
		}
	case Limit:
		if t := n.enis[call.ENI]; t != nil {
			t.heldUp = true
		}
		n.wantList(now, 0)
		least, most = 5*time.Second, 5*time.Minute
	case Stale, Gone, Mismatch:
		n.wantList(now, backoff(n.fails, time.Second, 30*time.Second))
		least = 2 * time.Second
	case Transition:
		n.wantList(now, 5*time.Second)
		least = 5 * time.Second
	default: // Quota, Denied, BadConfig, Clock, Other: people must act
		least, most = 10*time.Second, 5*time.Minute
	}
	n.retryAt = now.At + n.pause(least, most)
	n.refuse(now, a, text)
}

// refuse keeps what EC2 said for the supply's Why.
func (n *node) refuse(now Now, a Answer, text string) {
	since := now.Wall
	if n.refusal != nil && n.refusal.Code == a.Code {
		since = n.refusal.Since
	}
	if len(text) > 160 {
		text = text[:160]
	}
	n.refusal = &ipam.Why{Code: a.Code, Text: text, Since: since, RetryIn: seconds(n.retryAt - now.At)}
}

// pause doubles with each failure in a row, and differs between nodes by up to a quarter, so that they do not come
// back together.
func (n *node) pause(least, most time.Duration) time.Duration {
	d := backoff(n.fails, least, most)
	h := fnv.New32a()
	fmt.Fprint(h, n.id, n.fails)
	return d + d/4*time.Duration(h.Sum32()%1000)/1000
}
