package vpc

import (
	"math"
	"time"
)

// Bucket is a token bucket as EC2 throttles by: per account, Region and action. Each call takes one token.
type Bucket struct {
	Size   float64 // most tokens
	Refill float64 // tokens a second
}

// Buckets is the throttling of an account.
type Buckets struct {
	byAction  map[string]Bucket
	describe  Bucket // other actions that change nothing
	unbounded Bucket // lists with neither filter nor pagination
	mutate    Bucket // other actions that change something
}

// Published are the numbers of the EC2 Developer Guide ("Request throttling for the Amazon EC2 API"), times the scale:
// 3 is an account with thrice the limits. Actions that the guide does not name fall into its classes: 100 and 20/s for
// those that change nothing (50 and 10/s for some lists without filter and pagination), 50 and 5/s for others. A scale
// of 0 switches throttling off.
func Published(scale float64) Buckets {
	if scale <= 0 {
		return Buckets{}
	}
	b := func(size, refill float64) Bucket { return Bucket{size * scale, refill * scale} }
	return Buckets{
		describe: b(100, 20), unbounded: b(50, 10), mutate: b(50, 5),
		byAction: map[string]Bucket{
			"CreateNetworkInterface":          b(100, 5),
			"DeleteNetworkInterface":          b(100, 5),
			"ModifyNetworkInterfaceAttribute": b(100, 5),
			"AssignPrivateIpAddresses":        b(100, 5),
			"UnassignPrivateIpAddresses":      b(100, 5),
			"AssignIpv6Addresses":             b(100, 5),
			"CreateTags":                      b(100, 10),
			"DeleteTags":                      b(100, 10),
			"TerminateInstances":              b(100, 5),
			"StartInstances":                  b(5, 2),
		},
	}
}

// Of is the bucket of an action, and whether it has one.
func (b Buckets) Of(action string, unbounded bool) (Bucket, bool) {
	if b.byAction == nil {
		return Bucket{}, false
	}
	if bucket, ok := b.byAction[action]; ok {
		return bucket, true
	}
	switch {
	case unbounded:
		return b.unbounded, true
	case matches("Describe*", action):
		return b.describe, true
	}
	return b.mutate, true
}

// meter is the level of a bucket.
type meter struct {
	bucket Bucket
	tokens float64
	at     time.Time
}

// take takes a token if there is one. Whether a throttled call takes what is left of one is not documented.
func (m *meter) take(now time.Time, b Bucket, costs bool) bool {
	if m.bucket != b { // first use, or a fault came or went
		m.bucket, m.tokens, m.at = b, b.Size, now
	}
	m.tokens = math.Min(b.Size, m.tokens+b.Refill*now.Sub(m.at).Seconds())
	m.at = now
	if m.tokens < 1-1e-9 {
		if costs {
			m.tokens = 0
		}
		return false
	}
	m.tokens--
	return true
}

// throttled spends a token of the action's bucket, or says that there is none.
func (w *World) throttled(now time.Time, action string, unbounded bool) bool {
	bucket, limited := w.config.Buckets.Of(action, unbounded)
	name := action
	if unbounded {
		name += " unbounded"
	}
	if b, ok := w.faultBucket(now, action); ok {
		bucket, limited = b, true
	}
	if !limited {
		return false
	}
	m := w.meters[name]
	if m == nil {
		m = &meter{}
		w.meters[name] = m
	}
	return !m.take(now, bucket, w.config.ThrottledCosts)
}
