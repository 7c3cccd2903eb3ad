package vpc

import (
	"fmt"
	"slices"
	"time"
)

// stage is a part of an instance's life: the state that it is in from an instant on.
type stage struct {
	at    time.Time
	state InstanceState
}

// slot is where an interface sits in an instance.
type slot struct{ card, device int }

// stateAt is the state at an instant; empty before the instance was made.
func (i *instance) stateAt(at time.Time) InstanceState {
	for n := len(i.stages) - 1; n >= 0; n-- {
		if !i.stages[n].at.After(at) {
			return i.stages[n].state
		}
	}
	return ""
}

// view is the instance as it was at an instant.
func (i *instance) view(at time.Time) Instance {
	v := i.Instance
	v.State = i.stateAt(at)
	return v
}

// become puts an instance into a passing state now and into another one later; what was to come before is void.
func (i *instance) become(now time.Time, passing InstanceState, later time.Time, last InstanceState) {
	i.stages = slices.DeleteFunc(i.stages, func(s stage) bool { return s.at.After(now) })
	i.stages = append(i.stages, stage{now, passing}, stage{later, last})
	for len(i.stages) > 2 && now.Sub(i.stages[1].at) > Horizon {
		i.stages = i.stages[1:]
	}
}

// ended is an instance that is or will be terminated.
type ended struct {
	id string
	at time.Time
}

// forgetInstances lets those go that were terminated long ago; EC2 does not know their ids any more.
func (w *World) forgetInstances() {
	n := 0
	for n < len(w.ended) && w.now.Sub(w.ended[n].at) > w.config.TerminatedKept {
		id := w.ended[n].id
		delete(w.instances, id)
		delete(w.off, id)
		if at, ok := slices.BinarySearch(w.instanceIDs, id); ok {
			w.instanceIDs = slices.Delete(w.instanceIDs, at, at+1)
		}
		n++
	}
	w.ended = slices.Delete(w.ended, 0, n)
}

// namedInstances finds all instances that a call names, and wants them in one of some states.
func (w *World) namedInstances(ids []string, states ...InstanceState) ([]*instance, *Error) {
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	var all []*instance
	for _, id := range chosen(ids, nil) {
		i, err := w.namedInstance(id)
		if err != nil {
			return nil, err
		}
		if state := i.stateAt(w.now); len(states) > 0 && !slices.Contains(states, state) {
			return nil, Refuse(CodeInstanceState, "The instance '%s' is not in a state from which it can be moved: it is %s", id, state)
		}
		all = append(all, i)
	}
	return all, nil
}

func (r StopInstances) call(w *World, c *call) (Output, *Error) {
	all, err := w.namedInstances(r.IDs, Running, Stopping, Stopped)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	var out StopInstancesOutput
	for _, i := range all {
		change := StateChange{ID: i.ID, Previous: i.stateAt(c.now), Current: i.stateAt(c.now)}
		if change.Previous == Running {
			change.Current = Stopping
			i.become(c.now, Stopping, c.effect, Stopped)
			w.later(pending{at: c.effect, kind: InstanceStopped, instance: i.ID})
		}
		out.Changes = append(out.Changes, change)
	}
	return out, nil
}

func (r StartInstances) call(w *World, c *call) (Output, *Error) {
	all, err := w.namedInstances(r.IDs, Stopped, Pending, Running)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if err := w.mayStart(i); err != nil {
			return nil, err
		}
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	var out StartInstancesOutput
	for _, i := range all {
		change := StateChange{ID: i.ID, Previous: i.stateAt(c.now), Current: i.stateAt(c.now)}
		if change.Previous == Stopped {
			change.Current = Pending
			i.become(c.now, Pending, c.effect, Running)
			i.Launched, i.blocked = c.now, nil
			w.later(pending{at: c.effect, kind: InstanceStarted, instance: i.ID})
		}
		out.Changes = append(out.Changes, change)
	}
	return out, nil
}

