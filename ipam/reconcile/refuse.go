package reconcile

import (
	"fmt"
	"time"

	"github.com/enichain/enichain/ipam"
)

// lost is a call whose outcome nobody knows: its interface is left alone until a list that began late enough to show
// it (protocol r5). A Create has its own record.
func (c *Core) lost(now Now, n *node, call Call, a Answer) {
	until := max(n.started+Deadline, now.At) + settle
	if call.ENI != "" {
		n.unknown[call.ENI] = doubtful{until, call}
	}
	if t := n.enis[call.ENI]; t != nil && call.Action == Detach {
		t.retired = true
	}
	if grows(call) {
		n.grewAt[call.Pool] = now.At
	}
	n.fails++
	n.wantList(now, until-now.At)
	n.retryAt = now.At + n.pause(n.fails, time.Second, 30*time.Second)
	n.refuse(now, call, a, fmt.Sprintf("%s was not answered", call.Action), n.retryAt)
}

// failed is a call that did nothing.
func (c *Core) failed(now Now, n *node, call Call, a Answer) {
	text := fmt.Sprintf("EC2 refuses %s: %s", call.Action, a.Text)
	switch a.Class {
	case NotSent:
		n.retryAt = now.At + time.Second
		if a.Code != "" {
			n.refuse(now, call, a, fmt.Sprintf("EC2 throttles %s", call.Action), n.retryAt)
		}
		return
	case Away, Clock:
		if a.Class == Away {
			text = fmt.Sprintf("EC2 cannot be reached: %s", a.Text)
		}
		n.fails++
		n.retryAt = now.At + n.pause(n.fails, time.Second, 30*time.Second)
		n.refuse(now, call, a, text, n.retryAt)
		return
	case Throttled: // the rate of all is the cloud's to slow down; this only spreads the nodes
		until := n.bar(now, string(call.Action), time.Second, 10*time.Second)
		n.refuse(now, call, a, fmt.Sprintf("EC2 throttles %s", call.Action), until)
		return
	case SubnetFull:
		if call.Prefixes == 0 && call.Action != Assign6 && call.Subnet != "" {
			c.refused(now, call.Subnet, a.Code)
			n.refuse(now, call, a, text, now.At)
			return
		}
		text = c.blockText(call, a)
	}
	if c.bolt(now, call, a, text) {
		n.refuse(now, call, a, text, c.opens(now, call))
		return
	}
	n.refuse(now, call, a, text, c.settleFailure(now, n, call, a))
}

// settleFailure bars a call that was refused to this node alone, and has the node listed where our picture is old.
func (c *Core) settleFailure(now Now, n *node, call Call, a Answer) time.Duration {
	least, most := 10*time.Second, 5*time.Minute // people must act
	switch a.Class {
	case Limit:
		if t := n.enis[call.ENI]; t != nil {
			t.heldUp = true
		}
		n.wantList(now, 0)
		least = 5 * time.Second
	case Stale, Gone, Mismatch:
		least, most = 2*time.Second, 30*time.Second
		n.wantList(now, backoff(n.bars[call.subject()].fails+1, time.Second, 30*time.Second))
	case Transition:
		n.wantList(now, 5*time.Second)
		least, most = 5*time.Second, 30*time.Second
	}
	return n.bar(now, call.subject(), least, most)
}

// bar keeps the node from the same for a while, longer each time; it returns until when.
func (n *node) bar(now Now, key string, least, most time.Duration) time.Duration {
	b := n.bars[key]
	b.fails++
	b.until = now.At + n.pause(b.fails, least, most)
	n.bars[key] = b
	return b.until
}

// opens is when the last of the gates that a call has to pass opens.
func (c *Core) opens(now Now, call Call) time.Duration {
	until := now.At
	for _, key := range gatesOf(call) {
		if g := c.gates[key]; g != nil {
			until = max(until, g.until)
		}
	}
	return until
}

// blockText says that a subnet has no prefix to give.
func (c *Core) blockText(call Call, a Answer) string {
	s := c.subnets[call.Subnet]
	switch {
	case call.Action == Assign6:
		return fmt.Sprintf("%s (%s) has no free /80: %s", call.Subnet, s.CIDR6, a.Code)
	case a.Code == full || a.Code == unclear && s.Free < block:
		return fmt.Sprintf("%s (%s) has %d free addresses, less than a /28", call.Subnet, s.CIDR, s.Free)
	}
	return fmt.Sprintf("%s (%s) has %d free addresses, but no free, aligned /28; "+
		"reserve a range of it for prefixes, or use mode auto", call.Subnet, s.CIDR, s.Free)
}

// refuse keeps what EC2 said for the supply's Why.
func (n *node) refuse(now Now, call Call, a Answer, text string, until time.Duration) {
	if !grows(call) {
		return
	}
	code := a.Code
	if code == "" {
		code = string(a.Class)
	}
	why := &ipam.Why{Code: code, Text: shorten(text), Since: now.Wall, RetryIn: seconds(until - now.At)}
	if old := n.refusals[call.Pool]; old != nil && old.Code == code {
		why.Since = old.Since
	}
	if a.Class == SubnetFull {
		why.Subnet = call.Subnet
	}
	n.refusals[call.Pool] = why
}

// shorten keeps a text short enough for a pod's event.
func shorten(text string) string {
	const most = 240
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not in the middle of a character
		cut--
	}
	return text[:cut] + "…"
}

// pause doubles with each failure in a row, and differs between nodes by up to a quarter, so that they do not come
// back together.
func (n *node) pause(fails int, least, most time.Duration) time.Duration {
	return spread(backoff(fails, least, most), n.id, fails)
}
