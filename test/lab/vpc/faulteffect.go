package vpc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// faultBucket is the bucket of an action that is throttled on purpose: so many calls a second, none saved up.
func (w *World) faultBucket(now time.Time, action string) (Bucket, bool) {
	f := w.newest(FaultThrottle, onAction(action))
	if f == nil {
		return Bucket{}, false
	}
	rate, _ := strconv.ParseFloat(f.Value, 64) // SetFault has checked it
	size := rate
	if rate > 0 && size < 1 {
		size = 1
	}
	return Bucket{Size: size, Refill: rate}, true
}

// faultError is what an action is refused with on purpose.
func (w *World) faultError(action string) *Error {
	if w.newest(FaultDeny, onAction(action)) != nil {
		return Refuse(CodeUnauthorized, messageDenied)
	}
	if f := w.newest(FaultError, onAction(action)); f != nil {
		code, message, said := strings.Cut(f.Value, ": ")
		if !said {
			message = fmt.Sprintf("%s (fault %s)", messageInternal, f.Target)
		}
		err := Refuse(code, "%s", message)
		if code == CodeThrottled {
			err.HTTPStatus = w.config.ThrottledStatus
		}
		return err
	}
	return nil
}

func (w *World) latency(action string) Latency {
	l := w.config.Latency.Of(action)
	if f := w.newest(FaultLatency, onAction(action)); f != nil {
		l = Latency{Answer: f.duration(), Effect: f.duration()}
	}
	return l
}

func (w *World) visibility() time.Duration {
	return w.lag(FaultVisibility, always, w.config.Visibility)
}

func (w *World) notFound() time.Duration { return w.lag(FaultNotFound, always, w.config.NotFound) }

func (w *World) imdsLag(instance string) time.Duration {
	whole := func(f activeFault) bool { return f.id == instance && f.item == "" }
	return w.lag(FaultIMDSLag, whole, w.config.IMDSLag)
}

func (w *World) lag(kind FaultKind, fits func(activeFault) bool, otherwise time.Duration) time.Duration {
	if f := w.newest(kind, fits); f != nil {
		return f.duration()
	}
	return min(otherwise, Horizon)
}

// MetadataStatus is the HTTP status that an instance's metadata service answers everything with on purpose; 0: none.
func (w *World) MetadataStatus(now time.Time, instance string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tick(now)
	if f := w.newest(FaultIMDSError, onID(instance)); f != nil {
		status, _ := strconv.Atoi(f.Value) // SetFault has checked it
		return status
	}
	return 0
}

func (w *World) isFull(s Subnet) bool { return w.newest(FaultSubnetFull, onID(s.ID)) != nil }

func (w *World) isFragmented(s Subnet) bool { return w.newest(FaultFragment, onID(s.ID)) != nil }

// find resolves what people type: an id, a tag Name, or the beginning of just one id.
func find(what, typed string, names map[string]string) (string, error) {
	if _, ok := names[typed]; ok {
		return typed, nil
	}
	var hits []string
	for id, name := range names {
		if name == typed || typed != "" && strings.HasPrefix(id, typed) {
			hits = append(hits, id)
		}
	}
	switch len(hits) {
	case 0:
		return "", fmt.Errorf("there is no %s %q", what, typed)
	case 1:
		return hits[0], nil
	}
	return "", fmt.Errorf("%q means %d of the %ss", typed, len(hits), what)
}

func (w *World) findInstance(typed string) (string, error) {
	names := map[string]string{}
	for id, i := range w.instances {
		names[id] = i.Tags["Name"]
	}
	return find("instance", typed, names)
}

func (w *World) findSubnet(typed string) (string, error) {
	names := map[string]string{}
	for id, s := range w.subnets {
		names[id] = s.Tags["Name"]
	}
	return find("subnet", typed, names)
}

func (w *World) findENI(typed string) (NetworkInterface, error) {
	names := map[string]string{}
	for id := range w.enis {
		if n, ok := w.present(id); ok {
			names[id] = n.Tags["Name"]
		}
	}
	id, err := find("network interface", typed, names)
	if err != nil {
		return NetworkInterface{}, err
	}
	n, _ := w.present(id)
	return n, nil
}
