package vpc

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultKind names a fault as people type it.
type FaultKind string

// The faults of a World. What a real VPC does like each: docs/lab.md.
const (
	FaultThrottle   FaultKind = "throttle"    // ACTION=RATE: so many calls a second; 0 = RequestLimitExceeded
	FaultLatency    FaultKind = "latency"     // ACTION=DURATION: until it takes effect, and until it is answered
	FaultError      FaultKind = "ec2-error"   // ACTION=CODE, or ACTION=CODE: MESSAGE
	FaultDeny       FaultKind = "deny"        // ACTION: UnauthorizedOperation
	FaultVisibility FaultKind = "visibility"  // DURATION: describes lag
	FaultNotFound   FaultKind = "not-found"   // DURATION: calls do not find what is younger
	FaultIMDSLag    FaultKind = "imds-lag"    // INSTANCE=DURATION, or INSTANCE/ATTRIBUTE=DURATION for one of an interface's
	FaultIMDSStale  FaultKind = "imds-stale"  // INSTANCE or INSTANCE/ATTRIBUTE: its metadata never moves again
	FaultIMDSError  FaultKind = "imds-error"  // INSTANCE=STATUS: its metadata service answers this HTTP status
	FaultSubnetFull FaultKind = "subnet-full" // SUBNET: no free address
	FaultFragment   FaultKind = "fragment"    // SUBNET: free addresses, no free /28
	FaultDetach     FaultKind = "detach"      // ENI: pulled from outside, once
)

// FaultKinds are all of them, in the order of the help text.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultThrottle, FaultLatency, FaultError, FaultVisibility, FaultNotFound, FaultIMDSLag,
		FaultIMDSStale, FaultIMDSError, FaultSubnetFull, FaultFragment, FaultDetach, FaultDeny}
}

// Fault is something broken on purpose.
type Fault struct {
	Kind   FaultKind
	Target string    // a pattern of actions, an instance, subnet or interface (id, tag Name, or an id's unique beginning)
	Value  string    // rate, duration or error code
	Until  time.Time // zero: until cleared
}

// String is the fault as one would set it.
func (f Fault) String() string {
	switch {
	case f.Value == "":
		return fmt.Sprintf("%s %s", f.Kind, f.Target)
	case f.Target == "":
		return fmt.Sprintf("%s %s", f.Kind, f.Value)
	}
	return fmt.Sprintf("%s %s=%s", f.Kind, f.Target, f.Value)
}

// ParseFault reads a fault from its kind and its argument, such as "throttle" and "AttachNetworkInterface=0".
func ParseFault(kind, argument string) (Fault, error) {
	f := Fault{Kind: FaultKind(kind)}
	switch f.Kind {
	case FaultThrottle, FaultLatency, FaultError, FaultIMDSLag, FaultIMDSError:
		var ok bool
		if f.Target, f.Value, ok = strings.Cut(argument, "="); !ok || f.Target == "" || f.Value == "" {
			return f, fmt.Errorf("fault %s needs TARGET=VALUE, not %q", kind, argument)
		}
	case FaultVisibility, FaultNotFound:
		f.Value = argument
	case FaultIMDSStale, FaultSubnetFull, FaultFragment, FaultDetach, FaultDeny:
		f.Target = argument
	default:
		return f, fmt.Errorf("there is no fault %q; there are %v", kind, FaultKinds())
	}
	return f, f.check()
}

func (f Fault) check() error {
	switch f.Kind {
	case FaultThrottle:
		if rate, err := strconv.ParseFloat(f.Value, 64); err != nil || rate < 0 || rate > 1e6 {
			return fmt.Errorf("fault throttle: %q is not a number of calls a second, 0..1000000", f.Value)
		}
	case FaultLatency, FaultVisibility, FaultNotFound, FaultIMDSLag:
		if d, err := time.ParseDuration(f.Value); err != nil || d < 0 || d > Horizon {
			return fmt.Errorf("fault %s: %q is not a duration of 0s..%s", f.Kind, f.Value, Horizon)
		}
	case FaultError:
		if code, _, _ := strings.Cut(f.Value, ": "); code == "" || strings.ContainsAny(code, " <>&") {
			return fmt.Errorf("fault ec2-error: %q is not an error code", f.Value)
		}
	case FaultIMDSError:
		if status, err := strconv.Atoi(f.Value); err != nil || status < 400 || status > 599 {
			return fmt.Errorf("fault imds-error: %q is not an HTTP status of 400..599", f.Value)
		}
	case FaultDeny, FaultIMDSStale, FaultSubnetFull, FaultFragment, FaultDetach:
		if f.Target == "" {
			return fmt.Errorf("fault %s needs a target", f.Kind)
		}
	default:
		return fmt.Errorf("there is no fault %q; there are %v", f.Kind, FaultKinds())
	}
	if _, item, ok := strings.Cut(f.Target, "/"); ok && (f.Kind == FaultIMDSLag || f.Kind == FaultIMDSStale) {
		if _, err := path.Match(item, ""); err != nil || item == "" {
			return fmt.Errorf("fault %s: %q is not a pattern of attributes such as local-ipv4s", f.Kind, item)
		}
	}
	if f.ofAction() {
		if _, err := path.Match(f.Target, ""); err != nil || f.Target == "" {
			return fmt.Errorf("fault %s: %q is not a pattern of actions such as Assign*", f.Kind, f.Target)
		}
	}
	return nil
}

