package vpc

import (
	"slices"
	"time"
)

// timeline is the life of a network interface: what it was from when on. Views of the past (describes that lag,
// instance metadata) read it; so does what takes effect later than it was accepted.
type timeline struct {
	versions []version // by time; never empty
	attached []string  // ids of all its attachments
	on       []string  // the instances of these
	bore     []Tag     // tags that it has or had
}

type version struct {
	at  time.Time
	eni *NetworkInterface // nil: deleted
}

// newest is the interface as all accepted calls leave it, whether or not they took effect yet.
func (t *timeline) newest() *NetworkInterface { return t.versions[len(t.versions)-1].eni }

// view is the interface as it was at an instant; nil before its creation and after its deletion.
func (t *timeline) view(at time.Time) *NetworkInterface {
	for i := len(t.versions) - 1; i >= 0; i-- {
		if v := t.versions[i]; !v.at.After(at) {
			if v.eni == nil {
				return nil
			}
			n := v.eni.resolve(at)
			return &n
		}
	}
	return nil
}

// notBefore is the earliest instant from a wanted one on at which an interface can change: the effects of calls on it
// keep the order in which the calls were accepted.
func (w *World) notBefore(id string, at time.Time) time.Time {
	if t := w.enis[id]; t != nil && at.Before(t.versions[len(t.versions)-1].at) {
		return t.versions[len(t.versions)-1].at
	}
	return at
}

// forget drops what no view reaches any more.
func (t *timeline) forget(now time.Time) {
	keep := 0
	for keep+1 < len(t.versions) && now.Sub(t.versions[keep+1].at) > Horizon {
		keep++
	}
	t.versions = slices.Delete(t.versions, 0, keep)
}

// departed is a deleted interface that lagging views may still see.
type departed struct {
	id string
	at time.Time
}

// purge forgets interfaces that were deleted longer than the Horizon ago.
func (w *World) purge() {
	n := 0
	for n < len(w.gone) && w.now.Sub(w.gone[n].at) > Horizon {
		id := w.gone[n].id
		w.unbear(id)
		for _, attachment := range w.enis[id].attached {
			delete(w.attached, attachment)
		}
		for _, on := range w.enis[id].on {
			w.instances[on].drop(id)
		}
		delete(w.enis, id)
		if i, ok := slices.BinarySearch(w.eniIDs, id); ok {
			w.eniIDs = slices.Delete(w.eniIDs, i, i+1)
		}
		n++
	}
	w.gone = slices.Delete(w.gone, 0, n)
}

// put adds a version of an interface from an instant on, and keeps the books that depend on it.
func (w *World) put(at time.Time, id string, n *NetworkInterface) {
	at = w.notBefore(id, at)
	t := w.enis[id]
	if t == nil {
		t = &timeline{}
		w.enis[id] = t
		i, _ := slices.BinarySearch(w.eniIDs, id)
		w.eniIDs = slices.Insert(w.eniIDs, i, id)
		w.live++
	} else {
		w.usage[t.newest().VPC] -= w.units(t.newest())
		t.forget(w.now)
	}
	if n == nil {
		w.live--
		w.gone = append(w.gone, departed{id, at})
	} else {
		w.usage[n.VPC] += w.units(n)
		n.clip()
	}
	if n != nil && len(t.versions) == 0 {
		w.bear(n)
	}
	t.versions = append(t.versions, version{at, n})
}

// units is the network address usage of an interface (VPC guide, "Network Address Usage"): of one that is attached, one
// for each address and prefix, and one more if it is not the instance's first.
func (w *World) units(n *NetworkInterface) int {
	if n == nil || n.Attachment == nil || !n.Attachment.DetachedAt.IsZero() {
		return 0
	}
	u := w.weight(n)
	if n.Attachment.Device != 0 || n.Attachment.Card != 0 {
		u++
	}
	return u
}

// weight is the usage of an interface's addresses and prefixes.
func (w *World) weight(n *NetworkInterface) int {
	prefixes := len(n.Prefixes) + len(n.IPv6Prefixes)
	return n.slots4() + n.slots6() + prefixes*(w.config.PrefixUnits-1)
}

// present is a living interface as accepted calls leave it at this instant.
func (w *World) present(id string) (NetworkInterface, bool) {
	t := w.enis[id]
	if t == nil || t.newest() == nil {
		return NetworkInterface{}, false
	}
	return t.newest().resolve(w.now), true
}

// NetworkInterface is the truth of an interface at an instant, without any lag of visibility.
func (w *World) NetworkInterface(now time.Time, id string) (NetworkInterface, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	if t := w.enis[id]; t != nil {
		if n := t.view(now); n != nil {
			return *n, true
		}
	}
	return NetworkInterface{}, false
}

// NetworkInterfaces is the truth of all interfaces at an instant, by id.
func (w *World) NetworkInterfaces(now time.Time) []NetworkInterface {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	var all []NetworkInterface
	for _, id := range w.eniIDs {
		if n := w.enis[id].view(now); n != nil {
			all = append(all, *n)
		}
	}
	return all
}

// Attached is the truth of an instance's interfaces at an instant, attaching and detaching ones too, by card and device
// index. It costs nothing that grows with the world.
func (w *World) Attached(now time.Time, instance string) []NetworkInterface {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	if i := w.instances[instance]; i != nil {
		return w.interfacesIn(i, now)
	}
	return nil
}
