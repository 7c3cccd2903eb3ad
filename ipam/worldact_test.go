package ipam

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// act does one action once EC2 and the node have done their part.
func (w *world) act(a Action) {
	w.t.Helper()
	i := slices.IndexFunc(w.enis, func(e *worldENI) bool { return e.ENI == a.ENI && a.ENI != "" })
	if a.Kind == ActCreate {
		w.create(a)
		return
	}
	if i < 0 {
		w.fail("%s of an interface that is not there", a.Kind)
	}
	e := w.enis[i]
	if e.State == ENIForeign || e.State == ENIOther {
		w.fail("%s is not ours to touch", e.ENI)
	}
	switch a.Kind {
	case ActAttach:
		w.attach(e, a)
	case ActAssign:
		w.assign(e, a)
	case ActUnassign:
		w.unassign(e, a)
	case ActDetach:
		if e.Primary || e.held() > 0 || a.Attachment != e.Attachment {
			w.fail("detach of %s, which is in use", e.ENI)
		}
		e.State, e.Attachment = ENIRetired, ""
	case ActDelete:
		if e.State != ENIRetired {
			w.fail("delete of %s, which is not given up", e.ENI)
		}
		w.enis = slices.Delete(w.enis, i, i+1)
	case ActBind:
		e.Unbound = false
	case ActRegroup:
		e.groups = false
	case ActWish:
		w.wish(e, a)
	}
}

// held is how many addresses of e are not fenced.
func (e *worldENI) held() int {
	count := 0
	for _, o := range append(e.lots, &e.singles) {
		count += o.free + o.leased + o.cooling
	}
	return count
}

func (w *world) create(a Action) {
	q := w.pool(a.Pool)
	slot := Slot{a.Card, a.Device}
	again := slices.IndexFunc(w.enis, func(e *worldENI) bool { return e.State == ENICreating && e.slot() == slot })
	if i := again; i >= 0 {
		w.enis = slices.Delete(w.enis, i, i+1) // answered
	} else if q == nil || q.Blocked {
		w.fail("%s is not to have an interface", a.Pool)
	}
	if a.Count > 0 && a.Prefixes > 0 || again < 0 && a.Count+a.Prefixes+a.Prefixes6 == 0 {
		w.fail("create of %d and %d/28", a.Count, a.Prefixes)
	}
	w.lives++
	e := &worldENI{NodeENI: NodeENI{ENI: ENIID(fmt.Sprintf("eni-new%d", w.lives)), Card: a.Card, Device: a.Device, State: ENIOurs,
		Pool: a.Pool, PodsOK: q != nil, Age: time.Hour, Named: true}}
	e.NoPrefixes, e.IPv6.Blocked = again < 0 && q.NoPrefixes, again < 0 && q.NoIPv6 // it is in the pool's subnet
	w.add(e, a)
	for _, other := range w.enis {
		if again < 0 && other.slot() == slot {
			w.fail("two interfaces for slot %s", slot)
		}
	}
	w.enis = append(w.enis, e)
	w.sort()
	total, on, own := len(w.enis), 0, 0
	for _, e := range w.enis {
		if e.Card == a.Card {
			on++
		}
		if e.Pool == a.Pool || e.Primary {
			own++
		}
	}
	if again < 0 && (total > w.l.Total() || on > w.l.OnCard(a.Card) || own > q.Target.MaxENIsOf(w.l)) {
		w.fail("%d interfaces, %d on card %d, %d of pool %s", total, on, a.Card, own, a.Pool)
	}
}

func (w *world) pool(name string) *worldPool {
	for _, q := range w.pools {
		if q.Name == name {
			return q
		}
	}
	return nil
}

func (w *world) sort() {
	slices.SortFunc(w.enis, func(a, b *worldENI) int {
		return cmp.Or(a.slot().Compare(b.slot()), cmp.Compare(a.ENI, b.ENI))
	})
}

