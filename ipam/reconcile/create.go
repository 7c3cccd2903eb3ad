package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// text is the client token: the same for the same life of the same slot, whoever asks (protocol A3). EC2 takes up to
// 64 characters.
func (t token) text(id ipam.InstanceID, slot ipam.Slot) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("enichain\x00%s\x00%s\x00%s\x00%d\x00%d", id, t.inc, slot, t.gen, t.k)))
	return hex.EncodeToString(sum[:16])
}

// doubted says whether another leader may have made interfaces that we do not know of: we lead since lately, the node
// follows somebody else, or our news of it are older than two heartbeats may be apart.
func (c *Core) doubted(now Now, n *node) bool {
	return now.At-c.ledSince < Visibility+Deadline || n.outbidAt != never || now.At-n.heard > 90*time.Second
}

// create fills a Create: the token, and with it the subnet and the count, are chosen once (protocol A3).
func (c *Core) create(now Now, n *node, call Call, a ipam.Action, l ipam.Limits) (Call, bool) {
	call.Action = Create
	slot := call.place()
	if cr := n.creations[slot]; cr != nil {
		again := !cr.mismatch && cr.deadline != never && n.begun >= cr.deadline+settle
		if !again {
			n.wantList(now, settle)
		}
		old := cr.call
		old.Urgency, old.NotAfter = call.Urgency, call.NotAfter
		return old, again
	}
	if c.doubted(now, n) && !n.fresh(now) {
		n.wantList(now, 0)
		return call, false
	}
	p, ok := c.pool(n, a.Pool)
	where := c.choose(now, n, p, l)
	groups := c.groupsOf(n, p)
	if !ok || where.subnet == "" || len(groups) == 0 || n.incAt != never && now.At-n.incAt < Visibility {
		return call, false
	}
	t, ok := n.nextToken(slot)
	if !ok {
		return call, false
	}
	call.Subnet, call.Groups, call.Token = where.subnet, groups, t.text(n.id, slot)
	later6 := 0
	if six := c.subnets[where.subnet].CIDR6.IsValid() && p.has6() && l.Prefixes; six {
		call.Addrs6, later6 = 1, a.Prefixes6
	}
	switch {
	case a.Prefixes > 0 && where.blocks:
		call.Prefixes = a.Prefixes
	case a.Prefixes > 0:
		return call, false
	default:
		call.Count = min(a.Count, where.most)
		if where.blocks {
			most, ok := c.open(now, n, where.subnet)
			if call.Count = min(a.Count, most); !ok && a.Count > 0 {
				return call, false
			}
		}
	}
	c.dress(n, p, &call, slot)
	if n.barred(now, call) || !c.pass(now, n, call) {
		return call, false
	}
	n.creations[slot] = &creation{t: t, later6: later6, call: call, deadline: never, absent: never}
	return call, true
}

// dress puts tags and a description on a Create.
func (c *Core) dress(n *node, p Pool, call *Call, slot ipam.Slot) {
	call.Tags = map[string]string{}
	maps.Copy(call.Tags, c.cfg.Tags)
	call.Tags[TagCluster], call.Tags[TagPool] = c.cfg.Cluster, p.Name
	call.Tags[TagNode], call.Tags[TagSlot] = string(n.id), slot.String()
	call.About = strings.NewReplacer("{cluster}", c.cfg.Cluster, "{node}", string(n.id), "{pool}", p.Name).Replace(p.About)
}

// nextToken is what the next Create for a slot is made of; false while what the last one made is still there.
func (n *node) nextToken(slot ipam.Slot) (token, bool) {
	t := token{inc: n.snap.Inc, gen: n.snap.Gen}
	if old, ok := n.tokens[slot]; ok && old.inc == t.inc && old.gen == t.gen {
		if old.made != "" && n.enis[old.made] != nil {
			return t, false
		}
		t.k = old.k
		if old.made != "" {
			t.k++ // what this token made is proven gone
		}
	}
	return t, true
}

// unanswered says whether any Create has had no answer.
func (n *node) unanswered() bool {
	for _, cr := range n.creations {
		if cr.deadline != never {
			return true
		}
	}
	return false
}

// created settles the record of a Create as far as its answer allows.
func (c *Core) created(now Now, n *node, cr *creation, call Call, a Answer) {
	slot := call.place()
	switch a.Class {
	case Done:
		cr.t.made = a.ENI.ID
		n.tokens[slot] = cr.t
		delete(n.creations, slot)
	case Unknown, Mismatch:
		cr.deadline, cr.absent, cr.mismatch = n.started+Deadline, never, a.Class == Mismatch
		cr.deadline = max(cr.deadline, now.At)
	default: // nothing was made
		if cr.once {
			return // by this attempt; lists have still to show what an earlier one did
		}
		n.tokens[slot] = cr.t
		delete(n.creations, slot)
	}
	cr.once = true
}

// settleCreations ends Creates whose outcome the list shows: the interface is there, or it is proven not to be.
func (c *Core) settleCreations(now Now, n *node, begun time.Duration) {
	for _, s := range n.slots() {
		cr := n.creations[s]
		if n.inflight != nil && n.inflight.Action == Create && n.inflight.place() == s {
			continue
		}
		i := slices.IndexFunc(n.sorted(), func(t *tracked) bool { return t.slot == s && t.node == n.id && !t.ghost })
		switch {
		case i >= 0:
			cr.t.made = n.sorted()[i].ID
			n.tokens[s] = cr.t
			delete(n.creations, s)
		case cr.absent == never:
			cr.absent = begun
			n.wantList(now, Visibility)
		case begun-cr.absent >= Visibility && begun >= cr.deadline+Visibility:
			if cr.mismatch {
				cr.t.k++ // one existed by this token, and is proven gone
			}
			n.tokens[s] = cr.t
			delete(n.creations, s)
		default:
			n.wantList(now, Visibility)
		}
	}
}