func (f Fault) ofAction() bool {
	return slices.Contains([]FaultKind{FaultThrottle, FaultLatency, FaultError, FaultDeny}, f.Kind)
}

func (f Fault) duration() time.Duration { d, _ := time.ParseDuration(f.Value); return d }

// activeFault is a fault with its target resolved.
type activeFault struct {
	Fault
	id     string              // of the instance or subnet
	item   string              // pattern of an interface's attributes in the metadata; empty: all of the metadata
	frozen []*NetworkInterface // what a stale instance's metadata shows for ever
}

// SetFault breaks something, from now until f.Until. A fault of the same kind and target is replaced. Detach is an act,
// not a state: it is not listed afterwards.
func (w *World) SetFault(now time.Time, f Fault) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now = w.tick(now)
	if err := f.check(); err != nil {
		return err
	}
	a := activeFault{Fault: f}
	var err error
	switch f.Kind {
	case FaultIMDSLag, FaultIMDSStale, FaultIMDSError:
		name := f.Target
		if f.Kind != FaultIMDSError {
			name, a.item, _ = strings.Cut(f.Target, "/")
		}
		if a.id, err = w.findInstance(name); err != nil {
			return fmt.Errorf("fault %s: %w", f.Kind, err)
		}
		if f.Kind == FaultIMDSStale {
			a.frozen = w.interfacesOf(w.instances[a.id], now.Add(-w.imdsLag(a.id)))
		}
	case FaultSubnetFull, FaultFragment:
		if a.id, err = w.findSubnet(f.Target); err != nil {
			return fmt.Errorf("fault %s: %w", f.Kind, err)
		}
	case FaultDetach:
		return w.pull(f.Target)
	}
	w.faults = slices.DeleteFunc(w.faults, func(o activeFault) bool { return o.Kind == f.Kind && o.Target == f.Target })
	w.faults = append(w.faults, a)
	return nil
}

// pull detaches an interface as somebody at the console would, at once.
func (w *World) pull(target string) error {
	n, err := w.findENI(target)
	switch {
	case err != nil:
		return fmt.Errorf("fault detach: %w", err)
	case n.Attachment == nil:
		return fmt.Errorf("fault detach: %s is not attached", n.ID)
	case n.Attachment.Device == 0 && n.Attachment.Card == 0:
		return fmt.Errorf("fault detach: %s is a primary interface: %s", n.ID, messagePrimaryStays)
	}
	w.part(w.now, n)
	return nil
}

// ClearFault mends what was broken with this kind and, unless it is empty, this target. It says how many faults went.
func (w *World) ClearFault(now time.Time, kind FaultKind, target string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick(now)
	before := len(w.faults)
	w.faults = slices.DeleteFunc(w.faults, func(f activeFault) bool {
		return (kind == "" || f.Kind == kind) && (target == "" || f.Target == target)
	})
	return before - len(w.faults)
}

// Faults are the active ones by kind and target.
func (w *World) Faults(now time.Time) []Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick(now)
	all := make([]Fault, 0, len(w.faults))
	for _, f := range w.faults {
		all = append(all, f.Fault)
	}
	slices.SortFunc(all, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target, b.Target))
	})
	return all
}

func (w *World) expireFaults() {
	w.faults = slices.DeleteFunc(w.faults, func(f activeFault) bool {
		return !f.Until.IsZero() && !w.now.Before(f.Until)
	})
}

// newest is the fault set last that fits, or nil.
func (w *World) newest(kind FaultKind, fits func(activeFault) bool) *activeFault {
	for i := len(w.faults) - 1; i >= 0; i-- {
		if f := &w.faults[i]; f.Kind == kind && fits(*f) {
			return f
		}
	}
	return nil
}

func onAction(action string) func(activeFault) bool {
	return func(f activeFault) bool { return matches(f.Target, action) }
}

func onID(id string) func(activeFault) bool {
	return func(f activeFault) bool { return f.id == id }
}

func always(activeFault) bool { return true }