func (w *world) attach(e *worldENI, a Action) {
	on := 0
	for _, other := range w.enis {
		if other.Attachment == "" {
			continue
		}
		if other.Card == a.Card {
			on++
		}
		if other.slot() == (Slot{a.Card, a.Device}) {
			w.fail("slot %d/%d is taken", a.Card, a.Device)
		}
	}
	if on >= w.l.OnCard(a.Card) || a.Device < 1 {
		w.fail("attach at %d/%d, where %d are", a.Card, a.Device, on)
	}
	e.State, e.Card, e.Device, e.Attachment, e.Unbound = ENIUsed, a.Card, a.Device, AttachmentID("at-"+string(e.ENI)), true
	w.sort()
}

func (w *world) assign(e *worldENI, a Action) {
	x := w.node().ENIs[slices.Index(w.enis, e)]
	f := IPv4
	if a.Prefixes6 > 0 {
		f = IPv6
	}
	if x.fences() || a.Count+a.Prefixes+a.Prefixes6 > x.vacant(w.l, f) || !e.PodsOK {
		w.fail("%+v on %s", a, e.ENI)
	}
	w.add(e, a)
}

// add enters addresses.
func (w *world) add(e *worldENI, a Action) {
	if a.Prefixes+a.Prefixes6 > 0 && !w.l.Prefixes || a.Prefixes > 0 && e.NoPrefixes {
		w.fail("prefixes on %s", e.ENI)
	}
	w.spent = true
	e.singles.free += a.Count
	for range a.Prefixes {
		e.delegate(IPv4)
	}
	for range a.Prefixes6 {
		e.delegate(IPv6)
	}
}

// delegate adds a prefix, all of it free.
func (e *worldENI) delegate(f Family) *lot {
	k := 0
	for slices.ContainsFunc(e.lots, func(o *lot) bool { return o.prefix == prefixOn(f, e.slot(), k) }) {
		k++
	}
	e.lots = append(e.lots, &lot{prefix: prefixOn(f, e.slot(), k), free: worth(f)})
	return e.lots[len(e.lots)-1]
}

func (w *world) unassign(e *worldENI, a Action) {
	if len(a.Addresses) > e.singles.fenced || len(a.Addresses) > 0 && len(a.Give) > 0 {
		w.fail("unassign of %d, %d are fenced", len(a.Addresses), e.singles.fenced)
	}
	e.singles.fenced -= len(a.Addresses)
	for _, p := range a.Give {
		i := slices.IndexFunc(e.lots, func(o *lot) bool { return o.prefix == p })
		if i < 0 || e.lots[i].fenced == 0 || p.Addr().Is4() != a.Give[0].Addr().Is4() {
			w.fail("unassign of %s", p)
		}
		e.lots = slices.Delete(e.lots, i, i+1)
	}
	if e.State == ENIDraining && e.singles.fenced == 0 && !slices.ContainsFunc(e.lots, func(o *lot) bool { return o.fenced > 0 }) {
		e.State = ENIUsed
	}
}

func (w *world) wish(e *worldENI, a Action) {
	if w.broke {
		w.fail("a wish without a budget")
	}
	w.spent = true
	f := IPv4
	if len(a.Give) > 0 && a.Give[0].Addr().Is6() {
		f = IPv6
	}
	if q := w.pool(e.Pool); q != nil && e.PodsOK && f == q.lead() {
		q.gave = true
	}
	lots := []*lot{&e.singles}
	switch {
	case a.Whole:
		if e.Primary || e.Age < 10*time.Minute {
			w.fail("all of %s", e.ENI)
		}
		lots, e.State = append(lots, e.lots...), ENIDraining
	case len(a.Give) > 0:
		i := slices.IndexFunc(e.lots, func(o *lot) bool { return o.prefix == a.Give[0] })
		if i < 0 || len(a.Give) > 1 || e.lots[i].free != PrefixSize(a.Give[0]) || e.lots[i].bridged {
			w.fail("a wish for %v", a.Give)
		}
		lots = e.lots[i : i+1]
	default:
		if a.Count < 1 || a.Count > MostAtOnce || a.Count > e.singles.free {
			w.fail("a wish for %d of %d", a.Count, e.singles.free)
		}
		e.singles.free, e.singles.fenced = e.singles.free-a.Count, e.singles.fenced+a.Count
		return
	}
	for _, o := range lots {
		if o.leased+o.cooling > 0 {
			w.fail("a wish for %s, where pods are", e.ENI)
		}
		o.free, o.fenced = 0, o.free+o.fenced
	}
}
