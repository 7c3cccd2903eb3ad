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
	Instance
	enis []string // in the order of attachment; also those that have left, as long as they are remembered
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
	Tags                map[string]string
	ENITags             map[string]string // of the primary interface
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
		SecondaryCount: l.Secondary, PrefixCount: l.Prefixes, IPv6Count: l.IPv6}
	n, err := w.newInterface(&call{now: now, effect: now}, request, t)
	if err != nil {
		return Instance{}, NetworkInterface{}, fmt.Errorf("cannot add instance %s: %w", l.ID, err)
	}
	if l.ID == "" {
		l.ID = w.id("i")
	}
	i := &instance{Instance: Instance{ID: l.ID, Type: l.Type, VPC: s.VPC, Subnet: s.ID, Zone: s.Zone,
		State: Running, Launched: now, Tags: maps.Clone(l.Tags)}}
	w.instances[l.ID] = i
	n.Tags = maps.Clone(l.ENITags)
	w.put(now, n.ID, &n)
	n = w.join(now, n, i, Attachment{Instance: i.ID, DeleteOnTermination: true, Since: now, AttachedAt: now})
	return i.Instance, n.resolve(now), nil
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

// Instance is an instance at this time.
func (w *World) Instance(id string) (Instance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.instances[id]; i != nil {
		return i.Instance, true
	}
	return Instance{}, false
}

// SetInstanceType changes the type of an instance, as one may while it is stopped. The attachments stay, even those
// that the new type would not allow.
func (w *World) SetInstanceType(id, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.instances[id]
	if i == nil {
		return fmt.Errorf("cannot change the type of instance %s: it does not exist", id)
	}
	if _, ok := w.instanceType(name); !ok {
		return fmt.Errorf("cannot change the type of instance %s: the lab does not know the type %q", id, name)
	}
	i.Type = name
	return nil
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

func (r TerminateInstances) call(w *World, c *call) (Output, *Error) {
	if len(r.IDs) == 0 {
		return nil, missing("InstanceId")
	}
	for _, id := range r.IDs {
		if err := checkID(id, "i", CodeInstanceMalformed); err != nil {
			return nil, err
		}
		if w.instances[id] == nil {
			return nil, instanceNotFound(id)
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	var out TerminateInstancesOutput
	for _, id := range r.IDs {
		i := w.instances[id]
		out.Changes = append(out.Changes, StateChange{ID: id, Previous: i.State, Current: Terminated})
		i.State = Terminated
		for _, n := range w.holding(i) {
			w.part(c.effect, n)
			if n.Attachment.DeleteOnTermination {
				n, _ := w.present(n.ID)
				w.bury(c.effect, n)
			}
		}
	}
	return out, nil
}
