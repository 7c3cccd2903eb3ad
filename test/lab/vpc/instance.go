package vpc

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// instance is an instance with the interfaces that are or were attached to it.
type instance struct {
	Instance          // its State is not kept up: view and stateAt tell
	enis     []string // in the order of attachment; also those that have left, as long as they are remembered
	stages   []stage  // by time; never empty
	blocked  []slot   // unusable until the next start
}

func (i *instance) drop(eni string) {
	if i != nil {
		i.enis = slices.DeleteFunc(i.enis, func(id string) bool { return id == eni })
	}
}

// Launch is what an instance is made with. The lab makes instances itself: RunInstances is not modelled.
type Launch struct {
	ID      string // "i-…"; made up when empty
	Type    string
	Subnet  string
	Groups  []string   // of the primary interface; the VPC's default group when empty
	Primary netip.Addr // of the primary interface; picked when zero
	// Secondary and Prefixes are how many addresses and /28s the primary interface starts with, as from a launch
	// template.
	Secondary, Prefixes int
	IPv6                int // IPv6 addresses of the primary interface
	IPv6Prefixes        int // /80s of the primary interface
	Tags                map[string]string
	ENITags             map[string]string // of the primary interface
	// Pending is how long the instance is pending before it is running. Its machine, and its interface, are there at once.
	Pending time.Duration
}

// AddInstance starts an instance with its primary network interface, which is there at once.
func (w *World) AddInstance(now time.Time, l Launch) (Instance, NetworkInterface, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	s := w.subnets[l.Subnet]
	if s == nil {
		return Instance{}, NetworkInterface{}, fmt.Errorf("cannot add instance %s: there is no subnet %q", l.ID, l.Subnet)
	}
	t, ok := w.instanceType(l.Type)
	if !ok {
		return Instance{}, NetworkInterface{},
			fmt.Errorf("cannot add instance %s: the lab does not know the type %q", l.ID, l.Type)
	}
	if w.instances[l.ID] != nil {
		return Instance{}, NetworkInterface{}, fmt.Errorf("cannot add instance %s: it exists", l.ID)
	}
	if l.ID != "" && checkID(l.ID, "i", CodeInstanceMalformed) != nil {
		return Instance{}, NetworkInterface{}, fmt.Errorf("cannot add instance %s: an id is i- and hex digits", l.ID)
	}
	request := CreateNetworkInterface{SubnetID: l.Subnet, Groups: l.Groups, Primary: l.Primary,
		SecondaryCount: l.Secondary, PrefixCount: l.Prefixes, IPv6Count: l.IPv6, IPv6PrefixCount: l.IPv6Prefixes}
	n, err := w.newInterface(&call{now: now, effect: now}, request, t)
	if err != nil {
		return Instance{}, NetworkInterface{}, fmt.Errorf("cannot add instance %s: %w", l.ID, err)
	}
	if l.ID == "" {
		l.ID = w.id("i")
	}
	i := &instance{Instance: Instance{ID: l.ID, Type: l.Type, VPC: s.VPC, Subnet: s.ID, Zone: s.Zone,
		Launched: now, Tags: maps.Clone(l.Tags)}, stages: []stage{{now, Running}}}
	if l.Pending > 0 {
		i.stages = []stage{{now, Pending}, {now.Add(l.Pending), Running}}
	}
	w.instances[l.ID] = i
	at, _ := slices.BinarySearch(w.instanceIDs, l.ID)
	w.instanceIDs = slices.Insert(w.instanceIDs, at, l.ID)
	n.Tags = maps.Clone(l.ENITags)
	w.put(now, n.ID, &n)
	n = w.join(now, n, i, Attachment{Instance: i.ID, DeleteOnTermination: true, Since: now, AttachedAt: now})
	return i.view(now), n.resolve(now), nil
}

// join attaches an interface in the books.
func (w *World) join(now time.Time, n NetworkInterface, i *instance, a Attachment) NetworkInterface {
	a.ID = w.id("eni-attach")
	a.AttachedAt = w.notBefore(n.ID, a.AttachedAt)
	n.Attachment = &a
	w.put(now, n.ID, &n)
	t := w.enis[n.ID]
	t.attached, t.on = append(t.attached, a.ID), append(t.on, i.ID)
	w.attached[a.ID] = n.ID
	i.drop(n.ID)
	i.enis = append(i.enis, n.ID)
	w.later(pending{at: a.AttachedAt, kind: LinkAttached, instance: i.ID, eni: n.ID})
	return n
}

// Instance is an instance as it is at the latest instant that anybody spoke of.
func (w *World) Instance(id string) (Instance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.instances[id]; i != nil {
		return i.view(w.now), true
	}
	return Instance{}, false
}

func (w *World) instanceType(name string) (InstanceType, bool) {
	t, ok := w.types[name]
	return t, ok
}

// holding are the living interfaces of an instance, those that are on their way out too.
func (w *World) holding(i *instance) []NetworkInterface {
	var all []NetworkInterface
	for _, id := range i.enis {
		if n, ok := w.present(id); ok && n.Instance() == i.ID {
			all = append(all, n)
		}
	}
	return all
}
