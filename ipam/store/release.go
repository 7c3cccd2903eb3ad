package store

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/enichain/enichain/ipam"
)

// CollectAge is the least age of a lease that GC may end (protocol i4): younger ones may belong to an ADD whose runtime
// has not written them down yet.
const CollectAge = 2 * time.Minute

// Release ends a lease and its ticket; the addresses cool, or are held if their interface is gone. ok is false when
// there was no lease, which is no error. cause goes into the record and is empty for a plain DEL.
func (t *Tx) Release(now Now, a ipam.Attachment, cause string) (l Lease, ok bool) {
	t.endTicket(a)
	if !t.get(bucketLeases, leaseKey(a), &l) {
		return Lease{}, false
	}
	t.free(now, l.Addresses, a)
	t.delete(bucketLeases, leaseKey(a))
	switch {
	case len(l.Prefixes) > 0:
		t.leaveBridges(l)
	case len(l.Gateways) > 0:
		t.leaveGateway(now)
	}
	t.record(now, ipam.Record{Verb: ipam.PodDeleted, Network: a.Network, Container: a.Container, IfName: a.IfName,
		Netns: l.Netns, Address: l.Addresses, ENI: l.ENIID, Pod: l.Pod, Cause: cause})
	t.bump()
	return l, true
}

func (t *Tx) free(now Now, addresses []netip.Addr, owner ipam.Attachment) {
	for _, addr := range addresses {
		a, ok := t.address(addr)
		if !ok || a.State != ipam.Leased || a.Owner != owner {
			continue // a record that contradicts its lease frees nothing of somebody else's
		}
		if a.Lost {
			t.forget(a)
			continue
		}
		pool := "" // of a rebuilt lease that no supply has placed: the default
		if e := t.load()[a.ENI]; e != nil {
			pool = e.Pool
		}
		t.change(a, func(a *Address) {
			a.State, a.Owner, a.Freed, a.Until = ipam.Cooling, ipam.Attachment{}, now.Boot, now.After(t.meta.cooldown(pool))
		})
		t.chance() // a waiter wants to know when it ends
	}
}

// leaveGateway takes one user off the reserved gateway, and ends it with the last.
func (t *Tx) leaveGateway(now Now) {
	owner := GatewayAttachment()
	var g Lease
	if !t.get(bucketLeases, leaseKey(owner), &g) {
		return
	}
	if g.Users--; g.Users > 0 {
		t.put(bucketLeases, leaseKey(owner), &g)
		return
	}
	t.free(now, g.Addresses, owner)
	t.delete(bucketLeases, leaseKey(owner))
}

// Collect ends the leases of a network that are not in keep: those older than started, when the caller's list was made,
// and older than CollectAge (protocol i4). A nil keep means that there is no list, and nothing is ended.
func (t *Tx) Collect(now Now, network string, keep []ipam.Attachment, started ipam.Instant, cause string) []Lease {
	if keep == nil || network == "" || strings.HasPrefix(network, "#") {
		return nil
	}
	var stale []ipam.Attachment
	t.each(bucketLeases, []byte(network+"\x00"), func(_, v []byte) bool {
		var l Lease
		if t.decode(v, &l) && !slices.Contains(keep, l.Attachment) &&
			l.At < started && now.Boot-l.At > ipam.Instant(CollectAge) {
			stale = append(stale, l.Attachment)
		}
		return true
	})
	var ended []Lease
	for _, a := range stale {
		if l, ok := t.Release(now, a, cause); ok {
			ended = append(ended, l)
		}
	}
	return ended
}
