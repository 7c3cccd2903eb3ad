package store

import (
	"encoding/json"
	"slices"

	"github.com/enichain/enichain/ipam"
)

// Links tells the pool which network interface links the kernel shows: a level, always the whole list. Pending
// addresses of a link that is ready become free; when a link is gone its free addresses are held and its leases lost.
// changed is false when the pool stood so already.
func (t *Tx) Links(now Now, links []Link) (changed bool, err error) {
	t.storeLinks(links)
	for _, e := range t.ranked() {
		was := *e
		t.lookUp(e)
		if was.Link == e.Link && was.Present == e.Present && was.Ready == e.Ready {
			continue
		}
		changed = true
		t.tell(e)
		t.bump()
		t.chance()
		if was.Present != e.Present {
			t.present(e)
		}
		t.turnFree(e)
	}
	t.prune()
	return changed, t.err
}

// present follows a link that came or went, in the states of its addresses.
func (t *Tx) present(e *ENI) {
	for _, r := range t.addresses() {
		if r.ENI != e.ENI {
			continue
		}
		lost := !e.Present || !r.Listed
		switch {
		case r.State == ipam.Free && lost:
			t.forget(r)
		case (r.State == ipam.Leased || r.State == ipam.Cooling) && r.Lost != lost:
			t.change(r, func(r *Address) { r.Lost = lost })
		}
	}
}

// lookUp copies what the kernel shows of an interface into its record.
func (t *Tx) lookUp(e *ENI) {
	l, ok := t.links()[e.MAC]
	e.Present, e.Ready = ok, ok && l.Ready
	if ok {
		e.Link = l.Name
	}
}

func (t *Tx) links() map[string]Link {
	all := map[string]Link{}
	t.each(bucketLinks, nil, func(k, v []byte) bool {
		var l Link
		if t.decode(v, &l) {
			all[string(k)] = l
		}
		return true
	})
	return all
}

func (t *Tx) storeLinks(links []Link) {
	old := t.links()
	for _, l := range links {
		was, ok := old[l.MAC]
		a, _ := json.Marshal(was)
		b, _ := json.Marshal(l)
		if !ok || !slices.Equal(a, b) {
			t.put(bucketLinks, []byte(l.MAC), l)
		}
		delete(old, l.MAC)
	}
	for mac := range old {
		t.delete(bucketLinks, []byte(mac))
	}
}
