package vpc

import (
	"cmp"
	"slices"
	"time"
)

// Metadata is what an instance may know of itself: the content of its metadata service.
type Metadata struct {
	Region     string
	Account    string
	Instance   Instance
	Interfaces []Interface // by card and device index
	Older      []Older     // what some attributes of interfaces show instead; the last one that fits counts
}

// Older is the interfaces as they were, for the attributes whose name fits a pattern (path.Match).
type Older struct {
	Attributes string
	Interfaces []Interface
}

// Interface is a network interface with what surrounds it.
type Interface struct {
	NetworkInterface
	Of      Subnet
	VPC     VPC
	GroupOf map[string]string // names of security groups by id
}

// Metadata is an instance's metadata as its service shows it now: with the instance's lag, or frozen by a fault. There
// is none for an instance that does not exist or was terminated.
func (w *World) Metadata(now time.Time, instance string) (Metadata, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	i := w.instances[instance]
	if i == nil {
		return Metadata{}, false
	}
	if state := i.stateAt(now); state == Stopped || state == Terminated {
		return Metadata{}, false
	}
	m := Metadata{Region: w.config.Region, Account: w.config.Account, Instance: i.view(now)}
	names := w.groupNames()
	seen := w.interfacesOf(i, now.Add(-w.imdsLag(i.ID)))
	if len(seen) == 0 { // it started within the lag: its own primary interface is known from the start
		seen = w.interfacesOf(i, i.Launched)
	}
	if f := w.newest(FaultIMDSStale, func(f activeFault) bool { return f.id == i.ID && f.item == "" }); f != nil {
		seen = f.frozen
	}
	m.Interfaces = w.surrounded(seen, names)
	for _, f := range w.faults {
		switch {
		case f.id != i.ID || f.item == "":
		case f.Kind == FaultIMDSLag:
			m.Older = append(m.Older, Older{f.item, w.surrounded(w.interfacesOf(i, now.Add(-f.duration())), names)})
		case f.Kind == FaultIMDSStale:
			m.Older = append(m.Older, Older{f.item, w.surrounded(f.frozen, names)})
		}
	}
	return m, true
}

func (w *World) surrounded(seen []*NetworkInterface, names map[string]string) (all []Interface) {
	for _, n := range seen {
		all = append(all, Interface{NetworkInterface: *n, Of: w.subnets[n.Subnet].Subnet, VPC: *w.vpcs[n.VPC], GroupOf: names})
	}
	return all
}

// interfacesOf are the attached interfaces of an instance at an instant.
func (w *World) interfacesOf(i *instance, at time.Time) []*NetworkInterface {
	var all []*NetworkInterface
	for _, id := range i.enis {
		if n := w.enis[id].view(at); n != nil && n.Instance() == i.ID && n.Attachment.Status() != Attaching {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, byDevice)
	return all
}

func byDevice(a, b *NetworkInterface) int {
	return cmp.Or(cmp.Compare(a.Attachment.Card, b.Attachment.Card), cmp.Compare(a.Attachment.Device, b.Attachment.Device))
}

func (w *World) groupNames() map[string]string {
	names := make(map[string]string, len(w.groups))
	for id, g := range w.groups {
		names[id] = g.Name
	}
	return names
}
