package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/enichain/enichain/ipam"
)

// state is where an interface stands in protocol A3.
func (c *Core) state(now Now, n *node, t *tracked, e ipam.NodeENI) ipam.ENIState {
	switch {
	case t.ghost:
		return ipam.ENIOther
	case t.Instance != "":
		switch {
		case t.Detaching:
			return ipam.ENIOther
		case e.Primary && t.left, !e.Primary && !t.ours(n):
			return ipam.ENIForeign
		case !e.Primary && (n.draining(t.ID) || spent(e)):
			return ipam.ENIDraining
		}
		return ipam.ENIUsed
	case !t.ours(n) || t.missing != never:
		return ipam.ENIOther
	}
	return c.unattached(now, n, t, e)
}

// spent says whether the node has given up all of an interface that had something.
func spent(e ipam.NodeENI) bool {
	return e.Listed+len(e.Delegated)+len(e.IPv6.Prefixes) > 0 && e.Spent()
}

// used says whether pods have addresses of an interface, or had lately.
func used(e ipam.NodeENI) bool { return e.Leased+e.Cooling+e.IPv6.Leased+e.IPv6.Cooling > 0 }

// unattached tells apart why an interface of ours is not attached: we gave it up, others took it away, or it never was.
func (c *Core) unattached(now Now, n *node, t *tracked, e ipam.NodeENI) ipam.ENIState {
	switch {
	case used(e):
		t.retired = false
		if t.takenAway(now) {
			c.alarm(now, n, t)
			return ipam.ENIOther
		}
		return ipam.ENILost
	case t.retired:
		return ipam.ENIRetired
	case !t.named:
		return ipam.ENIOurs
	case n.begun-t.available >= Visibility && n.heard > t.available && !c.cfg.Orphans.Keep:
		t.retired = true // named without a lease by a snapshot newer than the loss: given up, by whoever led then
		return ipam.ENIRetired
	}
	return ipam.ENIOther
}

// takenAway says whether others have detached an interface so often within an hour that it stays away (protocol A9).
func (t *tracked) takenAway(now Now) bool {
	t.reattached = slices.DeleteFunc(t.reattached, func(at time.Duration) bool { return now.At-at > time.Hour })
	if len(t.reattached) < reattaches {
		t.alarmed = false
		return false
	}
	return true
}

// alarm tells people once that an interface with pods on it stays away.
func (c *Core) alarm(now Now, n *node, t *tracked) {
	if !t.alarmed {
		t.alarmed = true
		c.tell(now, n, ipam.Record{Verb: ipam.ENIDetached, ENI: t.ID, Cause: takenText(t)})
	}
}

func takenText(t *tracked) string {
	return fmt.Sprintf("%s was detached by others %d times within an hour and stays away; its pods are without network. "+
		"Attach it, or tag it %s=true", t.ID, len(t.reattached)+1, TagNoManage)
}