// mayStart judges an instance's interfaces by its type, which may have changed while it was stopped.
func (w *World) mayStart(i *instance) *Error {
	if i.stateAt(w.now) != Stopped || w.config.OverLimitStarts {
		return nil
	}
	t, _ := w.instanceType(i.Type)
	held := w.holding(i)
	if len(held) > t.Interfaces {
		return Refuse(CodeAttachmentLimit, "Interface count %d exceeds the limit for %s", len(held), i.Type)
	}
	for _, n := range held {
		switch {
		case n.Attachment.Card >= len(t.InterfacesPerCard):
			return Refuse(CodeAttachmentLimit, "NetworkCard index '%d' exceeds the limit for %s", n.Attachment.Card, i.Type)
		case n.slots4() > t.IPv4PerInterface || n.slots6() > t.IPv6PerInterface:
			return Refuse(CodeAddressLimit, messageAddressLimit)
		}
	}
	return nil
}

func (r RebootInstances) call(w *World, c *call) (Output, *Error) {
	all, err := w.namedInstances(r.IDs, Running)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	for _, i := range all {
		w.later(pending{at: c.effect, kind: InstanceStopped, instance: i.ID, reboot: true})
		w.later(pending{at: c.effect, kind: InstanceStarted, instance: i.ID, reboot: true})
	}
	return Done{}, nil
}

func (r TerminateInstances) call(w *World, c *call) (Output, *Error) {
	all, err := w.namedInstances(r.IDs)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	var out TerminateInstancesOutput
	for _, i := range all {
		change := StateChange{ID: i.ID, Previous: i.stateAt(c.now), Current: i.stateAt(c.now)}
		if change.Previous != ShuttingDown && change.Previous != Terminated {
			change.Current = ShuttingDown
			w.terminate(c, i)
		}
		out.Changes = append(out.Changes, change)
	}
	return out, nil
}

// terminate ends an instance and the attachments of its interfaces; those that say so go with it.
func (w *World) terminate(c *call, i *instance) {
	i.become(c.now, ShuttingDown, c.effect, Terminated)
	at, _ := slices.BinarySearchFunc(w.ended, c.effect, func(e ended, at time.Time) int { return e.at.Compare(at) })
	w.ended = slices.Insert(w.ended, at, ended{i.ID, c.effect})
	for _, n := range w.holding(i) {
		w.part(c.effect, n)
		if n.Attachment.DeleteOnTermination {
			n, _ := w.present(n.ID)
			w.bury(c.effect, n)
		}
	}
	w.later(pending{at: c.effect, kind: InstanceTerminated, instance: i.ID})
}

func (r ModifyInstanceAttribute) call(w *World, c *call) (Output, *Error) {
	i, err := w.namedInstance(r.ID)
	if err != nil {
		return nil, err
	}
	kinds := 0
	for _, given := range []bool{r.InstanceType != nil, len(r.Groups) > 0, r.SourceDestCheck != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return nil, Refuse(CodeMissingParameter, "No attributes specified: "+messageOneAttribute)
	case kinds > 1:
		return nil, Refuse(CodeCombination, "Fields for multiple attribute types specified: "+messageOneAttribute)
	}
	if r.InstanceType == nil { // the attribute of the primary interface
		for _, n := range w.holding(i) {
			if n.Attachment.Device == 0 && n.Attachment.Card == 0 {
				return ModifyNetworkInterfaceAttribute{Dry: r.Dry, ID: n.ID, Groups: r.Groups, SourceDestCheck: r.SourceDestCheck}.call(w, c)
			}
		}
		return nil, Refuse(CodeInstanceState, "The instance '%s' has no network interface", i.ID)
	}
	if state := i.stateAt(c.now); state != Stopped {
		return nil, Refuse(CodeInstanceState, "The instance '%s' is not in the 'stopped' state: it is %s", i.ID, state)
	}
	if _, ok := w.instanceType(r.InstanceType.Value); !ok {
		return nil, Refuse(CodeInstanceAttribute, "Invalid value '%s' for InstanceType.", r.InstanceType.Value)
	}
	if err := dryRun(r.Dry); err != nil {
		return nil, err
	}
	i.Type = r.InstanceType.Value
	return Done{}, nil
}

// SetInstanceType changes the type of an instance in whatever state it is. The attachments stay, even those that the new
// type would not allow.
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

// started are the links that a machine has from its start on.
func (w *World) started(i *instance, at time.Time) {
	for _, n := range w.interfacesOf(i, at) {
		w.later(pending{at: at, kind: LinkAttached, instance: i.ID, eni: n.ID})
	}
}
