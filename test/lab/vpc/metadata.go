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
	if i == nil || i.State == Terminated {
		return Metadata{}, false
	}
	m := Metadata{Region: w.config.Region, Account: w.config.Account, Instance: i.Instance}
	seen := w.interfacesOf(i, now.Add(-w.imdsLag(i.ID)))
	if len(seen) == 0 { // it started within the lag: its own primary interface is known from the start
		seen = w.interfacesOf(i, i.Launched)
	}
	if f := w.newest(FaultIMDSStale, onID(i.ID)); f != nil {
		seen = f.frozen
	}
	for _, n := range seen {
		m.Interfaces = append(m.Interfaces, Interface{NetworkInterface: n.clone(), Of: w.subnets[n.Subnet].Subnet,
			VPC: *w.vpcs[n.VPC], GroupOf: w.groupNames()})
	}
	return m, true
}

// interfacesOf are the attached interfaces of an instance at an instant.
func (w *World) interfacesOf(i *instance, at time.Time) []*NetworkInterface {
	var all []*NetworkInterface
	for _, id := range i.enis {
		if n := w.enis[id].view(at); n != nil && n.Instance() == i.ID && n.Attachment.Status() != Attaching {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *NetworkInterface) int { return byDevice(*a, *b) })
	return all
}

func byDevice(a, b NetworkInterface) int {
	return cmp.Or(cmp.Compare(a.Attachment.Card, b.Attachment.Card), cmp.Compare(a.Attachment.Device, b.Attachment.Device))
}

func (w *World) groupNames() map[string]string {
	names := make(map[string]string, len(w.groups))
	for id, g := range w.groups {
		names[id] = g.Name
	}
	return names
}
